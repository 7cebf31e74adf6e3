// Learned steps: what their leaves mean, and where they start.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/ops/learned_steps.h"
#include "core/quantize_math.h"
#include "core/strides.h"
#include "core/value_range.h"

namespace pare {
namespace {

using Learned = FakeQuantizeLearnedAttributes;

constexpr int kCandidates = 100;
// Of a search for the least square error: evenly spread values of larger tensors.
constexpr std::int64_t kMostSearched = 1 << 16;

float bounded(float scale) {
  // NaN stays NaN.
  return scale < kSmallestStep ? kSmallestStep : scale;
}

// The values of one step: runs of neighbours.
struct Values {
  const float* data;
  std::int64_t outer, stride, inner;
  bool relu;
  std::int64_t count() const { return outer * inner; }
  template <class Visit> void for_each(std::int64_t every, Visit&& visit) const {
    for (std::int64_t i = 0; i < count(); i += every) {
      const float v = data[i / inner * stride + i % inner];
      visit(relu && v < 0 ? 0.0F : v);
    }
  }
};

struct Summary {
  double mean = 0, magnitude = 0, deviation = 0, min = 0, max = 0;
};

Summary summary_of(const Values& values) {
  Summary s;
  double sum = 0, squares = 0;
  s.min = std::numeric_limits<double>::infinity();
  s.max = -s.min;
  values.for_each(1, [&](float v) {
    const auto x = static_cast<double>(v);
    sum += x;
    s.magnitude += std::fabs(x);
    squares += x * x;
    s.min = std::min(s.min, x);
    s.max = std::max(s.max, x);
  });
  const auto n = static_cast<double>(values.count());
  s.mean = sum / n;
  s.magnitude /= n;
  s.deviation = std::sqrt(std::max(0.0, squares / n - s.mean * s.mean));
  return s;
}

struct Start {
  double scale;
  std::int32_t zero_point;
};

double square_error(const Values& values, const Learned& a, const Start& start) {
  const auto scale = bounded(static_cast<float>(start.scale));
  const auto low = static_cast<float>(a.qmin - start.zero_point);
  const auto high = static_cast<float>(a.qmax - start.zero_point);
  double sum = 0;
  values.for_each(values.count() / kMostSearched + 1, [&](float v) {
    const auto d = static_cast<double>(v - fake_quantized(v, scale, low, high));
    sum += d * d;
  });
  return sum;
}

// The scale (and zero point) of the range min … max.
Start of_range(double min, double max, const Learned& a, bool with_zero_point) {
  if (with_zero_point) {
    const ScaleAndZeroPoint p = affine_parameters(min, max, a.qmin, a.qmax, a.even_zero_point);
    return {static_cast<double>(p.scale), p.zero_point};
  }
  const auto positive = static_cast<double>(positive_codes(a));
  const auto negative = static_cast<double>(std::max<std::int64_t>(a.zero_point - a.qmin, 0));
  double scale = std::max(max, 0.0) / positive;
  // Below 0 only what has codes counts.
  if (negative > 0) scale = std::max(scale, -min / negative);
  return {scale, static_cast<std::int32_t>(a.zero_point)};
}

Start start_of(const Values& values, const Learned& a, bool with_zero_point) {
  const Summary s = summary_of(values);
  const double largest = std::max(std::fabs(s.min), std::fabs(s.max));
  // Nothing but zeros says nothing: codes up to 1.
  if (!(largest > 0)) return of_range(0, 1, a, with_zero_point);
  if (a.start == "mean" && !with_zero_point)
    return {2 * s.magnitude / std::sqrt(static_cast<double>(positive_codes(a))),
            static_cast<std::int32_t>(a.zero_point)};
  if (a.start == "largest") return of_range(s.min, s.max, a, with_zero_point);
  if (a.start == "least_squares") {
    Start best = of_range(s.min, s.max, a, with_zero_point);
    double least = square_error(values, a, best);
    for (int k = kCandidates - 1; k > 0; --k) {
      const double share = static_cast<double>(k) / kCandidates;
      const Start candidate = of_range(s.min * share, s.max * share, a, with_zero_point);
      const double error = square_error(values, a, candidate);
      if (error >= least) continue;
      least = error;
      best = candidate;
    }
    return best;
  }
  const double low = s.mean - 3 * s.deviation, high = s.mean + 3 * s.deviation;
  if (with_zero_point) return of_range(std::max(s.min, low), std::min(s.max, high), a, true);
  const double reach = std::min(largest, std::max(std::fabs(low), std::fabs(high)));
  return {reach / static_cast<double>(positive_codes(a)), static_cast<std::int32_t>(a.zero_point)};
}

// What the leaf holds for a scale.
float leaf_of(double scale, const Learned& a, std::int64_t zero_point) {
  const double smallest = static_cast<double>(kSmallestStep);
  scale = std::max(scale, smallest);
  if (a.form == "clip") return static_cast<float>(scale * static_cast<double>(a.qmax - zero_point));
  if (a.form == "log2")
    return static_cast<float>(std::log2(scale * static_cast<double>(power_of_codes(a))));
  return static_cast<float>(scale);
}

}  // namespace

std::int64_t positive_codes(const Learned& a) {
  return std::max<std::int64_t>(a.qmax - a.zero_point, 1);
}

std::int64_t power_of_codes(const Learned& a) {
  return static_cast<std::int64_t>(
      std::bit_ceil(static_cast<std::uint64_t>(positive_codes(a) + 1)));
}

ScaleAndZeroPoint learned_parameters(float step, float zero_point, const Learned& a) {
  auto zero = static_cast<std::int32_t>(a.zero_point);
  if (!std::isnan(zero_point)) {
    const std::int64_t step_of_zero = a.even_zero_point ? 2 : 1;
    const double whole =
        static_cast<double>(step_of_zero) *
        std::nearbyint(static_cast<double>(zero_point) / static_cast<double>(step_of_zero));
    auto z = static_cast<std::int64_t>(
        std::clamp(whole, static_cast<double>(a.qmin), static_cast<double>(a.qmax)));
    // Clamped to an even number too.
    if (a.even_zero_point && z % 2 != 0) z += z == a.qmin ? 1 : -1;
    zero = static_cast<std::int32_t>(z);
  }
  if (a.form == "clip")
    return {bounded(step / static_cast<float>(std::max<std::int64_t>(a.qmax - zero, 1))), zero};
  if (a.form == "log2")
    return {bounded(std::exp2(std::ceil(step)) / static_cast<float>(power_of_codes(a))), zero};
  return {bounded(step), zero};
}

std::vector<ScaleAndZeroPoint> learned_parameters(const Tensor& step, const Tensor& zero_point,
                                                  const Learned& a) {
  std::vector<ScaleAndZeroPoint> all(static_cast<std::size_t>(step.elements()));
  const float* steps = step.data<float>();
  const float* zeros = zero_point.defined() ? zero_point.data<float>() : nullptr;
  for (std::size_t c = 0; c < all.size(); ++c)
    all[c] = learned_parameters(steps[c], zeros ? zeros[c] : kUnsetStep, a);
  return all;
}

StartingSteps starting_steps(const Tensor& x, const Learned& a, bool with_zero_points) {
  value_range(x, "fake_quantize_learned");  // refuses what is not finite
  Shape shape;
  std::int64_t inner = x.elements();
  if (a.axis >= 0) {
    const int axis = normalize_axis(a.axis, x.rank(), "fake_quantize_learned");
    shape.append(x.shape(), axis);
    inner = axis == 0 && x.dim(0) > 0 ? x.elements() / x.dim(0)
                                      : strides_of(x)[static_cast<std::size_t>(axis)];
  }
  const std::int64_t channels = shape.elements();
  StartingSteps result{Tensor::empty(shape), with_zero_points ? Tensor::empty(shape) : Tensor()};
  float* steps = result.step.mutable_data<float>();
  float* zeros = with_zero_points ? result.zero_point.mutable_data<float>() : nullptr;
  const std::int64_t outer = x.elements() / std::max<std::int64_t>(channels * inner, 1);
  parallel_for(0, channels, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      const Values values{x.data<float>() + c * inner, outer, channels * inner, inner, a.relu};
      const Start start = values.count() == 0 ? of_range(0, 1, a, with_zero_points)
                                              : start_of(values, a, with_zero_points);
      steps[c] = leaf_of(start.scale, a, start.zero_point);
      if (zeros) zeros[c] = static_cast<float>(start.zero_point);
    }
  });
  return result;
}

}  // namespace pare
