// interpolate: resize with PyTorch's words for modes and coordinates.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "pare/core/ops/resample.h"

namespace pare {
namespace {

/// PyTorch takes an axis as it is where the size that a scale asks for is the input's. In mode
/// nearest it does so for pictures alone, and there doubles exactly as well; nearest-exact and
/// bicubic without a filter always follow the scale.
double ratio_of(double scale, std::int64_t size, std::size_t spatial,
                const InterpolateOptions& options) {
  const auto in = static_cast<double>(size);
  const double out = std::floor(in * scale);
  if (options.mode == "nearest")
    return spatial != 2 ? scale : out == in ? 1 : out == 2 * in ? 2 : scale;
  const bool follows = options.mode == "nearest-exact" ||
                       (options.mode == "bicubic" && !options.antialias && !options.align_corners);
  return !follows && out == in ? 1 : scale;
}

}  // namespace

Tensor interpolate(const Tensor& x, const InterpolateOptions& options) {
  PARE_CHECK(x.defined() && x.rank() >= 3 && x.rank() <= 5, shape_mismatch, "interpolate",
             "expected x [N, C, spatial...] of 3 to 5 axes, got {}",
             x.defined() ? x.shape().to_string() : "an undefined tensor");
  const auto spatial = static_cast<std::size_t>(x.rank() - 2);
  PARE_CHECK(options.mode != "area", unsupported, "interpolate",
             "expected nearest, nearest-exact, linear, bilinear, trilinear or bicubic, got 'area': "
             "pool instead");
  // A mode with its resize's mode and number of spatial axes, 0 for any.
  struct Known {
    const char* mode;
    std::size_t axes;
  };
  static constexpr std::pair<std::string_view, Known> kModes[] = {
      {"nearest", {"nearest", 0}}, {"nearest-exact", {"nearest", 0}}, {"linear", {"linear", 1}},
      {"bilinear", {"linear", 2}}, {"trilinear", {"linear", 3}},      {"bicubic", {"cubic", 2}}};
  const auto* found = std::find_if(std::begin(kModes), std::end(kModes),
                                   [&](const auto& row) { return row.first == options.mode; });
  PARE_CHECK(found != std::end(kModes), invalid_argument, "interpolate",
             "expected nearest, nearest-exact, linear, bilinear, trilinear or bicubic, got '{}'",
             options.mode);
  const Known known = found->second;
  PARE_CHECK(known.axes == 0 || known.axes == spatial, shape_mismatch, "interpolate",
             "expected {} spatial axes in mode {}, got x {}", known.axes, options.mode, x.shape());
  const bool nearest = known.mode == std::string_view("nearest");
  PARE_CHECK(!options.align_corners || !nearest, invalid_argument, "interpolate",
             "expected align_corners with a mode other than {}", options.mode);
  PARE_CHECK(!options.antialias || options.mode == "bilinear" || options.mode == "bicubic",
             invalid_argument, "interpolate", "expected antialias with bilinear or bicubic, got {}",
             options.mode);
  PARE_CHECK(!options.antialias || !options.align_corners, unsupported, "interpolate",
             "expected antialias or align_corners, got both, of which PyTorch makes a filter that "
             "no resize of ONNX has");
  const std::size_t given = options.size.size() + options.scale.size();
  PARE_CHECK((options.size.empty() || options.scale.empty()) && (given == 1 || given == spatial),
             invalid_argument, "interpolate",
             "expected one of size and scale, with 1 number or {}, got {} and {}", spatial,
             options.size.size(), options.scale.size());
  ResizeAttributes attributes{.mode = known.mode};
  for (std::size_t a = 0; a < spatial; ++a) {
    const std::size_t i = given == 1 ? 0 : a;
    if (options.scale.empty()) {
      PARE_CHECK(options.size[i] > 0, invalid_argument, "interpolate",
                 "expected sizes of at least 1, got [{}]", listed(options.size));
      attributes.sizes.push_back(options.size[i]);
    } else {
      attributes.scales.push_back(
          ratio_of(options.scale[i], x.dim(static_cast<int>(a) + 2), spatial, options));
    }
  }
  if (options.scale.empty())
    attributes.sizes.insert(attributes.sizes.begin(), 2, -1);
  else
    attributes.scales.insert(attributes.scales.begin(), 2, 1.0);
  if (options.mode == "nearest") {
    attributes.coordinates = "asymmetric";
    attributes.nearest = "floor";
  } else if (nearest) {
    attributes.nearest = "round_prefer_ceil";
  }
  if (options.align_corners) attributes.coordinates = "align_corners";
  attributes.antialias = options.antialias;
  // PyTorch's filter for pictures is Pillow's, cut at the border.
  if (options.antialias) {
    attributes.cubic_coefficient = -0.5;
    attributes.exclude_outside = true;
  }
  return resize(x, attributes);
}

}  // namespace pare
