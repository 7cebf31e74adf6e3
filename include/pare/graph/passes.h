// Passes: rewrites of a whole graph. Each gives a new graph that owns its tensors, and throws
// `internal` for a graph that is not legal (Graph::verify).
#pragma once

#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// What a pass did and, by node and reason, what it did not.
struct PARE_API PassReport {
  struct Line {
    std::string node;
    std::string text;
  };
  std::vector<Line> done;
  std::vector<Line> left;
  /// One line each, for people.
  std::string to_string() const;
};

struct PassResult {
  Graph graph;
  PassReport report;
};

/// Folds each batch norm that follows a convolution or a linear layer into that layer's weight and
/// bias, for inference: W' = W·f, b' = (b − mean)·f + beta with f = gamma / √(variance + epsilon).
/// W' and b' are calls on the leaves, so masks stay masks and everything still trains. Under a
/// per-channel fake_quantize, symmetric around 0, the factor goes below it and the scale follows:
/// s' = s·|f|.
PARE_API PassResult fold_batch_norm(const Graph& graph);

struct FoldConstantsOptions {
  bool parameters = true;  ///< take trainable leaves for constants
  bool buffers = true;     ///< take state for constants
};
/// Evaluates, as in inference, what depends on leaves only. Dequantization stays: it is the form of
/// a quantized weight. Throws what a call throws that cannot be evaluated, naming the node.
PARE_API PassResult fold_constants(const Graph& graph, const FoldConstantsOptions& options = {});

/// Removes what passes its input through in inference: dropout, detach, changes of memory format,
/// and casts, reshapes, expansions and transpositions that change nothing.
PARE_API PassResult remove_identities(const Graph& graph);

}  // namespace pare
