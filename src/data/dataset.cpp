// Dataset and TensorDataset.
#include "pare/data/dataset.h"

#include <cstring>

#include "core/check.h"

namespace pare::data {
namespace {

// Row `index` of a row-major tensor, as a view that keeps the tensor alive.
Tensor row(const std::shared_ptr<Tensor>& all, std::int64_t index) {
  Shape shape;
  for (int a = 1; a < all->rank(); ++a) shape.append(all->dim(a));
  const std::size_t bytes = all->bytes() / static_cast<std::size_t>(all->dim(0));
  auto* const first = static_cast<const std::byte*>(all->raw());
  auto* const data = const_cast<std::byte*>(first) + bytes * static_cast<std::size_t>(index);
  return Tensor::wrap(data, shape, all->dtype(), all);
}

std::shared_ptr<Tensor> row_major(const Tensor& tensor) {
  if (!tensor.defined()) return std::make_shared<Tensor>();
  return std::make_shared<Tensor>(tensor.detach().to(MemoryFormat::row_major));
}

}  // namespace

Dataset::~Dataset() = default;

TensorDataset::TensorDataset(const Tensor& inputs, const Tensor& labels) {
  PARE_CHECK(inputs.defined() && inputs.rank() > 0, shape_mismatch, "data::TensorDataset",
             "expected inputs [N, …], got none");
  PARE_CHECK(traits(inputs.dtype()).bits >= 8, dtype_mismatch, "data::TensorDataset",
             "expected inputs of whole bytes, got {}", inputs.dtype());
  if (labels.defined()) {
    PARE_CHECK(labels.rank() > 0 && labels.dim(0) == inputs.dim(0), shape_mismatch,
               "data::TensorDataset", "expected as many labels as inputs, got {} and {}",
               labels.shape(), inputs.shape());
    PARE_CHECK(traits(labels.dtype()).bits >= 8, dtype_mismatch, "data::TensorDataset",
               "expected labels of whole bytes, got {}", labels.dtype());
  }
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
  const auto cut = [&](const std::shared_ptr<Tensor>& all) {
    Shape shape = all->shape();
    shape.set(0, end - begin);
    const std::size_t rows = static_cast<std::size_t>(size());
    const std::size_t bytes = rows == 0 ? 0 : all->bytes() / rows;
    auto* const first = static_cast<const std::byte*>(all->raw());
    auto* const data = const_cast<std::byte*>(first) + bytes * static_cast<std::size_t>(begin);
    return Tensor::wrap(data, shape, all->dtype(), all);
  };
  return TensorDataset(cut(inputs_), labels_->defined() ? cut(labels_) : Tensor());
}

TensorDataset TensorDataset::take(std::span<const std::int64_t> indices) const {
  for (const std::int64_t index : indices) {
    PARE_CHECK(index >= 0 && index < size(), out_of_range, "data::TensorDataset::take",
               "expected an example of 0 … {}, got {}", size() - 1, index);
  }
  const auto pick = [&](const Tensor& all) {
    Shape shape = all.shape();
    shape.set(0, static_cast<std::int64_t>(indices.size()));
    Tensor out = Tensor::empty(shape, all.dtype());
    const std::size_t rows = static_cast<std::size_t>(size());
    const std::size_t bytes = rows == 0 ? 0 : all.bytes() / rows;
    auto* to = static_cast<std::byte*>(out.mutable_raw());
    const auto* from = static_cast<const std::byte*>(all.raw());
    for (const std::int64_t index : indices) {
      std::memcpy(to, from + bytes * static_cast<std::size_t>(index), bytes);
      to += bytes;
    }
    return out;
  };
  return TensorDataset(pick(*inputs_), labels_->defined() ? pick(*labels_) : Tensor());
}

}  // namespace pare::data
