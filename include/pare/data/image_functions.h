// What is done to one picture: cutting, resizing, colours; torchvision's formulas.
#pragma once

#include <cstdint>

#include "pare/core/export.h"
#include "pare/core/tensor.h"

namespace pare::data {

// Pictures are u8 or f32 [C, H, W] (f32 with colours in [0, 1]); the result is of the same dtype,
// row-major and off the tape. Bytes are calculated in floats and then rounded as torchvision rounds
// them: colours towards 0, resized pixels to the nearest. All throw shape_mismatch, dtype_mismatch
// and invalid_argument for what is none and for numbers that make no sense.

/// A window of a picture; it must lie inside.
struct Box {
  std::int64_t top = 0, left = 0;
  std::int64_t height = 0, width = 0;
  bool operator==(const Box&) const = default;
};
PARE_API Tensor crop(const Tensor& picture, const Box& box);

struct ResizeOptions {
  std::int64_t height = 0, width = 0;
  /// Averages over all pixels that one of a smaller picture covers (a triangle as filter), as
  /// Pillow and torchvision do; without, of each axis two pixels alone are looked at.
  bool antialias = true;
};
/// Bilinear, with pixel centres at halves (torchvision's resize).
PARE_API Tensor resize(const Tensor& picture, const ResizeOptions& options);
/// The window, resized, without a copy of it (torchvision's resized_crop).
PARE_API Tensor resized_crop(const Tensor& picture, const Box& box, const ResizeOptions& options);
/// Left to right.
PARE_API Tensor hflip(const Tensor& picture);

/// The luma 0.2989 R + 0.587 G + 0.114 B of a picture with three channels, or the one channel that
/// there is, in `channels` (1 or 3) equal channels.
PARE_API Tensor grayscale(const Tensor& picture, std::int64_t channels = 1);
/// Times factor >= 0: 0 is black, 1 the same picture. One or three channels, as below.
PARE_API Tensor adjust_brightness(const Tensor& picture, double factor);
/// Between the mean luma (0) and the picture (1), and beyond.
PARE_API Tensor adjust_contrast(const Tensor& picture, double factor);
/// Between grey (0) and the picture (1), and beyond; one channel stays as it is.
PARE_API Tensor adjust_saturation(const Tensor& picture, double factor);
/// Turns the hue by `shift` circles, −0.5 … 0.5; one channel stays as it is.
PARE_API Tensor adjust_hue(const Tensor& picture, double shift);

}  // namespace pare::data
