// Axis labels: which indices of which axes of which values must be kept or cut together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// Every (value, axis, index) of a graph belongs to one class of a union-find. Class `kFixed` must
/// stay: graph inputs and outputs, axes that an op's rule does not mention, axes of one element.
/// Symbolic axes are given one element, so they are fixed.
class AxisLabels {
 public:
  static constexpr int kFixed = 0;

  /// Throws what the graph's inference throws where a size other than its example's is impossible.
  explicit AxisLabels(const Graph& graph);

  /// Class of an index; classes are numbered from 0 below `classes()`.
  int class_of(int value, int axis, std::int64_t index) const {
    return classes_[static_cast<std::size_t>(ids_[static_cast<std::size_t>(
        value)][static_cast<std::size_t>(axis)][static_cast<std::size_t>(index)])];
  }
  int classes() const { return class_count_; }
  /// Why an index of class kFixed must stay, in words.
  std::string why_fixed(const Graph& graph, int value, int axis, std::int64_t index) const;
  /// Shape of a value with its symbols bound.
  const Shape& shape(int value) const { return shapes_[static_cast<std::size_t>(value)]; }

 private:
  friend class LabelRules;
  using Ids = std::vector<int>;
  // Causes of being fixed: a node's number, or one of these.
  static constexpr int kFree = -1;
  static constexpr int kInput = -2;
  static constexpr int kOutput = -3;
  static constexpr int kOneElement = -4;

  void label(const Graph& graph, int number);
  void label_elementwise(const Graph::Node& node);
  void label_movement(const Graph& graph, int number);
  void label_rule(const Graph::Node& node, int number);
  std::optional<Tensors> run_movement(const Graph& graph, const Graph::Node& node,
                                      std::size_t input, const Tensor& labels) const;
  void move_axis(const Graph& graph, int number, std::size_t input, int axis,
                 std::vector<bool>& carried);
  void move_fixed(const Graph& graph, int number, std::size_t input,
                  const std::vector<bool>& carried, const std::vector<bool>& by_any);

  int fresh();
  int find(int id);
  void unite(int a, int b);
  void add_fresh(int value);
  void fix_id(int id, int cause);
  void fix(int value, int axis, int cause);
  void fix(int value, int cause);
  bool live(int value, int axis);
  Ids& ids(int value, int axis) {
    return ids_[static_cast<std::size_t>(value)][static_cast<std::size_t>(axis)];
  }

  std::vector<Shape> shapes_;
  std::vector<std::vector<Ids>> ids_;  // by value, axis, index
  std::vector<int> parent_;
  std::vector<int> cause_;    // of roots: why they are fixed, or kFree
  std::vector<int> classes_;  // by id, once the union-find is complete
  int class_count_ = 0;
};

}  // namespace pare
