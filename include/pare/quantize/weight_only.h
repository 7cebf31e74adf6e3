// Weight-only quantization: weights as codes of 2 to 8 bits, activations in float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/graph/passes.h"
#include "pare/quantize/batches.h"
#include "pare/quantize/observer.h"

namespace pare::quantize {

enum class WeightFormat : std::uint8_t {
  codes,  ///< integers with scales
  f16,    ///< IEEE's, up to 65504
  bf16,   ///< f32 without the lower half of its bits
};

struct WeightOnlyOptions {
  /// f16 and bf16 round each weight to the nearest, with no scales: of what follows ops, names,
  /// exclude, progress and, for the report, data count then.
  WeightFormat format = WeightFormat::codes;
  /// 2 to 8. Codes are stored in 2 bits, four in a byte, in 4, two in a byte, or in 8: the others
  /// as a part of those.
  int bits = 4;
  /// Of tables that are looked up (embedding, gather), also where a layer reads the same: their
  /// errors enter the net whole, none averages out in a sum, and the tables are small beside the
  /// layers.
  int embedding_bits = 8;
  /// So many weights of an output that are neighbours along the input axis share a scale; the last
  /// group may be shorter, and layers with no more inputs than a group have one per channel. 0: one
  /// scale as `granularity` says.
  std::int64_t group_size = 32;
  Granularity granularity = Granularity::per_channel;
  /// Codes around 0: −2^(b−1) … 2^(b−1) − 1, with max|w| at 2^(b−1) − ½; −127 … 127 of 8 bits.
  /// Else 0 … 2^b − 1 with a zero point, which follows from the smallest and the largest weight.
  bool symmetric = true;
  /// min_max, or mse: of 80 ranges the one that loses least in the square. Not moving_average.
  WeightObserver weight_observer = WeightObserver::mse;
  /// Codes by GPTQ, with `data`, where the layer is a linear one, a product with a matrix or a
  /// convolution over one or two axes. Else, and in embeddings, each weight gets the nearest code.
  /// A weight that is exactly 0, as pruned ones are, keeps the code of 0 either way.
  bool gptq = false;
  /// Batches of the graph's inputs: for GPTQ, and for the outputs in the report.
  std::optional<Batches> data = {};
  /// This part of the mean of the moments' diagonal is added to it.
  double damping = 0.01;
  /// Output positions per sample that moments are taken from; which, the seed decides.
  std::int64_t places = 64;
  std::uint64_t seed = 0;
  /// Ops whose weights are quantized, of those that can be ("linear", "matmul", "embedding",
  /// "gather" of a table, "conv1d", "conv2d"); empty: all of them.
  std::vector<std::string> ops = {};
  /// Nodes by name, where * and ? match as in a shell: those to quantize (empty: all), and those of
  /// them that stay float.
  std::vector<std::string> names = {};
  std::vector<std::string> exclude = {};
  /// Before every layer; false stops: the layers that are left stay float.
  std::function<bool(const LayerProgress& progress)> progress = {};
};

struct PARE_API WeightOnlyReport {
  struct Layer {
    std::string name;
    std::string op;
    int bits = 0;
    std::int64_t weights = 0;
    std::int64_t scales = 0;
    std::size_t bytes_before = 0;  ///< of the weight; 0 where an earlier layer's codes are read
    std::size_t bytes_after = 0;   ///< of codes, scales and zero points
    double weight_sqnr_db = 0;
    /// Of the layer's output on what the layers before give once they are quantized: with nearest
    /// codes, and with those chosen. Without data, and in embeddings, there is none.
    std::optional<double> nearest_sqnr_db = {};
    std::optional<double> output_sqnr_db = {};
    bool gptq = false;
    std::string note = {};
  };
  std::vector<Layer> layers;  ///< in the graph's order
  std::vector<PassReport::Line>
      left;                      ///< nodes that keep float weights of two or more axes, and why
  std::size_t bytes_before = 0;  ///< of all leaves of the graph
  std::size_t bytes_after = 0;
};
/// A table, for people.
PARE_API std::string to_string(const WeightOnlyReport& report);

struct WeightOnly {
  Graph graph;
  WeightOnlyReport report;
};

/// A copy of a float graph whose weights are codes behind dequantize_weight (or f16 or bf16 behind
/// a cast): packed 2-bit,
/// 4-bit or 8-bit integers, with scales per tensor, per channel or per group. Layers compute in
/// float. Exported to ONNX they are DequantizeLinear nodes (opset 21 for groups and 4 bits). GPTQ
/// (Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
/// Transformers", 2023) takes the second moments of a layer's input, from the layers before it as
/// they are quantized, and codes column by column, those with the largest moments first, each
/// making up for the errors of those before; then single codes are changed while that helps. A row
/// is never worse, by its own quadratic form, than with nearest codes. Throws invalid_argument for
/// options out of range, GPTQ without data, ops and names that match nothing (with the nearest),
/// and, naming the layer, for weights or inputs that are NaN or infinite and weights beyond f16;
/// invalid_state for a graph that is prepared or quantized already, unsupported where nothing can
/// be quantized, and what running the graph throws. `graph` is unchanged.
PARE_API WeightOnly weight_only(const Graph& graph, const WeightOnlyOptions& options = {});

}  // namespace pare::quantize
