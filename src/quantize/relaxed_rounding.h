// AdaRound's relaxation: codes go up or down by a sigmoid that gradients move, towards 0 or 1.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "pare/quantize/rounding.h"

namespace pare::quantize {

/// A product of rows whose codes are to be chosen, and samples of what it should give.
struct RelaxedProblem {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> inputs;   ///< samples × columns: what the layer reads once it is quantized
  std::vector<float> outputs;  ///< samples × rows: of the float layer, not clipped
  double low, high;            ///< what an activation behind it clips both to; may be infinite
  std::int64_t qmin = -127, qmax = 127;
};

/// Codes and biases of the rows. The codes are whole numbers.
struct RoundedProduct {
  std::vector<double> codes;  ///< rows × columns
  std::vector<float> scales;  ///< by row
  std::vector<float> bias;    ///< by row
};

/// The mean over samples of Σ_rows (clip(x W + b) − clip(y))².
double product_loss(const RelaxedProblem& problem, const RoundedProduct& product);

/// Starts from `start` and gives, of each code, it or its neighbour on the side of `targets` [rows
/// × columns] (weights that would give the outputs best if they need not be codes): V of h =
/// clamp(1.2·sigmoid(V) − 0.1, 0, 1) is trained by Adam on the loss of random samples and λ·Σ(1 −
/// |2h − 1|^β), biases with it where `correct` (Nagel et al., "Up or Down? Adaptive Rounding for
/// Post-Training Quantization", 2020). Then h is rounded: the codes are whole. Of that and the
/// start the one of less loss is given. A target that is exactly 0 gets code 0. The same seed gives
/// the same codes, whatever the threads. `go_on` is asked every 50 steps; false ends them there.
RoundedProduct relax(const RelaxedProblem& problem, const RoundedProduct& start,
                     const std::vector<double>& targets, const RelaxationOptions& options,
                     bool correct, std::uint64_t seed, const std::function<bool()>& go_on = {});

}  // namespace pare::quantize
