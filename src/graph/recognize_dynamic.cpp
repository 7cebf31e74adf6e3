// recognize: products of codes of 8 bits, scaled afterwards, whose first factor was quantized as it
// came.
#include <algorithm>
#include <map>

#include "core/check.h"
#include "graph/quantized_groups.h"
#include "graph/rewrites.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dynamic_quantize.h"

namespace pare {
namespace {

/// Scales of 1 with a zero point: how importers write MatMulInteger.
bool in_units(const Graph& graph, const Graph::Node& dequantize) {
  if (!graph.value(dequantize.inputs[1]).is_leaf()) return false;
  for (const float scale : graph.value(dequantize.inputs[1]).tensor.to_vector<float>())
    if (scale != 1) return false;
  return true;
}

bool all_zero(const Graph::Value& zero_points) {
  if (!zero_points.is_leaf()) return false;
  const auto zeros = zero_points.tensor.to(DType::i32).to_vector<std::int32_t>();
  return std::ranges::all_of(zeros, [](std::int32_t z) { return z == 0; });
}

struct CodeProduct {
  int dynamic = -1;  // node
  int matrix = -1;   // values: codes, their scale
  int scale = -1;
};

/// float(i32(Σ (q_x − z)·(q_w − z_w))) · (s_x · s_w), all of one dynamic_quantize_linear.
std::optional<CodeProduct> find_product(const Pattern& p, int sums, int units) {
  const Graph& graph = p.graph();
  const Graph::Node* product = p.made_by(p.operand(p.operand(sums, kCast), kCast), kMatmul);
  if (!product || graph.value(p.operand(sums, kCast)).dtype != DType::i32) return std::nullopt;
  const Graph::Node* x = p.made_by(product->inputs[0], kDequantizeLinear);
  const Graph::Node* w = p.made_by(product->inputs[1], kDequantizeLinear);
  if (!x || !w || !in_units(graph, *x) || !in_units(graph, *w)) return std::nullopt;
  CodeProduct found{graph.value(x->inputs[0]).producer, w->inputs[0]};
  const Graph::Value& matrix = graph.value(found.matrix);
  if (found.dynamic < 0 || graph.node(found.dynamic).call.op != &kDynamicQuantizeLinear ||
      !matrix.is_leaf() || matrix.dtype != DType::i8 || matrix.shape.rank() != 2)
    return std::nullopt;
  const std::vector<int>& given = graph.node(found.dynamic).outputs;
  if (x->inputs.size() != 3 || x->inputs[0] != given[0] || x->inputs[2] != given[2])
    return std::nullopt;
  if (w->inputs.size() == 3 && !all_zero(graph.value(w->inputs[2]))) return std::nullopt;
  const bool fits = p.either_order(units, kMul, [&](int a, int b) {
    if (a != given[1] || !graph.value(b).is_leaf()) return false;
    const Shape& shape = graph.value(b).shape;
    found.scale = b;
    return shape.rank() <= 1 && (shape.elements() == 1 || shape[0] == matrix.shape[1]);
  });
  return fits ? std::optional(found) : std::nullopt;
}

}  // namespace

void recognize_dynamic_products(Graph& graph, PassReport& report) {
  const auto count = static_cast<int>(graph.nodes().size());
  std::map<int, int> inputs;  // dequantized, by dynamic_quantize_linear node
  for (int n = 0; n < count; ++n) {
    if (graph.node(n).call.op != &kMul) continue;
    std::optional<CodeProduct> found;
    const Pattern pattern(graph);
    pattern.either_order(graph.node(n).outputs[0], kMul, [&](int a, int b) {
      found = find_product(pattern, a, b);
      return found.has_value();
    });
    if (!found) continue;
    const std::string name = graph.node(n).name;
    const auto dequantize = [&](const char* suffix, std::vector<int> read, std::int64_t axis) {
      const int made = graph.add_node(
          name + suffix, {&kDequantizeLinear, Attributes::of(DequantizeAttributes{axis})},
          std::move(read));
      return graph.node(made).outputs[0];
    };
    auto [x, fresh] = inputs.try_emplace(found->dynamic);
    if (fresh) x->second = dequantize(".input", graph.node(found->dynamic).outputs, -1);
    const Tensor scale = graph.value(found->scale).tensor;
    const bool one = scale.elements() == 1;
    const int units = one && scale.rank() > 0
                          ? graph.add_leaf(Graph::Kind::constant, name + ".scale",
                                           Tensor::scalar(scale.item(), DType::f32))
                          : found->scale;
    const int zero = graph.add_leaf(Graph::Kind::constant, name + ".zero_point",
                                    Tensor::zeros(one ? Shape{} : scale.shape(), DType::i8));
    const int matrix = dequantize(".weight", {found->matrix, units, zero}, one ? -1 : 1);
    Graph::Node& node = graph.edit_node(n);
    node.call = {&kMatmul, kMatmul.defaults ? kMatmul.defaults() : Attributes()};
    node.inputs = {x->second, matrix};
    report.done.push_back({name, "is a product of codes quantized as they come"});
  }
}

}  // namespace pare
