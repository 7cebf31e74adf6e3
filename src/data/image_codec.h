// The image codec, stb: the one place that knows it, or that it is missing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pare/data/image.h"

namespace pare::data {

/// u8 [C, H, W] of an image file's bytes; see decode_image.
Tensor decode_with_stb(std::span<const std::uint8_t> bytes, const std::string& name,
                       const ImageOptions& options);
/// A PNG file's bytes of interleaved pixels.
std::vector<std::uint8_t> encode_png(const std::vector<std::uint8_t>& pixels, int height, int width,
                                     int channels);

}  // namespace pare::data
