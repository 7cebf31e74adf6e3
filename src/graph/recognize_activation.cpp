// recognize: activations that exporters wrote out, and softmax.
#include <cmath>
#include <numbers>

#include "graph/rewrites.h"
#include "pare/core/ops.h"

namespace pare {

/// x · sigmoid(x)
Found find_silu(const Pattern& p, int y) {
  int x = -1;
  p.either_order(y, kMul, [&](int a, int b) {
    if (b < 0 || p.operand(b, kSigmoid) != a) return false;
    x = a;
    return true;
  });
  if (x < 0) return std::nullopt;
  return Rewrite{{&kSilu, {}}, {x}, "silu"};
}

namespace {

/// clamp(x + 3, 0, 6), of which hardsigmoid is a sixth; gives x.
int shifted_relu6(const Pattern& p, int y) {
  int inner = p.operand(y, kRelu6);
  if (const Graph::Node* clamp = p.made_by(y, kClamp); clamp && clamp->inputs.size() == 1) {
    const auto& attr = clamp->call.attributes.as<ClampAttributes>();
    if (attr.min == 0 && attr.max == 6) inner = clamp->inputs[0];
  }
  return inner < 0 ? -1 : p.with_constant(inner, kAdd, 3);
}

}  // namespace

/// clamp(x + 3, 0, 6) / 6
Found find_hardsigmoid(const Pattern& p, int y) {
  int inner = p.with_constant(y, kDiv, 6);
  if (inner < 0) inner = p.with_constant(y, kMul, 1.0 / 6);
  const int x = inner < 0 ? -1 : shifted_relu6(p, inner);
  if (x < 0) return std::nullopt;
  return Rewrite{{&kHardsigmoid, {}}, {x}, "hardsigmoid"};
}

/// x · hardsigmoid(x), also with the sixth at another place.
Found find_hardswish(const Pattern& p, int y) {
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

namespace {

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

}  // namespace

/// 0.5 · x · (1 + …), whichever two factors were multiplied first.
Found find_gelu(const Pattern& p, int y) {
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

namespace {

/// The only axis of a reduction that keeps it, as exp and sum of a softmax have it.
std::optional<std::int64_t> kept_axis(const Pattern& p, int value, const OpDef& op) {
  const Graph::Node* node = p.made_by(value, op);
  if (!node || node->inputs.size() != 1) return std::nullopt;
  const auto& attr = node->call.attributes.as<ReduceAttributes>();
  if (!attr.keepdim || attr.axes.size() != 1) return std::nullopt;
  const std::int64_t axis = attr.axes[0];
  return axis < 0 ? axis + p.graph().value(value).shape.rank() : axis;
}

/// The x of x − max(x) along that axis; x itself where nothing is subtracted.
int shifted_by_largest(const Pattern& p, int value, std::int64_t axis) {
  const Graph::Node* difference = p.made_by(value, kSub);
  if (!difference) return value;
  const int largest = difference->inputs[1];
  const bool fits =
      p.operand(largest, kMax) == difference->inputs[0] && kept_axis(p, largest, kMax) == axis;
  return fits ? difference->inputs[0] : value;
}

}  // namespace

/// exp(x) / Σ exp(x), also of x less its largest
Found find_softmax(const Pattern& p, int y) {
  const Graph::Node* quotient = p.made_by(y, kDiv);
  if (!quotient) return std::nullopt;
  const int exponential = quotient->inputs[0];
  const int sum = quotient->inputs[1];
  const auto axis = kept_axis(p, sum, kSum);
  if (!axis || p.operand(sum, kSum) != exponential) return std::nullopt;
  const int inside = p.operand(exponential, kExp);
  if (inside < 0) return std::nullopt;
  return Rewrite{{&kSoftmax, Attributes::of(SoftmaxAttributes{*axis})},
                 {shifted_by_largest(p, inside, *axis)},
                 "softmax"};
}

/// log(softmax(x)), and x − logsumexp(x)
Found find_log_softmax(const Pattern& p, int y) {
  if (const Graph::Node* softmax = p.made_by(p.operand(y, kLog), kSoftmax))
    return Rewrite{{&kLogSoftmax, softmax->call.attributes}, {softmax->inputs[0]}, "log_softmax"};
  const Graph::Node* difference = p.made_by(y, kSub);
  if (!difference) return std::nullopt;
  const int total = difference->inputs[1];
  const auto axis = kept_axis(p, total, kLogSumExp);
  if (!axis || p.operand(total, kLogSumExp) != difference->inputs[0]) return std::nullopt;
  return Rewrite{{&kLogSoftmax, Attributes::of(SoftmaxAttributes{*axis})},
                 {difference->inputs[0]},
                 "log_softmax"};
}

}  // namespace pare
