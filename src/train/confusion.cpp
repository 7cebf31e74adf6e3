// Confusion matrix, precision, recall, F1 and top-k.
#include "pare/train/confusion.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "core/check.h"
#include "pare/core/context.h"
#include "train/accumulator.h"

namespace pare::train {
namespace {

// Checks outputs [N, C] and labels [N] that name one of C classes.
void check_classes(const char* where, const Tensor& output, const Tensor& labels) {
  PARE_CHECK(output.defined() && labels.defined(), invalid_argument, where,
             "expected outputs and labels, got an undefined tensor");
  PARE_CHECK(output.dtype() == DType::f32 && labels.dtype() == DType::i64, dtype_mismatch, where,
             "expected outputs of f32 and labels of i64, got {} and {}", output.dtype(),
             labels.dtype());
  PARE_CHECK(output.rank() == 2 && labels.rank() == 1 && labels.dim(0) == output.dim(0),
             shape_mismatch, where, "expected outputs [N, C] and labels [N], got {} and {}",
             output.shape(), labels.shape());
  const std::int64_t* label = labels.data<std::int64_t>();
  for (std::int64_t i = 0; i < labels.elements(); ++i)
    PARE_CHECK(label[i] >= 0 && label[i] < output.dim(1), out_of_range, where,
               "expected labels from 0 to {}, got {}", output.dim(1) - 1, label[i]);
}

double share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

template <class See>
void for_each_output(nn::Module& module, data::Loader& data, const Forward& forward, See see) {
  ContextScope scope;
  scope->training = false;
  scope->observing = false;
  scope->grad = false;
  for (const data::Batch& batch : data) see(output_of(module, batch, forward), batch.y);
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(std::int64_t classes) : classes_(classes) {
  PARE_CHECK(classes >= 1 && classes <= 65536, invalid_argument, "ConfusionMatrix",
             "expected from 1 to 65536 classes, got {}", classes);
  counts_.resize(static_cast<std::size_t>(classes * classes));
}

void ConfusionMatrix::add(const Tensor& output, const Tensor& labels) {
  check_classes("ConfusionMatrix", output, labels);
  PARE_CHECK(output.dim(1) == classes_, shape_mismatch, "ConfusionMatrix",
             "expected outputs [N, {}], got {}", classes_, output.shape());
  const float* row = output.data<float>();
  const std::int64_t* label = labels.data<std::int64_t>();
  for (std::int64_t i = 0; i < output.dim(0); ++i, row += classes_)
    ++counts_[index(label[i], std::max_element(row, row + classes_) - row)];
}

std::int64_t ConfusionMatrix::samples() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0});
}

std::int64_t ConfusionMatrix::count(std::int64_t truth, std::int64_t predicted) const {
  PARE_CHECK(truth >= 0 && truth < classes_ && predicted >= 0 && predicted < classes_, out_of_range,
             "ConfusionMatrix", "expected classes from 0 to {}, got {} and {}", classes_ - 1, truth,
             predicted);
  return counts_[index(truth, predicted)];
}

Tensor ConfusionMatrix::counts() const { return Tensor::from(counts_, {classes_, classes_}); }

std::int64_t ConfusionMatrix::of_truth(std::int64_t k) const {
  std::int64_t sum = 0;
  for (std::int64_t j = 0; j < classes_; ++j) sum += counts_[index(k, j)];
  return sum;
}

std::int64_t ConfusionMatrix::of_prediction(std::int64_t k) const {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < classes_; ++i) sum += counts_[index(i, k)];
  return sum;
}

double ConfusionMatrix::accuracy() const {
  std::int64_t right = 0;
  for (std::int64_t k = 0; k < classes_; ++k) right += correct(k);
  const std::int64_t all = samples();
  return all > 0 ? share(right, all) : std::numeric_limits<double>::quiet_NaN();
}

std::vector<double> ConfusionMatrix::precision() const {
  std::vector<double> result;
  for (std::int64_t k = 0; k < classes_; ++k) result.push_back(share(correct(k), of_prediction(k)));
  return result;
}

std::vector<double> ConfusionMatrix::recall() const {
  std::vector<double> result;
  for (std::int64_t k = 0; k < classes_; ++k) result.push_back(share(correct(k), of_truth(k)));
  return result;
}

std::vector<double> ConfusionMatrix::f1() const {
  std::vector<double> result;
  for (std::int64_t k = 0; k < classes_; ++k)
    result.push_back(share(2 * correct(k), of_truth(k) + of_prediction(k)));
  return result;
}

double ConfusionMatrix::averaged(Average average, const std::vector<double>& scores) const {
  // With one label for each sample, every false positive is a false negative of another class.
  if (average == Average::micro) return accuracy();
  double sum = 0;
  double weights = 0;
  for (std::int64_t k = 0; k < classes_; ++k) {
    const std::int64_t truths = of_truth(k);
    const bool occurs = truths > 0 || of_prediction(k) > 0;
    const double weight =
        average == Average::weighted ? static_cast<double>(truths) : (occurs ? 1.0 : 0.0);
    sum += weight * scores[static_cast<std::size_t>(k)];
    weights += weight;
  }
  return weights > 0 ? sum / weights : std::numeric_limits<double>::quiet_NaN();
}

double ConfusionMatrix::precision(Average average) const { return averaged(average, precision()); }
double ConfusionMatrix::recall(Average average) const { return averaged(average, recall()); }
double ConfusionMatrix::f1(Average average) const { return averaged(average, f1()); }

std::int64_t count_top_k(const Tensor& output, const Tensor& labels, std::int64_t k) {
  PARE_CHECK(k >= 1, invalid_argument, "count_top_k", "expected k of at least 1, got {}", k);
  check_classes("count_top_k", output, labels);
  const std::int64_t width = output.dim(1);
  const float* row = output.data<float>();
  const std::int64_t* label = labels.data<std::int64_t>();
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < output.dim(0); ++i, row += width) {
    const float own = row[label[i]];
    if (std::isnan(own)) continue;
    std::int64_t before = 0;
    for (std::int64_t j = 0; j < width; ++j)
      if (row[j] > own || (row[j] == own && j < label[i])) ++before;
    if (before < k) ++found;
  }
  return found;
}

ConfusionMatrix confusion_matrix(nn::Module& module, data::Loader& data, const Forward& forward) {
  std::optional<ConfusionMatrix> matrix;
  for_each_output(module, data, forward, [&](const Tensor& output, const Tensor& labels) {
    if (!matrix) {
      check_classes("confusion_matrix", output, labels);
      matrix.emplace(output.dim(1));
    }
    matrix->add(output, labels);
  });
  PARE_CHECK(matrix.has_value(), invalid_argument, "confusion_matrix",
             "expected at least one batch, got none");
  return std::move(*matrix);
}

double top_k_accuracy(nn::Module& module, data::Loader& data, std::int64_t k) {
  return top_k_accuracy(module, data, TopKOptions{.k = k});
}

double top_k_accuracy(nn::Module& module, data::Loader& data, const TopKOptions& options) {
  std::int64_t found = 0;
  std::int64_t samples = 0;
  for_each_output(module, data, options.forward, [&](const Tensor& output, const Tensor& labels) {
    found += count_top_k(output, labels, options.k);
    samples += output.dim(0);
  });
  PARE_CHECK(samples > 0, invalid_argument, "top_k_accuracy",
             "expected at least one batch, got none");
  return share(found, samples);
}

}  // namespace pare::train
