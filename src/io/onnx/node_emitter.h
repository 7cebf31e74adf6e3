// Nodes of a graph as nodes of an ONNX file that is being made.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/check.h"
#include "io/onnx/model.h"
#include "io/onnx/tensor_data.h"
#include "pare/graph/graph.h"

namespace pare::onnx {

/// Those that are written.
inline constexpr int kLowestOpset = 13;
inline constexpr int kHighestOpset = 25;

/// A file that is being made: unique names, tensors kept alive.
class Draft {
 public:
  Draft(const Graph& graph, int opset) : graph_(graph), opset_(opset) {
    for (const Graph::Value& value : graph.values()) taken_.insert(value.name);
  }

  const Graph& graph() const { return graph_; }
  int opset() const { return opset_; }
  std::string fresh(const std::string& wish) {
    std::string name = wish;
    for (int k = 1; !taken_.insert(name).second; ++k) name = fmt::format("{}_{}", wish, k);
    return name;
  }
  std::string fresh_node(const std::string& wish) {
    std::string name = wish;
    for (int k = 1; !nodes_.insert(name).second; ++k) name = fmt::format("{}_{}", wish, k);
    return name;
  }
  /// Raw data of a tensor that lives as long as the file.
  TensorProto keep(const std::string& name, const Tensor& tensor) {
    const Tensor plain = tensor.detach().to(MemoryFormat::row_major);
    tensors_->push_back(plain);
    return to_proto(name, plain);
  }
  std::shared_ptr<const void> memory() const { return tensors_; }

  std::deque<NodeProto> made;  ///< addresses stay: emitters hold the one begun last
  std::vector<TensorProto> constants;

 private:
  const Graph& graph_;
  int opset_;
  std::unordered_set<std::string> taken_, nodes_;
  std::shared_ptr<Tensors> tensors_ = std::make_shared<Tensors>();
};

/// Writes one node, through the form of its op.
class NodeEmitter final : public OnnxEmitter, public OnnxEmitter::Node {
 public:
  NodeEmitter(const Graph::Node& node, Draft& draft)
      : node_(node), draft_(draft), first_(draft.made.size()), constants_(draft.constants.size()) {}

  /// Throws unsupported; what was begun is then taken back.
  void run();
  /// The name of the node of this type among those made.
  std::string named(std::string_view op_type) const;

  int opset() const override { return draft_.opset(); }
  bool has_input(int i) const override {
    return i < static_cast<int>(node_.inputs.size()) && node_.inputs[index(i)] >= 0;
  }
  std::string input(int i) const override { return has_input(i) ? in(i).name : std::string(); }
  std::string output(int i) const override { return out(i).name; }
  const Shape& input_shape(int i) const override { return in(i).shape; }
  const Shape& output_shape(int i) const override { return out(i).shape; }
  DType input_dtype(int i) const override { return in(i).dtype; }
  std::string constant(const Tensor& value) override {
    const std::string name = draft_.fresh(node_.name + "/constant");
    draft_.constants.push_back(draft_.keep(name, value));
    return name;
  }
  std::string temporary() override { return draft_.fresh(node_.name + "/value"); }
  OnnxEmitter::Node& node(const char* op_type, std::vector<std::string> inputs,
                          std::vector<std::string> outputs) override;

  using Type = AttributeProto::Type;
  OnnxEmitter::Node& attribute(const char* name, std::int64_t value) override {
    add(name, Type::integer).integer = value;
    return *this;
  }
  OnnxEmitter::Node& attribute(const char* name, double value) override {
    add(name, Type::real).real = value;
    return *this;
  }
  OnnxEmitter::Node& attribute(const char* name, const char* value) override {
    add(name, Type::string).string = value;
    return *this;
  }
  OnnxEmitter::Node& attribute(const char* name, std::span<const std::int64_t> values) override {
    add(name, Type::integers).integers.assign(values.begin(), values.end());
    return *this;
  }
  OnnxEmitter::Node& attribute(const char* name, std::span<const double> values) override {
    add(name, Type::reals).reals.assign(values.begin(), values.end());
    return *this;
  }
  OnnxEmitter::Node& attribute(const char* name, std::span<const std::string> values) override {
    add(name, Type::strings).strings.assign(values.begin(), values.end());
    return *this;
  }
  OnnxEmitter::Node& attribute(const char* name, const Tensor& value) override {
    TensorProto tensor = draft_.keep("", value);
    add(name, Type::tensor).tensors.push_back(std::move(tensor));
    return *this;
  }

 private:
  static std::size_t index(int i) { return static_cast<std::size_t>(i); }
  const Graph::Value& in(int i) const { return draft_.graph().value(node_.inputs[index(i)]); }
  const Graph::Value& out(int i) const { return draft_.graph().value(node_.outputs[index(i)]); }
  AttributeProto& add(const char* name, Type type) {
    AttributeProto& a = draft_.made.back().attributes.emplace_back();
    a.name = name;
    a.type = type;
    return a;
  }

  /// Types that an op took on later than others, or never.
  void check_type(std::string_view op, const std::vector<std::string>& inputs) const;
  void emit_plainly(const char* op_type);
  /// The one that gives the first output bears the node's name.
  void name_nodes();

  const Graph::Node& node_;
  Draft& draft_;
  const std::size_t first_, constants_;
};

}  // namespace pare::onnx
