// SmoothQuant: activations whose channels differ much in size hand some of it over to the weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/graph/passes.h"
#include "pare/quantize/batches.h"

namespace pare::quantize {

struct SmoothOptions {
  /// How much of a channel's size goes into the weights: 0 none, 1 all.
  double alpha = 0.5;
  /// Above 0, s_j = max|X_j|^alpha / max|W_j|^beta, with those of 0, 1/steps … 1 for alpha and beta
  /// with which inputs in u8 and weights in i8 per channel make least noise in the outputs of a
  /// place's layers, by the size of their steps. Both 0 is no smoothing at all.
  std::int64_t steps = 0;
  bool convolutions = false;  ///< convolutions too (zero padding stays zero)
  /// Layers whose inputs stay as they are, by node; * and ? match as in a shell.
  std::vector<std::string> exclude = {};
};

struct PARE_API SmoothReport {
  /// A value, which is what the layers read.
  struct Place {
    std::string producer;             ///< node that is divided by the factors
    std::vector<std::string> layers;  ///< whose weights are multiplied by them
    double alpha = 0;
    double beta = 1;      ///< 1 − alpha, unless steps were tried
    double smallest = 1;  ///< of the factors
    double largest = 1;
    /// The largest magnitude of the value over the mean of its channels' largest magnitudes.
    double spread_before = 1;
    double spread_after = 1;
  };
  std::vector<Place> places;           ///< in the graph's order
  std::vector<PassReport::Line> left;  ///< layers with constant weights, and why not
};
/// A table, for people.
PARE_API std::string to_string(const SmoothReport& report);

/// Divides, in place, channel j of what layers read by s_j = max|X_j|^alpha / max|W_j|^(1 − alpha)
/// and multiplies their weights of it by s_j (Xiao et al., "SmoothQuant: Accurate and Efficient
/// Post-Training Quantization for Large Language Models", 2023), with X on the calibration data and
/// W of all layers that read the value. The graph computes what it did, up to rounding. The
/// division goes into what gives the value: the weight and bias of a layer_norm or rms_norm over
/// the last axis, a product with a constant, or the layer before, where nothing but ReLU, pooling
/// and movement lies between (equalize's paths). Layers whose value comes from elsewhere, or is
/// read by other nodes too, are left. Batch norms are folded first; factors are calls on the
/// leaves, which stay. For a float graph, before `prepare`. Throws invalid_state for one that is
/// prepared or quantized, invalid_argument for options out of range, without data, for names that
/// match nothing (with the nearest), and naming the input or the layer for values that are NaN or
/// infinite; shape_mismatch for empty batches; the graph is untouched then.
PARE_API SmoothReport smooth(Graph& graph, const Batches& calibration,
                             const SmoothOptions& options = {});

}  // namespace pare::quantize
