// Groups of a weight along its input axis, as rows that have a scale each.
#include "quantize/weight_groups.h"

#include <algorithm>
#include <span>
#include <utility>

#include "core/check.h"
#include "core/packed_codes.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "quantize/metadata.h"

namespace pare::quantize {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

Call transposed(const std::vector<std::int64_t>& permutation) {
  return {&kTranspose, Attributes::of(TransposeAttributes{permutation})};
}

Call reshaped(const std::vector<std::int64_t>& shape) {
  return {&kReshape, Attributes::of(ReshapeAttributes{shape})};
}

std::vector<std::int64_t> inverse_of(const std::vector<std::int64_t>& permutation) {
  std::vector<std::int64_t> inverse(permutation.size());
  for (std::size_t k = 0; k < permutation.size(); ++k)
    inverse[at(permutation[k])] = static_cast<std::int64_t>(k);
  return inverse;
}

}  // namespace

WeightGroups::WeightGroups(const Graph::Node& node, const Shape& weight, std::int64_t size)
    : weight_(weight), size_(size) {
  const WeightPlace place = weight_place(node);
  PARE_CHECK(place.input >= 0 && !is_table(node), unsupported, node.name,
             "expected linear, matmul, conv1d or conv2d for weights by group, got {}; an override "
             "gives it another weight_granularity",
             node.call.op->name);
  input_axis_ = place.input_axis;
  groups_ = (weight[input_axis_] + size - 1) / size;
  inputs_last_ = {place.channel_axis};
  taps_ = 1;
  for (int a = 0; a < weight.rank(); ++a) {
    if (a == place.channel_axis || a == input_axis_) continue;
    inputs_last_.push_back(a);
    taps_ *= weight[a];
  }
  inputs_last_.push_back(input_axis_);
}

std::vector<std::int64_t> WeightGroups::sizes(std::int64_t last) const {
  std::vector<std::int64_t> result;
  for (const std::int64_t axis : inputs_last_) result.push_back(weight_[static_cast<int>(axis)]);
  result.back() = last;
  return result;
}

std::vector<Call> WeightGroups::to_rows() const {
  const std::int64_t inputs = weight_[input_axis_], filled = groups_ * size_;
  std::vector<Call> calls{transposed(inputs_last_)};
  if (filled > inputs) {
    const std::vector<std::int64_t> none(inputs_last_.size(), 0);
    std::vector<std::int64_t> after = none;
    after.back() = filled - inputs;
    calls.push_back({&kPad, Attributes::of(PadAttributes{.before = none, .after = after})});
  }
  calls.push_back(reshaped({weight_.elements() / inputs * groups_, size_}));
  return calls;
}

std::vector<Call> WeightGroups::from_rows() const {
  const std::int64_t inputs = weight_[input_axis_], filled = groups_ * size_;
  std::vector<Call> calls{reshaped(sizes(filled))};
  if (filled > inputs)
    calls.push_back(
        {&kSlice, Attributes::of(SliceAttributes{
                      {static_cast<std::int64_t>(inputs_last_.size()) - 1}, {0}, {inputs}, {1}})});
  calls.push_back(transposed(inverse_of(inputs_last_)));
  return calls;
}

Tensor WeightGroups::per_group(const Tensor& per_row) const {
  return apply_calls(per_row, {reshaped(sizes(groups_)), transposed(inverse_of(inputs_last_))});
}

StoredWeight stored_groups(const WeightGroups& groups, const LayerWeights& layer,
                           const LayerCodes& codes) {
  const Tensor whole = apply_calls(codes.weight, groups.from_rows());
  const std::vector<std::int32_t> numbers = code_values(whole);
  // A batch norm that turns signs makes 8 of −8.
  std::int64_t low = layer.qmin, high = layer.qmax;
  for (const std::int32_t q : numbers) {
    low = std::min<std::int64_t>(low, q);
    high = std::max<std::int64_t>(high, q);
  }
  const DType dtype = low >= -2 && high <= 1   ? DType::i2
                      : low >= -8 && high <= 7 ? DType::i4
                                               : DType::i8;
  StoredWeight stored{codes_of(numbers, whole.shape(), dtype), groups.per_group(codes.scale), {}};
  if (!codes.zero_point.defined()) return stored;
  const Tensor zeros = groups.per_group(codes.zero_point);
  stored.zero_point = codes_of(code_values(zeros), zeros.shape(), dtype);
  return stored;
}

int add_calls(Graph& graph, int value, const std::vector<Call>& calls, const std::string& name) {
  for (const Call& call : calls)
    value = graph.node(graph.add_node(name + "_" + call.op->name, call, {value})).outputs[0];
  return value;
}

Tensor apply_calls(Tensor x, const std::vector<Call>& calls) {
  const NoGrad no_grad;
  for (const Call& call : calls) x = apply(call, std::span<const Tensor>(&x, 1));
  return x;
}

int rounded_rows(const Graph& graph, int value) {
  for (int producer = graph.value(value).producer; producer >= 0;
       producer = graph.value(value).producer) {
    const Graph::Node& node = graph.node(producer);
    const OpDef* op = node.call.op;
    if (op != &kReshape && op != &kSlice && op != &kTranspose) break;
    value = node.inputs[0];
  }
  return value;
}

bool rounds_groups(const Graph& prepared, int quantizer) {
  return prepared.metadata().count(kGroupKey + prepared.node(quantizer).name) != 0;
}

int weight_quantizer(const Graph& prepared, const Graph::Node& node) {
  const int input = node.call.op->quantization.weight_input;
  if (input < 0 || at(input) >= node.inputs.size() || node.inputs[at(input)] < 0) return -1;
  const int weight = node.inputs[at(input)];
  const auto quantizer_of = [&](int value) {
    const int producer = prepared.value(value).producer;
    return producer >= 0 && prepared.node(producer).call.op == &kFakeQuantize ? producer : -1;
  };
  int quantizer = quantizer_of(weight);
  if (quantizer < 0) {
    quantizer = quantizer_of(rounded_rows(prepared, weight));
    if (quantizer >= 0 && !rounds_groups(prepared, quantizer)) return -1;
  }
  return quantizer >= 0 && leaf_values(prepared)[at(weight)] ? quantizer : -1;
}

int exact_weight(const Graph& prepared, int quantizer) {
  int value = prepared.node(quantizer).inputs[0];
  if (!rounds_groups(prepared, quantizer)) return value;
  // The calls of to_rows, from the last to the first.
  for (const OpDef* op : {&kReshape, &kPad, &kTranspose}) {
    const int producer = prepared.value(value).producer;
    if (producer >= 0 && prepared.node(producer).call.op == op)
      value = prepared.node(producer).inputs[0];
  }
  return value;
}

}  // namespace pare::quantize
