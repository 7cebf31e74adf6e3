// The interpreter: runs a graph through apply, node by node.
#include <algorithm>
#include <map>
#include <optional>

#include "core/check.h"
#include "graph/integer_call.h"
#include "graph/recurrent_call.h"
#include "nn/extras.h"
#include "pare/core/ops.h"
#include "pare/graph/graph.h"

namespace pare {

namespace {

void check_inputs(const Graph& graph, const Tensors& inputs) {
  constexpr const char* kPlace = "Graph";
  PARE_CHECK(inputs.size() == graph.inputs().size(), invalid_argument, kPlace,
             "expected {} inputs, got {}", graph.inputs().size(), inputs.size());
  std::map<std::string, std::int64_t> symbols;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Graph::Value& wanted = graph.value(graph.inputs()[i]);
    const Tensor& got = inputs[i];
    PARE_CHECK(got.defined(), invalid_argument, kPlace,
               "expected a tensor as input '{}', got an undefined one", wanted.name);
    PARE_CHECK(got.dtype() == wanted.dtype, dtype_mismatch, kPlace,
               "expected {} as input '{}', got {}", wanted.dtype, wanted.name, got.dtype());
    bool fits = got.rank() == wanted.shape.rank();
    for (int axis = 0; fits && axis < got.rank(); ++axis) {
      if (!wanted.shape.symbolic(axis)) {
        fits = got.dim(axis) == wanted.shape[axis];
        continue;
      }
      const auto [at, fresh] = symbols.try_emplace(wanted.shape.symbol(axis), got.dim(axis));
      PARE_CHECK(at->second == got.dim(axis), shape_mismatch, kPlace,
                 "expected {} = {} in input '{}' as in the inputs before it, got {}", at->first,
                 at->second, wanted.name, got.shape());
    }
    PARE_CHECK(fits, shape_mismatch, kPlace, "expected {} as input '{}', got {}", wanted.shape,
               wanted.name, got.shape());
  }
}

using Visit = std::function<void(int value, const Tensor& tensor)>;

class Interpreter {
 public:
  /// `hooks` and `visit` may be null.
  Interpreter(const Graph& graph, const nn::internal::ModuleExtras* hooks, const Visit* visit)
      : graph_(graph),
        hooks_(hooks),
        visit_(visit),
        tensors_(graph.values().size()),
        uses_(graph.values().size()),
        integer_of_(graph.nodes().size(), -1) {
    for (const int v : graph.outputs()) use(v, 1);
    for (std::size_t n = 0; n < graph.nodes().size(); ++n) plan(static_cast<int>(n));
    if (hooks_ && context().grad && !context().tracer) hook_leaves();
  }

  Tensors run(const Tensors& inputs) {
    for (std::size_t i = 0; i < inputs.size(); ++i)
      tensors_[static_cast<std::size_t>(graph_.inputs()[i])] =
          shown(graph_.value(graph_.inputs()[i]).name, inputs[i]);
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Graph::Node& node = graph_.node(static_cast<int>(n));
      try {
        if (integer_of_[n] >= 0)
          run_on_integers(node, integers_[static_cast<std::size_t>(integer_of_[n])]);
        else
          run_node(node);
      } catch (const Error& error) {
        throw error.within(node.name);
      }
    }
    Tensors outputs;
    for (const int v : graph_.outputs()) outputs.push_back(tensor(v));
    return outputs;
  }

 private:
  // Leaves become computed values, whose gradient hooks can see.
  void hook_leaves() {
    for (const auto& [name, hooks] : hooks_->leaf_hooks) {
      const int v = graph_.find_value(name);
      if (v < 0 || hooks->hooks.empty() || !graph_.value(v).tensor.requires_grad()) continue;
      tensors_[static_cast<std::size_t>(v)] =
          hooked(graph_.value(v).tensor, [own = hooks](const Tensor& g) { return own->shown(g); });
    }
  }

  void use(int v, int count) {
    if (v >= 0) uses_[static_cast<std::size_t>(v)] += count;
  }

  void plan(int n) {
    const Graph::Node& node = graph_.node(n);
    // A trace records the ops themselves; what wants a gradient goes through them.
    std::optional<IntegerCall> integer;
    if (!context().tracer) integer = integer_call(graph_, n);
    if (!integer || (context().grad && wants_gradient(*integer))) {
      for (const int v : node.inputs) use(v, 1);
      return;
    }
    for (const int v : integer->reads()) use(v, 1);
    integer_of_[static_cast<std::size_t>(n)] = static_cast<int>(integers_.size());
    integers_.push_back(*integer);
  }

