// Rows of a tensor: views that keep it alive, and copies.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "pare/core/tensor.h"

namespace pare::data {

/// The tensor off the tape and in row-major order, where it is defined.
std::shared_ptr<Tensor> row_major(const Tensor& tensor);
/// Rows [begin, end) of a row-major tensor, as a view that keeps it alive.
Tensor rows(const std::shared_ptr<Tensor>& all, std::int64_t begin, std::int64_t end);
/// Row `index`, without the first axis, as such a view.
Tensor row(const std::shared_ptr<Tensor>& all, std::int64_t index);
/// A copy of rows of a row-major tensor. The indices must be valid.
Tensor take_rows(const Tensor& all, std::span<const std::int64_t> indices);
/// The shape behind the first axis.
Shape row_shape(const Tensor& all);
/// [count, example's axes …].
Shape stacked(const Shape& example, std::size_t count);
/// Throws dtype_mismatch unless elements are whole bytes, so that rows begin at one.
void check_whole_bytes(const Tensor& tensor, const char* where, const char* what);
/// "f32 [3, 4]" or "none".
std::string describe(const Tensor& tensor);

}  // namespace pare::data
