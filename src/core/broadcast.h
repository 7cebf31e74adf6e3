// Loops over operands that broadcast and differ in memory format; elementwise ops are built on
// them.
#pragma once

#include <algorithm>
#include <span>
#include <type_traits>

#include "core/multiversion.h"
#include "core/strides.h"
#include "pare/core/op.h"

namespace pare {

/// Elements of a piece of work below which threads do not pay.
inline constexpr std::int64_t kElementGrain = 32768;

/// NumPy's broadcast of two shapes, symbols included. Throws shape_mismatch naming `where`.
Shape broadcast_shapes(const Shape& a, const Shape& b, const char* where);

/// The strides with which a tensor is read when it is broadcast to `shape` (0 where it repeats).
Strides broadcast_strides(const Tensor& t, const Shape& shape);

/// The gradient summed over the axes that a broadcast of `shape` had repeated; `gradient` itself
/// where there is none.
Tensor sum_to_shape(const Tensor& gradient, const Shape& shape);

/// `t` if it is in this format, else a copy that is (no tape). Format follows where the rank
/// allows.
Tensor in_format(const Tensor& t, MemoryFormat format);

/// `t` if it is of this dtype, else a converted copy (no tape).
Tensor in_dtype(const Tensor& t, DType dtype);

/// Runs the call's forward on f32 copies where an operand is f16 or bf16 and rounds the outputs.
void forward_through_float(const Call& call, std::span<const Tensor> inputs,
                           std::span<Tensor> outputs, const Context& context);

/// The iteration space of up to three operands: axes in the memory order of operand 0 (which is
/// dense), axes of size one dropped, neighbours merged where every operand allows it.
struct LoopNest {
  static constexpr int kOperands = 3;
  int rank = 0;  ///< ≥ 1
  std::array<std::int64_t, Shape::kMaxRank> size{};
  std::array<Strides, kOperands> stride{};

  LoopNest(const Shape& shape, MemoryFormat order, std::span<const Strides> operands);
  std::int64_t outer() const {  ///< the product of all sizes but the last
    std::int64_t product = 1;
    for (int a = 0; a + 1 < rank; ++a) product *= size[static_cast<std::size_t>(a)];
    return product;
  }
  std::int64_t inner() const { return size[static_cast<std::size_t>(rank - 1)]; }
};

/// The two innermost axes of a piece of a nest: offsets and strides in elements, per operand.
struct LoopBlock {
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  std::array<std::int64_t, LoopNest::kOperands> offset{};
  std::array<std::int64_t, LoopNest::kOperands> row{};
  std::array<std::int64_t, LoopNest::kOperands> column{};
};

/// Calls body(block) on blocks that cover the nest, on several threads where it is worth it.
template <class Body> void for_each_block(const LoopNest& nest, Body&& body) {
  const auto last = static_cast<std::size_t>(nest.rank - 1);
  LoopBlock block;
  for (std::size_t k = 0; k < LoopNest::kOperands; ++k) {
    block.column[k] = nest.stride[k][last];
    block.row[k] = nest.rank > 1 ? nest.stride[k][last - 1] : 0;
  }
  if (nest.rank == 1) {
    parallel_for(0, nest.inner(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      LoopBlock piece = block;
      piece.columns = end - begin;
      for (std::size_t k = 0; k < LoopNest::kOperands; ++k)
        piece.offset[k] = begin * block.column[k];
      body(piece);
    });
    return;
  }
  const std::int64_t columns = nest.inner();
  const std::int64_t rows = nest.size[last - 1];
  const std::int64_t grain = kElementGrain / (columns > 0 ? columns : 1) + 1;
  parallel_for(0, nest.outer(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t unit = begin; unit < end;) {
      LoopBlock piece = block;
      piece.columns = columns;
      piece.rows = std::min(rows - unit % rows, end - unit);
      std::int64_t rest = unit;
      for (std::size_t a = last; a-- > 0;) {
        const std::int64_t index = rest % nest.size[a];
        rest /= nest.size[a];
        for (std::size_t k = 0; k < LoopNest::kOperands; ++k)
          piece.offset[k] += index * nest.stride[k][a];
      }
      body(piece);
      unit += piece.rows;
    }
  });
}

/// y[i] = f(x[i]), both dense in the same order; y may be x.
template <class In, class Out, class F>
void map_contiguous(const In* x, Out* y, std::int64_t count, F f) {
  parallel_for(0, count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    const In* from = x + begin;
    Out* to = y + begin;
    const std::int64_t n = end - begin;
    if (n <= 16) {
      for (std::int64_t i = 0; i < n; ++i) to[i] = f(from[i]);
      return;
    }
    multiversion_for<Out>([=]() PARE_INLINE_LAMBDA {
      const In* __restrict in = from;
      Out* __restrict out = to;
      for (std::int64_t i = 0; i < n; ++i) out[i] = f(in[i]);
    });
  });
}

/// y[i] = f(a[i], b[i]), all dense in the same order; y may be a or b.
template <class A, class B, class Out, class F>
void zip_contiguous(const A* a, const B* b, Out* y, std::int64_t count, F f) {
  parallel_for(0, count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    const A* from_a = a + begin;
    const B* from_b = b + begin;
    Out* to = y + begin;
    const std::int64_t n = end - begin;
    if (n <= 16) {
      for (std::int64_t i = 0; i < n; ++i) to[i] = f(from_a[i], from_b[i]);
      return;
    }
    multiversion_for<Out>([=]() PARE_INLINE_LAMBDA {
      const A* __restrict left = from_a;
      const B* __restrict right = from_b;
      Out* __restrict out = to;
      for (std::int64_t i = 0; i < n; ++i) out[i] = f(left[i], right[i]);
    });
  });
}

