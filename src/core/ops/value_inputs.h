// Value inputs: tensors that stand for a call's attributes where they are given.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/size_expression.h"
#include "pare/core/op.h"

namespace pare {

/// The inputs after the first, as far as they are known.
class Values {
 public:
  explicit Values(const InferArgs& args);
  explicit Values(std::span<const Tensor> inputs);
  explicit Values(const BackwardArgs& args);
  bool has(int i) const { return tensors_[static_cast<std::size_t>(i)] != nullptr; }
  const Tensor& operator[](int i) const { return *tensors_[static_cast<std::size_t>(i)]; }
  /// The elements of an i64 or i32 tensor of at most one axis. Throws dtype_mismatch and
  /// shape_mismatch naming `what` of the op.
  std::vector<std::int64_t> integers(int i, const char* where, const char* what) const;
  /// The same of one element.
  std::int64_t integer(int i, const char* where, const char* what) const;

 private:
  std::array<const Tensor*, 8> tensors_{};
};

/// How an op with value inputs goes back to itself without them.
struct ValueForm {
  /// The attributes that say what the values say. `x` is the first input's shape.
  Attributes (*bind)(const Call& call, const Shape& x, const Values& values);
  /// States the outputs where not every value is known.
  void (*unknown)(InferArgs& args);
  // The op's own, of attributes only.
  void (*infer)(InferArgs& args);
  ForwardFunction forward;
  BackwardFunction backward = nullptr;
};

/// What the record of such an op has; without value inputs the op's own functions run.
void infer_values(const ValueForm& form, InferArgs& args);
void forward_values(const ValueForm& form, const Call& call, std::span<const Tensor> inputs,
                    std::span<Tensor> outputs, const Context& context);
/// The tape must keep the value inputs: `saves_inputs` of the record has their bits.
void backward_values(const ValueForm& form, BackwardArgs& args);
template <const ValueForm& form> void infer_values(InferArgs& args) { infer_values(form, args); }
template <const ValueForm& form>
void forward_values(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  forward_values(form, call, inputs, outputs, context);
}
template <const ValueForm& form> void backward_values(BackwardArgs& args) {
  backward_values(form, args);
}

bool has_value_inputs(const InferArgs& args);
bool has_value_inputs(const ChannelLinks& links);
bool has_value_inputs(const OnnxEmitter& emitter);

/// ONNX's name for input i as i64, or for these numbers where it is not given.
std::string integers_or_input(OnnxEmitter& emitter, int i,
                              const std::vector<std::int64_t>& otherwise);

/// The elements of a value input as far as they are known: numbers, expressions, nothing. Throws
/// unsupported where even their number is unknown, dtype_mismatch, shape_mismatch.
using KnownSizes = std::vector<std::optional<SizeExpression>>;
KnownSizes known_sizes(const InferArgs& args, int i, const char* what);

/// Appends an axis of a size that only the data know. Inference of a graph gives it a name.
void append_unknown(Shape& shape);
/// Sets axis `axis` to such a size.
void set_unknown(Shape& shape, int axis);
/// Whether a symbol is one of those.
bool is_unknown(const std::string& symbol);

}  // namespace pare
