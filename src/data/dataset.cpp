// Dataset and TensorDataset.
#include "pare/data/dataset.h"

#include "core/check.h"
#include "data/rows.h"

namespace pare::data {

Dataset::~Dataset() = default;

TensorDataset::TensorDataset(const Tensor& inputs, const Tensor& labels) {
  PARE_CHECK(inputs.defined() && inputs.rank() > 0, shape_mismatch, "data::TensorDataset",
             "expected inputs [N, …], got none");
  check_whole_bytes(inputs, "data::TensorDataset", "inputs");
  if (labels.defined()) {
    PARE_CHECK(labels.rank() > 0 && labels.dim(0) == inputs.dim(0), shape_mismatch,
               "data::TensorDataset", "expected as many labels as inputs, got {} and {}",
               labels.shape(), inputs.shape());
  }
  check_whole_bytes(labels, "data::TensorDataset", "labels");
  inputs_ = row_major(inputs);
  labels_ = row_major(labels);
}

Example TensorDataset::get(std::int64_t index) const {
  PARE_CHECK(index >= 0 && index < size(), out_of_range, "data::TensorDataset",
             "expected an example of 0 … {}, got {}", size() - 1, index);
  Example example{row(inputs_, index), {}};
  if (labels_->defined()) example.label = row(labels_, index);
  return example;
}

TensorDataset TensorDataset::part(std::int64_t begin, std::int64_t end) const {
  PARE_CHECK(begin >= 0 && begin <= end && end <= size(), out_of_range, "data::TensorDataset::part",
             "expected 0 <= begin <= end <= {}, got {} and {}", size(), begin, end);
  return TensorDataset(rows(inputs_, begin, end),
                       labels_->defined() ? rows(labels_, begin, end) : Tensor());
}

TensorDataset TensorDataset::take(std::span<const std::int64_t> indices) const {
  for (const std::int64_t index : indices) {
    PARE_CHECK(index >= 0 && index < size(), out_of_range, "data::TensorDataset::take",
               "expected an example of 0 … {}, got {}", size() - 1, index);
  }
  return TensorDataset(take_rows(*inputs_, indices),
                       labels_->defined() ? take_rows(*labels_, indices) : Tensor());
}

}  // namespace pare::data
