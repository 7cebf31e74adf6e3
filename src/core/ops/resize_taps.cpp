// Which elements of the input an element of a resized axis is made of, and their weights.
#include "core/ops/resize_taps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "core/check.h"

namespace pare {
namespace {

template <std::size_t N>
bool one_of(const std::string& word, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Where in the input index j of the result lies.
double coordinate(const std::string& mode, std::int64_t j, std::int64_t in, std::int64_t out,
                  double scale) {
  const auto x = static_cast<double>(j);
  const auto size = static_cast<double>(in);
  const auto result = static_cast<double>(out);
  // Where the scale is that of the sizes whole numbers stay exact: x · in / out.
  const bool exact = scale == result / size;
  const auto scaled = [&](double v) { return exact ? v * size / result : v / scale; };
  if (mode == "asymmetric") return scaled(x);
  if (mode == "align_corners") return out == 1 ? 0 : x * (size - 1) / (result - 1);
  if (mode == "pytorch_half_pixel" && out == 1) return 0;
  const double half = scaled(x + 0.5) - 0.5;
  if (mode == "half_pixel_symmetric") return size / 2 * (1 - result / (scale * size)) + half;
  return half;
}

std::int64_t nearest_of(const std::string& mode, double x) {
  if (mode == "floor") return static_cast<std::int64_t>(std::floor(x));
  if (mode == "ceil") return static_cast<std::int64_t>(std::ceil(x));
  if (mode == "round_prefer_ceil") return static_cast<std::int64_t>(std::floor(x + 0.5));
  return static_cast<std::int64_t>(std::ceil(x - 0.5));
}

/// Keys's cubic, and its special case of two straight lines.
double filter(const ResizeAttributes& attr, double distance) {
  const double d = std::abs(distance);
  if (attr.mode == "linear") return std::max(0.0, 1 - d);
  const double a = attr.cubic_coefficient;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

/// Elements first, first + 1, … of the input with these weights; those outside count as the
/// outermost, or as nothing where `exclude`. Weights that do not add up to 1 are scaled to.
void put_taps(Taps& taps, std::int64_t j, std::int64_t first, std::int64_t in,
              const std::vector<double>& weights, bool exclude) {
  double sum = 0;
  const std::int64_t row = j * taps.count;
  for (std::int64_t t = 0; t < taps.count; ++t) {
    const std::int64_t i = first + t;
    const auto at = static_cast<std::size_t>(row + t);
    const bool outside = i < 0 || i >= in;
    taps.index[at] = static_cast<std::int32_t>(std::clamp<std::int64_t>(i, 0, in - 1));
    taps.weight[at] = outside && exclude ? 0 : weights[static_cast<std::size_t>(t)];
    sum += taps.weight[at];
  }
  if (sum == 0) return;
  for (std::int64_t t = 0; t < taps.count; ++t)
    taps.weight[static_cast<std::size_t>(row + t)] /= sum;
}

}  // namespace

void check_resize(const ResizeAttributes& attr) {
  using Words = std::string_view;
  PARE_CHECK(one_of(attr.mode, std::array<Words, 3>{"nearest", "linear", "cubic"}),
             invalid_argument, "resize", "expected mode nearest, linear or cubic, got '{}'",
             attr.mode);
  PARE_CHECK(
      attr.coordinates != "tf_crop_and_resize", unsupported, "resize",
      "expected coordinates of the whole tensor, got tf_crop_and_resize: slice, then resize");
  PARE_CHECK(
      one_of(attr.coordinates,
             std::array<Words, 5>{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
                                  "align_corners", "asymmetric"}),
      invalid_argument, "resize",
      "expected coordinates half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners or "
      "asymmetric, got '{}'",
      attr.coordinates);
  PARE_CHECK(one_of(attr.nearest, std::array<Words, 4>{"round_prefer_floor", "round_prefer_ceil",
                                                       "floor", "ceil"}),
             invalid_argument, "resize",
             "expected nearest round_prefer_floor, round_prefer_ceil, floor or ceil, got '{}'",
             attr.nearest);
  PARE_CHECK(!attr.antialias || attr.mode != "nearest", invalid_argument, "resize",
             "expected mode linear or cubic with antialias, got {}", attr.mode);
  PARE_CHECK(one_of(attr.policy, std::array<Words, 3>{"stretch", "not_larger", "not_smaller"}),
             invalid_argument, "resize",
             "expected policy stretch, not_larger or not_smaller, got '{}'", attr.policy);
  PARE_CHECK(std::isfinite(attr.cubic_coefficient), invalid_argument, "resize",
             "expected a finite cubic_coefficient, got {}", attr.cubic_coefficient);
}

Taps resize_taps(const ResizeAttributes& attr, std::int64_t in, std::int64_t out, double scale) {
  Taps taps;
  taps.out = out;
  if (attr.mode == "nearest") {
    for (std::int64_t j = 0; j < out; ++j) {
      const double x = coordinate(attr.coordinates, j, in, out, scale);
      taps.index.push_back(static_cast<std::int32_t>(
          std::clamp<std::int64_t>(nearest_of(attr.nearest, x), 0, in - 1)));
    }
    return taps;
  }
  const bool widened = attr.antialias && scale < 1;
  const double stretch = widened ? 1 / scale : 1;
  const double support = (attr.mode == "linear" ? 1 : 2) * stretch;
  // What lies within the support of any coordinate.
  taps.count = attr.mode == "linear" ? 2 : 4;
  if (widened) taps.count = static_cast<std::int64_t>(std::ceil(2 * support)) + 1;
  taps.index.resize(static_cast<std::size_t>(out * taps.count));
  taps.weight.resize(taps.index.size());
  std::vector<double> weights(static_cast<std::size_t>(taps.count));
  for (std::int64_t j = 0; j < out; ++j) {
    double x = coordinate(attr.coordinates, j, in, out, scale);
    if (attr.mode == "linear" && !widened) x = std::clamp(x, 0.0, static_cast<double>(in - 1));
    const auto first = static_cast<std::int64_t>(
        widened ? std::ceil(x - support) : std::floor(x) - (attr.mode == "linear" ? 0 : 1));
    for (std::int64_t t = 0; t < taps.count; ++t)
      weights[static_cast<std::size_t>(t)] =
          filter(attr, (static_cast<double>(first + t) - x) / stretch);
    put_taps(taps, j, first, in, weights, attr.exclude_outside);
  }
  return taps;
}

}  // namespace pare
