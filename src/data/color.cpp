// Colours: brightness, contrast, saturation, hue, as torchvision calculates them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "data/image_functions.h"
#include "pare/data/image_functions.h"

namespace pare::data {
namespace {

Tensor checked_colors(const Tensor& picture, const char* where) {
  const Tensor plain = checked_picture(picture, where);
  PARE_CHECK(plain.dim(0) == 1 || plain.dim(0) == 3, shape_mismatch, where,
             "expected 1 or 3 channels, got {}", plain.shape());
  return plain;
}

void check_factor(double factor, const char* where) {
  PARE_CHECK(std::isfinite(factor) && factor >= 0, invalid_argument, where,
             "expected a finite factor of at least 0, got {}", factor);
}

template <class T> constexpr float kHighest = 1.0F;
template <> constexpr float kHighest<std::uint8_t> = 255.0F;

template <class T> PARE_INLINE T clamped(float value) {
  return static_cast<T>(std::min(std::max(value, 0.0F), kHighest<T>));
}

// Torchvision's tensors are float throughout, but a float and a double scalar multiply in float.
template <class T> PARE_INLINE T luma(T r, T g, T b) {
  return static_cast<T>(0.2989F * static_cast<float>(r) + 0.587F * static_cast<float>(g) +
                        0.114F * static_cast<float>(b));
}

// out = clamp(factor · a + (1 − factor) · other(i)), truncated for bytes.
template <class T, class Other>
void blend(const T* a, T* out, std::int64_t count, double factor, Other other) {
  const auto weight = static_cast<float>(factor);
  const auto rest = static_cast<float>(1 - factor);
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t i = 0; i < count; ++i) {
      out[i] = clamped<T>(weight * static_cast<float>(a[i]) + rest * other(i));
    }
  });
}

template <class T> std::vector<T> luma_of(const Tensor& picture) {
  const std::int64_t pixels = picture.dim(1) * picture.dim(2);
  const T* const r = picture.data<T>();
  std::vector<T> out(r, r + pixels);
  if (picture.dim(0) == 1) return out;
  T* const to = out.data();
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t i = 0; i < pixels; ++i) to[i] = luma(r[i], r[pixels + i], r[2 * pixels + i]);
  });
  return out;
}

// Calls f with a value of the picture's type.
template <class F> void by_dtype(const Tensor& picture, F&& f) {
  if (picture.dtype() == DType::u8) {
    f(std::uint8_t{});
  } else {
    f(float{});
  }
}

// The hue of one pixel turned by `shift` circles: to HSV and back.
PARE_INLINE void turn_hue(float& r, float& g, float& b, float shift) {
  const float highest = std::max(r, std::max(g, b)), lowest = std::min(r, std::min(g, b));
  const float range = highest - lowest;
  const bool grey = range == 0;
  const float saturation = range / (grey ? 1.0F : highest);
  const float divisor = grey ? 1.0F : range;
  const float rc = (highest - r) / divisor, gc = (highest - g) / divisor,
              bc = (highest - b) / divisor;
  const float sector = highest == r ? bc - gc : (highest == g ? 2.0F + rc - bc : 4.0F + gc - rc);
  float hue = std::fmod(sector / 6.0F + 1.0F, 1.0F) + shift;
  hue -= std::floor(hue);

  const float turned = hue * 6.0F;
  const float whole = std::floor(turned);
  const float f = turned - whole;
  const auto unit = [](float v) { return std::min(std::max(v, 0.0F), 1.0F); };
  const float v = highest;
  const float p = unit(v * (1.0F - saturation));
  const float q = unit(v * (1.0F - saturation * f));
  const float t = unit(v * (1.0F - saturation * (1.0F - f)));
  // Rounding may reach 6, which is 0; a pixel that is not a number has no sector.
  switch (whole > 0 && whole < 6 ? static_cast<int>(whole) : 0) {
    case 0:
      r = v, g = t, b = p;
      break;
    case 1:
      r = q, g = v, b = p;
      break;
    case 2:
      r = p, g = v, b = t;
      break;
    case 3:
      r = p, g = q, b = v;
      break;
    case 4:
      r = t, g = p, b = v;
      break;
    default:
      r = v, g = p, b = q;
      break;
  }
}

