// Fuzzing of .npy files.
#include "pare/io/npy.h"

#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const pare::fuzz::MemoryFile file(data, size);
  pare::fuzz::expect_error_or_success([&] { pare::io::load_npy(file.path()); });
  return 0;
}
