// What cross_entropy and nll share: labels of classes, one of them ignored, and weights of classes.
#pragma once

#include <vector>

#include "core/ops/loss_terms.h"

namespace pare {

/// The labels [N] of a batch, each in [0, classes) or ignored (read as 0).
class ClassLabels {
 public:
  /// Throws out_of_range naming the first label that is neither.
  ClassLabels(const char* where, const Tensor& labels, std::int64_t class_count,
              std::int64_t ignore_index);
  ClassLabels(const ClassLabels&) = delete;
  ClassLabels& operator=(const ClassLabels&) = delete;
  std::int64_t of(std::int64_t i) const { return data_[i]; }
  bool ignored(std::int64_t i) const {
    return !ignored_.empty() && ignored_[static_cast<std::size_t>(i)] != 0;
  }
  const std::int64_t* data() const { return data_; }

  const std::int64_t count;
  const std::int64_t classes;

 private:
  Tensor labels_;  // keeps data_ alive
  std::vector<std::int64_t> replaced_;
  std::vector<char> ignored_;  // empty: none
  const std::int64_t* data_;
};

/// Scores [N, C] (called `what` in messages), labels i64 [N], perhaps weights [C]; states the loss.
void infer_labelled(InferArgs& args, const char* what, LossReduction reduction);

/// Applies a call on scores [N, C] and labels [N] to [N, C, …] and [N, …], or [C] and [].
Tensor apply_to_classes(const Call& call, const Tensor& scores, const Tensor& labels,
                        const Tensor& weight);

/// The weights of the classes, null where all are 1.
template <class T> const T* weight_of(std::span<const Tensor> inputs) {
  return inputs.size() > 2 && inputs[2].defined() ? inputs[2].data<T>() : nullptr;
}

/// The sum of the weights of all labels that are not ignored.
template <class T> double weight_of_labels(const ClassLabels& labels, const T* weight) {
  double sum = 0;
  for (std::int64_t i = 0; i < labels.count; ++i)
    if (!labels.ignored(i)) sum += weight ? static_cast<double>(weight[labels.of(i)]) : 1.0;
  return sum;
}

/// The losses of all samples (weighed already) as the reduction wants them.
template <class T>
void give_losses(LossReduction reduction, const ClassLabels& labels, const T* weight,
                 const std::vector<double>& losses, Tensor& out) {
  T* y = out.mutable_data<T>();
  if (reduction == LossReduction::none) {
    for (std::size_t i = 0; i < losses.size(); ++i) y[i] = static_cast<T>(losses[i]);
    return;
  }
  double sum = 0;
  for (const double l : losses) sum += l;
  if (reduction == LossReduction::mean) sum /= weight_of_labels(labels, weight);
  *y = static_cast<T>(sum);
}

/// The gradient of each sample's (weighed) loss.
template <class T>
std::vector<double> row_factors(LossReduction reduction, const ClassLabels& labels, const T* weight,
                                const Tensor& gradient) {
  const auto count = static_cast<std::size_t>(labels.count);
  if (reduction == LossReduction::none) {
    std::vector<double> factors(count);
    const Tensor each = in_dtype(gradient, DType::f64);
    std::copy_n(each.data<double>(), count, factors.begin());
    return factors;
  }
  const double divisor = reduction == LossReduction::mean ? weight_of_labels(labels, weight) : 1.0;
  return std::vector<double>(count, gradient.item() / divisor);
}

}  // namespace pare
