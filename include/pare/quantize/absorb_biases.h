// High biases: what a channel always gives goes into the next layer's bias.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/graph/passes.h"
#include "pare/quantize/batches.h"
#include "pare/quantize/channel_statistics.h"

namespace pare::quantize {

struct AbsorptionOptions {
  /// Means and deviations of the layers' results are those on this data; without, beta and |gamma|
  /// of the batch norms behind them.
  std::optional<Batches> data = {};
  /// Of this graph, if batch norms are folded already; in any case its means follow.
  ChannelStatistics* statistics = nullptr;
  double deviations = 3;  ///< below the mean, which a channel is taken never to go
};

struct PARE_API AbsorptionReport {
  struct Pair {
    std::string first;  ///< layers, by node
    std::string second;
    std::int64_t channels = 0;  ///< that gave something away
    double largest = 0;         ///< what one gave at most
  };
  std::vector<Pair> pairs;
  std::vector<PassReport::Line> left;  ///< layers that give nothing to a next one, and why
};
/// A table, for people.
PARE_API std::string to_string(const AbsorptionReport& report);

/// Takes, in place, from each channel of a layer the constant c that its result hardly ever goes
/// below, and adds what the next layer makes of it to that one's bias: b1 − c, b2 + W2·c (Nagel et
/// al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section
/// 4.1.3). Activations get smaller ranges, above all after equalization, with which it commutes.
/// Through a ReLU c = max(0, mean − deviations · deviation), and the graph computes what it did up
/// to results below c, which a channel of a normal distribution has one time in 740; where nothing
/// bends the result c is the mean, and the graph computes what it did up to rounding. Layers are a
/// pair where equalize makes them one and c passes through what lies between: ReLU and leaky ones,
/// maxima, means, movement; the second has a bias input and no padding, which would not be shifted.
/// Batch norms are folded; without data, either it is called before anything else folds them or it
/// is given their statistics. Biases become calls on the leaves. For a float graph. Throws
/// invalid_state for one that is prepared or quantized, invalid_argument for options out of range,
/// without batches, and naming the input or the layer for data, results, weights or biases that are
/// NaN or infinite; shape_mismatch for empty batches; the graph is untouched then.
PARE_API AbsorptionReport absorb_biases(Graph& graph, const AbsorptionOptions& options = {});

}  // namespace pare::quantize
