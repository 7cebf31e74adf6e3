// What the importers of ONNX ops build with: calls, constants, shapes that are known in part.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/onnx/node_import.h"
#include "pare/core/ops.h"

namespace pare::onnx {

/// Copies, since a call may move the graph's values.
Shape shape_of(NodeImport& node, int value);
DType dtype_of(NodeImport& node, int value);

/// The first output of a call with the op's default attributes, or with these.
int call(NodeImport& node, const OpDef& op, std::vector<int> inputs);
template <class A> int call(NodeImport& node, const OpDef& op, A attributes, std::vector<int> in) {
  return node.call({&op, Attributes::of(std::move(attributes))}, std::move(in));
}

/// A constant of rank 0.
int number(NodeImport& node, double value, DType dtype);
/// The same in the dtype of `like`.
int number_like(NodeImport& node, double value, int like);
/// An i64 constant [n].
int integers(NodeImport& node, const std::vector<std::int64_t>& values);

/// These give the value itself where nothing changes.
int cast(NodeImport& node, int value, DType to);
/// Axes of `to` that are symbolic are those of the value; refuses what no shape attribute says.
int reshape(NodeImport& node, int value, const Shape& to);
int transpose(NodeImport& node, int value, const std::vector<std::int64_t>& permutation);
/// With axes of size 1 at these places of the result, ascending.
int unsqueeze(NodeImport& node, int value, const std::vector<int>& axes);
/// Without these axes, whose size is 1.
int squeeze(NodeImport& node, int value, const std::vector<int>& axes);
/// Elements [start, end) of an axis.
int slice(NodeImport& node, int value, int axis, std::int64_t start, std::int64_t end,
          std::int64_t step = 1);

/// Whether input i is there, holds something, and is not known now: what it says is computed, and
/// the call takes it as a value.
bool is_computed(NodeImport& node, int i);
/// Input i, or −1 where it was left out.
int given(NodeImport& node, int i);
/// A call of these inputs; −1 stands for one left out.
int call_given(NodeImport& node, Call call, std::vector<int> inputs);

/// Half types as f32; f32 stays, others are refused.
int as_f32(NodeImport& node, int value);
/// f32 and f64 stay, half types become f32, integers f64.
int as_float(NodeImport& node, int value);

/// Axis `value` as 0 … rank − 1; refuses one outside.
int axis_of(NodeImport& node, std::int64_t value, int rank);
std::vector<int> axes_of(NodeImport& node, const std::vector<std::int64_t>& values, int rank);
/// The size of an axis; refuses a symbolic one.
std::int64_t size_of(NodeImport& node, int value, int axis);
/// Axes [begin, end) of a shape as one size: a symbol only where that is the one axis besides 1.
void append_product(NodeImport& node, Shape& to, const Shape& from, int begin, int end);

/// pare's type of TensorProto.DataType; refuses those that it has not.
DType dtype_of_element(NodeImport& node, std::int64_t type);

/// node.refuse, of which g++ knows that it does not return.
[[noreturn]] inline void refuse(NodeImport& node, const std::string& reason) {
  node.refuse(reason);
  __builtin_unreachable();
}

/// Refuses an attribute of another value than the one that is taken.
void expect_integer(NodeImport& node, const char* attribute, std::int64_t value,
                    std::int64_t fallback);

}  // namespace pare::onnx
