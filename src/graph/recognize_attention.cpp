// recognize: attention that exporters wrote out.
#include <algorithm>

#include "graph/rewrites.h"
#include "pare/core/ops.h"

namespace pare {

namespace {

/// The x and the factor of x · c or x / c; the value itself and 1 where it is neither.
std::pair<int, double> scaled(const Pattern& p, int value) {
  std::pair<int, double> found{value, 1};
  p.either_order(value, kMul, [&](int a, int b) {
    const auto c = p.number(b);
    if (c) found = {a, *c};
    return c.has_value();
  });
  if (const Graph::Node* quotient = p.made_by(value, kDiv))
    if (const auto c = p.number(quotient->inputs[1]); c && *c != 0)
      found = {quotient->inputs[0], 1 / *c};
  return found;
}

/// The order of a transposition that is followed by a swap of the last two axes.
std::vector<std::int64_t> with_last_swapped(const Graph::Node& transpose) {
  std::vector<std::int64_t> order = transpose.call.attributes.as<TransposeAttributes>().permutation;
  for (std::int64_t& axis : order)
    if (axis < 0) axis += static_cast<std::int64_t>(order.size());
  if (order.size() >= 2) std::swap(order[order.size() - 2], order.back());
  return order;
}

/// What a mask must be below for its keys to weigh nothing beside the others': e^(−10^9) is 0.
constexpr float kHidden = -9.99e8F;

/// Whether a mask hides just the keys behind each query: 0 up to the diagonal, −∞ (or as good as
/// that) above it.
bool is_causal(const Graph::Value& mask, const Shape& scores) {
  const int rank = mask.shape.rank();
  if (!mask.is_leaf() || mask.dtype != DType::f32 || rank < 2 || scores.rank() < 2) return false;
  const std::int64_t length = mask.shape[rank - 1];
  for (const int axis : {1, 2})
    if (mask.shape[rank - axis] != length || scores.symbolic(scores.rank() - axis) ||
        scores[scores.rank() - axis] != length)
      return false;
  if (mask.shape.elements() != length * length) return false;
  const std::vector<float> terms = mask.tensor.to_vector<float>();
  for (std::int64_t i = 0; i < length; ++i)
    for (std::int64_t k = 0; k < length; ++k) {
      const float term = terms[static_cast<std::size_t>(i * length + k)];
      if (k <= i ? term != 0 : !(term < kHidden)) return false;
    }
  return true;
}

}  // namespace

/// softmax(q · kᵀ · scale + mask) · v, of operands [..., H, L, E].
Found find_attention(const Pattern& p, int y) {
  const Graph& graph = p.graph();
  const Graph::Node* mixed = p.made_by(y, kMatmul);
  if (!mixed) return std::nullopt;
  const int v = mixed->inputs[1];
  const Graph::Node* softmax = p.made_by(mixed->inputs[0], kSoftmax);
  if (!softmax) return std::nullopt;
  int scores = softmax->inputs[0];
  const int rank = graph.value(scores).shape.rank();
  const std::int64_t axis = softmax->call.attributes.as<SoftmaxAttributes>().axis;
  if (rank < 3 || (axis != -1 && axis != rank - 1)) return std::nullopt;
  int mask = -1;
  double scale = 1;
  const auto products = [&](int value) -> const Graph::Node* {
    const auto [inner, factor] = scaled(p, value);
    const Graph::Node* product = p.made_by(inner, kMatmul);
    if (product) scale = factor;
    return product;
  };
  const Graph::Node* product = products(scores);
  if (!product)
    p.either_order(scores, kAdd, [&](int a, int b) {
      product = products(a);
      if (product) mask = b;
      return product != nullptr;
    });
  if (!product) return std::nullopt;
  const Graph::Node* turned = p.made_by(product->inputs[1], kTranspose);
  // Queries and keys may each be scaled by the root.
  const auto [q, q_factor] = scaled(p, product->inputs[0]);
  double k_factor = 1;
  if (!turned) {
    const auto [inner, factor] = scaled(p, product->inputs[1]);
    turned = p.made_by(inner, kTranspose);
    k_factor = factor;
  }
  if (!turned) return std::nullopt;
  scale *= q_factor * k_factor;
  if (graph.value(q).shape.rank() != rank || graph.value(v).shape.rank() != rank ||
      graph.value(turned->outputs[0]).shape.rank() != rank || !(scale > 0) ||
      graph.value(q).dtype != DType::f32)
    return std::nullopt;
  // Masks with more axes, or that make the scores larger, are none of attention's.
  if (mask >= 0 && graph.value(mask).shape.rank() > rank) return std::nullopt;
  Rewrite found{{&kScaledDotProductAttention, Attributes::of(AttentionAttributes{.scale = scale})},
                {q, turned->inputs[0], v},
                "attention"};
  if (mask >= 0 && is_causal(graph.value(mask), graph.value(scores).shape))
    found.call.attributes = Attributes::of(AttentionAttributes{.causal = true, .scale = scale});
  else if (mask >= 0)
    found.inputs.push_back(mask);
  // Exporters make one transposition of the heads' and the keys'.
  std::vector<std::int64_t> order = with_last_swapped(*turned);
  if (!std::ranges::is_sorted(order))
    found.prepared = {{1, {&kTranspose, Attributes::of(TransposeAttributes{std::move(order)})}}};
  return found;
}

}  // namespace pare
