// trace: from a module to a graph.
#pragma once

#include "pare/graph/graph.h"

namespace pare {

struct TraceOptions {
  bool symbolic_batch = true;  ///< axis 0 of every input becomes the symbol `batch`
  std::string batch_symbol = "batch";
};

/// Runs `module` on `example` (at two sizes of the batch, to see what depends on it) and records
/// the calls. The graph shares its leaves with the module. Eval and training give the same graph.
/// Throws unsupported, naming the call, for what cannot be traced: a parameter that members() does
/// not list, sizes that do not follow the batch by one rule, control flow on values;
/// invalid_argument for an undefined example, shape_mismatch for examples of different batches.
PARE_API Graph trace(nn::Module& module, const Tensor& example, const TraceOptions& options = {});
PARE_API Graph trace(nn::Module& module, const Tensors& examples, const TraceOptions& options = {});

}  // namespace pare
