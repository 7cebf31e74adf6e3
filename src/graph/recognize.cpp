// recognize: calls that exporters wrote out become the op they stand for.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"
#include "graph/infer_node.h"
#include "graph/pattern.h"
#include "graph/uses.h"
#include "pare/core/ops.h"
#include "pare/graph/passes.h"

namespace pare {
namespace {

/// What a node becomes: the same value by one call.
struct Rewrite {
  Call call;
  std::vector<int> inputs;
  const char* what;
  /// A node that only this one reads and that changes with it, as `prepared`; −1: none.
  int before = -1;
  Call prepared = {};
};
using Found = std::optional<Rewrite>;

// Each looks at a node's first output.

/// x · sigmoid(x)
Found silu(const Pattern& p, int y) {
  int x = -1;
  p.either_order(y, kMul, [&](int a, int b) {
    if (b < 0 || p.operand(b, kSigmoid) != a) return false;
    x = a;
    return true;
  });
  if (x < 0) return std::nullopt;
  return Rewrite{{&kSilu, {}}, {x}, "silu"};
}

/// clamp(x + 3, 0, 6), of which hardsigmoid is a sixth; gives x.
int shifted_relu6(const Pattern& p, int y) {
  int inner = p.operand(y, kRelu6);
  if (const Graph::Node* clamp = p.made_by(y, kClamp); clamp && clamp->inputs.size() == 1) {
    const auto& attr = clamp->call.attributes.as<ClampAttributes>();
    if (attr.min == 0 && attr.max == 6) inner = clamp->inputs[0];
  }
  return inner < 0 ? -1 : p.with_constant(inner, kAdd, 3);
}

/// clamp(x + 3, 0, 6) / 6
Found hardsigmoid(const Pattern& p, int y) {
  int inner = p.with_constant(y, kDiv, 6);
  if (inner < 0) inner = p.with_constant(y, kMul, 1.0 / 6);
  const int x = inner < 0 ? -1 : shifted_relu6(p, inner);
  if (x < 0) return std::nullopt;
  return Rewrite{{&kHardsigmoid, {}}, {x}, "hardsigmoid"};
}

/// x · hardsigmoid(x), also with the sixth at another place.
Found hardswish(const Pattern& p, int y) {
  int x = -1;
  const auto times = [&](int product, const auto& of_b) {
    return p.either_order(product, kMul, [&](int a, int b) {
      if (a < 0 || b < 0 || of_b(b) != a) return false;
      x = a;
      return true;
    });
  };
  times(y, [&](int b) { return p.operand(b, kHardsigmoid); });
  int inner = p.with_constant(y, kDiv, 6);
  if (inner < 0) inner = p.with_constant(y, kMul, 1.0 / 6);
  if (x < 0 && inner >= 0) times(inner, [&](int b) { return shifted_relu6(p, b); });
  if (x < 0) return std::nullopt;
  return Rewrite{{&kHardswish, {}}, {x}, "hardswish"};
}

/// The x of 1 + erf(x / √2), or of the approximation by tanh.
int gelu_gate(const Pattern& p, int value, bool approximate) {
  const int curve = p.with_constant(value, kAdd, 1);
  if (curve < 0) return -1;
  if (!approximate) {
    const int scaled = p.operand(curve, kErf);
    if (scaled < 0) return -1;
    const int x = p.with_constant(scaled, kDiv, std::numbers::sqrt2);
    return x >= 0 ? x : p.with_constant(scaled, kMul, 1 / std::numbers::sqrt2);
  }
  const int inside = p.operand(curve, kTanh);
  const int sum = inside < 0 ? -1 : p.with_constant(inside, kMul, std::sqrt(2 / std::numbers::pi));
  int x = -1;
  // x + 0.044715·x³, the cube as a power or as products.
  p.either_order(sum, kAdd, [&](int a, int b) {
    const int cube = p.with_constant(b, kMul, 0.044715);
    if (cube < 0) return false;
    bool fits = p.with_constant(cube, kPow, 3) == a;
    fits = fits || p.either_order(cube, kMul, [&](int c, int d) {
      const bool squared = p.operand(d, kSquare) == a || p.with_constant(d, kPow, 2) == a ||
                           p.either_order(d, kMul, [&](int e, int f) { return e == a && f == a; });
      return c == a && squared;
    });
    if (fits) x = a;
    return fits;
  });
  return x;
}

/// 0.5 · x · (1 + …), whichever two factors were multiplied first.
Found gelu(const Pattern& p, int y) {
  for (const bool approximate : {false, true}) {
    int x = -1;
    const auto gated = [&](int product) {
      return p.either_order(product, kMul, [&](int a, int b) {
        const int of = b < 0 ? -1 : gelu_gate(p, b, approximate);
        if (of < 0 || of != a) return false;
        x = a;
        return true;
      });
    };
    const int inner = p.with_constant(y, kMul, 0.5);
    if (inner >= 0) gated(inner);
    if (x < 0)
      p.either_order(y, kMul, [&](int a, int b) {
        const int halved = a < 0 ? -1 : p.with_constant(a, kMul, 0.5);
        const int gate = b < 0 ? -1 : gelu_gate(p, b, approximate);
        if (halved >= 0 && halved == gate) x = halved;
        // x · (0.5 · (1 + …))
        const int whole = b < 0 ? -1 : p.with_constant(b, kMul, 0.5);
        if (x < 0 && whole >= 0 && gelu_gate(p, whole, approximate) == a) x = a;
        return x >= 0;
      });
    if (x < 0) continue;
    return Rewrite{{&kGelu, Attributes::of(GeluAttributes{approximate ? "tanh" : "none"})},
                   {x},
                   approximate ? "gelu (tanh)" : "gelu"};
  }
  return std::nullopt;
}

int square_of(const Pattern& p, int value) {
  if (const int x = p.operand(value, kSquare); x >= 0) return x;
  if (const int x = p.with_constant(value, kPow, 2); x >= 0) return x;
  const Graph::Node* product = p.made_by(value, kMul);
  return product && product->inputs[0] == product->inputs[1] ? product->inputs[0] : -1;
}

/// The numerator and what is under the root of a / √(b + epsilon), also as a · (1 / √…).
struct Normalized {
  int numerator = -1, mean = -1;
  double epsilon = 0;
};
std::optional<Normalized> normalized(const Pattern& p, int y) {
  const auto under = [&](int root, int numerator) -> std::optional<Normalized> {
    Normalized found;
    const bool fits = p.either_order(root, kAdd, [&](int a, int b) {
      const std::optional<double> epsilon = p.number(b);
      if (!epsilon || *epsilon <= 0) return false;
      found = {numerator, a, *epsilon};
      return true;
    });
    return fits ? std::optional(found) : std::nullopt;
  };
  if (const Graph::Node* quotient = p.made_by(y, kDiv)) {
    const int root = p.operand(quotient->inputs[1], kSqrt);
    return root < 0 ? std::nullopt : under(root, quotient->inputs[0]);
  }
  std::optional<Normalized> found;
  p.either_order(y, kMul, [&](int a, int b) {
    int root = p.operand(b, kRsqrt);
    if (root < 0) root = p.operand(p.operand(b, kReciprocal), kSqrt);
    if (const Graph::Node* one = p.made_by(b, kDiv);
        root < 0 && one && p.is_near(one->inputs[0], 1))
      root = p.operand(one->inputs[1], kSqrt);
    if (root >= 0) found = under(root, a);
    return found.has_value();
  });
  return found;
}

/// The sizes of the normalized axes, where a weight of them can follow.
bool spans_axes(const Graph& graph, int weight, int x, std::int64_t axis) {
  if (weight < 0 || !graph.value(weight).is_leaf()) return false;
  const Shape& w = graph.value(weight).shape;
  const Shape& shape = graph.value(x).shape;
  if (w.rank() != -axis) return false;
  for (int a = 0; a < w.rank(); ++a)
    if (!w.same_axis(a, shape, shape.rank() + static_cast<int>(axis) + a)) return false;
  return true;
}

/// (x − mean) / √(mean((x − mean)²) + epsilon), without weight and bias: those are added after.
Found layer_norm(const Pattern& p, int y) {
  const auto parts = normalized(p, y);
  if (!parts) return std::nullopt;
  const auto axis = p.last_axes(parts->mean, kMean);
  if (!axis) return std::nullopt;
  const int squared = square_of(p, p.operand(parts->mean, kMean));
  const Graph::Node* centred = p.made_by(parts->numerator, kSub);
  const Graph::Node* again = p.made_by(squared, kSub);
  if (!centred || !again || centred->inputs != again->inputs) return std::nullopt;
  const int x = centred->inputs[0];
  if (p.last_axes(centred->inputs[1], kMean) != axis || p.operand(centred->inputs[1], kMean) != x)
    return std::nullopt;
  return Rewrite{
      {&kLayerNorm, Attributes::of(LayerNormAttributes{*axis, parts->epsilon})}, {x}, "layer_norm"};
}

/// x / √(mean(x²) + epsilon)
Found rms_norm(const Pattern& p, int y) {
  const auto parts = normalized(p, y);
  if (!parts) return std::nullopt;
  const auto axis = p.last_axes(parts->mean, kMean);
  if (!axis || square_of(p, p.operand(parts->mean, kMean)) != parts->numerator) return std::nullopt;
  return Rewrite{{&kRmsNorm, Attributes::of(RmsNormAttributes{*axis, parts->epsilon})},
                 {parts->numerator},
                 "rms_norm"};
}

/// A norm without weight, times a leaf of the normalized axes.
Found weighted_norm(const Pattern& p, int y) {
  Found found;
  for (const OpDef* op : {&kLayerNorm, &kRmsNorm})
    p.either_order(y, kMul, [&](int a, int b) {
      const Graph::Node* norm = p.made_by(a, *op);
      if (!norm || norm->inputs.size() != 1) return false;
      const std::int64_t axis = op == &kLayerNorm
                                    ? norm->call.attributes.as<LayerNormAttributes>().axis
                                    : norm->call.attributes.as<RmsNormAttributes>().axis;
      if (axis >= 0 || !spans_axes(p.graph(), b, norm->inputs[0], axis)) return false;
      found = Rewrite{norm->call, {norm->inputs[0], b}, "the weight of a norm"};
      return true;
    });
  return found;
}

/// A layer norm with weight, plus such a leaf.
Found biased_norm(const Pattern& p, int y) {
  Found found;
  p.either_order(y, kAdd, [&](int a, int b) {
    const Graph::Node* norm = p.made_by(a, kLayerNorm);
    if (!norm || norm->inputs.size() != 2) return false;
    const std::int64_t axis = norm->call.attributes.as<LayerNormAttributes>().axis;
    if (axis >= 0 || !spans_axes(p.graph(), b, norm->inputs[0], axis)) return false;
    found = Rewrite{norm->call, {norm->inputs[0], norm->inputs[1], b}, "the bias of a norm"};
    return true;
  });
  return found;
}

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

/// softmax(q · kᵀ · scale + mask) · v, of operands [..., H, L, E].
Found attention(const Pattern& p, int y) {
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
  if (mask >= 0) found.inputs.push_back(mask);
  std::vector<std::int64_t> order = with_last_swapped(*turned);
  if (std::ranges::is_sorted(order)) return found;
  // Exporters make one transposition of the heads' and the keys'.
  const int k = turned->outputs[0];
  if (Uses(graph).only_reader(k) < 0 || k_factor != 1) return std::nullopt;
  found.inputs[1] = k;
  found.before = graph.value(k).producer;
  found.prepared = {&kTranspose, Attributes::of(TransposeAttributes{std::move(order)})};
  return found;
}

constexpr Found (*kPatterns[])(const Pattern&, int) = {
    hardswish, hardsigmoid, silu, gelu, layer_norm, rms_norm, weighted_norm, biased_norm, attention,
};

/// Makes the node what was found, where shape and type stay as they are.
bool rewrite(Graph& graph, int n, const Rewrite& found) {
  const Graph::Node node = graph.node(n);
  const Graph::Value value = graph.value(node.outputs[0]);
  const auto becomes = [&](int changed, const Call& call, const std::vector<int>& inputs) {
    const auto inferred = infer_node(graph, graph.node(changed).name, call, inputs);
    Graph::Node& edited = graph.edit_node(changed);
    edited.call = call;
    edited.inputs = inputs;
    return inferred[0];
  };
  Graph::Node node_before;
  Graph::Value value_before;
  try {
    if (found.before >= 0) {
      node_before = graph.node(found.before);
      value_before = graph.value(node_before.outputs[0]);
      graph.edit_value(node_before.outputs[0]).shape =
          becomes(found.before, found.prepared, node_before.inputs).shape;
    }
    const auto now = becomes(n, found.call, found.inputs);
    if (now.shape == value.shape && now.dtype == value.dtype) return true;
  } catch (const Error&) {
    // Operands that the op does not take: it stays written out.
  }
  graph.edit_node(n) = node;
  if (!node_before.outputs.empty()) {
    graph.edit_value(node_before.outputs[0]) = value_before;
    graph.edit_node(found.before) = node_before;
  }
  return false;
}

}  // namespace

PassResult recognize(Graph graph) {
  PassReport report;
  for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
    const Pattern pattern(graph);
    for (const auto& find : kPatterns) {
      if (graph.node(n).outputs.size() != 1) break;
      const Found found = find(pattern, graph.node(n).outputs[0]);
      if (!found) continue;
      const std::string& name = graph.node(n).name;
      if (rewrite(graph, n, *found)) {
        report.done.push_back({name, fmt::format("is {}", found->what)});
        break;
      }
      report.left.push_back(
          {name, fmt::format("looks like {}, of other shapes or types", found->what)});
    }
  }
  graph.compact();
  graph.infer_shapes();
  graph.verify();
  return {std::move(graph), std::move(report)};
}

}  // namespace pare