float to_unit(float v) { return v; }
float to_unit(std::uint8_t v) { return static_cast<float>(v) / 255.0F; }
float from_unit(float v, float) { return v; }
// torchvision's convert_image_dtype: every byte gets the same share of [0, 1].
std::uint8_t from_unit(float v, std::uint8_t) {
  return static_cast<std::uint8_t>(v * (255.0F + 1.0F - 1e-3F));
}

}  // namespace

Tensor grayscale(const Tensor& picture, std::int64_t channels) {
  constexpr const char* where = "data::grayscale";
  const Tensor plain = checked_colors(picture, where);
  PARE_CHECK(channels == 1 || channels == 3, invalid_argument, where,
             "expected 1 or 3 channels, got {}", channels);
  Tensor out = Tensor::empty({channels, plain.dim(1), plain.dim(2)}, plain.dtype());
  by_dtype(plain, [&]<class T>(T) {
    const std::vector<T> grey = luma_of<T>(plain);
    T* to = out.mutable_data<T>();
    for (std::int64_t c = 0; c < channels; ++c) to = std::copy(grey.begin(), grey.end(), to);
  });
  return out;
}

Tensor adjust_brightness(const Tensor& picture, double factor) {
  constexpr const char* where = "data::adjust_brightness";
  const Tensor plain = checked_colors(picture, where);
  check_factor(factor, where);
  Tensor out = Tensor::empty(plain.shape(), plain.dtype());
  by_dtype(plain, [&]<class T>(T) {
    blend(plain.data<T>(), out.mutable_data<T>(), plain.elements(), factor,
          [](std::int64_t) PARE_INLINE_LAMBDA { return 0.0F; });
  });
  return out;
}

Tensor adjust_contrast(const Tensor& picture, double factor) {
  constexpr const char* where = "data::adjust_contrast";
  const Tensor plain = checked_colors(picture, where);
  check_factor(factor, where);
  Tensor out = Tensor::empty(plain.shape(), plain.dtype());
  by_dtype(plain, [&]<class T>(T) {
    double sum = 0;
    const std::vector<T> grey = luma_of<T>(plain);
    for (const T v : grey) sum += static_cast<double>(v);
    const auto mean = static_cast<float>(sum / static_cast<double>(grey.size()));
    blend(plain.data<T>(), out.mutable_data<T>(), plain.elements(), factor,
          [mean](std::int64_t) PARE_INLINE_LAMBDA { return mean; });
  });
  return out;
}

Tensor adjust_saturation(const Tensor& picture, double factor) {
  constexpr const char* where = "data::adjust_saturation";
  const Tensor plain = checked_colors(picture, where);
  check_factor(factor, where);
  if (plain.dim(0) == 1) return plain.clone();
  Tensor out = Tensor::empty(plain.shape(), plain.dtype());
  by_dtype(plain, [&]<class T>(T) {
    const std::vector<T> values = luma_of<T>(plain);
    const T* const grey = values.data();
    const auto pixels = static_cast<std::int64_t>(values.size());
    for (std::int64_t c = 0; c < 3; ++c) {
      blend(plain.data<T>() + c * pixels, out.mutable_data<T>() + c * pixels, pixels, factor,
            [grey](std::int64_t i) PARE_INLINE_LAMBDA { return static_cast<float>(grey[i]); });
    }
  });
  return out;
}

Tensor adjust_hue(const Tensor& picture, double shift) {
  constexpr const char* where = "data::adjust_hue";
  const Tensor plain = checked_colors(picture, where);
  PARE_CHECK(shift >= -0.5 && shift <= 0.5, invalid_argument, where,
             "expected a shift of −0.5 … 0.5, got {}", shift);
  if (plain.dim(0) == 1) return plain.clone();
  Tensor out = Tensor::empty(plain.shape(), plain.dtype());
  const std::int64_t pixels = plain.dim(1) * plain.dim(2);
  by_dtype(plain, [&]<class T>(T) {
    const T* const from = plain.data<T>();
    T* const to = out.mutable_data<T>();
    for (std::int64_t i = 0; i < pixels; ++i) {
      float r = to_unit(from[i]), g = to_unit(from[pixels + i]), b = to_unit(from[2 * pixels + i]);
      turn_hue(r, g, b, static_cast<float>(shift));
      to[i] = from_unit(r, T{});
      to[pixels + i] = from_unit(g, T{});
      to[2 * pixels + i] = from_unit(b, T{});
    }
  });
  return out;
}

}  // namespace pare::data
