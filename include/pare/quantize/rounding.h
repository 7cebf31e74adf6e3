// Rounding of weights and correction of biases by what they do to each layer's output.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/batches.h"
#include "pare/quantize/convert.h"

namespace pare::quantize {

/// How codes are searched.
enum class RoundingMethod : std::uint8_t {
  gptq_descent,  ///< column by column, then code by code, on the second moments of the input
  /// AdaRound's relaxation after it: a sigmoid for each code, trained on samples of the layer's
  /// input and output with the activation that follows; takes minutes where the first takes
  /// seconds.
  adaround,
};

/// Of RoundingMethod::adaround; defaults are the paper's but for fewer steps of a larger rate.
struct RelaxationOptions {
  std::int64_t iterations = 1000;
  std::int64_t batch = 256;  ///< output positions in a step
  double learning_rate = 0.03;
  /// Weight of what pushes codes to be whole, against the loss in units of that at the start per
  /// code.
  double regularization = 1;
  double warm_start = 0.2;  ///< part of the steps without it
  double first_beta = 20;   ///< of |2h − 1|^β, which then falls to the last
  double last_beta = 2;
};

struct RoundingOptions {
  /// Else every weight gets the nearest code. A weight that is exactly 0, as pruned ones are, keeps
  /// the code of 0 either way: the others of its row are fitted without it.
  bool round_weights = true;
  RoundingMethod method = RoundingMethod::gptq_descent;
  RelaxationOptions relaxation = {};
  bool correct_bias = true;
  /// Smaller scales than the largest weight asks for, where a row's error is less with them.
  bool search_scales = true;
  /// Output positions per sample that a layer is fitted to; others are left out (which, the seed
  /// decides).
  std::int64_t places = 64;
  /// Keeps the weights near their float values where the data says little: this part of the
  /// moments' diagonal is added to it (at least 1e-4 of that of E[x xᵀ], where the bias takes the
  /// means).
  double damping = 0.01;
  std::uint64_t seed = 0;
  ConvertOptions convert = {};  ///< as the graph will be converted
  /// Before every layer, and with adaround every 50 of its steps; false stops: the layers that are
  /// left keep the nearest codes.
  std::function<bool(const LayerProgress& progress)> progress = {};
};

struct PARE_API RoundingReport {
  struct Layer {
    std::string name;
    std::string op;
    bool fitted = false;
    std::string note;  ///< why it was not, or why its codes are the nearest
    /// SQNR of its output in dB, with nearest codes; a constant output counts by its square.
    double before = 0;
    double after = 0;  ///< the same with what was chosen
    /// With RoundingMethod::adaround: the part of the loss, with the activation that follows, which
    /// is left of that after gptq_descent; 1: it was not improved.
    double relaxed = 1;
    std::int64_t weights = 0;
    std::int64_t changed = 0;  ///< of them, by how many the code differs from the nearest
    double largest_shift = 0;  ///< of a bias
  };
  std::vector<Layer> layers;  ///< in the graph's order
};
/// A table, for people.
PARE_API std::string to_string(const RoundingReport& report);

struct Rounded {
  Graph graph;
  RoundingReport report;
};

/// Chooses codes and biases of all convolutions and dense layers of a prepared and calibrated
/// graph, one layer after the other, each with what the layers before it give after theirs have
/// been chosen: codes and bias so that its output comes closest, in the mean square over the
/// calibration data, to what the float layer gives in the float network. All follows from the
/// second moments of the layer's input, so that time does not grow with the steps of the search.
/// The problem is AdaRound's (Nagel et al., "Up or Down? Adaptive Rounding for Post-Training
/// Quantization", 2020), the search GPTQ's (Frantar et al., 2023) followed by coordinate descent,
/// and with RoundingMethod::adaround by the paper's own: that of the two results which is closer on
/// the samples, with a ReLU that follows, is taken;
/// the bias makes up for the mean error ("Data-Free Quantization", Nagel et al., 2019, the
/// empirical form). Weights with zero points, with one scale or by group keep the nearest codes and
/// get biases. The result holds weights that are exactly scale · code, for `convert`;
/// `prepared` is unchanged. Throws invalid_state for a graph that is not from prepare or has seen
/// no data, invalid_argument without data, naming the layer for inputs of it that are NaN, infinite
/// or too large for their products, and for options out of range, and what running the graph throws
/// for data of other shapes.
PARE_API Rounded round_weights(const Graph& prepared, const Batches& data,
                               const RoundingOptions& options = {});

}  // namespace pare::quantize
