// What a legal graph is: inference of all shapes, and the verifier.
#include <unordered_set>

#include "core/check.h"
#include "graph/infer_node.h"
#include "graph/size_values.h"
#include "pare/graph/graph.h"

namespace pare {

namespace {

constexpr const char* kPlace = "Graph::verify";

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph), known_(graph.values().size()) {}

  void run() {
    check_values();
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) check_node(static_cast<int>(n));
    for (const int v : graph_.outputs()) {
      check_number(v, "an output of the graph");
      PARE_CHECK(known(v), internal, kPlace, "expected outputs that are produced, got '{}'",
                 graph_.value(v).name);
    }
    for (std::size_t v = 0; v < known_.size(); ++v)
      PARE_CHECK(known_[v], internal, kPlace, "expected a node that produces '{}', got none",
                 graph_.values()[v].name);
  }

 private:
  bool known(int v) const { return known_[static_cast<std::size_t>(v)]; }

  void check_number(int v, std::string_view what) const {
    PARE_CHECK(v >= 0 && v < static_cast<int>(known_.size()), internal, kPlace,
               "expected a value's number below {} for {}, got {}", known_.size(), what, v);
  }

  void check_values() {
    std::unordered_set<std::string_view> names;
    for (std::size_t v = 0; v < known_.size(); ++v) {
      const Graph::Value& value = graph_.values()[v];
      PARE_CHECK(!value.name.empty() && names.insert(value.name).second, internal, kPlace,
                 "expected values of different names, got '{}' twice", value.name);
      PARE_CHECK(value.kind == Graph::Kind::result || value.producer == -1, internal, kPlace,
                 "expected no producer of '{}', which is no result", value.name);
      if (!value.is_leaf()) continue;
      PARE_CHECK(value.tensor.defined(), internal, kPlace, "expected a tensor in '{}', got none",
                 value.name);
      PARE_CHECK(value.tensor.shape() == value.shape && value.tensor.dtype() == value.dtype,
                 internal, kPlace, "expected {}{} in '{}', got {}{}", value.dtype, value.shape,
                 value.name, value.tensor.dtype(), value.tensor.shape());
      PARE_CHECK(!value.trainable || value.kind == Graph::Kind::parameter, internal, kPlace,
                 "expected only parameters to be trained, got '{}'", value.name);
      known_[v] = true;
    }
    for (const int v : graph_.inputs()) {
      check_number(v, "an input of the graph");
      const Graph::Value& value = graph_.value(v);
      PARE_CHECK(value.kind == Graph::Kind::input && !known(v), internal, kPlace,
                 "expected the inputs to be different values of kind input, got '{}'", value.name);
      known_[static_cast<std::size_t>(v)] = true;
    }
  }

  void check_node(int n) {
    const Graph::Node& node = graph_.node(n);
    PARE_CHECK(!node.name.empty() && names_.insert(node.name).second, internal, kPlace,
               "expected nodes of different names, got '{}' twice", node.name);
    PARE_CHECK(node.call.op, internal, kPlace, "expected an op in '{}', got none", node.name);
    check_inputs(node);
    PARE_CHECK(static_cast<int>(node.outputs.size()) == node.call.op->visible_outputs, internal,
               kPlace, "expected {} outputs of '{}' ({}), got {}", node.call.op->visible_outputs,
               node.name, node.call.op->name, node.outputs.size());
    const auto inferred = infer_node(graph_, node.name, node.call, node.inputs);
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      const int v = node.outputs[k];
      check_number(v, "an output of '" + node.name + "'");
      const Graph::Value& value = graph_.value(v);
      PARE_CHECK(value.kind == Graph::Kind::result && value.producer == n && !known(v), internal,
                 kPlace, "expected '{}' to be the only producer of '{}'", node.name, value.name);
      PARE_CHECK(value.shape == inferred[k].shape && value.dtype == inferred[k].dtype, internal,
                 kPlace, "expected {}{} of '{}' as inferred, got {}{}", inferred[k].dtype,
                 inferred[k].shape, node.name, value.dtype, value.shape);
      known_[static_cast<std::size_t>(v)] = true;
    }
  }

  void check_inputs(const Graph::Node& node) const {
    const OpDef& op = *node.call.op;
    const int count = static_cast<int>(node.inputs.size());
    PARE_CHECK(count >= op.min_inputs && (op.max_inputs < 0 || count <= op.max_inputs), internal,
               kPlace, "expected {} to {} inputs of '{}' ({}), got {}", op.min_inputs,
               op.max_inputs, node.name, op.name, count);
    for (int i = 0; i < count; ++i) {
      const int v = node.inputs[static_cast<std::size_t>(i)];
      if (v == -1 && i >= op.min_inputs) continue;
      check_number(v, "an input of '" + node.name + "'");
      PARE_CHECK(known(v), internal, kPlace, "expected '{}' to be produced before '{}' reads it",
                 graph_.value(v).name, node.name);
    }
    for (const StatePair& pair : op.state) {
      if (pair.input >= count || node.inputs[static_cast<std::size_t>(pair.input)] < 0) continue;
      const Graph::Value& state = graph_.value(node.inputs[static_cast<std::size_t>(pair.input)]);
      // A parameter may start from the first values seen.
      PARE_CHECK(state.kind == Graph::Kind::buffer || state.kind == Graph::Kind::parameter,
                 internal, kPlace, "expected a buffer or parameter for the state of '{}', got '{}'",
                 node.name, state.name);
    }
  }

  const Graph& graph_;
  std::vector<bool> known_;
  std::unordered_set<std::string_view> names_;
};

}  // namespace

void Graph::infer_shapes() {
  for (Value& value : values_) {
    if (!value.is_leaf()) continue;
    value.shape = value.tensor.shape();
    value.dtype = value.tensor.dtype();
  }
  for (const Node& node : nodes_) {
    const auto inferred = infer_node(*this, node.name, node.call, node.inputs);
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      Value& value = edit_value(node.outputs[k]);
      value.shape = inferred[k].shape;
      value.dtype = inferred[k].dtype;
      if (k == 0) value.sizes = size_values(*this, node, value.shape, value.dtype);
    }
  }
}

void Graph::verify() const { Verifier(*this).run(); }

}  // namespace pare
