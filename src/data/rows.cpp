// Views and copies of rows.
#include "data/rows.h"

#include <cstring>

#include "core/check.h"

namespace pare::data {
namespace {

std::size_t row_bytes(const Tensor& all) {
  const auto count = static_cast<std::size_t>(all.dim(0));
  return count == 0 ? 0 : all.bytes() / count;
}

Tensor view(const std::shared_ptr<Tensor>& all, std::int64_t begin, const Shape& shape) {
  const auto* const first = static_cast<const std::byte*>(all->raw());
  auto* const data =
      const_cast<std::byte*>(first) + row_bytes(*all) * static_cast<std::size_t>(begin);
  return Tensor::wrap(data, shape, all->dtype(), all);
}

}  // namespace

std::shared_ptr<Tensor> row_major(const Tensor& tensor) {
  if (!tensor.defined()) return std::make_shared<Tensor>();
  return std::make_shared<Tensor>(tensor.detach().to(MemoryFormat::row_major));
}

Tensor rows(const std::shared_ptr<Tensor>& all, std::int64_t begin, std::int64_t end) {
  Shape shape = all->shape();
  shape.set(0, end - begin);
  return view(all, begin, shape);
}

Tensor row(const std::shared_ptr<Tensor>& all, std::int64_t index) {
  return view(all, index, row_shape(*all));
}

Tensor take_rows(const Tensor& all, std::span<const std::int64_t> indices) {
  Tensor out = Tensor::empty(stacked(row_shape(all), indices.size()), all.dtype());
  const std::size_t bytes = row_bytes(all);
  auto* to = static_cast<std::byte*>(out.mutable_raw());
  const auto* const from = static_cast<const std::byte*>(all.raw());
  for (const std::int64_t index : indices) {
    if (bytes > 0) std::memcpy(to, from + bytes * static_cast<std::size_t>(index), bytes);
    to += bytes;
  }
  return out;
}

Shape row_shape(const Tensor& all) {
  Shape shape;
  for (int a = 1; a < all.rank(); ++a) shape.append(all.dim(a));
  return shape;
}

Shape stacked(const Shape& example, std::size_t count) {
  Shape shape{static_cast<std::int64_t>(count)};
  for (int a = 0; a < example.rank(); ++a) shape.append(example[a]);
  return shape;
}

void check_whole_bytes(const Tensor& tensor, const char* where, const char* what) {
  PARE_CHECK(!tensor.defined() || traits(tensor.dtype()).bits >= 8, dtype_mismatch, where,
             "expected {} of whole bytes, got {}", what, tensor.dtype());
}

std::string describe(const Tensor& tensor) {
  return tensor.defined() ? fmt::format("{} {}", tensor.dtype(), tensor.shape()) : "none";
}

}  // namespace pare::data
