// convert: from a prepared graph to a quantized one, with a report that leaves nothing out.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/inspect.h"

namespace pare::quantize {

struct PARE_API Report {
  struct Node {
    std::string name;
    std::string op;
    bool quantized;
    std::string note;          ///< why it stayed float, or what is worth knowing
    std::size_t bytes_before;  ///< of its weights and biases (with a folded batch norm's) as floats
    std::size_t bytes_after;
  };
  std::vector<Node> nodes;
  std::vector<ActivationRange> activations;
  std::size_t bytes_before = 0;  ///< sum over the nodes: what the float graph keeps
  /// Of all tensors of the converted graph: the nodes' and the activations' scales and zero points.
  std::size_t bytes_after = 0;
  std::string isa;  ///< what the integers were made for
};
/// Two tables, for people.
PARE_API std::string to_string(const Report& report);

struct ConvertOptions {
  /// The searches of your own that QConfig::observer named.
  RangeSearches searches = {};
};

struct Converted {
  Graph graph;
  Report report;
};

/// The ONNX Q/DQ form of a graph from prepare or prepare_qat: weights i8 and biases i32 (scale
/// s_x·s_w, zero point 0) as constants behind dequantize_linear; quantize_linear and
/// dequantize_linear in place of every observer; batch norms folded as codes·sign(f) and scale
/// s·|f|. `prepared` is unchanged. Throws invalid_state, naming the observers, if some have seen
/// nothing, and for a graph without observers; unsupported, naming the layer, for a weight whose
/// codes i8 does not hold, with other scales than one or one for each output channel, or whose sums
/// could leave 32 bits; invalid_argument, naming the layer, for weights or biases that are NaN or
/// infinite, and naming the search for one of the user's that `options` lack.
PARE_API Converted convert(const Graph& prepared, const ConvertOptions& options = {});

}  // namespace pare::quantize