/// y = f(x) over a nest of {y, x}.
template <class In, class Out, class F>
void map_strided(const LoopNest& nest, const In* x, Out* y, F f) {
  for_each_block(nest, [&](const LoopBlock& block) {
    multiversion_for<Out>([=]() PARE_INLINE_LAMBDA {
      const LoopBlock d = block;
      for (std::int64_t r = 0; r < d.rows; ++r) {
        Out* __restrict out = y + d.offset[0] + r * d.row[0];
        const In* __restrict in = x + d.offset[1] + r * d.row[1];
        if (d.column[1] == 1) {
          for (std::int64_t c = 0; c < d.columns; ++c) out[c] = f(in[c]);
        } else if (d.column[1] == 0) {
          const Out value = f(*in);
          for (std::int64_t c = 0; c < d.columns; ++c) out[c] = value;
        } else {
          for (std::int64_t c = 0; c < d.columns; ++c) out[c] = f(in[c * d.column[1]]);
        }
      }
    });
  });
}

// A short row that repeats (a bias of few channels) is laid out several times, for longer loops.
inline constexpr std::int64_t kRepeated = 512;
PARE_INLINE bool repeats_short_row(const LoopBlock& d) {
  return d.columns <= kRepeated / 4 && d.rows >= 8 && d.column[1] == 1 && d.column[2] == 1 &&
         d.row[0] == d.columns && d.row[1] == d.columns && d.row[2] == 0;
}
template <class A, class F>
PARE_INLINE void zip_repeated_row(const LoopBlock& d, const A* a, const float* b, float* y, F f) {
  float repeated[kRepeated];
  const std::int64_t copies = kRepeated / d.columns;
  for (std::int64_t k = 0; k < copies; ++k)
    for (std::int64_t c = 0; c < d.columns; ++c) repeated[k * d.columns + c] = b[c];
  for (std::int64_t r = 0; r < d.rows; r += copies) {
    const std::int64_t count = std::min(copies, d.rows - r) * d.columns;
    const A* __restrict left = a + r * d.columns;
    float* __restrict out = y + r * d.columns;
    for (std::int64_t i = 0; i < count; ++i) out[i] = f(left[i], repeated[i]);
  }
}

/// y = f(a, b) over a nest of {y, a, b}. Only f32 has loops of its own for repeated operands.
template <class A, class B, class Out, class F>
void zip_strided(const LoopNest& nest, const A* a, const B* b, Out* y, F f) {
  for_each_block(nest, [&](const LoopBlock& block) {
    multiversion_for<Out>([=]() PARE_INLINE_LAMBDA {
      const LoopBlock d = block;
      const std::int64_t step_a = d.column[1];
      const std::int64_t step_b = d.column[2];
      if constexpr (std::is_same_v<Out, float> && std::is_same_v<B, float>) {
        if (repeats_short_row(d)) {
          zip_repeated_row(d, a + d.offset[1], b + d.offset[2], y + d.offset[0], f);
          return;
        }
      }
      for (std::int64_t r = 0; r < d.rows; ++r) {
        Out* __restrict out = y + d.offset[0] + r * d.row[0];
        const A* __restrict left = a + d.offset[1] + r * d.row[1];
        const B* __restrict right = b + d.offset[2] + r * d.row[2];
        if (step_a == 1 && step_b == 1) {
          for (std::int64_t c = 0; c < d.columns; ++c) out[c] = f(left[c], right[c]);
        } else if (std::is_same_v<Out, float> && step_a == 1 && step_b == 0) {
          const B value = *right;
          for (std::int64_t c = 0; c < d.columns; ++c) out[c] = f(left[c], value);
        } else if (std::is_same_v<Out, float> && step_a == 0 && step_b == 1) {
          const A value = *left;
          for (std::int64_t c = 0; c < d.columns; ++c) out[c] = f(value, right[c]);
        } else {
          for (std::int64_t c = 0; c < d.columns; ++c)
            out[c] = f(left[c * step_a], right[c * step_b]);
        }
      }
    });
  });
}

/// y = f(x): same shape, any formats.
template <class T, class F> void map_tensor(const Tensor& x, Tensor& y, F f) {
  const Tensor ordered = in_format(x, y.format());
  map_contiguous(static_cast<const T*>(ordered.raw()), static_cast<T*>(y.mutable_raw()),
                 y.elements(), f);
}

/// y = f(a, b), a and b broadcast to y's shape, any formats.
template <class T, class F> void zip_tensors(const Tensor& a, const Tensor& b, Tensor& y, F f) {
  const auto* left = static_cast<const T*>(a.raw());
  const auto* right = static_cast<const T*>(b.raw());
  auto* to = static_cast<T*>(y.mutable_raw());
  if constexpr (std::is_same_v<T, float>) {
    if (a.format() == y.format() && b.format() == y.format() && a.shape() == y.shape() &&
        b.shape() == y.shape())
      return zip_contiguous(left, right, to, y.elements(), f);
  }
  const std::array operands{strides_of(y), broadcast_strides(a, y.shape()),
                            broadcast_strides(b, y.shape())};
  zip_strided(LoopNest(y.shape(), y.format(), operands), left, right, to, f);
}

}  // namespace pare
