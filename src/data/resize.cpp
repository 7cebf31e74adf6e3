// Cutting, mirroring and bilinear resizing of pictures.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "data/image_functions.h"
#include "data/rows.h"
#include "pare/data/image_functions.h"

namespace pare::data {
namespace {

// Which elements of an axis make up each of the resized axis, and by what weights.
struct Taps {
  std::vector<std::int64_t> begin;  // first element
  std::vector<float> weight;        // `most` of each
  std::int64_t most = 0;
};

// The elements [first, last) that one of the resized axis sees, and the triangle over them.
struct Window {
  double centre, support;
  std::int64_t first, last;

  Window(std::int64_t from, double scale, std::int64_t i)
      : centre(scale * (static_cast<double>(i) + 0.5)),
        support(std::max(scale, 1.0)),
        first(std::max<std::int64_t>(static_cast<std::int64_t>(centre - support + 0.5), 0)),
        last(std::min<std::int64_t>(static_cast<std::int64_t>(centre + support + 0.5), from)) {}
  double weight(std::int64_t k) const {
    return std::max(0.0, 1 - std::abs((static_cast<double>(k) - centre + 0.5) / support));
  }
};

// PyTorch's upsample_bilinear2d and, with antialias, _upsample_bilinear2d_aa.
Taps taps(std::int64_t from, std::int64_t to, bool antialias) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  Taps out;
  out.most = std::min<std::int64_t>(from, 2);
  for (std::int64_t i = 0; i < to && antialias; ++i) {
    const Window window(from, scale, i);
    out.most = std::max(out.most, window.last - window.first);
  }
  out.begin.resize(static_cast<std::size_t>(to));
  out.weight.resize(static_cast<std::size_t>(to * out.most));
  for (std::int64_t i = 0; i < to; ++i) {
    float* const weight = out.weight.data() + i * out.most;
    if (!antialias) {
      const auto narrow = static_cast<float>(scale);
      const float at = std::max(narrow * (static_cast<float>(i) + 0.5F) - 0.5F, 0.0F);
      const std::int64_t first = std::min(static_cast<std::int64_t>(at), from - 1);
      const float second = at - static_cast<float>(first);
      // At the last element both are the same.
      const std::int64_t begin = std::min(first, from - out.most);
      out.begin[static_cast<std::size_t>(i)] = begin;
      weight[first - begin] += 1 - second;
      weight[std::min(first + 1, from - 1) - begin] += second;
      continue;
    }
    const Window window(from, scale, i);
    double total = 0;
    for (std::int64_t k = window.first; k < window.last; ++k) total += window.weight(k);
    // Kept inside the axis, so that every output reads `most` elements.
    const std::int64_t begin = std::min(window.first, from - out.most);
    out.begin[static_cast<std::size_t>(i)] = begin;
    for (std::int64_t k = window.first; k < window.last; ++k) {
      weight[k - begin] = static_cast<float>(window.weight(k) / total);
    }
  }
  return out;
}

// One row: the sum of `count` rows, `stride` apart, by their weights.
template <class T>
void combine_rows(const T* from, std::int64_t stride, const float* weight, std::int64_t count,
                  float* out, std::int64_t width) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t x = 0; x < width; ++x) out[x] = weight[0] * static_cast<float>(from[x]);
    for (std::int64_t k = 1; k < count; ++k) {
      const T* const row = from + k * stride;
      const float w = weight[k];
      if (w == 0) continue;
      for (std::int64_t x = 0; x < width; ++x) out[x] += w * static_cast<float>(row[x]);
    }
  });
}

float finished(float value, float) { return value; }
std::uint8_t finished(float value, std::uint8_t) {
  // Adding and taking away 1.5 · 2^23 rounds to even, without a call of the mathematics library.
  constexpr float kRound = 0x1.8p23F;
  return static_cast<std::uint8_t>((std::min(std::max(value, 0.0F), 255.0F) + kRound) - kRound);
}

// One row of the result out of one that has its height already; kMost: taps per element, 0: any.
template <int kMost, class T>
void combine_columns(const float* line, const Taps& columns, T* to, std::int64_t width) {
  const std::int64_t most = kMost > 0 ? kMost : columns.most;
  const std::int64_t* const begin = columns.begin.data();
  const float* weight = columns.weight.data();
  for (std::int64_t x = 0; x < width; ++x, weight += most) {
    const float* const near = line + begin[x];
    float sum = 0;
    for (std::int64_t k = 0; k < most; ++k) sum += weight[k] * near[k];
    to[x] = finished(sum, T{});
  }
}

