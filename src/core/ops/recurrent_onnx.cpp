// The ONNX form that rnn, lstm and gru share.
#include "core/check.h"
#include "core/ops/recurrent.h"

namespace pare {
namespace {

Tensor integers(const std::vector<std::int64_t>& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

/// Emits nodes of one result each, and returns its name.
class Nodes {
 public:
  Nodes(OnnxEmitter& e, bool two) : e_(e), two_(two), first_axis_(e.constant(integers({0}))) {}
  std::string transposed(const std::string& from, const std::vector<std::int64_t>& permutation) {
    const std::string to = e_.temporary();
    e_.node("Transpose", {from}, {to}).attribute("perm", std::span(permutation));
    return to;
  }
  /// Along `axis`, in the order of `indices`, a constant's name.
  std::string gathered(const std::string& from, const std::string& indices, std::int64_t axis) {
    const std::string to = e_.temporary();
    e_.node("Gather", {from, indices}, {to}).attribute("axis", axis);
    return to;
  }
  std::string product(const std::string& a, const std::string& b) {
    const std::string to = e_.temporary();
    e_.node("MatMul", {a, b}, {to});
    return to;
  }
  std::string joined(std::vector<std::string> parts) {
    if (parts.size() == 1) return parts[0];
    const std::string all = e_.temporary();
    e_.node("Concat", std::move(parts), {all}).attribute("axis", std::int64_t{0});
    return all;
  }
  /// What `part` gives of each direction, along a new first axis.
  template <class Part> std::string stack(const Part& part) {
    std::vector<std::string> parts;
    for (int d = 0; d < (two_ ? 2 : 1); ++d) {
      parts.push_back(e_.temporary());
      e_.node("Unsqueeze", {part(d), first_axis_}, {parts.back()});
    }
    return joined(std::move(parts));
  }

 private:
  OnnxEmitter& e_;
  bool two_;
  std::string first_axis_;
};

std::vector<std::int64_t> blocks(const std::vector<std::int64_t>& order, std::int64_t size) {
  std::vector<std::int64_t> rows;
  for (const std::int64_t block : order)
    for (std::int64_t k = 0; k < size; ++k) rows.push_back(block * size + k);
  return rows;
}

/// What the node's attributes are by default says nothing.
void give_attributes(OnnxEmitter::Node& node, const RecurrentOnnx& form) {
  if (form.linear_before_reset) node.attribute("linear_before_reset", std::int64_t{1});
  if (form.input_forget) node.attribute("input_forget", std::int64_t{1});
  if (form.settings.clip() > 0) node.attribute("clip", form.settings.clip());
  using Kind = GateFunction::Kind;
  const bool usual = form.gates.size() == 1 ? form.settings.are({Kind::tanh})
                     : form.gates.size() == 3
                         ? form.settings.are({Kind::sigmoid, Kind::tanh})
                         : form.settings.are({Kind::sigmoid, Kind::tanh, Kind::tanh});
  if (usual) return;
  const std::vector<std::string> words = form.settings.words();
  const std::vector<double> alphas = form.settings.alphas();
  const std::vector<double> betas = form.settings.betas();
  node.attribute("activations", std::span(words));
  if (!alphas.empty()) node.attribute("activation_alpha", std::span(alphas));
  if (!betas.empty()) node.attribute("activation_beta", std::span(betas));
}

}  // namespace

void emit_recurrent(OnnxEmitter& e, const RecurrentOnnx& form, const std::string& direction,
                    bool batch_first) {
  const std::vector<std::int64_t>& order = form.gates;
  const bool lstm = order.size() == 4;
  const bool projected = e.has_input(kWeightHr);
  const auto gates = static_cast<std::int64_t>(order.size());
  const std::int64_t hidden = e.input_shape(kWeightHh)[0] / gates;
  Nodes nodes(e, direction == "bidirectional");
  const std::string permutation = gates > 1 ? e.constant(integers(blocks(order, hidden))) : "";
  const auto permuted = [&](const std::string& from) {
    return gates > 1 ? nodes.gathered(from, permutation, 0) : from;
  };
  const auto of_direction = [&](int input, int d) {
    return permuted(e.input(input + d * kDirectionInputs));
  };
  // ONNX has no projection. W_hh·(W_hr·m) is (W_hh·W_hr)·m, so a layer of m, projected at its end,
  // is the same where the first state is 0, which has no m of its own.
  PARE_CHECK(!projected || !e.has_input(kInitialH), unsupported, "lstm",
             "expected no h0 for ONNX with a projection, got shape {}", e.input_shape(kInitialH));
  const auto recurrent = [&](int d) {
    const std::string own = of_direction(kWeightHh, d);
    return projected ? nodes.product(own, e.input(kWeightHr + d)) : own;
  };
  // The layout of ONNX that every runtime has is [T, N, …].
  const std::string x =
      batch_first ? nodes.transposed(e.input(kSequence), {1, 0, 2}) : e.input(kSequence);
  std::vector<std::string> inputs{x};
  inputs.push_back(nodes.stack([&](int d) { return of_direction(kWeightIh, d); }));
  inputs.push_back(nodes.stack(recurrent));
  inputs.push_back(!e.has_input(kBiasIh) ? "" : nodes.stack([&](int d) {
    return nodes.joined({of_direction(kBiasIh, d), of_direction(kBiasHh, d)});
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
  // Ours are of i f o, ONNX's of i o f.
  if (lstm && e.has_input(kPeepholes))
    inputs.push_back(
        nodes.gathered(e.input(kPeepholes), e.constant(integers(blocks({0, 2, 1}, hidden))), 1));
  while (inputs.back().empty()) inputs.pop_back();

  // ONNX's Y is [T, D, N, H].
  std::string y = e.temporary();
  const std::string h_n = projected ? e.temporary() : e.output(1);
  std::vector<std::string> outputs{y, h_n};
  if (lstm) outputs.push_back(e.output(2));
  OnnxEmitter::Node& node = e.node(form.op_type, std::move(inputs), std::move(outputs));
  node.attribute("hidden_size", hidden).attribute("direction", direction.c_str());
  give_attributes(node, form);
  if (projected) {
    const std::string projection = nodes.transposed(
        nodes.stack([&](int d) { return e.input(kWeightHr + d); }), {0, 2, 1});  // [D, H, P]
    y = nodes.product(y, projection);
    e.node("MatMul", {h_n, projection}, {e.output(1)});
  }
  const std::vector<std::int64_t> back =
      batch_first ? std::vector<std::int64_t>{2, 0, 1, 3} : std::vector<std::int64_t>{0, 2, 1, 3};
  // A −1 would not be told where there are no steps or samples.
  e.node("Reshape", {nodes.transposed(y, back), e.constant(integers({0, 0, e.output_shape(0)[2]}))},
         {e.output(0)});
}

}  // namespace pare
