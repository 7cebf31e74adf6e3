// The walk over a broadcast, row by row.
#include "core/row_loops.h"

#include "core/broadcast.h"

namespace pare {
namespace {

std::int64_t bytes_of(const Tensor& t) { return traits(t.dtype()).bits / 8; }

}  // namespace

void zip_rows(const Tensor& a, const Tensor& b, Tensor& y, RowLoop loop) {
  const auto* left = static_cast<const char*>(a.raw());
  const auto* right = static_cast<const char*>(b.raw());
  auto* to = static_cast<char*>(y.mutable_raw());
  const std::int64_t size_a = bytes_of(a), size_b = bytes_of(b), size_y = bytes_of(y);
  const std::array operands{strides_of(y), broadcast_strides(a, y.shape()),
                            broadcast_strides(b, y.shape())};
  for_each_block(LoopNest(y.shape(), y.format(), operands), [&](const LoopBlock& block) {
    for (std::int64_t r = 0; r < block.rows; ++r)
      loop({left + (block.offset[1] + r * block.row[1]) * size_a,
            right + (block.offset[2] + r * block.row[2]) * size_b,
            to + (block.offset[0] + r * block.row[0]) * size_y, block.column[1], block.column[2],
            block.columns});
  });
}

Tensor combine_rows(const Tensor& a, const Tensor& b, const Shape& shape, RowLoop f32,
                    RowLoop f64) {
  const bool last = (a.channels_last() && a.rank() == shape.rank()) ||
                    (b.channels_last() && b.rank() == shape.rank());
  Tensor y =
      Tensor::empty(shape, a.dtype(), last ? MemoryFormat::channels_last : MemoryFormat::row_major);
  zip_rows(a, b, y, a.dtype() == DType::f32 ? f32 : f64);
  return y;
}

}  // namespace pare
