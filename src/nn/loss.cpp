// Losses as modules.
#include "pare/nn/loss.h"

#include "core/check.h"

namespace pare::nn {

Tensors Criterion::run(const Tensors& inputs) {
  PARE_CHECK(inputs.size() == 2, invalid_argument, kind(), "expected an input and a target, got {}",
             inputs.size());
  return {loss(inputs[0], inputs[1])};
}
Tensors TripleCriterion::run(const Tensors& inputs) {
  PARE_CHECK(inputs.size() == 3, invalid_argument, kind(), "expected three tensors, got {}",
             inputs.size());
  return {loss(inputs[0], inputs[1], inputs[2])};
}

L1Loss::L1Loss(LossAttributes options) : options_(std::move(options)) {}
Tensor L1Loss::loss(const Tensor& input, const Tensor& target) {
  return l1(input, target, options_);
}
std::string L1Loss::kind() const { return "L1Loss"; }

MSELoss::MSELoss(LossAttributes options) : options_(std::move(options)) {}
Tensor MSELoss::loss(const Tensor& input, const Tensor& target) {
  return mse(input, target, options_);
}
std::string MSELoss::kind() const { return "MSELoss"; }

SmoothL1Loss::SmoothL1Loss(SmoothL1Attributes options) : options_(std::move(options)) {}
Tensor SmoothL1Loss::loss(const Tensor& input, const Tensor& target) {
  return smooth_l1(input, target, options_);
}
std::string SmoothL1Loss::kind() const { return "SmoothL1Loss"; }

HuberLoss::HuberLoss(HuberOptions options) : options_(std::move(options)) {}
Tensor HuberLoss::loss(const Tensor& input, const Tensor& target) {
  return huber(input, target, options_);
}
std::string HuberLoss::kind() const { return "HuberLoss"; }

KLDivLoss::KLDivLoss(KlDivAttributes options) : options_(std::move(options)) {}
Tensor KLDivLoss::loss(const Tensor& input, const Tensor& target) {
  return kl_div(input, target, options_);
}
std::string KLDivLoss::kind() const { return "KLDivLoss"; }

HingeEmbeddingLoss::HingeEmbeddingLoss(HingeEmbeddingAttributes options)
    : options_(std::move(options)) {}
Tensor HingeEmbeddingLoss::loss(const Tensor& input, const Tensor& target) {
  return hinge_embedding(input, target, options_);
}
std::string HingeEmbeddingLoss::kind() const { return "HingeEmbeddingLoss"; }

NLLLoss::NLLLoss(NllOptions options) : weight(options.weight), options_(std::move(options)) {}
void NLLLoss::members(Members& m) { m("weight", weight); }
Tensor NLLLoss::loss(const Tensor& input, const Tensor& target) {
  NllOptions options = options_;
  options.weight = weight.value();
  return nll(input, target, options);
}
std::string NLLLoss::kind() const { return "NLLLoss"; }

CrossEntropyLoss::CrossEntropyLoss(CrossEntropyOptions options)
    : weight(options.weight), options_(std::move(options)) {}
void CrossEntropyLoss::members(Members& m) { m("weight", weight); }
Tensor CrossEntropyLoss::loss(const Tensor& input, const Tensor& target) {
  CrossEntropyOptions options = options_;
  options.weight = weight.value();
  return cross_entropy(input, target, options);
}
std::string CrossEntropyLoss::kind() const { return "CrossEntropyLoss"; }

BCELoss::BCELoss(BceOptions options) : weight(options.weight), options_(std::move(options)) {}
void BCELoss::members(Members& m) { m("weight", weight); }
Tensor BCELoss::loss(const Tensor& input, const Tensor& target) {
  BceOptions options = options_;
  options.weight = weight.value();
  return bce(input, target, options);
}
std::string BCELoss::kind() const { return "BCELoss"; }

BCEWithLogitsLoss::BCEWithLogitsLoss(BceWithLogitsOptions options)
    : weight(options.weight), pos_weight(options.pos_weight), options_(std::move(options)) {}
void BCEWithLogitsLoss::members(Members& m) { m("weight", weight)("pos_weight", pos_weight); }
Tensor BCEWithLogitsLoss::loss(const Tensor& input, const Tensor& target) {
  BceWithLogitsOptions options = options_;
  options.weight = weight.value();
  options.pos_weight = pos_weight.value();
  return bce_with_logits(input, target, options);
}
std::string BCEWithLogitsLoss::kind() const { return "BCEWithLogitsLoss"; }

CosineEmbeddingLoss::CosineEmbeddingLoss(MarginOptions options) : options_(std::move(options)) {}
Tensor CosineEmbeddingLoss::loss(const Tensor& a, const Tensor& b, const Tensor& target) {
  return cosine_embedding(a, b, target, options_);
}
std::string CosineEmbeddingLoss::kind() const { return "CosineEmbeddingLoss"; }

MarginRankingLoss::MarginRankingLoss(MarginOptions options) : options_(std::move(options)) {}
Tensor MarginRankingLoss::loss(const Tensor& a, const Tensor& b, const Tensor& target) {
  return margin_ranking(a, b, target, options_);
}
std::string MarginRankingLoss::kind() const { return "MarginRankingLoss"; }

TripletMarginLoss::TripletMarginLoss(TripletMarginOptions options) : options_(std::move(options)) {}
Tensor TripletMarginLoss::loss(const Tensor& anchor, const Tensor& positive,
                               const Tensor& negative) {
  return triplet_margin(anchor, positive, negative, options_);
}
std::string TripletMarginLoss::kind() const { return "TripletMarginLoss"; }

}  // namespace pare::nn
