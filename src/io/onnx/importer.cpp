// The import of a whole model: names, order, branches, functions, refusals.
#include "io/onnx/importer.h"

#include <algorithm>
#include <set>

#include "core/check.h"
#include "io/onnx/declared_values.h"
#include "io/onnx/exporter.h"
#include "io/onnx/node_order.h"
#include "io/onnx/node_reader.h"
#include "io/onnx/refused_ops.h"
#include "io/onnx/stored_weights.h"

namespace pare::onnx {
namespace {

/// What else is evaluated while reading, however small the file.
constexpr std::size_t kFreeBytes = std::size_t{64} << 20;
/// Nodes that functions and branches may expand to: one for each byte of the file and some more, so
/// that calls of calls do not make millions of a few lines.
constexpr std::size_t kMaxNodes = 100'000;
constexpr std::size_t kFreeNodes = 10'000;
constexpr std::int64_t kLowestOpset = 6;
constexpr std::int64_t kHighestOpset = 25;

class ModelImporter {
 public:
  ModelImporter(const ModelProto& model, const ImportOptions& options)
      : model_(model), options_(options), builder_(kFreeBytes + 8 * options.bytes) {}

  Graph run() {
    check_opsets();
    Scope scope;
    scope.opsets = &model_.opsets;
    constants_ = constants_named(model_.metadata);
    builder_.graph().metadata().insert(model_.metadata.begin(), model_.metadata.end());
    add_initializers(model_.graph, scope);
    for (const ValueInfo& input : model_.graph.inputs) add_input(input, scope);
    import_nodes(model_.graph.nodes, scope);
    std::vector<int> outputs = outputs_of(model_.graph, scope);
    throw_refusals();
    settle_stored_weights(builder_.graph());
    Graph graph = builder_.finish(std::move(outputs), output_names());
    graph.metadata().erase(kConstantsKey);
    graph.metadata().erase(kRoundedRowsKey);
    if (!model_.producer_name.empty() && model_.producer_name != "pare")
      graph.metadata().try_emplace("onnx.producer",
                                   model_.producer_version.empty()
                                       ? model_.producer_name
                                       : model_.producer_name + " " + model_.producer_version);
    return graph;
  }

 private:
  struct Refusal {
    std::string node;
    std::string reason;
    ErrorCode code;
  };

  void check_opsets() const {
    const auto at = model_.opsets.find("");
    PARE_CHECK(at != model_.opsets.end() || !model_.opsets.empty(), corrupt_data, options_.file,
               "expected the opset of the model, got none");
    if (at == model_.opsets.end()) return;
    PARE_CHECK(at->second >= kLowestOpset && at->second <= kHighestOpset, unsupported,
               options_.file, "expected opset {} to {}, got {}", kLowestOpset, kHighestOpset,
               at->second);
  }

  void refuse(const std::string& node, const std::string& reason,
              ErrorCode code = ErrorCode::unsupported) {
    refusals_.push_back({node, reason, code});
  }

  void throw_refusals() const {
    if (refusals_.empty()) return;
    const bool contradicts = std::ranges::all_of(refusals_, [](const Refusal& r) {
      return r.code == ErrorCode::shape_mismatch || r.code == ErrorCode::out_of_range;
    });
    std::string text = fmt::format(
        "{}: expected {}, got {} node{} where it is otherwise:", options_.file,
        contradicts ? "a model whose shapes fit together" : "a model of ops that pare has",
        refusals_.size(), refusals_.size() == 1 ? "" : "s");
    for (const Refusal& r : refusals_) text += fmt::format("\n  {}: {}", r.node, r.reason);
    throw Error(contradicts ? ErrorCode::corrupt_data : ErrorCode::unsupported, std::move(text));
  }

  void bind(Scope& scope, const std::string& name, Binding binding) {
    const bool fresh = scope.names.emplace(name, std::move(binding)).second;
    PARE_CHECK(fresh, corrupt_data, options_.file, "expected one value '{}', got two", name);
  }

  void add_initializers(const GraphProto& graph, Scope& scope) {
    if (graph.sparse_initializers) refuse("the graph", "sparse initializers are not read");
    for (const TensorProto& proto : graph.initializers) {
      Binding binding;
      try {
        Tensor tensor =
            to_tensor(proto, fmt::format("{}: initializer '{}'", options_.file, proto.name),
                      options_.external);
        // A rank of 0 is a number that an exporter wrote, not something that was learned.
        const bool trained =
            is_floating(tensor.dtype()) && tensor.rank() > 0 && !constants_.contains(proto.name);
        binding.value = builder_.add_leaf(trained ? Graph::Kind::parameter : Graph::Kind::constant,
                                          scope.prefix + proto.name, std::move(tensor));
        builder_.name_value(binding.value, scope.prefix + proto.name);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::unsupported) throw;
        refuse(fmt::format("initializer '{}'", proto.name), without_place(error));
        binding.refused = true;
      }
      bind(scope, proto.name, std::move(binding));
    }
  }

  /// The message behind "file: initializer 'x': ".
  static std::string without_place(const Error& error) {
    const std::size_t at = error.message().find("': ");
    return at == std::string::npos ? error.message() : error.message().substr(at + 3);
  }

