// Losses: a scalar, or with the reduction "none" one value per element or sample.
#pragma once

#include <string>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kCrossEntropy, kNll, kKlDiv, kMse, kSmoothL1, kHingeEmbedding, kBce,
    kBceWithLogits;

/// `reduction` of every loss is "none", "mean" or "sum".
struct LossAttributes {
  std::string reduction = "mean";
  void fields(AttributeVisitor& visit) { visit("reduction", reduction); }
};
/// And "batchmean": the sum divided by N.
struct KlDivAttributes {
  std::string reduction = "batchmean";
  bool log_target = false;  ///< the targets are log-probabilities, too
  void fields(AttributeVisitor& visit) {
    visit("reduction", reduction);
    visit("log_target", log_target);
  }
};
struct CrossEntropyAttributes {
  double label_smoothing = 0;        ///< this share of each target goes to all classes evenly
  std::int64_t ignore_index = -100;  ///< samples of this label count as nothing
  std::string reduction = "mean";
  void fields(AttributeVisitor& visit) {
    visit("label_smoothing", label_smoothing);
    visit("ignore_index", ignore_index);
    visit("reduction", reduction);
  }
};
struct NllAttributes {
  std::int64_t ignore_index = -100;
  std::string reduction = "mean";
  void fields(AttributeVisitor& visit) {
    visit("ignore_index", ignore_index);
    visit("reduction", reduction);
  }
};
struct SmoothL1Attributes {
  double beta = 1;
  std::string reduction = "mean";
  void fields(AttributeVisitor& visit) {
    visit("beta", beta);
    visit("reduction", reduction);
  }
};
struct HingeEmbeddingAttributes {
  double margin = 1;
  std::string reduction = "mean";
  void fields(AttributeVisitor& visit) {
    visit("margin", margin);
    visit("reduction", reduction);
  }
};

/// Weights are left out where undefined; no gradient flows into them.
struct CrossEntropyOptions {
  Tensor weight = {};  ///< [C]; the mean is then over the weights of the samples' labels
  std::int64_t ignore_index = -100;
  double label_smoothing = 0;
  std::string reduction = "mean";
};
struct NllOptions {
  Tensor weight = {};  ///< [C]
  std::int64_t ignore_index = -100;
  std::string reduction = "mean";
};
struct BceOptions {
  Tensor weight = {};  ///< of each element, broadcast
  std::string reduction = "mean";
};
struct BceWithLogitsOptions {
  Tensor weight = {};      ///< of each element, broadcast
  Tensor pos_weight = {};  ///< of the positive share of each target, broadcast: above 1 for recall
  std::string reduction = "mean";
};
struct HuberOptions {
  double delta = 1;
  std::string reduction = "mean";
};
struct MarginOptions {
  double margin = 0;
  std::string reduction = "mean";
};
struct TripletMarginOptions {
  double margin = 1;
  double p = 2;       ///< of the norm that is the distance
  double eps = 1e-6;  ///< added to every difference
  bool swap = false;  ///< the negative's distance from the positive where that is nearer
  std::string reduction = "mean";
};

/// −log softmax(logits)[label], averaged over N. logits [N, C, …], labels i64 [N, …].
/// Throws out_of_range naming the first label outside [0, C).
/// Targets of a floating type and the logits' shape are probabilities of all classes: the loss is
/// −Σ target·log softmax(logits), a mean that over N (whatever the weights), and there is no
/// ignored label. A gradient flows into them.
PARE_API Tensor cross_entropy(const Tensor& logits, const Tensor& labels);
PARE_API Tensor cross_entropy(const Tensor& logits, const Tensor& labels,
                              const CrossEntropyOptions& options);
/// The same of log-probabilities: −log_input[label].
PARE_API Tensor nll(const Tensor& log_input, const Tensor& labels);
PARE_API Tensor nll(const Tensor& log_input, const Tensor& labels, const NllOptions& options);
/// Σ target·(log target − log_input) / N (PyTorch's kl_div with batchmean): both [N, …], `target`
/// holds probabilities, `log_input` log-probabilities.
PARE_API Tensor kl_div(const Tensor& log_input, const Tensor& target);
PARE_API Tensor kl_div(const Tensor& log_input, const Tensor& target,
                       const KlDivAttributes& options);

/// The losses from here to bce_with_logits take two tensors of one shape and floating type.
/// (input − target)²
PARE_API Tensor mse(const Tensor& input, const Tensor& target);
PARE_API Tensor mse(const Tensor& input, const Tensor& target, const LossAttributes& options);
/// |input − target|
PARE_API Tensor l1(const Tensor& input, const Tensor& target);
PARE_API Tensor l1(const Tensor& input, const Tensor& target, const LossAttributes& options);
/// d² / 2β where |d| < β, |d| − β/2 elsewhere. Throws invalid_argument for β < 0.
PARE_API Tensor smooth_l1(const Tensor& input, const Tensor& target);
PARE_API Tensor smooth_l1(const Tensor& input, const Tensor& target,
                          const SmoothL1Attributes& options);
/// d² / 2 where |d| ≤ δ, δ·(|d| − δ/2) elsewhere. Throws invalid_argument for δ ≤ 0.
PARE_API Tensor huber(const Tensor& input, const Tensor& target);
PARE_API Tensor huber(const Tensor& input, const Tensor& target, const HuberOptions& options);
/// input where target is 1, max(0, margin − input) where it is −1. No gradient of the target.
PARE_API Tensor hinge_embedding(const Tensor& input, const Tensor& target);
PARE_API Tensor hinge_embedding(const Tensor& input, const Tensor& target,
                                const HingeEmbeddingAttributes& options);
/// −t·log p − (1 − t)·log(1 − p), the logarithms no less than −100. Throws out_of_range for an
/// input outside [0, 1].
PARE_API Tensor bce(const Tensor& input, const Tensor& target);
PARE_API Tensor bce(const Tensor& input, const Tensor& target, const BceOptions& options);
/// bce of sigmoid(logits), without its loss of digits.
PARE_API Tensor bce_with_logits(const Tensor& logits, const Tensor& target);
PARE_API Tensor bce_with_logits(const Tensor& logits, const Tensor& target,
                                const BceWithLogitsOptions& options);

/// 1 − cos(a, b) where target is 1, max(0, cos(a, b) − margin) where it is −1. a and b [N, D] or
/// [D], target [N] or [].
PARE_API Tensor cosine_embedding(const Tensor& a, const Tensor& b, const Tensor& target,
                                 const MarginOptions& options = {});
/// max(0, −target·(a − b) + margin), broadcast: `a` is to rank above `b` where target is 1.
PARE_API Tensor margin_ranking(const Tensor& a, const Tensor& b, const Tensor& target,
                               const MarginOptions& options = {});
/// max(0, |anchor − positive| − |anchor − negative| + margin), over the last axis.
PARE_API Tensor triplet_margin(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                               const TripletMarginOptions& options = {});

}  // namespace pare
