// compile: passes over a copy of the graph, then the engine.
#include "pare/runtime/compile.h"

#include "core/check.h"
#include "pare/core/parallel.h"
#include "runtime/engine.h"

namespace pare {
namespace {

void append(PassReport& report, const PassReport& more) {
  report.done.insert(report.done.end(), more.done.begin(), more.done.end());
  report.left.insert(report.left.end(), more.left.begin(), more.left.end());
}

bool held_alone(const Tensor& tensor) {
  const detail::TensorImpl& impl = *tensor.impl();
  return impl.references == 1 && impl.storage.unique() && impl.storage->owner.use_count() <= 1;
}

/// A plan does not change with tensors that others hold, as a traced module does.
void own_leaves(Graph& graph) {
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    Tensor& tensor = graph.edit_value(static_cast<int>(v)).tensor;
    if (tensor.defined() && !held_alone(tensor)) tensor = tensor.clone();
  }
}

PassResult fold_all_constants(Graph graph) { return fold_constants(std::move(graph), {}); }

}  // namespace

Plan compile(Graph graph, const CompileOptions& options) {
  PARE_CHECK(options.threads >= 0, invalid_argument, "compile", "expected threads ≥ 0, got {}",
             options.threads);
  PARE_CHECK(!graph.outputs().empty(), invalid_argument, "compile",
             "expected a graph with an output, got none");
  const NoGrad no_grad;
  PassReport report;
  for (const auto pass :
       {remove_identities, fold_batch_norm, remove_identities, fold_all_constants, fold_shapes,
        simplify_casts, recognize, simplify_movement, merge_equal, remove_identities}) {
    PassResult result = pass(std::move(graph));
    graph = std::move(result.graph);
    append(report, result.report);
  }
  own_leaves(graph);
  runtime::EngineOptions engine{.threads = options.threads ? options.threads : max_threads(),
                                .precision = options.precision};
  if (engine.precision == Precision::bf16 && !has_bf16()) {
    engine.precision = Precision::f32;
    report.left.push_back({"precision", "f32: this CPU has no instructions for bf16"});
  }
  return Plan(std::make_shared<runtime::Engine>(std::move(graph), std::move(report), engine));
}

}  // namespace pare
