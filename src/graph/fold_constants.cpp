// fold_constants: what depends on leaves only becomes a constant.
#include <map>
#include <string>

#include "core/check.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/graph/passes.h"

namespace pare {

namespace {

class ConstantFolder {
 public:
  ConstantFolder(Graph graph, const FoldConstantsOptions& options)
      : graph_(std::move(graph)), options_(options) {}

  PassResult run() {
    ContextScope scope;
    scope->training = false;
    scope->observing = false;
    scope->grad = false;
    scope->tracer = nullptr;
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) fold(graph_.node(static_cast<int>(n)));
    graph_.compact();
    graph_.verify();
    // What only another folded call reads is gone by now.
    for (const Graph::Value& value : graph_.values())
      if (value.kind == Graph::Kind::constant && folded_.contains(value.name))
        report_.done.push_back({value.name, folded_.at(value.name)});
    return {std::move(graph_), std::move(report_)};
  }

 private:
  bool known(int v) const {
    if (v < 0) return true;
    switch (graph_.value(v).kind) {
      case Graph::Kind::constant:
        return true;
      case Graph::Kind::parameter:
        return options_.parameters || !graph_.value(v).trainable;
      case Graph::Kind::buffer:
        return options_.buffers;
      default:
        return false;
    }
  }

  // A weight that is stored in 16 bits, as dequantization is the form of one stored as codes.
  bool widens_weight(const Graph::Node& node) const {
    if (node.call.op != &kCast) return false;
    const Graph::Value& stored = graph_.value(node.inputs[0]);
    return (stored.dtype == DType::f16 || stored.dtype == DType::bf16) &&
           graph_.value(node.outputs[0]).dtype == DType::f32 && stored.shape.rank() >= 2;
  }

  void fold(const Graph::Node& node) {
    const OpDef& op = *node.call.op;
    for (const int v : node.inputs)
      if (!known(v)) return;
    if (node.inputs.empty() || &op == &kDequantizeLinear || &op == &kDequantizeWeight ||
        widens_weight(node))
      return;
    if (!op.state.empty()) {
      report_.left.push_back({node.name, "it has state"});
      return;
    }
    Tensors inputs;
    for (const int v : node.inputs) inputs.push_back(v < 0 ? Tensor() : graph_.value(v).tensor);
    Tensors results;
    try {
      results = apply_all(node.call, inputs);
    } catch (const Error& error) {
      throw error.within(node.name);
    }
    for (std::size_t k = 0; k < results.size(); ++k) {
      Graph::Value& value = graph_.edit_value(node.outputs[k]);
      value.kind = Graph::Kind::constant;
      value.producer = -1;
      // A view would share the leaf's elements.
      value.tensor = results[k].clone();
      folded_.emplace(value.name, fmt::format("{} evaluated", op.name));
    }
  }

  Graph graph_;
  FoldConstantsOptions options_;
  PassReport report_;
  std::map<std::string, std::string> folded_;
};

}  // namespace

PassResult fold_constants(Graph graph, const FoldConstantsOptions& options) {
  return ConstantFolder(std::move(graph), options).run();
}

}  // namespace pare
