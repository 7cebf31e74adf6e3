// Cross-layer equalization: channels whose weights differ much in size trade factors with the next
// layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/graph/passes.h"
#include "pare/quantize/channel_statistics.h"

namespace pare::quantize {

struct EqualizeOptions {
  /// relu6 (and other ReLU that are cut off at a number) between two layers becomes relu, as the
  /// paper does it: they keep no factors, so that layers around them are left alone otherwise. This
  /// alone changes what the graph computes, where activations go beyond the bound.
  bool relu6_as_relu = false;
  /// A channel whose largest weight in a layer is at most this part of that of all channels there
  /// counts with this part instead, in the first layer with its bias if that is more: what it gives
  /// is its bias, which would grow without bounds.
  double negligible = 1e-4;
  /// Of this graph (batch_norm_statistics): divided as the channels are.
  ChannelStatistics* statistics = nullptr;
  /// Ends when no factor changes by more than this part any more, or after so many rounds over all
  /// pairs.
  double tolerance = 1e-5;
  std::int64_t rounds = 1000;
};

struct PARE_API EqualizationReport {
  struct Pair {
    std::string first;  ///< layers, by node
    std::string second;
    std::int64_t channels = 0;  ///< that have more than negligible weights on both sides
    double smallest = 1;        ///< of the factors that the first layer's channels are divided by
    double largest = 1;
    /// The largest ratio, of these channels, between the two sides' largest weights.
    double before = 1;
    double after = 1;
    std::vector<std::string> replaced = {};  ///< nodes that became relu
  };
  std::vector<Pair> pairs;
  std::vector<PassReport::Line> left;  ///< layers whose channels go on to no other alone, and why
  std::int64_t rounds = 0;
  bool converged = true;
};
/// A table, for people.
PARE_API std::string to_string(const EqualizationReport& report);

/// Equalizes, in place, the weights of layers that follow one another (Nagel et al., "Data-Free
/// Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1): channel c of
/// the first layer's result is divided by S = √(r1 / r2), where r1 and r2 are its largest weights
/// by magnitude in the first layer and in the second, whose weights of it are multiplied by S; so
/// both are √(r1·r2) afterwards. It goes over all pairs until no factor changes. Layers are
/// convolutions, transposed ones, linear layers and products with a matrix, of any groups; two of
/// them are a pair where what lies between has one reader and keeps factors of channels: ReLU,
/// leaky and parametric ones, pooling, means over other axes, reshaping, zero padding,
/// concatenation. The graph computes what it did, up to rounding. Batch norms are folded first
/// (fold_batch_norm). W·f and b·f are calls on the leaves, which stay: masks stay masks, and
/// optimizers stay valid; fold_constants makes plain weights of them. For a float graph, before
/// `prepare`. Throws invalid_state for one that is prepared or quantized, invalid_argument for
/// options out of range and, naming the layer, for weights that are NaN or infinite; the graph is
/// untouched then.
PARE_API EqualizationReport equalize(Graph& graph, const EqualizeOptions& options = {});

}  // namespace pare::quantize
