// Fuzzing of JPEG, PNG, BMP and GIF files.
#include "pare/data/image.h"

#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pare::fuzz::expect_error_or_success([&] {
    pare::data::decode_image({data, size}, "picture", {.channels = 0, .max_pixels = 1 << 20});
  });
  return 0;
}
