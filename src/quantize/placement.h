// Where quantization takes place: which nodes work on integers, which values get a range.
#pragma once

#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/qconfig.h"
#include "quantize/call_facts.h"

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
    /// Of parts of graph inputs that have ranges of their own: the values between, and the inputs,
    /// whose settings hold where the source has none; the nearest first.
    std::vector<int> parts_of = {};
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

}  // namespace pare::quantize
