// cosine_embedding, margin_ranking and triplet_margin: functions of other ops.
#include <string>

#include "core/ops/loss_terms.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/loss.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

Tensor reduced(const Tensor& loss, LossReduction reduction) {
  if (reduction == LossReduction::none) return loss;
  return reduction == LossReduction::sum ? sum(loss) : mean(loss);
}

/// Targets of integers, as loaders give them, in the type of `like`.
Tensor as_signs(const Tensor& target, const Tensor& like) { return cast(target, like.dtype()); }

void check_defined(const char* where, const Tensor& a, const Tensor& b, const Tensor& c) {
  PARE_CHECK(a.defined() && b.defined() && c.defined(), invalid_argument, where,
             "expected three tensors, got an undefined one");
}

}  // namespace

Tensor cosine_embedding(const Tensor& a, const Tensor& b, const Tensor& target,
                        const MarginOptions& options) {
  const LossReduction reduction = loss_reduction(options.reduction, "cosine_embedding");
  check_defined("cosine_embedding", a, b, target);
  PARE_CHECK(
      a.shape() == b.shape() && (a.rank() == 1 || a.rank() == 2) && target.rank() == a.rank() - 1,
      shape_mismatch, "cosine_embedding",
      "expected inputs [N, D] and a target [N], or [D] and [], got {}, {} and {}", a.shape(),
      b.shape(), target.shape());
  constexpr double kEpsilon = 1e-12;
  const Tensor lengths = (sum(a * a, {-1}) + kEpsilon) * (sum(b * b, {-1}) + kEpsilon);
  const Tensor cosine = sum(a * b, {-1}) / sqrt(lengths);
  const Tensor alike = (as_signs(target, a) + 1.0) * 0.5;
  const Tensor near = alike * (-cosine + 1.0);
  const Tensor far = (-alike + 1.0) * relu(cosine - options.margin);
  return reduced(near + far, reduction);
}

Tensor margin_ranking(const Tensor& a, const Tensor& b, const Tensor& target,
                      const MarginOptions& options) {
  const LossReduction reduction = loss_reduction(options.reduction, "margin_ranking");
  check_defined("margin_ranking", a, b, target);
  return reduced(relu(as_signs(target, a) * (b - a) + options.margin), reduction);
}

Tensor triplet_margin(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                      const TripletMarginOptions& options) {
  const LossReduction reduction = loss_reduction(options.reduction, "triplet_margin");
  check_defined("triplet_margin", anchor, positive, negative);
  PARE_CHECK(options.margin > 0, invalid_argument, "triplet_margin", "expected margin > 0, got {}",
             options.margin);
  const auto distance = [&](const Tensor& x, const Tensor& y) {
    return norm(x - y + options.eps, {.axes = {-1}, .p = options.p});
  };
  const Tensor near = distance(anchor, positive);
  Tensor far = distance(anchor, negative);
  if (options.swap) far = -maximum(-far, -distance(positive, negative));
  return reduced(relu(near - far + options.margin), reduction);
}

}  // namespace pare
