// compile: from a graph to a plan.
#pragma once

#include "pare/core/precision.h"
#include "pare/graph/graph.h"
#include "pare/runtime/plan.h"

namespace pare {

struct CompileOptions {
  int threads = 0;  ///< of each run; 0: context().threads, or all that the process may use
  /// Of what is not quantized. bf16: convolutions and matrix products multiply rounded operands and
  /// sum in f32; between them values lie in bf16 where nobody else reads them. A CPU without such
  /// instructions (has_bf16) runs f32, and the report says so.
  Precision precision = Precision::f32;
};

/// Folds batch norms and constants, simplifies (fold_shapes, recognize, simplify_movement,
/// merge_equal), fuses activations, residual sums and requantization into
/// convolutions and dense layers, packs their weights, and lays all activations channels-last into
/// one arena. Quantized groups run in int8 where the CPU sums u8·s8 products exactly, in f32
/// otherwise (the report says so). Of a graph that is moved in no weight is cloned.
/// Throws unsupported, naming the value, where shapes depend on values, and invalid_argument for a
/// graph without outputs or threads below 0.
PARE_API Plan compile(Graph graph, const CompileOptions& options = {});

}  // namespace pare
