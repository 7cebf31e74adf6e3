// recognize: normalizations that exporters wrote out, their weights and biases.
#include "graph/rewrites.h"
#include "pare/core/ops.h"

namespace pare {

namespace {

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

/// The channels of an instance norm's result, where `leaf` has one element for each: [C], seen from
/// [C, 1, …] or [1, C, 1, …].
bool spans_channels(const Graph& graph, int leaf, int x) {
  if (leaf < 0 || !graph.value(leaf).is_leaf()) return false;
  const Shape& w = graph.value(leaf).shape;
  const Shape& shape = graph.value(x).shape;
  const int spatial = shape.rank() - 2;
  if (w.rank() < spatial + 1 || w.rank() > shape.rank()) return false;
  for (int a = 0; a < w.rank(); ++a)
    if (a != w.rank() - 1 - spatial && (w.symbolic(a) || w[a] != 1)) return false;
  return w.same_axis(w.rank() - 1 - spatial, shape, 1);
}

/// What follows a norm of `count` inputs: a weight or bias, one input more.
Found with_operand(const Pattern& p, int norm, int operand, std::size_t count, const char* what) {
  const Graph& graph = p.graph();
  if (norm < 0 || operand < 0 || graph.value(norm).producer < 0) return std::nullopt;
  const Graph::Node& node = graph.node(graph.value(norm).producer);
  if (node.inputs.size() != count) return std::nullopt;
  Rewrite found{node.call, node.inputs, what};
  found.inputs.push_back(operand);
  const OpDef* op = node.call.op;
  if (op == &kInstanceNorm) {
    if (!spans_channels(graph, operand, node.inputs[0])) return std::nullopt;
    if (graph.value(operand).shape.rank() > 1)
      found.prepared = {
          {found.inputs.size() - 1, {&kReshape, Attributes::of(ReshapeAttributes{{-1}})}}};
    return found;
  }
  if (op != &kLayerNorm && (op != &kRmsNorm || count > 1)) return std::nullopt;
  const std::int64_t axis = op == &kLayerNorm ? node.call.attributes.as<LayerNormAttributes>().axis
                                              : node.call.attributes.as<RmsNormAttributes>().axis;
  if (axis >= 0 || !spans_axes(graph, operand, node.inputs[0], axis)) return std::nullopt;
  return found;
}

/// The same for a product or sum y of the norm and the operand.
Found behind_norm(const Pattern& p, int y, const OpDef& op, std::size_t count, const char* what) {
  Found found;
  p.either_order(y, op, [&](int a, int b) {
    found = with_operand(p, a, b, count, what);
    return found.has_value();
  });
  return found;
}

}  // namespace

/// (x − mean) / √(mean((x − mean)²) + epsilon), without weight and bias: those are added after.
Found find_layer_norm(const Pattern& p, int y) {
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
Found find_rms_norm(const Pattern& p, int y) {
  const auto parts = normalized(p, y);
  if (!parts) return std::nullopt;
  const auto axis = p.last_axes(parts->mean, kMean);
  if (!axis || square_of(p, p.operand(parts->mean, kMean)) != parts->numerator) return std::nullopt;
  return Rewrite{{&kRmsNorm, Attributes::of(RmsNormAttributes{*axis, parts->epsilon})},
                 {parts->numerator},
                 "rms_norm"};
}

/// A layer norm over all pixels of each channel.
Found find_instance_norm(const Pattern& p, int y) {
  const Graph::Node* norm = p.made_by(y, kLayerNorm);
  if (!norm || norm->inputs.size() != 1) return std::nullopt;
  const auto& attr = norm->call.attributes.as<LayerNormAttributes>();
  const int rank = p.graph().value(y).shape.rank();
  // Of three axes the last alone is a layer norm's more often.
  if (rank < 4 || attr.axis != 2 - rank) return std::nullopt;
  return Rewrite{{&kInstanceNorm, Attributes::of(InstanceNormAttributes{.epsilon = attr.epsilon})},
                 norm->inputs,
                 "instance_norm"};
}

/// A norm without weight, times a leaf of what it normalizes.
Found find_norm_weight(const Pattern& p, int y) {
  return behind_norm(p, y, kMul, 1, "the weight of a norm");
}

/// A norm with weight, plus such a leaf.
Found find_norm_bias(const Pattern& p, int y) {
  return behind_norm(p, y, kAdd, 2, "the bias of a norm");
}

}  // namespace pare
