// Passes: rewrites of a whole graph. Each gives a new graph that owns its tensors, and throws
// `internal` for a graph that is not legal (Graph::verify). Of a graph that is moved in no tensor
// is cloned.
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

/// Folds each batch norm that follows a convolution or linear layer, or precedes one that has no
/// padding, into that layer's weight and bias, for inference. Of one that follows: W' = W·f,
/// b' = (b − mean)·f + beta with f = gamma / √(variance + epsilon). W' and b' are calls on the
/// leaves, so masks stay masks and everything still trains. Under a per-channel fake_quantize,
/// symmetric around 0, the factor goes below it and the scale follows: s' = s·|f|.
PARE_API PassResult fold_batch_norm(Graph graph);

struct FoldConstantsOptions {
  bool parameters = true;  ///< take trainable leaves for constants
  bool buffers = true;     ///< take state for constants
};
/// Evaluates, as in inference, what depends on leaves only. Dequantization stays: it is the form of
/// a quantized weight. Throws what a call throws that cannot be evaluated, naming the node.
PARE_API PassResult fold_constants(Graph graph, const FoldConstantsOptions& options = {});

/// Removes what passes its input through in inference: dropout, detach, changes of memory format,
/// casts, reshapes, expansions and transpositions that change nothing, and what a batch norm takes
/// the batch's statistics of in place of its input.
PARE_API PassResult remove_identities(Graph graph);

/// Makes one call of calls with the same op, attributes and inputs, and one constant of small equal
/// ones. Calls that draw random numbers, observe or have state stay.
PARE_API PassResult merge_equal(Graph graph);

/// Evaluates shape arithmetic (shape, gather, concat, … of integers) on numbers and named sizes:
/// what comes out as numbers becomes constants, and shapes, bounds and axes that arrive as tensors
/// become attributes, with 0 and −1 for named sizes. `left` names the calls whose values show only
/// where the graph runs.
PARE_API PassResult fold_shapes(Graph graph);

/// What exporters write out becomes the op it stands for, equal up to rounding: silu, hardsigmoid,
/// hardswish, gelu (erf, tanh), softmax, log_softmax, layer_norm, instance_norm and rms_norm with
/// their leaves, attention, a step of an lstm, linear of codes; squeeze-and-excite (1x1 conv2d).
PARE_API PassResult recognize(Graph graph);

/// Joins two casts in a row where neither loses anything: f16 → f32 → f16 is nothing, i8 → i32 →
/// f32 is i8 → f32.
PARE_API PassResult simplify_casts(Graph graph);

/// Joins transposes and reshapes in a row, moving transposes through elementwise calls of one input
/// where another transpose waits behind them.
PARE_API PassResult simplify_movement(Graph graph);

}  // namespace pare
