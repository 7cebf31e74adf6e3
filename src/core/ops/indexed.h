// Where in a tensor the elements or blocks lie that indices name; reading and writing them.
#pragma once

#include "pare/core/op.h"

namespace pare {

/// Where blocks of x (row-major) begin, in elements.
struct Places {
  Tensor begin;        ///< i64, one per block
  std::int64_t block;  ///< elements that follow one another
};

/// i64 or i32; else throws dtype_mismatch.
void check_indices(DType dtype, const char* where);

/// Of every element of `indices` the element of x whose place along `axis` it says and whose other
/// places are its own. Throws out_of_range.
Places element_places(const Shape& x, const Tensor& indices, int axis, const char* where);
/// Of every row of `indices` the block of x whose first places, behind `batch` axes that both have,
/// it says. Throws out_of_range.
Places block_places(const Shape& x, const Tensor& indices, int batch, const char* where);

/// y = the blocks of x, one after another; any dtype of whole bytes.
void read_places(const Places& places, const Tensor& x, Tensor& y);
/// The gradient of that: to += from, f32 or f64.
void add_places(const Places& places, const Tensor& from, Tensor& to);

}  // namespace pare
