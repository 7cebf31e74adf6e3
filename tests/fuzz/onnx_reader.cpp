// Fuzzing of ONNX files.
#include "pare/io/onnx.h"

#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pare::fuzz::expect_error_or_success(
      [&] { pare::onnx::parse(std::as_bytes(std::span(data, size))); });
  return 0;
}
