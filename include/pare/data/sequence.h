// SequenceDataset: examples of different lengths, such as time series and lines of text.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/data/batch.h"
#include "pare/data/dataset.h"

namespace pare::data {

/// Sequences [T_n, …] of different lengths, one behind the other in one tensor. A Loader needs
/// LoaderOptions::pad to make batches of them, and gives their lengths. Copies share the elements.
class PARE_API SequenceDataset : public Dataset {
 public:
  /// steps [sum of the lengths, …] and labels [N, …] or undefined. Throws shape_mismatch where they
  /// do not fit the lengths, invalid_argument for a negative length.
  SequenceDataset(const Tensor& steps, std::vector<std::int64_t> lengths,
                  const Tensor& labels = {});

  std::int64_t size() const override { return static_cast<std::int64_t>(begins_->size()) - 1; }
  /// A view of the elements, [T_n, …]. Throws out_of_range.
  Example get(std::int64_t index) const override;

  std::int64_t length(std::int64_t index) const;
  std::int64_t longest() const;
  /// Undefined where there are none.
  const Tensor& labels() const { return *labels_; }
  /// A copy of the examples of these numbers, in this order. Throws out_of_range.
  SequenceDataset take(std::span<const std::int64_t> indices) const;
  /// All examples as one batch: x [N, T, …], y, and the lengths i64 [N]. Throws as collate.
  Batch padded(const Pad& pad = {}) const;

 private:
  std::shared_ptr<Tensor> steps_, labels_;
  std::shared_ptr<const std::vector<std::int64_t>> begins_;  // one more than examples
};

}  // namespace pare::data
