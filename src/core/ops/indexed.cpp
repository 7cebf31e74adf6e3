// Where in a tensor the elements or blocks lie that indices name; reading and writing them.
#include "core/ops/indexed.h"

#include <algorithm>
#include <cstring>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/multiversion.h"
#include "core/ops/strided.h"

namespace pare {
namespace {

[[noreturn, gnu::cold]] void fail_index(const char* where, std::int64_t size, std::int64_t index) {
  fail(ErrorCode::out_of_range, where, "expected indices from {} to {}, got {}", -size, size - 1,
       index);
}

/// Visits the type of the indices' elements.
template <class Visitor> void visit_indices(const Tensor& indices, Visitor&& visit) {
  if (indices.dtype() == DType::i64)
    visit(indices.data<std::int64_t>());
  else
    visit(indices.data<std::int32_t>());
}

/// place[j] = base + index[j] · scale + j, or along the last axis base + index[j], which is worth
/// vector code of its own; returns whether all indices lie within the size.
template <bool kLast, class I>
PARE_INLINE bool place_row(const I* indices, std::int64_t* out, std::int64_t count,
                           std::int64_t size, std::int64_t base, std::int64_t scale) {
  const I* __restrict index = indices;
  std::int64_t* __restrict places = out;
  std::int64_t outside = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    const std::int64_t i = index[j];
    outside |= (i < -size ? 1 : 0) | (i >= size ? 1 : 0);
    // Unsigned, since an index that is far outside would overflow before it is refused.
    const auto place = static_cast<std::uint64_t>(i) + static_cast<std::uint64_t>(i < 0 ? size : 0);
    const auto first = static_cast<std::uint64_t>(base);
    if constexpr (kLast)
      places[j] = static_cast<std::int64_t>(first + place);
    else
      places[j] = static_cast<std::int64_t>(first + static_cast<std::uint64_t>(j) +
                                            place * static_cast<std::uint64_t>(scale));
  }
  return outside == 0;
}

template <class T> void read_blocks(const Places& places, const void* source, void* target) {
  const T* x = static_cast<const T*>(source);
  T* y = static_cast<T*>(target);
  const auto* begin = places.begin.data<std::int64_t>();
  const std::int64_t block = places.block;
  const std::int64_t grain =
      std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(1, block));
  parallel_for(0, places.begin.elements(), grain, [&](std::int64_t first, std::int64_t last) {
    if (block == 1) {
      for (std::int64_t i = first; i < last; ++i) y[i] = x[begin[i]];
      return;
    }
    for (std::int64_t i = first; i < last; ++i)
      std::memcpy(y + i * block, x + begin[i], static_cast<std::size_t>(block) * sizeof(T));
  });
}

}  // namespace

void check_indices(DType dtype, const char* where) {
  PARE_CHECK(dtype == DType::i64 || dtype == DType::i32, dtype_mismatch, where,
             "expected i64 or i32 indices, got {}", dtype);
}

ElementPlaces::ElementPlaces(const Shape& x, const Tensor& indices, int axis, const char* where)
    : shape_(indices.shape()),
      indices_(in_format(indices, MemoryFormat::row_major)),
      axis_(axis),
      where_(where),
      strides_(strides_of(x, MemoryFormat::row_major)),
      size_(x[axis]),
      columns_(shape_[-1]) {
  rows_ = indices.elements() == 0 ? 0 : indices.elements() / columns_;
}

void ElementPlaces::put(std::int64_t row, std::int64_t first, std::int64_t count,
                        std::int64_t* places) const {
  const int last = shape_.rank() - 1;
  std::int64_t base = axis_ == last ? 0 : first;
  std::int64_t rest = row;
  for (int a = last - 1; a >= 0; --a) {
    if (a != axis_) base += rest % shape_[a] * strides_[static_cast<std::size_t>(a)];
    rest /= shape_[a];
  }
  const std::int64_t scale = strides_[static_cast<std::size_t>(axis_)];
  const std::int64_t size = size_;
  const bool along_last = axis_ == last;
  visit_indices(indices_, [&](const auto* index) {
    const auto* from = index + row * columns_ + first;
    bool inside = false;
    bool* result = &inside;
    multiversion([=]() PARE_INLINE_LAMBDA {
      *result = along_last ? place_row<true>(from, places, count, size, base, scale)
                           : place_row<false>(from, places, count, size, base, scale);
    });
    for (std::int64_t j = 0; !inside && j < count; ++j)
      if (from[j] < -size || from[j] >= size) fail_index(where_, size, from[j]);
  });
}

Places element_places(const Shape& x, const Tensor& indices, int axis, const char* where) {
  Places places{Tensor::empty({indices.elements()}, DType::i64), 1};
  auto* out = places.begin.mutable_data<std::int64_t>();
  const ElementPlaces few(x, indices, axis, where);
  few.each(0, few.rows(), [&](std::int64_t first, std::int64_t count, const std::int64_t* found) {
    std::copy_n(found, count, out + first);
  });
  return places;
}

Places block_places(const Shape& x, const Tensor& tensor, int batch, const char* where) {
  const Tensor indices = in_format(tensor, MemoryFormat::row_major);
  const std::int64_t named = indices.dim(-1);
  const int first_rest = batch + static_cast<int>(named);
  const std::int64_t count = indices.shape().elements(0, indices.rank() - 1);
  Places places{Tensor::empty({count}, DType::i64), x.elements(first_rest, x.rank())};
  const std::int64_t per_batch = indices.shape().elements(batch, indices.rank() - 1);
  const std::int64_t batch_elements = x.elements(batch, x.rank());
  const Strides strides = strides_of(x, MemoryFormat::row_major);
  auto* out = places.begin.mutable_data<std::int64_t>();
  visit_indices(indices, [&](const auto* index) {
    for (std::int64_t i = 0; i < count; ++i) {
      out[i] = i / per_batch * batch_elements;
      for (std::int64_t k = 0; k < named; ++k) {
        const int axis = batch + static_cast<int>(k);
        const std::int64_t size = x[axis];
        const std::int64_t place = index[i * named + k];
        if (place < -size || place >= size) fail_index(where, size, place);
        out[i] += (place < 0 ? place + size : place) * strides[static_cast<std::size_t>(axis)];
      }
    }
  });
  return places;
}

void read_places(const Places& places, const Tensor& x, Tensor& y) {
  if (y.elements() == 0) return;
  switch (movable_bytes(x.dtype(), "gather")) {
    case 1:
      return read_blocks<std::uint8_t>(places, x.raw(), y.mutable_raw());
    case 2:
      return read_blocks<std::uint16_t>(places, x.raw(), y.mutable_raw());
    case 4:
      return read_blocks<std::uint32_t>(places, x.raw(), y.mutable_raw());
    default:
      return read_blocks<std::uint64_t>(places, x.raw(), y.mutable_raw());
  }
}

void add_places(const Places& places, const Tensor& from, Tensor& to) {
  const auto* begin = places.begin.data<std::int64_t>();
  visit_float(to.dtype(), "gather", [&](auto type) {
    using T = decltype(type);
    const T* source = from.data<T>();
    T* target = to.mutable_data<T>();
    for (std::int64_t i = 0; i < places.begin.elements(); ++i)
      for (std::int64_t k = 0; k < places.block; ++k)
        target[begin[i] + k] += source[i * places.block + k];
  });
}

}  // namespace pare
