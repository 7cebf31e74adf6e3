// Fuzzing of the ONNX reader: bytes become a graph or an Error, nothing else.
#include <cstddef>
#include <cstdint>
#include <span>

#include "pare/core/error.h"
#include "pare/io/onnx.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    pare::onnx::parse(std::as_bytes(std::span(data, size)));
  } catch (const pare::Error& error) {
    // Bugs of pare's own are findings.
    if (error.code() == pare::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
