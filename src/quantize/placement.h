// Where quantization takes place: which nodes work on integers, which values get a range.
#pragma once

#include <string>
#include <vector>

#include "graph/uses.h"
#include "pare/graph/graph.h"
#include "pare/quantize/qconfig.h"

namespace pare::quantize {

struct Placement {
  struct NodeChoice {
    bool quantized = false;
    bool weighted = false;  ///< with a constant weight, to be quantized per channel
    bool product = false;   ///< of two activations
    std::string reason;     ///< why not; empty for what only computes a parameter
  };
  /// A value that gets an observer.
  struct Source {
    int value;
    int node;  ///< the op it comes from (of conv + batch norm + relu the conv); −1: a graph input
  };
  /// Values that share one scale and zero point, by movement or concatenation.
  struct Range {
    std::vector<Source> sources;
    bool fixed = false;  ///< the one source's range is known: QuantizationFact::fixed
  };
  std::vector<NodeChoice> nodes;
  std::vector<Range> ranges;
};

/// Decides from the ops' facts and the policy. `graph` must be in order (compact).
Placement place(const Graph& graph, const QConfig& config);

/// The node whose weighted sum a batch norm normalizes, where it alone reads that sum, so that the
/// two are quantized as one; −1 if `node` is no such batch norm.
int absorbed_into(const Graph& graph, const Uses& uses, const Graph::Node& node);

/// The batch norm that `absorbed_into` node n; −1: none.
int batch_norm_after(const Graph& graph, const Uses& uses, int n);

/// Whether the call's output holds nothing but elements of its inputs (and zeros), so that it has
/// their codes. Dropout counts: it is gone in inference.
bool selects(const Call& call);

/// Whether input i of a node is an activation (not its weight, bias or an index). The second factor
/// of a matrix product counts as a weight, whatever it is.
bool is_activation(const Graph& graph, const Graph::Node& node, std::size_t i);

}  // namespace pare::quantize
