// Matrices that are dequantized constants, also where their elements were moved behind that.
#include "graph/coded_matrix.h"

#include <algorithm>
#include <map>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "graph/quantized_groups.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

// The codes and, for each of them, the number of its scale: both i32, which every op of movement
// takes.
struct Elements {
  Tensor codes, scales;
};

bool all_zero(const Tensor& zero_points) {
  const auto values = zero_points.to(DType::i32).to_vector<std::int32_t>();
  return std::ranges::all_of(values, [](std::int32_t z) { return z == 0; });
}

class Walk {
 public:
  explicit Walk(const Graph& graph) : graph_(graph), evaluate_(graph) {}

  /// Undefined tensors where it is no movement of dequantized constants.
  Elements elements(int value) {
    const int producer = graph_.value(value).producer;
    if (producer < 0) return refuse("its weights are floats");
    const Graph::Node& node = graph_.node(producer);
    if (node.call.op == &kDequantizeLinear) return dequantized(producer);
    const bool moves = node.call.op->channels.kind == ChannelFact::Kind::movement;
    if ((!moves && node.call.op != &kGather) || node.outputs.size() != 1)
      return refuse(fmt::format("its weights are computed by {}", node.call.op->name));
    Tensors codes, scales;
    for (const int v : node.inputs) {
      const bool moved = v >= 0 && graph_.value(v).dtype == DType::f32;
      const Elements from = moved ? elements(v) : Elements();
      if (moved && !from.codes.defined()) return {};
      const Tensor other = moved || v < 0 ? Tensor() : evaluate_(v);
      codes.push_back(moved ? from.codes : other);
      scales.push_back(moved ? from.scales : other);
    }
    return {apply_all(node.call, codes)[0], apply_all(node.call, scales)[0]};
  }

  std::vector<float> table;  ///< of scales
  std::string reason;

 private:
  Elements refuse(std::string why) {
    reason = std::move(why);
    return {};
  }

  Elements dequantized(int n) {
    const Graph::Node& node = graph_.node(n);
    const auto is_leaf = [&](int v) { return v < 0 || graph_.value(v).is_leaf(); };
    if (!std::ranges::all_of(node.inputs, is_leaf))
      return refuse("the codes of its weights are no constants");
    const Tensor& codes = graph_.value(node.inputs[0]).tensor;
    const Tensor& scale = graph_.value(node.inputs[1]).tensor;
    if (codes.dtype() != DType::i8) return refuse("its weights are not in i8");
    if (node.inputs.size() > 2 && node.inputs[2] >= 0 &&
        !all_zero(graph_.value(node.inputs[2]).tensor))
      return refuse("its weights have zero points");
    const auto first = static_cast<std::int32_t>(table.size());
    const std::vector<float> scales = scale.to_vector<float>();
    table.insert(table.end(), scales.begin(), scales.end());
    std::vector<std::int32_t> numbers(static_cast<std::size_t>(codes.elements()), first);
    if (scale.rank() == 1) {
      std::int64_t axis = node.call.attributes.as<DequantizeAttributes>().axis;
      if (axis < 0) axis += codes.rank();
      const std::int64_t inner = codes.shape().elements(static_cast<int>(axis) + 1, codes.rank());
      const std::int64_t channels = codes.dim(static_cast<int>(axis));
      for (std::size_t i = 0; i < numbers.size(); ++i)
        numbers[i] += static_cast<std::int32_t>(static_cast<std::int64_t>(i) / inner % channels);
    }
    return {codes.to(DType::i32), Tensor::from(numbers, codes.shape())};
  }

  const Graph& graph_;
  LeafEvaluator evaluate_;
};

/// Where nothing is moved: without a copy.
std::optional<CodedMatrix> as_it_is(const Graph& graph, int value) {
  const int producer = graph.value(value).producer;
  if (producer < 0 || graph.node(producer).call.op != &kDequantizeLinear) return std::nullopt;
  const Graph::Node& node = graph.node(producer);
  const Graph::Value& codes = graph.value(node.inputs[0]);
  const Graph::Value& scale = graph.value(node.inputs[1]);
  if (!codes.is_leaf() || !scale.is_leaf() || codes.dtype != DType::i8) return std::nullopt;
  const std::int64_t axis = node.call.attributes.as<DequantizeAttributes>().axis;
  const bool by_rows = scale.shape.rank() == 1 && (axis == 0 || axis == -2);
  if (scale.shape.rank() != 0 && !by_rows) return std::nullopt;
  if (node.inputs.size() > 2 && node.inputs[2] >= 0) {
    const Graph::Value& zero = graph.value(node.inputs[2]);
    if (!zero.is_leaf() || !all_zero(zero.tensor)) return std::nullopt;
  }
  CodedMatrix matrix{codes.tensor, scale.tensor.to_vector<float>(), node.inputs[0], producer};
  const auto rows = static_cast<std::size_t>(codes.shape[0]);
  if (scale.shape.rank() == 0) matrix.scales.assign(rows, matrix.scales[0]);
  return matrix;
}

}  // namespace

std::optional<CodedMatrix> coded_matrix(const Graph& graph, int value, std::string& reason) {
  PARE_ASSERT(graph.value(value).shape.rank() == 2);
  ContextScope scope;
  scope->grad = false;
  scope->tracer = nullptr;
  if (auto plain = as_it_is(graph, value)) return plain;
  Walk walk(graph);
  const Elements all = walk.elements(value);
  reason = walk.reason;
  if (!all.codes.defined()) return std::nullopt;
  CodedMatrix matrix;
  matrix.codes = all.codes.to(DType::i8);
  const auto* number = all.scales.data<std::int32_t>();
  const std::int64_t columns = matrix.codes.dim(1);
  for (std::int64_t r = 0; columns > 0 && r < matrix.codes.dim(0); ++r, number += columns) {
    const float scale = walk.table[static_cast<std::size_t>(*number)];
    const auto same = [&](std::int32_t n) {
      return walk.table[static_cast<std::size_t>(n)] == scale;
    };
    if (!std::all_of(number, number + columns, same)) {
      reason = "a row of its weights has several scales";
      return std::nullopt;
    }
    matrix.scales.push_back(scale);
  }
  return matrix;
}

}  // namespace pare
