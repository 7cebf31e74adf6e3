// The attributes of learned steps by training method.
#pragma once

#include "pare/core/ops/learned_steps.h"
#include "pare/quantize/qat.h"

namespace pare::quantize {

/// LSQ and LSQ+ scale gradients by 1/√(elements · qmax); PACT and TQT do not.
inline FakeQuantizeLearnedAttributes learned_attributes(TrainingMethod method, StepStart start,
                                                        std::int64_t qmin, std::int64_t qmax) {
  FakeQuantizeLearnedAttributes a{.qmin = qmin, .qmax = qmax};
  a.start = method == TrainingMethod::lsq ? "mean" : "deviation";
  if (start == StepStart::least_squares) a.start = "least_squares";
  if (method == TrainingMethod::pact) a.form = "clip";
  if (method == TrainingMethod::tqt) a.form = "log2";
  if (a.form != "scale") a.gradient_factor = 1;
  return a;
}

}  // namespace pare::quantize
