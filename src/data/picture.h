// One picture's way into a batch: crops and mirroring as index maps, conversion by table.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "pare/core/generator.h"
#include "pare/core/tensor.h"
#include "pare/data/transform.h"

namespace pare::data {

/// Where the elements of one axis of the result come from: source index start + step·i, which is
/// padding where it lies outside [low, high).
struct AxisMap {
  std::int64_t start = 0, step = 1, size = 0, low = 0, high = 0;

  static AxisMap all(std::int64_t size) { return {0, 1, size, 0, size}; }
  /// Keeps `count` elements from element `offset` on; what lies outside the present ones is
  /// padding.
  void cut(std::int64_t offset, std::int64_t count) {
    const std::int64_t last = start + step * (size - 1);
    low = std::max(low, std::min(start, last));
    high = std::min(high, std::max(start, last) + 1);
    start += step * offset;
    size = count;
  }
  void mirror() {
    start += step * (size - 1);
    step = -step;
  }
  /// The elements [first, second) of the result that are not padding.
  std::pair<std::int64_t, std::int64_t> inside() const {
    const std::int64_t begin = step > 0 ? low - start : start - high + 1;
    const std::int64_t end = step > 0 ? high - start : start - low + 1;
    const std::int64_t first = std::clamp<std::int64_t>(begin, 0, size);
    return {first, std::clamp<std::int64_t>(end, first, size)};
  }
};

struct PictureMap {
  AxisMap rows, columns;
};

/// A copy of the picture (u8 or f32, [C, H, W] row-major) as the map says.
Tensor moved(const Tensor& picture, const PictureMap& map);

/// Crops and mirrorings for a picture of this height and width, drawn from `generator`; null: from
/// the middle and not mirrored. Throws shape_mismatch for a window that does not fit.
PictureMap draw(std::span<const Transform> moves, std::int64_t height, std::int64_t width,
                Generator* generator);

/// Conversion to f32 with normalization, for one channel or for each.
class Conversion {
 public:
  Conversion() = default;
  /// Throws shape_mismatch where `normalize` is for another number of channels.
  Conversion(const Normalize& normalize, DType dtype, std::int64_t channels);

  /// Writes the picture `source` (u8 or f32, [channels, height, width] row-major) as `map` says,
  /// pixel by pixel (`interleave`) or channel by channel.
  void place(const void* source, std::array<std::int64_t, 3> size, const PictureMap& map,
             float* out, bool interleave) const;

 private:
  struct Affine {
    float scale, shift;
    float operator()(float v) const { return v * scale + shift; }
  };
  struct Table {
    std::array<float, 256> value;
    float operator()(std::uint8_t v) const { return value[v]; }
  };
  DType dtype_ = DType::f32;
  std::vector<Affine> affine_;  // of f32
  std::vector<Table> table_;    // of u8
};

}  // namespace pare::data
