// The rules by which scales and zero points follow from ranges.
#include <cmath>
#include <limits>

#include "core/check.h"
#include "pare/core/ops/observers.h"

namespace pare {

ScaleAndZeroPoint affine_parameters(double min, double max, const Codes& codes) {
  PARE_CHECK(std::isfinite(min) && std::isfinite(max) && min <= max, invalid_argument,
             "affine_parameters", "expected a finite range, got {} … {}", min, max);
  PARE_CHECK(codes.qmin < codes.qmax, invalid_argument, "affine_parameters",
             "expected qmin < qmax, got {}, {}", codes.qmin, codes.qmax);
  min = std::fmin(min, 0.0);
  max = std::fmax(max, 0.0);
  if (codes.symmetric) {
    max = std::fmax(-min, max);
    min = -max;
  }
  constexpr float kSmallest = std::numeric_limits<float>::epsilon();
  const float scale = std::fmax(
      static_cast<float>((max - min) / static_cast<double>(codes.qmax - codes.qmin)), kSmallest);
  if (codes.symmetric)
    return {scale, static_cast<std::int32_t>(codes.qmin + (codes.qmax - codes.qmin + 1) / 2)};
  const double exact = static_cast<double>(codes.qmin) - min / static_cast<double>(scale);
  auto zero = static_cast<std::int64_t>(codes.even_zero_point ? 2 * std::nearbyint(exact / 2)
                                                              : std::nearbyint(exact));
  const std::int64_t step = codes.even_zero_point ? 2 : 1;
  while (zero < codes.qmin) zero += step;
  while (zero > codes.qmax) zero -= step;
  return {scale, static_cast<std::int32_t>(zero)};
}

ScaleAndZeroPoint affine_parameters(double min, double max, std::int64_t qmin, std::int64_t qmax,
                                    bool even_zero_point) {
  return affine_parameters(min, max,
                           {.qmin = qmin, .qmax = qmax, .even_zero_point = even_zero_point});
}

float scale_of_magnitude(float largest, float qmax) {
  constexpr float kOfZeros = std::numeric_limits<float>::epsilon();
  const float scale = largest / qmax;
  return scale >= std::numeric_limits<float>::min() ? scale : kOfZeros;
}

float symmetric_scale(float largest, std::int64_t qmax) {
  return scale_of_magnitude(largest, static_cast<float>(qmax));
}

}  // namespace pare
