// Graph: a network as a list of calls; what pare compresses. It is a Module.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pare/core/op.h"
#include "pare/nn/module.h"

namespace pare {

/// Values and nodes are numbered; the numbers stay valid until `compact`. Nodes stand in an order
/// in which every input is produced before it is read (`compact` makes it so after an edit).
/// Copying clones every tensor once; moving does not. Copy assignment writes in place where a leaf
/// of the same name, shape and dtype is there already, so that optimizers stay valid.
class PARE_API Graph : public nn::Module {
 public:
  enum class Kind : std::uint8_t {
    input,
    parameter,  ///< a leaf that may be trained
    buffer,     ///< state: changed by running in training (batch norm), by observing
    constant,
    result,  ///< of a node
  };
  struct Value {
    std::string name;
    Kind kind = Kind::result;
    Shape shape;  ///< may have symbols
    DType dtype = DType::f32;
    Tensor tensor;  ///< of parameters, buffers and constants
    bool trainable = false;
    int producer = -1;  ///< the node, of a result
    /// Of a small integer tensor that shape arithmetic computes: its elements, as far as they are
    /// known, as numbers and expressions of symbols ("3", "height-1"), "" for others. Else null.
    std::shared_ptr<const std::vector<std::string>> sizes;
    bool is_leaf() const {
      return kind == Kind::parameter || kind == Kind::buffer || kind == Kind::constant;
    }
  };
  struct Node {
    std::string name;
    Call call;
    std::vector<int> inputs;   ///< values; −1 for an optional one left out
    std::vector<int> outputs;  ///< the visible ones
  };

  Graph() = default;
  Graph(const Graph& other);
  Graph(Graph&&) noexcept = default;
  Graph& operator=(const Graph& other);
  Graph& operator=(Graph&&) noexcept = default;

  // --- reading
  std::span<const Node> nodes() const { return nodes_; }
  std::span<const Value> values() const { return values_; }
  /// These (and edit_node, edit_value) throw out_of_range for a number that is none of the graph's,
  /// such as the −1 of find_value.
  const Node& node(int id) const { return nodes_[checked(id, nodes_.size(), "node")]; }
  const Value& value(int id) const { return values_[checked(id, values_.size(), "value")]; }
  const std::vector<int>& inputs() const { return inputs_; }
  const std::vector<int>& outputs() const { return outputs_; }
  /// One name for each output, all different: those given to set_outputs, else the values' names.
  /// They stay when an edit puts other values in the outputs' places.
  std::vector<std::string> output_names() const;
  /// −1 if there is none of that name.
  int find_value(std::string_view name) const;
  int find_node(std::string_view name) const;
  /// The nodes that read a value, ascending, each once.
  std::vector<int> readers(int value) const;
  bool is_output(int value) const;
  /// Bytes of all parameters, buffers and constants.
  std::size_t bytes() const;
  /// Facts about the whole graph by name, which passes leave for one another and files keep (ONNX's
  /// metadata_props): "quantize.isa", ….
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::map<std::string, std::string>& metadata() { return metadata_; }
  /// A table of the nodes, for people.
  std::string to_string() const;
  /// The same as a drawing: the text of a file for Graphviz (dot -Tsvg).
  std::string to_dot() const;

  // --- running
  /// The interpreter, through apply: trains where gradients are on; a convolution or matrix product
  /// of dequantized operands runs on integers (int32 accumulation; docs/numerics.md). Throws an
  /// Error that names the node, shape_mismatch or dtype_mismatch for inputs that do not fit.
  Tensors run(const Tensors& inputs) override;
  /// The same for one input and one output; throws invalid_argument for another number.
  Tensor forward(const Tensor& x) override;
  /// Runs and shows `visit` every value that a node produced. Throws as run.
  Tensors run_visiting(const Tensors& inputs,
                       const std::function<void(int value, const Tensor& tensor)>& visit);
  void members(nn::Members& m) override;
  void set_mode(bool train) override;
  std::string kind() const override { return "Graph"; }
  /// Values and nodes that hooks can be put on: inputs and what nodes produce.
  bool has_value(std::string_view name) const override;
  /// The parameters that are trained.
  bool has_leaf(std::string_view name) const override;
  std::int64_t set_leaves_trainable(const std::function<bool(std::string_view name)>& chosen,
                                    bool on) override;
  /// A graph that owns its tensors.
  Graph copy() const { return *this; }
  /// A graph over the same tensors: what an edit in place works on before it replaces the original.
  Graph share() const;

  // --- editing: edit a copy, `compact`, `verify`, then move it over the original
  /// These give the value's number and make its name unique. add_leaf throws invalid_argument for
  /// another kind than a leaf's and for an undefined tensor.
  int add_input(const std::string& name, const Shape& shape, DType dtype);
  int add_leaf(Kind kind, const std::string& name, Tensor tensor, bool trainable = false);
  /// Appends a call (`compact` moves it before its readers); infers its outputs' shapes. The node
  /// and its first output get the name, made unique. Gives the node's number. Throws out_of_range
  /// for inputs that are no values of the graph, and what infer throws, naming the node.
  int add_node(const std::string& name, Call call, std::vector<int> inputs);
  /// Names given before stay where there are as many outputs as then.
  void set_outputs(std::vector<int> outputs);
  /// The same with names. Throws invalid_argument for names that are empty, equal, or not as many.
  void set_outputs(std::vector<int> outputs, std::vector<std::string> names);
  /// All readers (and the graph's outputs) of `from` read `to` instead; `except` node apart.
  void replace_uses(int from, int to, int except = -1);
  Node& edit_node(int id) { return nodes_[checked(id, nodes_.size(), "node")]; }
  Value& edit_value(int id) { return values_[checked(id, values_.size(), "value")]; }
  /// A name not yet taken, made from `wish`.
  std::string unique_name(const std::string& wish) const;
  /// Puts the nodes in order, drops what no output needs, renumbers: values in the order of their
  /// first use. Throws `internal` on a cycle.
  void compact();
  /// Infers all shapes anew (symbols included) after an edit of attributes or leaves. Throws what
  /// infer throws, naming the node.
  void infer_shapes();
  /// Throws `internal` or what infer throws, naming the node, if this is not a legal graph: order,
  /// single producers, arities, shapes and dtypes as inferred, unique names.
  void verify() const;

 private:
  static std::size_t checked(int id, std::size_t count, const char* what) {
    const auto i = static_cast<std::size_t>(id);  // −1 becomes the largest
    if (i >= count) no_such(id, count, what);
    return i;
  }
  [[noreturn]] static void no_such(int id, std::size_t count, const char* what);
  std::vector<bool> needed_nodes() const;

  std::vector<Node> nodes_;
  std::vector<Value> values_;
  std::vector<int> inputs_;
  std::vector<int> outputs_;
  std::vector<std::string> output_names_;  ///< empty: those of the values
  std::map<std::string, std::string> metadata_;
};

}  // namespace pare
