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

bool is_number(const Pattern& p, int value, double number) {
  return value >= 0 && p.number(value) == number;
}

/// The x of clamp(x, 0, 255).
int clamped_code(const Pattern& p, int value) {
  const Graph::Node* clamp = p.made_by(value, kClamp);
  if (!clamp) return -1;
  const auto& range = clamp->call.attributes.as<ClampAttributes>();
  return range.min == 0 && range.max == 255 ? clamp->inputs[0] : -1;
}

/// Rows quantized as they come, written out as dynamic_quantize_linear's ONNX form has it.
class WrittenRows {
 public:
  WrittenRows(const Pattern& p, int x, int scale) : p_(p), x_(x), scale_(scale) {}

  /// x, where codes and scale are those of its rows; −1 where not.
  static int of(const Pattern& p, int codes, int scale) {
    int x = -1;
    p.either_order(clamped_code(p, p.operand(codes, kCast)), kAdd, [&](int rounded, int zero) {
      const Graph::Node* quotient = p.made_by(p.operand(rounded, kRound), kDiv);
      if (!quotient || quotient->inputs[1] != scale) return false;
      const WrittenRows rows(p, quotient->inputs[0], scale);
      if (rows.is_zero_point(zero) && rows.is_scale()) x = quotient->inputs[0];
      return x >= 0;
    });
    return x;
  }
  /// Of floats or, cast, of integers.
  bool is_zero_point(int value) const {
    while (const Graph::Node* cast = p_.made_by(value, kCast)) value = cast->inputs[0];
    const Graph::Node* quotient = p_.made_by(p_.operand(clamped_code(p_, value), kRound), kDiv);
    return quotient && quotient->inputs[1] == scale_ &&
           is_bound(p_.operand(quotient->inputs[0], kNeg), kMinimum, kMin);
  }

 private:
  bool is_bound(int value, const OpDef& op, const OpDef& reduce) const {
    return p_.either_order(value, op, [&](int reduced, int zero) {
      return is_number(p_, zero, 0) && p_.last_axes(reduced, reduce) == -1 &&
             p_.operand(reduced, reduce) == x_;
    });
  }
  bool is_scale() const {
    const Graph::Node* where = p_.made_by(scale_, kWhere);
    if (!where || !is_number(p_, where->inputs[1], 1)) return false;
    const int part = where->inputs[2];
    const Graph::Node* equal = p_.made_by(where->inputs[0], kEqual);
    const Graph::Node* quotient = p_.made_by(part, kDiv);
    if (!equal || equal->inputs[0] != part || !is_number(p_, equal->inputs[1], 0) || !quotient ||
        !is_number(p_, quotient->inputs[1], 255))
      return false;
    const Graph::Node* range = p_.made_by(quotient->inputs[0], kSub);
    return range && is_bound(range->inputs[0], kMaximum, kMax) &&
           is_bound(range->inputs[1], kMinimum, kMin);
  }

  const Pattern& p_;
  int x_, scale_;
};

struct CodeProduct {
  int dynamic = -1;  // node; −1: written out, of the rows of x
  int x = -1;
  int matrix = -1;  // values: codes, their scale
  int scale = -1;
};

/// Whether a leaf holds the sums of a matrix's columns.
bool are_sums(const Graph::Value& value, const Tensor& matrix) {
  const std::int64_t columns = matrix.dim(1);
  if (!value.is_leaf() || value.dtype != DType::i32 || value.shape.elements() != columns)
    return false;
  std::vector<std::int32_t> sums = value.tensor.to_vector<std::int32_t>();
  const auto* w = matrix.data<std::int8_t>();
  for (std::int64_t i = 0; i < matrix.elements(); ++i)
    sums[static_cast<std::size_t>(i % columns)] -= w[i];
  return std::ranges::all_of(sums, [](std::int32_t rest) { return rest == 0; });
}

