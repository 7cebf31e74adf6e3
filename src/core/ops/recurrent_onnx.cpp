// The ONNX form that rnn, lstm and gru share.
#include "core/ops/recurrent.h"

namespace pare {
namespace {

Tensor integers(const std::vector<std::int64_t>& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

/// Emits tensors of one direction after the other and joins them along a new first axis.
class Stacker {
 public:
  Stacker(OnnxEmitter& e, bool two) : e_(e), two_(two), first_axis_(e.constant(integers({0}))) {}
  template <class Part> std::string stack(const Part& part) {
    std::vector<std::string> parts;
    for (int d = 0; d < (two_ ? 2 : 1); ++d) {
      parts.push_back(e_.temporary());
      e_.node("Unsqueeze", {part(d), first_axis_}, {parts.back()});
    }
    return joined(std::move(parts));
  }
  std::string joined(std::vector<std::string> parts) {
    if (parts.size() == 1) return parts[0];
    const std::string all = e_.temporary();
    e_.node("Concat", std::move(parts), {all}).attribute("axis", std::int64_t{0});
    return all;
  }

 private:
  OnnxEmitter& e_;
  bool two_;
  std::string first_axis_;
};

std::string transposed(OnnxEmitter& e, const std::string& from,
                       const std::vector<std::int64_t>& permutation) {
  const std::string to = e.temporary();
  e.node("Transpose", {from}, {to}).attribute("perm", std::span(permutation));
  return to;
}

}  // namespace

void emit_recurrent(OnnxEmitter& e, const RecurrentOnnx& form, const std::string& direction,
                    bool batch_first) {
  const std::vector<std::int64_t>& order = form.gates;
  const bool two = direction == "bidirectional";
  const bool lstm = order.size() == 4;
  const std::int64_t hidden = e.input_shape(kWeightHh)[1];
  std::vector<std::int64_t> rows;
  for (const std::int64_t gate : order)
    for (std::int64_t k = 0; k < hidden; ++k) rows.push_back(gate * hidden + k);
  const std::string permutation = order.size() > 1 ? e.constant(integers(rows)) : "";
  const auto permuted = [&](int input) {
    if (permutation.empty()) return e.input(input);
    const std::string to = e.temporary();
    e.node("Gather", {e.input(input), permutation}, {to}).attribute("axis", std::int64_t{0});
    return to;
  };
  Stacker stacker(e, two);
  // The layout of ONNX that every runtime has is [T, N, …].
  const std::string x =
      batch_first ? transposed(e, e.input(kSequence), {1, 0, 2}) : e.input(kSequence);
  std::vector<std::string> inputs{x};
  for (const int input : {static_cast<int>(kWeightIh), static_cast<int>(kWeightHh)})
    inputs.push_back(stacker.stack([&](int d) { return permuted(input + d * kDirectionInputs); }));
  inputs.push_back(!e.has_input(kBiasIh) ? "" : stacker.stack([&](int d) {
    return stacker.joined(
        {permuted(kBiasIh + d * kDirectionInputs), permuted(kBiasHh + d * kDirectionInputs)});
  }));
  const auto optional = [&](int input) { return e.has_input(input) ? e.input(input) : ""; };
  std::string lengths = optional(kLengths);
  if (!lengths.empty() && e.input_dtype(kLengths) != DType::i32) {
    constexpr std::int64_t kInt32 = 6;  // TensorProto.DataType
    lengths = e.temporary();
    e.node("Cast", {e.input(kLengths)}, {lengths}).attribute("to", kInt32);
  }
  inputs.push_back(lengths);
  inputs.push_back(optional(kInitialH));
  if (lstm) inputs.push_back(optional(kInitialC));
  while (inputs.back().empty()) inputs.pop_back();

  // ONNX's Y is [T, D, N, H].
  const std::string y = e.temporary();
  std::vector<std::string> outputs{y, e.output(1)};
  if (lstm) outputs.push_back(e.output(2));
  OnnxEmitter::Node& node = e.node(form.op_type, std::move(inputs), std::move(outputs));
  node.attribute("hidden_size", hidden).attribute("direction", direction.c_str());
  if (form.activation) {
    const std::vector<std::string> activations(two ? 2 : 1, form.activation);
    node.attribute("activations", std::span<const std::string>(activations));
  }
  if (form.linear_before_reset) node.attribute("linear_before_reset", std::int64_t{1});
  const std::vector<std::int64_t> back =
      batch_first ? std::vector<std::int64_t>{2, 0, 1, 3} : std::vector<std::int64_t>{0, 2, 1, 3};
  e.node("Reshape", {transposed(e, y, back), e.constant(integers({0, 0, -1}))}, {e.output(0)});
}

}  // namespace pare
