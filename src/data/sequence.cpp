// SequenceDataset.
#include "pare/data/sequence.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "data/rows.h"

namespace pare::data {
namespace {

constexpr const char* kPlace = "data::SequenceDataset";

}  // namespace

SequenceDataset::SequenceDataset(const Tensor& steps, std::vector<std::int64_t> lengths,
                                 const Tensor& labels) {
  PARE_CHECK(steps.defined() && steps.rank() > 0, shape_mismatch, kPlace,
             "expected steps [sum of the lengths, …], got {}", describe(steps));
  check_whole_bytes(steps, kPlace, "steps");
  check_whole_bytes(labels, kPlace, "labels");
  std::int64_t total = 0;
  std::vector<std::int64_t> begins{0};
  begins.reserve(lengths.size() + 1);
  for (const std::int64_t length : lengths) {
    PARE_CHECK(length >= 0, invalid_argument, kPlace, "expected lengths of at least 0, got {}",
               length);
    PARE_CHECK(length <= steps.dim(0) - total, shape_mismatch, kPlace,
               "expected lengths that sum to {}, the steps' first axis, got more", steps.dim(0));
    begins.push_back(total += length);
  }
  PARE_CHECK(total == steps.dim(0), shape_mismatch, kPlace,
             "expected lengths that sum to {}, the steps' first axis, got {}", steps.dim(0), total);
  const auto count = static_cast<std::int64_t>(lengths.size());
  PARE_CHECK(!labels.defined() || (labels.rank() > 0 && labels.dim(0) == count), shape_mismatch,
             kPlace, "expected {} labels, one per length, got {}", count, describe(labels));
  steps_ = row_major(steps);
  labels_ = row_major(labels);
  begins_ = std::make_shared<const std::vector<std::int64_t>>(std::move(begins));
}

std::int64_t SequenceDataset::length(std::int64_t index) const {
  PARE_CHECK(index >= 0 && index < size(), out_of_range, kPlace,
             "expected an example of 0 … {}, got {}", size() - 1, index);
  const auto i = static_cast<std::size_t>(index);
  return (*begins_)[i + 1] - (*begins_)[i];
}

std::int64_t SequenceDataset::longest() const {
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < size(); ++i) longest = std::max(longest, length(i));
  return longest;
}

Example SequenceDataset::get(std::int64_t index) const {
  const std::int64_t count = length(index);
  const std::int64_t begin = (*begins_)[static_cast<std::size_t>(index)];
  Example example{rows(steps_, begin, begin + count), {}};
  if (labels_->defined()) example.label = row(labels_, index);
  return example;
}

SequenceDataset SequenceDataset::take(std::span<const std::int64_t> indices) const {
  std::vector<std::int64_t> lengths, steps;
  for (const std::int64_t index : indices) {
    lengths.push_back(length(index));
    const std::int64_t begin = (*begins_)[static_cast<std::size_t>(index)];
    for (std::int64_t s = 0; s < lengths.back(); ++s) steps.push_back(begin + s);
  }
  return SequenceDataset(take_rows(*steps_, steps), std::move(lengths),
                         labels_->defined() ? take_rows(*labels_, indices) : Tensor());
}

Batch SequenceDataset::padded(const Pad& pad) const {
  std::vector<Example> all;
  for (std::int64_t i = 0; i < size(); ++i) all.push_back(get(i));
  return collate(all, pad);
}

}  // namespace pare::data