/// Σ q_x · q_w, or Σ (q_x − z)·q_w where x has a zero point.
struct Sums {
  const Graph::Node* x = nullptr;  // dequantize_linear nodes
  int matrix = -1;
};
std::optional<Sums> find_sums(const Pattern& p, int value) {
  const Graph& graph = p.graph();
  const Graph::Node* product = p.made_by(p.operand(value, kCast), kMatmul);
  if (!product || graph.value(value).dtype != DType::i32) return std::nullopt;
  const Graph::Node* x = p.made_by(product->inputs[0], kDequantizeLinear);
  const Graph::Node* w = p.made_by(product->inputs[1], kDequantizeLinear);
  if (!x || !w || !in_units(graph, *x) || !in_units(graph, *w)) return std::nullopt;
  const Graph::Value& matrix = graph.value(w->inputs[0]);
  if (!matrix.is_leaf() || matrix.dtype != DType::i8 || matrix.shape.rank() != 2 ||
      (w->inputs.size() == 3 && !all_zero(graph.value(w->inputs[2]))))
    return std::nullopt;
  return Sums{x, w->inputs[0]};
}

/// float(i32(sums)) · (s_x · s_w), all of one dynamic_quantize_linear.
std::optional<CodeProduct> find_product(const Pattern& p, int real, int units) {
  const Graph& graph = p.graph();
  const int whole = p.operand(real, kCast);
  CodeProduct found;
  const auto scaled = [&](int matrix, const auto& is_input_scale) {
    return p.either_order(units, kMul, [&](int a, int b) {
      if (!graph.value(b).is_leaf() || graph.value(b).dtype != DType::f32) return false;
      const Shape& shape = graph.value(b).shape;
      found.matrix = matrix;
      found.scale = b;
      const bool fits =
          shape.elements() == 1 || (shape.rank() == 1 && shape[0] == graph.value(matrix).shape[1]);
      return fits && is_input_scale(a);
    });
  };
  if (const auto sums = find_sums(p, whole)) {
    found.dynamic = graph.value(sums->x->inputs[0]).producer;
    if (found.dynamic < 0 || graph.node(found.dynamic).call.op != &kDynamicQuantizeLinear)
      return std::nullopt;
    const std::vector<int>& given = graph.node(found.dynamic).outputs;
    if (sums->x->inputs.size() != 3 || sums->x->inputs[0] != given[0] ||
        sums->x->inputs[2] != given[2])
      return std::nullopt;
    const bool fits = scaled(sums->matrix, [&](int scale) { return scale == given[1]; });
    return fits ? std::optional(found) : std::nullopt;
  }
  // Rows: the zero points are taken off the sums.
  const Graph::Node* difference = p.made_by(whole, kSub);
  if (!difference) return std::nullopt;
  const auto sums = find_sums(p, difference->inputs[0]);
  if (!sums || sums->x->inputs.size() != 2) return std::nullopt;
  const bool fits = scaled(sums->matrix, [&](int scale) {
    found.x = WrittenRows::of(p, sums->x->inputs[0], scale);
    return found.x >= 0 && p.either_order(difference->inputs[1], kMul, [&](int zero, int columns) {
      return WrittenRows(p, found.x, scale).is_zero_point(zero) &&
             are_sums(graph.value(columns), graph.value(sums->matrix).tensor);
    });
  });
  return fits ? std::optional(found) : std::nullopt;
}

}  // namespace

void recognize_dynamic_products(Graph& graph, PassReport& report) {
  const auto count = static_cast<int>(graph.nodes().size());
  std::map<int, int> rows;    // dynamic_quantize_linear nodes, by x
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
    if (found->dynamic < 0) {
      const auto [known, fresh] = rows.try_emplace(found->x);
      const Call call{&kDynamicQuantizeLinear,
                      Attributes::of(DynamicQuantizeAttributes{.per_row = true})};
      if (fresh) known->second = graph.add_node(name + ".rows", call, {found->x});
      found->dynamic = known->second;
    }
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
