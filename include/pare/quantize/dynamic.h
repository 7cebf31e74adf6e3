// Dynamic quantization: weights as 8-bit codes, activations quantized by the range they have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/graph/passes.h"
#include "pare/quantize/observer.h"
#include "pare/quantize/qconfig.h"

namespace pare::quantize {

struct DynamicOptions {
  /// Ops to quantize, of those that can be ("linear", "matmul" with a constant matrix, "embedding",
  /// "gather" of a table, "lstm", "gru", "rnn"); empty: all of them.
  std::vector<std::string> ops = {};
  /// Nodes by name, where * and ? match as in a shell: those to quantize (empty: all), and those of
  /// them that stay float.
  std::vector<std::string> names = {};
  std::vector<std::string> exclude = {};
  /// Activations have a range for each row (each token of a batch of sequences), else one for all
  /// of the tensor, as ONNX's DynamicQuantizeLinear has it: ONNX Runtime has kernels for that one,
  /// and spells rows out.
  bool per_row = true;
  Granularity granularity = Granularity::per_channel;  ///< of weights
  /// Weights have codes −qmax … qmax: 127, or 63 for CPUs whose int8 products of larger ones
  /// saturate (without VNNI; pare's own do not, but are slower then). Default: as QConfig::x86.
  std::int64_t weight_qmax = QConfig::x86().weight_qmax;
  /// min_max, or mse: of 80 ranges the one that loses least in the square. Not moving_average.
  WeightObserver weight_observer = WeightObserver::min_max;
  /// Of tables that are looked up, 2 to 8; 0: they stay float. A table that is also the weight of a
  /// quantized layer has that layer's codes.
  int embedding_bits = 8;
};

struct PARE_API DynamicReport {
  struct Layer {
    std::string name;
    std::string op;
    int bits = 8;
    std::int64_t weights = 0;
    std::int64_t scales = 0;
    std::size_t bytes_before = 0;  ///< of its weights; 0 where an earlier layer's codes are read
    std::size_t bytes_after = 0;   ///< of codes, scales and zero points
    double weight_sqnr_db = 0;     ///< of several weights the least
    std::string note = {};
  };
  std::vector<Layer> layers;  ///< in the graph's order
  std::vector<PassReport::Line>
      left;                      ///< nodes that compute in float what could be integers, and why
  std::size_t bytes_before = 0;  ///< of all leaves of the graph
  std::size_t bytes_after = 0;
};
/// A table, for people.
PARE_API std::string to_string(const DynamicReport& report);

struct Dynamic {
  Graph graph;
  DynamicReport report;
};

/// A copy of a float graph in which linear layers and products with a constant matrix read
/// dequantize_linear(dynamic_quantize_linear(x)) and a weight of i8 codes; what several layers read
/// is quantized once. Tables become codes behind dequantize_weight. Recurrent layers get codes for
/// all their weights, projections too, and dynamic_quantize: rows of x and of the state have ranges
/// of their own, whatever per_row says; biases, gates, cells and peepholes are f32. Steps of an
/// LSTM that an exporter wrote out become lstm before, unless the options name one of their nodes.
/// No data is needed. Plans run such layers on integers; the products of two activations in
/// attention stay float. Throws invalid_argument for options out of range, ops and names that match
/// nothing (with the nearest), and, naming the layer, for weights that are NaN or infinite;
/// invalid_state for a graph that is prepared or quantized already; unsupported, with the reasons,
/// where nothing can be quantized. `graph` is unchanged.
PARE_API Dynamic dynamic(const Graph& graph, const DynamicOptions& options = {});

}  // namespace pare::quantize