  void add_input(const ValueInfo& input, Scope& scope) {
    // Before version 4 of the format initializers are inputs too; they stay what they are.
    if (scope.names.contains(input.name) &&
        std::ranges::any_of(model_.graph.initializers,
                            [&](const TensorProto& t) { return t.name == input.name; }))
      return;
    const std::string label = fmt::format("input '{}'", input.name);
    Binding binding;
    if (const std::string reason = why_no_input(input); !reason.empty()) {
      refuse(label, reason);
    } else {
      const Shape shape = shape_of_input(input, model_.graph.inputs, options_.file + ": " + label);
      binding.value = builder_.add_input(input.name, shape, *dtype_of(input.type));
    }
    binding.refused = binding.value < 0;
    bind(scope, input.name, std::move(binding));
  }

  void import_nodes(const std::vector<NodeProto>& nodes, Scope& scope) {
    for (const std::size_t n : node_order(nodes, options_.file)) {
      const std::size_t most = std::min(kMaxNodes, kFreeNodes + options_.bytes);
      PARE_CHECK(++nodes_read_ <= most, corrupt_data, options_.file,
                 "expected at most {} nodes, functions written out, got more", most);
      import_node(nodes[n], n, scope);
    }
  }

  void import_node(const NodeProto& node, std::size_t index, Scope& scope) {
    const std::string label = label_of(node, index);
    // What an earlier refusal leaves without a value is not said again.
    if (const bool is_cut = !look_up_inputs(node, label, scope); is_cut) {
      note_unknown(node, label);
      for (const std::string& name : node.outputs)
        if (!name.empty()) bind(scope, name, {.refused = true});
      return;
    }
    try {
      give(node, label, scope);
    } catch (const Error& error) {
      switch (error.code()) {
        case ErrorCode::unsupported:
        case ErrorCode::dtype_mismatch:
        case ErrorCode::shape_mismatch:
        case ErrorCode::invalid_argument:
        case ErrorCode::out_of_range:
          break;
        default:
          throw error.message().starts_with(options_.file)
              ? error
              : error.within(options_.file + ": " + label);
      }
      refuse(label, error.message(), error.code());
      for (const std::string& name : node.outputs)
        if (!name.empty() && !scope.names.contains(name)) bind(scope, name, {.refused = true});
    }
  }

  /// False where one of them was refused. Throws where there is none of that name.
  bool look_up_inputs(const NodeProto& node, const std::string& label, const Scope& scope) const {
    bool good = true;
    for (const std::string& name : node.inputs) {
      if (name.empty()) continue;
      const Binding* binding = scope.find(name);
      PARE_CHECK(binding, corrupt_data, options_.file + ": " + label,
                 "expected '{}' to be an input, an initializer or given by a node, got none", name);
      good = good && !binding->refused;
    }
    return good;
  }

  /// Ops that pare has not are named even where their inputs are missing.
  void note_unknown(const NodeProto& node, const std::string& label) {
    if (node.op_type == "If" || function_of(node)) return;
    if (const char* reason = reason_to_refuse(node))
      refuse(label, reason);
    else if (!find_import(node.domain, node.op_type))
      refuse(label, "pare has no such op");
  }

  void give(const NodeProto& node, const std::string& label, Scope& scope) {
    if (const FunctionProto* function = function_of(node))
      return expand(node, *function, label, scope);
    if (node.domain.empty() && node.op_type == "If") return choose(node, label, scope);
    if (const char* reason = reason_to_refuse(node)) throw Error(ErrorCode::unsupported, reason);
    const OpImport* op = find_import(node.domain, node.op_type);
    if (!op) throw Error(ErrorCode::unsupported, "pare has no such op");
    NodeReader reader(node, name_of_calls(node, scope), scope, builder_, options_.external);
    op->run(reader);
    reader.finish();
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const std::string& name = node.outputs[i];
      if (name.empty()) continue;
      const auto given = reader.given().find(static_cast<int>(i));
      if (given == reader.given().end()) {
        bind(scope, name, {.missing = fmt::format("output {} of {}", i, label)});
        continue;
      }
      builder_.name_value(given->second, scope.prefix + name);
      bind(scope, name, {.value = given->second});
    }
  }

  static std::string name_of_calls(const NodeProto& node, const Scope& scope) {
    if (!node.name.empty()) return scope.prefix + node.name;
    for (const std::string& output : node.outputs)
      if (!output.empty()) return scope.prefix + output;
    return scope.prefix + node.op_type;
  }

  const FunctionProto* function_of(const NodeProto& node) const {
    for (const FunctionProto& f : model_.functions)
      if (f.name == node.op_type && f.domain == node.domain && f.overload == node.overload)
        return &f;
    return nullptr;
  }

