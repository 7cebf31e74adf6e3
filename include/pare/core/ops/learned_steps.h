// Fake-quantization whose step is learned: LSQ, LSQ+, PACT, TQT.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "pare/core/ops/observe.h"

namespace pare {

PARE_API extern const OpDef kFakeQuantizeLearned;

struct FakeQuantizeLearnedAttributes {
  std::int64_t qmin = 0;
  std::int64_t qmax = 255;
  std::int64_t axis = -1;        ///< channel axis of steps of rank 1; −1 for one step
  std::int64_t zero_point = 0;   ///< of a call without input `zero_point`
  bool even_zero_point = false;  ///< a learned zero point is rounded to an even number
  /// What the step is told by: "scale" (LSQ, LSQ+), "clip" (PACT: the largest value kept), "log2"
  /// (TQT: the logarithm of that, rounded up, so that scales are powers of two).
  std::string form = "scale";
  /// The gradients of step and zero point are multiplied by it; 0: 1/√(elements per step · Qp), Qp
  /// = qmax − zero_point (LSQ).
  double gradient_factor = 0;
  bool relu = false;  ///< takes relu(x) for x, in the same pass
  /// How an unset step starts from the first values seen: "mean" 2·mean|x|/√Qp (LSQ), "deviation"
  /// μ ± 3σ cut to what was seen (LSQ+, TQT), "largest" the largest magnitude, "least_squares" the
  /// least square error of 100 parts of that.
  std::string start = "mean";
  bool fixed = false;  ///< step and zero point get no gradient
  void fields(AttributeVisitor& visit) {
    visit("qmin", qmin);
    visit("qmax", qmax);
    visit("axis", axis);
    visit("zero_point", zero_point);
    visit("even_zero_point", even_zero_point);
    visit("form", form);
    visit("gradient_factor", gradient_factor);
    visit("relu", relu);
    visit("start", start);
    visit("fixed", fixed);
  }
};

/// A step that the first values seen while context().observing will set: NaN.
inline constexpr float kUnsetStep = std::numeric_limits<float>::quiet_NaN();

/// s·(q − z), q = clamp(round_half_even(x / s) + z, qmin, qmax), for f32 x. `step` (f32, rank 0 or
/// [C] along `axis`) says s by its form, kept ≥ 2⁻²³; `zero_point` (f32, shaped as the step,
/// rounded and clamped; or undefined) is z. With L the unclamped code's bound where it lies
/// outside:
///   dx = dy inside, 0 outside;
///   ds = Σ dy · (inside: q − z − x/s; below: qmin − z; above: qmax − z), times gradient_factor;
///   dz = Σ outside −s·dy, times gradient_factor.
/// Of "clip" s = clip / (qmax − z) and only what lies outside counts (Choi et al., "PACT", 2018);
/// of "log2" s = 2^⌈step⌉ / 2^⌈log2(qmax − z + 1)⌉ and dstep = ds · s · ln 2 (Jain et al., "Trained
/// quantization thresholds", 2019). LSQ: Esser et al., "Learned step size quantization", 2020;
/// LSQ+: Bhalgat et al., 2020. While steps are unset (kUnsetStep) the result is x (or relu(x)); the
/// first call with context().observing sets them, and unset zero points, in place. Throws
/// invalid_argument where that sees NaN or infinity, and for steps that are infinite.
PARE_API Tensor fake_quantize_learned(const Tensor& x, const Tensor& step, const Tensor& zero_point,
                                      const FakeQuantizeLearnedAttributes& attributes);

/// The scales and zero points that these leaves mean, one for each step. Unset steps have a scale
/// of NaN.
PARE_API std::vector<ScaleAndZeroPoint> learned_parameters(
    const Tensor& step, const Tensor& zero_point, const FakeQuantizeLearnedAttributes& attributes);

/// Where steps (and zero points, if `with_zero_points`) start for the values x, as `start` says;
/// shaped as they are: rank 0 or [C].
struct StartingSteps {
  Tensor step, zero_point;
};
PARE_API StartingSteps starting_steps(const Tensor& x,
                                      const FakeQuantizeLearnedAttributes& attributes,
                                      bool with_zero_points);

}  // namespace pare
