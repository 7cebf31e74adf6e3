// Expression: how a compressed parameter is computed from its leaves.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pare/core/op.h"

namespace pare {

/// Calls between a parameter's leaves and its reader. Operand k < leaves.size() is a leaf,
/// otherwise the result of step k − leaves.size(). The value is the last step's result (the only
/// leaf's where there are no steps). The canonical order of steps is low-rank or codebook, mask,
/// fake-quantize.
struct PARE_API Expression {
  struct Leaf {
    std::string suffix;  ///< "" for a plain parameter, "_orig", "_mask", …
    Tensor value;
    bool trainable = true;
  };
  struct Step {
    Call call;
    std::vector<int> inputs;
  };
  std::vector<Leaf> leaves;
  std::vector<Step> steps;

  /// Evaluates it through apply.
  Tensor value() const;
  /// Index of the leaf with this suffix, −1 if none.
  int find(std::string_view suffix) const;
  /// Adds a leaf; returns its operand number. Operand numbers of steps move up by one.
  int add_leaf(Leaf leaf);
  /// Adds a step at the end, reading the present result as input 0 and `others` after it.
  void append(Call call, std::vector<int> others = {});
  /// Adds a step that reads leaf `leaf` and `others`, and is read by all that read the leaf before.
  void insert_after_leaf(int leaf, Call call, std::vector<int> others = {});
  /// Removes step `step`: its readers read its input 0 instead. Leaves that nothing reads go too.
  void erase(int step);
  /// Index of the first step of this op, −1 if none.
  int find_step(const OpDef& op) const;
};

}  // namespace pare
