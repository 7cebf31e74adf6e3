// Metrics of classification beyond accuracy: confusion matrix, precision, recall, F1, top-k.
#pragma once

#include <cstdint>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/data/loader.h"
#include "pare/nn/module.h"
#include "pare/train/forward.h"

namespace pare::train {

/// How the classes' scores become one.
enum class Average : std::uint8_t {
  macro,     ///< their mean, over the classes that occur as truth or as prediction
  micro,     ///< of the sums over all classes; with one label for each sample, the accuracy
  weighted,  ///< their mean, weighted by how often a class is the truth
};

/// Counts of samples by true and by predicted class; scores as scikit-learn's, 0 where they would
/// divide by 0.
class PARE_API ConfusionMatrix {
 public:
  /// Throws invalid_argument for less than one class.
  explicit ConfusionMatrix(std::int64_t classes);

  /// Counts a batch: outputs [N, C], f32, whose largest is the prediction (of equal ones the
  /// first), and labels [N], i64. Throws shape_mismatch, dtype_mismatch, and out_of_range for a
  /// label that is no class; then nothing is counted.
  void add(const Tensor& output, const Tensor& labels);

  std::int64_t classes() const { return classes_; }
  std::int64_t samples() const;
  /// Throws out_of_range.
  std::int64_t count(std::int64_t truth, std::int64_t predicted) const;
  /// i64 [truth, predicted].
  Tensor counts() const;
  /// NaN where there are no samples.
  double accuracy() const;
  /// By class: of the predictions of it, the share that is right.
  std::vector<double> precision() const;
  /// By class: of its samples, the share that is found.
  std::vector<double> recall() const;
  /// By class: the harmonic mean of both.
  std::vector<double> f1() const;
  double precision(Average average) const;
  double recall(Average average) const;
  double f1(Average average) const;

 private:
  std::int64_t correct(std::int64_t k) const { return counts_[index(k, k)]; }
  std::int64_t of_truth(std::int64_t k) const;
  std::int64_t of_prediction(std::int64_t k) const;
  std::size_t index(std::int64_t truth, std::int64_t predicted) const {
    return static_cast<std::size_t>(truth * classes_ + predicted);
  }
  double averaged(Average average, const std::vector<double>& scores) const;

  std::int64_t classes_;
  std::vector<std::int64_t> counts_;
};

/// Number of samples whose class is among their `k` largest outputs [N, C], f32, of labels [N],
/// i64; of equal outputs the first counts as larger. Throws shape_mismatch, dtype_mismatch,
/// out_of_range for a label that is no class, invalid_argument for k below 1.
PARE_API std::int64_t count_top_k(const Tensor& output, const Tensor& labels, std::int64_t k);

/// Of a data set, without training, observing or gradients. Throws as ConfusionMatrix::add, and
/// invalid_argument for a loader without a batch.
PARE_API ConfusionMatrix confusion_matrix(nn::Module& module, data::Loader& data,
                                          const Forward& forward = {});
/// The share of a data set's samples whose class is among their `k` largest outputs. Throws as
/// count_top_k, and invalid_argument for a loader without a batch.
PARE_API double top_k_accuracy(nn::Module& module, data::Loader& data, std::int64_t k);

struct TopKOptions {
  std::int64_t k = 1;
  Forward forward = {};  ///< empty: module(batch.x)
};
PARE_API double top_k_accuracy(nn::Module& module, data::Loader& data, const TopKOptions& options);

}  // namespace pare::train