template <class T>
void resize_as(const Tensor& picture, const Box& box, const Taps& rows, const Taps& columns,
               Tensor& out) {
  const std::int64_t height = picture.dim(1), width = picture.dim(2);
  const std::int64_t out_height = out.dim(1), out_width = out.dim(2);
  std::vector<float> line(static_cast<std::size_t>(box.width));
  const T* plane = picture.data<T>() + box.top * width + box.left;
  T* to = out.mutable_data<T>();
  const auto combine = columns.most == 2   ? combine_columns<2, T>
                       : columns.most == 3 ? combine_columns<3, T>
                       : columns.most == 4 ? combine_columns<4, T>
                                           : combine_columns<0, T>;
  for (std::int64_t c = 0; c < picture.dim(0); ++c, plane += height * width) {
    for (std::int64_t y = 0; y < out_height; ++y, to += out_width) {
      const T* const from = plane + rows.begin[static_cast<std::size_t>(y)] * width;
      combine_rows(from, width, rows.weight.data() + y * rows.most, rows.most, line.data(),
                   box.width);
      combine(line.data(), columns, to, out_width);
    }
  }
}

void check_box(const Tensor& picture, const Box& box, const char* where) {
  const bool inside = box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
                      box.top <= picture.dim(1) - box.height &&
                      box.left <= picture.dim(2) - box.width;
  PARE_CHECK(inside, invalid_argument, where,
             "expected a window inside the picture {}, got {} by {} at {}, {}", picture.shape(),
             box.height, box.width, box.top, box.left);
}

}  // namespace

Tensor checked_picture(const Tensor& picture, const char* where) {
  PARE_CHECK(picture.defined() && picture.rank() == 3 && picture.elements() > 0, shape_mismatch,
             where, "expected a picture [C, H, W], got {}", describe(picture));
  PARE_CHECK(picture.dtype() == DType::u8 || picture.dtype() == DType::f32, dtype_mismatch, where,
             "expected u8 or f32, got {}", picture.dtype());
  return picture.detach().to(MemoryFormat::row_major);
}

Tensor crop(const Tensor& picture, const Box& box) {
  const Tensor plain = checked_picture(picture, "data::crop");
  check_box(plain, box, "data::crop");
  Tensor out = Tensor::empty({plain.dim(0), box.height, box.width}, plain.dtype());
  const auto width = static_cast<std::size_t>(traits(plain.dtype()).bits) / 8;
  const auto* const from = static_cast<const std::byte*>(plain.raw());
  auto* to = static_cast<std::byte*>(out.mutable_raw());
  const std::size_t bytes = static_cast<std::size_t>(box.width) * width;
  for (std::int64_t c = 0; c < plain.dim(0); ++c) {
    for (std::int64_t y = 0; y < box.height; ++y, to += bytes) {
      const std::int64_t first = (c * plain.dim(1) + box.top + y) * plain.dim(2) + box.left;
      std::memcpy(to, from + static_cast<std::size_t>(first) * width, bytes);
    }
  }
  return out;
}

Tensor resize(const Tensor& picture, const ResizeOptions& options) {
  const Tensor plain = checked_picture(picture, "data::resize");
  return resized_crop(plain, {.height = plain.dim(1), .width = plain.dim(2)}, options);
}

Tensor resized_crop(const Tensor& picture, const Box& box, const ResizeOptions& options) {
  constexpr const char* where = "data::resize";
  const Tensor plain = checked_picture(picture, where);
  check_box(plain, box, where);
  PARE_CHECK(options.height > 0 && options.width > 0 && options.height < (1 << 24) &&
                 options.width < (1 << 24),
             invalid_argument, where, "expected a height and a width of 1 … 2^24, got {} and {}",
             options.height, options.width);
  if (options.height == box.height && options.width == box.width) return crop(plain, box);
  Tensor out = Tensor::empty({plain.dim(0), options.height, options.width}, plain.dtype());
  const Taps rows = taps(box.height, options.height, options.antialias);
  const Taps columns = taps(box.width, options.width, options.antialias);
  if (plain.dtype() == DType::u8) {
    resize_as<std::uint8_t>(plain, box, rows, columns, out);
  } else {
    resize_as<float>(plain, box, rows, columns, out);
  }
  return out;
}

Tensor hflip(const Tensor& picture) {
  const Tensor plain = checked_picture(picture, "data::hflip");
  Tensor out = Tensor::empty(plain.shape(), plain.dtype());
  const std::int64_t rows = plain.dim(0) * plain.dim(1), width = plain.dim(2);
  const auto mirror = [&]<class T>(T) {
    const T* from = plain.data<T>();
    T* to = out.mutable_data<T>();
    for (std::int64_t r = 0; r < rows; ++r, from += width, to += width) {
      std::reverse_copy(from, from + width, to);
    }
  };
  plain.dtype() == DType::u8 ? mirror(std::uint8_t{}) : mirror(float{});
  return out;
}

}  // namespace pare::data
