// trace: from a module to a graph.
#pragma once

#include "pare/graph/graph.h"

namespace pare {

/// An axis of an input whose size may change from run to run; axes of one name change together.
struct SymbolicAxis {
  int input = 0;
  int axis = 0;
  std::string symbol;
};

struct TraceOptions {
  bool symbolic_batch = true;  ///< axis 0 of every input becomes the symbol `batch`
  std::string batch_symbol = "batch";
  std::vector<SymbolicAxis> axes = {};  ///< further ones: {{0, 2, "height"}, {0, 3, "width"}}
};

/// Runs `module` on `example` (at two sizes of each symbolic axis: n and 2·n + 1 of the batch, n
/// and 2·n of others, to see what depends on them) and records the calls. The graph shares its
/// leaves with the module. Eval and training give the same graph. Throws unsupported, naming the
/// call, for what cannot be traced: a parameter that members() does not list, sizes that do not
/// follow the batch by one rule, control flow on values; invalid_argument for an undefined example,
/// an axis without a name or one that is none of its input (out_of_range), shape_mismatch for
/// examples of different batches.
PARE_API Graph trace(nn::Module& module, const Tensor& example, const TraceOptions& options = {});
PARE_API Graph trace(nn::Module& module, const Tensors& examples, const TraceOptions& options = {});

}  // namespace pare
