// Fuzzing of .pare files, as they are and with checksums put right.
#include "pare/io/graph_file.h"

#include "io/container_bytes.h"

#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pare::test::ContainerBytes file{std::string(reinterpret_cast<const char*>(data), size)};
  const auto parse = [&] {
    const auto bytes = std::as_bytes(std::span(file.bytes.data(), file.bytes.size()));
    pare::io::parse_graph(bytes, "file").graph.verify();
  };
  pare::fuzz::expect_error_or_success(parse);
  file.mend();
  pare::fuzz::expect_error_or_success(parse);
  return 0;
}
