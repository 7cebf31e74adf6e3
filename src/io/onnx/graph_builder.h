// GraphBuilder: a graph that grows call by call; what depends on constants only is evaluated at
// once, and values that depend on leaves only are known.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "pare/graph/graph.h"

namespace pare::onnx {

class GraphBuilder {
 public:
  /// At most so many bytes are made by evaluating.
  explicit GraphBuilder(std::size_t budget) : budget_(budget) {}

  const Graph& graph() const { return graph_; }
  Graph& graph() { return graph_; }
  int add_input(const std::string& name, const Shape& shape, DType dtype);
  int add_leaf(Graph::Kind kind, const std::string& name, Tensor tensor);
  /// All outputs of a call under the name. Throws what infer throws.
  std::vector<int> add_call(const std::string& name, Call call, std::vector<int> inputs);

  /// Whether elements of eight bytes fit what may still be made.
  bool can_afford(const Shape& shape) const;
  void spend(std::size_t bytes) { budget_ -= std::min(bytes, budget_); }

  /// The elements of a value that depends on leaves only, else null. Stays valid.
  const Tensor* known(int value);
  /// Stays valid.
  const Shape& shape(int value);

  /// Names that the file gives; the first one stays unless `again`.
  void name_value(int value, const std::string& name, bool again = false);
  void name_node(int node, const std::string& name);
  /// The finished graph: named, in order, verified.
  Graph finish(std::vector<int> outputs, std::vector<std::string> output_names);

 private:
  bool all_of(const std::vector<int>& inputs, const std::vector<bool>& property) const;
  bool may_evaluate(const Graph::Node& node);
  Tensors evaluate(const Graph::Node& node);
  void fold(int node);
  void grow();
  void settle_kinds();
  void settle_names(const std::vector<int>& outputs);

  Graph graph_;
  std::size_t budget_;
  std::vector<bool> constant_;  ///< by value
  std::vector<bool> from_leaves_;
  std::unordered_map<int, Tensor> known_;
  std::unordered_map<int, Shape> shapes_;
  std::unordered_map<int, std::string> value_names_, node_names_;
};

}  // namespace pare::onnx
