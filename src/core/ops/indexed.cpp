// Where in a tensor the elements or blocks lie that indices name; reading and writing them.
#include "core/ops/indexed.h"

#include <algorithm>
#include <cstring>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
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

/// place[j] = base + index[j] · scale + j · step; returns whether all indices lie within the size.
template <class I>
bool place_row(const I* indices, std::int64_t* places, std::int64_t count, std::int64_t size,
               std::int64_t base, std::int64_t scale, std::int64_t step) {
  std::uint64_t outside = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    std::int64_t i = indices[j];
    i += (i >> 63) & size;
    outside |= static_cast<std::uint64_t>(i) >= static_cast<std::uint64_t>(size) ? 1U : 0U;
    places[j] = base +
                static_cast<std::int64_t>(static_cast<std::uint64_t>(i) *
                                          static_cast<std::uint64_t>(scale)) +
                j * step;
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

Places element_places(const Shape& x, const Tensor& tensor, int axis, const char* where) {
  const Tensor indices = in_format(tensor, MemoryFormat::row_major);
  const Shape& shape = indices.shape();
  Places places{Tensor::empty({indices.elements()}, DType::i64), 1};
  if (indices.elements() == 0) return places;
  const Strides strides = strides_of(x, MemoryFormat::row_major);
  const std::int64_t size = x[axis];
  const std::int64_t scale = strides[static_cast<std::size_t>(axis)];
  const int last = shape.rank() - 1;
  const std::int64_t columns = shape[last];
  auto* out = places.begin.mutable_data<std::int64_t>();
  visit_indices(indices, [&](const auto* index) {
    const std::int64_t rows = indices.elements() / columns;
    parallel_for(0, rows, kElementGrain / columns + 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        std::int64_t base = 0;
        std::int64_t rest = row;
        for (int a = last - 1; a >= 0; --a) {
          if (a != axis) base += rest % shape[a] * strides[static_cast<std::size_t>(a)];
          rest /= shape[a];
        }
        const auto* from = index + row * columns;
        if (place_row(from, out + row * columns, columns, size, base, scale, axis == last ? 0 : 1))
          continue;
        for (std::int64_t j = 0; j < columns; ++j)
          if (from[j] < -size || from[j] >= size) fail_index(where, size, from[j]);
      }
    });
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
