// Where in a tensor the elements or blocks lie that indices name; reading and writing them.
#pragma once

#include "core/strides.h"
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
/// The same a few at a time, in place of a list: visit(first element of the indices, how many,
/// their places), in order, in the calling thread.
class ElementPlaces {
 public:
  ElementPlaces(const Shape& x, const Tensor& indices, int axis, const char* where);
  template <class Visit> void each(std::int64_t begin, std::int64_t end, const Visit& visit) const {
    std::int64_t places[kFew];
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t first = 0; first < columns_; first += kFew) {
        const std::int64_t count = first + kFew < columns_ ? kFew : columns_ - first;
        put(row, first, count, places);
        visit(row * columns_ + first, count, static_cast<const std::int64_t*>(places));
      }
  }
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }

 private:
  static constexpr std::int64_t kFew = 512;
  void put(std::int64_t row, std::int64_t first, std::int64_t count, std::int64_t* places) const;

  Shape shape_;
  Tensor indices_;
  int axis_;
  const char* where_;
  Strides strides_;
  std::int64_t size_, rows_, columns_;
};

/// Of every row of `indices` the block of x whose first places, behind `batch` axes that both have,
/// it says. Throws out_of_range.
Places block_places(const Shape& x, const Tensor& indices, int batch, const char* where);

/// y = the blocks of x, one after another; any dtype of whole bytes.
void read_places(const Places& places, const Tensor& x, Tensor& y);
/// The gradient of that: to += from, f32 or f64.
void add_places(const Places& places, const Tensor& from, Tensor& to);

}  // namespace pare