  bool wants_gradient(const IntegerCall& call) const {
    for (const int v : call.reads())
      if (graph_.value(v).is_leaf() && graph_.value(v).tensor.requires_grad()) return true;
    return false;
  }

  static bool wants_gradient(const Tensors& arguments) {
    return context().grad && std::ranges::any_of(arguments, [](const Tensor& t) {
             return t.defined() && t.requires_grad();
           });
  }

  const Tensor& tensor(int v) const {
    const Graph::Value& value = graph_.value(v);
    const Tensor& here = tensors_[static_cast<std::size_t>(v)];
    const Tensor& found = value.is_leaf() && !here.defined() ? value.tensor : here;
    PARE_CHECK(found.defined(), internal, "Graph",
               "expected '{}' to be produced before it is read, got a graph that is not in order",
               value.name);
    return found;
  }

  /// After a read: the last one frees the value.
  void release(int v) {
    if (v >= 0 && --uses_[static_cast<std::size_t>(v)] == 0)
      tensors_[static_cast<std::size_t>(v)] = Tensor();
  }

  Tensor shown(const std::string& name, Tensor tensor) const {
    return hooks_ ? hooks_->shown(name, std::move(tensor)) : std::move(tensor);
  }

  /// Output k of a node.
  void produce(const Graph::Node& node, std::size_t k, Tensor tensor) {
    const int v = node.outputs[k];
    if (hooks_) {
      const std::string& name = graph_.value(v).name;
      tensor = hooks_->shown(name, std::move(tensor));
      if (k == 0 && node.name != name) tensor = hooks_->shown(node.name, std::move(tensor));
    }
    if (visit_) (*visit_)(v, tensor);
    if (uses_[static_cast<std::size_t>(v)] > 0)
      tensors_[static_cast<std::size_t>(v)] = std::move(tensor);
  }

  void run_on_integers(const Graph::Node& node, const IntegerCall& integer) {
    Tensors read;
    for (const int v : integer.reads()) read.push_back(tensor(v));
    for (const int v : integer.reads()) release(v);
    produce(node, 0, run_integer(integer, node.call, read));
  }

  void run_node(const Graph::Node& node) {
    // Dequantization that only integer calls would read is not run.
    const auto unread = [&](int v) { return uses_[static_cast<std::size_t>(v)] == 0; };
    if (!visit_ && !hooks_ && node.call.op == &kDequantizeLinear && unread(node.outputs[0])) {
      for (const int v : node.inputs) release(v);
      return;
    }
    for (const int v : node.inputs) arguments_.push_back(v < 0 ? Tensor() : tensor(v));
    if (context().tracer) context().tracer->name_next(node.name);
    if (node.outputs.size() == 1) {
      Tensor result = pare::apply(node.call, arguments_);
      arguments_.clear();
      for (const int v : node.inputs) release(v);
      produce(node, 0, std::move(result));
      return;
    }
    Tensors results;
    if (!context().tracer && !wants_gradient(arguments_))
      results = run_recurrent_codes(graph_, node, arguments_);
    if (results.empty()) results = apply_all(node.call, arguments_);
    arguments_.clear();
    for (const int v : node.inputs) release(v);
    for (std::size_t k = 0; k < results.size(); ++k) produce(node, k, std::move(results[k]));
  }

  const Graph& graph_;
  const nn::internal::ModuleExtras* hooks_;
  const Visit* visit_;
  Tensors tensors_;
  std::vector<int> uses_;        ///< reads still to come
  std::vector<int> integer_of_;  ///< by node: its place in integers_, or −1
  std::vector<IntegerCall> integers_;
  Tensors arguments_;
};

// Null where there are no hooks.
const nn::internal::ModuleExtras* hooks_of(nn::Module& module) {
  if (!module.extras()) return nullptr;
  const nn::internal::ModuleExtras& extras = module.extras().get();
  return extras.hooks.empty() && extras.leaf_hooks.empty() ? nullptr : &extras;
}

}  // namespace

Tensors Graph::run(const Tensors& inputs) {
  check_inputs(*this, inputs);
  return Interpreter(*this, hooks_of(*this), nullptr).run(inputs);
}

Tensor Graph::forward(const Tensor& x) {
  PARE_CHECK(outputs_.size() == 1, invalid_argument, "graph",
             "expected one output, which forward(x) returns, got {}; call run", outputs_.size());
  return run({x}).front();
}

Tensors Graph::run_visiting(const Tensors& inputs,
                            const std::function<void(int value, const Tensor& tensor)>& visit) {
  check_inputs(*this, inputs);
  return Interpreter(*this, hooks_of(*this), &visit).run(inputs);
}

}  // namespace pare
