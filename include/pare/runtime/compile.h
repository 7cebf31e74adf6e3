// compile: from a graph to a plan.
#pragma once

#include "pare/graph/graph.h"
#include "pare/runtime/plan.h"

namespace pare {

struct CompileOptions {
  int threads = 0;  ///< of each run; 0: context().threads, or all that the process may use
};

/// Folds batch norms and constants, fuses activations, residual sums and requantization into
/// convolutions and dense layers, packs their weights, and lays all activations channels-last into
/// one arena. Quantized groups run in int8 where the CPU sums u8·s8 products exactly, in f32
/// otherwise (the report says so). The graph stays as it is.
/// Throws unsupported, naming the value, where shapes depend on values, and invalid_argument for a
/// graph without outputs or threads below 0.
PARE_API Plan compile(const Graph& graph, const CompileOptions& options = {});

}  // namespace pare