  /// The body of a function in the place of its node.
  void expand(const NodeProto& node, const FunctionProto& function, const std::string& label,
              Scope& scope) {
    PARE_CHECK(std::ranges::find(inside_, &function) == inside_.end(), corrupt_data,
               options_.file + ": " + label,
               "expected functions without recursion, got '{}' in itself", function.name);
    PARE_CHECK(node.inputs.size() <= function.inputs.size() &&
                   node.outputs.size() <= function.outputs.size(),
               corrupt_data, options_.file + ": " + label,
               "expected at most {} inputs and {} outputs of the function, got {} and {}",
               function.inputs.size(), function.outputs.size(), node.inputs.size(),
               node.outputs.size());
    Scope body;
    body.prefix = name_of_calls(node, scope) + "/";
    body.opsets = function.opsets.empty() ? scope.opsets : &function.opsets;
    for (const AttributeProto& a : function.defaults) body.attributes[a.name] = &a;
    NodeReader reader(node, "", scope, builder_, options_.external);
    for (const AttributeProto& a : node.attributes)
      if (const AttributeProto* meant = reader.find(a.name.c_str()))
        body.attributes[a.name] = meant;
    for (std::size_t i = 0; i < function.inputs.size(); ++i) {
      const bool there = i < node.inputs.size() && !node.inputs[i].empty();
      bind(body, function.inputs[i],
           there ? *scope.find(node.inputs[i]) : Binding{.left_out = true});
    }
    inside_.push_back(&function);
    import_nodes(function.nodes, body);
    inside_.pop_back();
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      if (!node.outputs[i].empty())
        hand_out(body, function.outputs[i], scope, node.outputs[i], label);
  }

  /// The branch of an If whose condition is known.
  void choose(const NodeProto& node, const std::string& label, Scope& scope) {
    NodeReader reader(node, "", scope, builder_, options_.external);
    const Tensor* condition = reader.constant(0);
    if (!condition)
      throw Error(ErrorCode::unsupported, "control flow is not read: its condition is no constant");
    const AttributeProto* branch =
        reader.find(condition->item() != 0 ? "then_branch" : "else_branch");
    PARE_CHECK(branch && branch->graphs.size() == 1, corrupt_data, options_.file + ": " + label,
               "expected a graph for either branch, got none");
    const GraphProto& graph = *branch->graphs.front();
    PARE_CHECK(graph.outputs.size() == node.outputs.size(), corrupt_data,
               options_.file + ": " + label, "expected a branch of {} outputs, got {}",
               node.outputs.size(), graph.outputs.size());
    Scope inner;
    inner.outer = &scope;
    inner.prefix = name_of_calls(node, scope) + "/";
    inner.opsets = scope.opsets;
    inner.attributes = scope.attributes;
    add_initializers(graph, inner);
    import_nodes(graph.nodes, inner);
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      if (!node.outputs[i].empty())
        hand_out(inner, graph.outputs[i].name, scope, node.outputs[i], label);
  }

  /// Inner's value `from` is outer's `to`.
  void hand_out(const Scope& inner, const std::string& from, Scope& outer, const std::string& to,
                const std::string& label) {
    const Binding* binding = inner.find(from);
    PARE_CHECK(binding && !binding->left_out, corrupt_data, options_.file + ": " + label,
               "expected '{}' to be given inside, got none", from);
    if (binding->value >= 0 && builder_.graph().value(binding->value).kind == Graph::Kind::result)
      builder_.name_value(binding->value, outer.prefix + to, inner.names.contains(from));
    bind(outer, to, *binding);
  }

  std::vector<std::string> output_names() const {
    std::vector<std::string> names;
    for (const ValueInfo& output : model_.graph.outputs) names.push_back(output.name);
    return names;
  }

  std::vector<int> outputs_of(const GraphProto& graph, const Scope& scope) {
    std::vector<int> outputs;
    PARE_CHECK(!graph.outputs.empty(), corrupt_data, options_.file,
               "expected outputs of the graph, got none");
    std::set<std::string_view> seen;
    for (const ValueInfo& output : graph.outputs) {
      const std::string label = fmt::format("output '{}'", output.name);
      PARE_CHECK(seen.insert(output.name).second, corrupt_data, options_.file,
                 "expected one output '{}', got two", output.name);
      const Binding* binding = scope.find(output.name);
      PARE_CHECK(binding, corrupt_data, options_.file + ": " + label,
                 "expected a value that a node gives, got none");
      if (!binding->missing.empty())
        refuse(label, fmt::format("it is {}, which pare does not give", binding->missing));
      if (binding->value < 0) continue;
      const Graph::Value& value = builder_.graph().value(binding->value);
      for (const auto& [code, reason] : contradictions(output, value)) refuse(label, reason, code);
      if (value.kind != Graph::Kind::input &&
          std::ranges::find(outputs, binding->value) == outputs.end())
        builder_.name_value(binding->value, output.name, true);
      outputs.push_back(binding->value);
    }
    return outputs;
  }

  const ModelProto& model_;
  const ImportOptions& options_;
  GraphBuilder builder_;
  std::set<std::string> constants_;
  std::vector<Refusal> refusals_;
  std::vector<const FunctionProto*> inside_;
  std::size_t nodes_read_ = 0;
};

}  // namespace

Graph import_model(const ModelProto& model, const ImportOptions& options) {
  return ModelImporter(model, options).run();
}

}  // namespace pare::onnx
