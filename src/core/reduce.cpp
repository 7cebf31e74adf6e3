// The reduction engine: vector kernels for rows and for columns, walked over the other axes.
#include "core/reduce.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/reduce_kernels.h"

namespace pare {
namespace {

using namespace reduction;

/// Combines Vectors·8 neighbouring columns of `rows` rows into acc[0 … Vectors·8).
template <class R, int Vectors>
PARE_INLINE void reduce_column_tile(const float* x, std::int64_t rows, std::int64_t row_stride,
                                    typename R::template Accumulator<float>* acc) {
  using A = typename R::template Accumulator<float>;
  constexpr float kStart = R::template initial<float>();
  for (std::int64_t r = 0; r < rows;) {
    V8 lane[Vectors];
    for (V8& l : lane) l = V8{} + kStart;
    const std::int64_t end = std::min<std::int64_t>(rows, r + 256);
    for (; r < end; ++r)
      for (int k = 0; k < Vectors; ++k) take8<R>(lane[k], x + r * row_stride + k * 8);
    for (int k = 0; k < Vectors; ++k)
      for (int l = 0; l < 8; ++l) R::combine(acc[k * 8 + l], static_cast<A>(lane[k][l]));
  }
}

/// Combines each column of `rows` rows into acc[column].
template <class R, class T>
PARE_INLINE void reduce_columns(const T* x, std::int64_t rows, std::int64_t row_stride,
                                std::int64_t columns, typename R::template Accumulator<T>* acc) {
  using A = typename R::template Accumulator<T>;
  std::int64_t c = 0;
  if constexpr (std::is_same_v<T, float>) {
    if (rows >= 4) {
      for (; c + 32 <= columns; c += 32) reduce_column_tile<R, 4>(x + c, rows, row_stride, acc + c);
      for (; c + 8 <= columns; c += 8) reduce_column_tile<R, 1>(x + c, rows, row_stride, acc + c);
    }
  }
  if (c == columns) return;
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* row = x + r * row_stride;
    for (std::int64_t k = c; k < columns; ++k) R::take(acc[k], static_cast<A>(row[k]));
  }
}

/// Walks a nest of {x, dense accumulators, out}.
template <class R, class T> struct Walker {
  using A = typename R::template Accumulator<T>;
  const LoopNest& nest;
  const T* x;

  bool reduced(int axis) const { return nest.stride[2][static_cast<std::size_t>(axis)] == 0; }
  std::int64_t size(int axis) const { return nest.size[static_cast<std::size_t>(axis)]; }
  std::int64_t stride(int operand, int axis) const {
    return nest.stride[static_cast<std::size_t>(operand)][static_cast<std::size_t>(axis)];
  }

  /// Combines indices [begin, end) of `axis`, and all of the axes inside it, into acc.
  void run(int axis, std::int64_t begin, std::int64_t end, const T* from, A* acc) const {
    const std::int64_t step = stride(0, axis);
    const std::int64_t acc_step = stride(1, axis);
    from += begin * step;
    acc += begin * acc_step;
    const std::int64_t count = end - begin;
    const int last = nest.rank - 1;
    if (axis == last && reduced(axis)) {
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA { reduce_row<R, T>(from, count, *acc); });
    } else if (axis == last) {
      multiversion_for<T>([=]()
                              PARE_INLINE_LAMBDA { reduce_columns<R, T>(from, 1, 0, count, acc); });
    } else if (axis == last - 1 && reduced(last)) {
      const std::int64_t columns = size(last);
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
        for (std::int64_t r = 0; r < count; ++r)
          reduce_row<R, T>(from + r * step, columns, acc[r * acc_step]);
      });
    } else if (axis == last - 1 && reduced(axis)) {
      const std::int64_t columns = size(last);
      multiversion(
          [=]() PARE_INLINE_LAMBDA { reduce_columns<R, T>(from, count, step, columns, acc); });
    } else {
      for (std::int64_t i = 0; i < count; ++i)
        run(axis + 1, 0, size(axis + 1), from + i * step, acc + i * acc_step);
    }
  }
};

/// Where a reduced axis is the outermost, threads fill accumulators of their own.
template <class R, class T>
void reduce_as(Reduction kind, const T* x, LoopNest& nest, std::int64_t count, T* out) {
  using A = typename R::template Accumulator<T>;
  std::int64_t kept = 1;
  for (auto a = static_cast<std::size_t>(nest.rank); a-- > 0;) {
    const bool reduced = nest.stride[2][a] == 0;
    nest.stride[1][a] = reduced ? 0 : kept;
    if (!reduced) kept *= nest.size[a];
  }
  const Walker<R, T> walker{nest, x};
  const std::int64_t length = nest.size[0];
  const std::int64_t inside =
      std::max<std::int64_t>(1, kept * count / std::max<std::int64_t>(1, length));
  const std::int64_t grain = kElementGrain / inside + 1;
  const bool split = walker.reduced(0) && length > grain && max_threads() > 1;
  const std::int64_t parts = split ? std::min<std::int64_t>(max_threads(), length / grain) : 1;

  constexpr std::int64_t kSmall = 64;
  A small[kSmall];
  std::vector<A> large;
  A* acc = small;
  if (kept * parts > kSmall) {
    large.resize(static_cast<std::size_t>(kept * parts));
    acc = large.data();
  }
  std::fill(acc, acc + kept * parts, R::template initial<A>());
  if (parts > 1) {
    parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p)
        walker.run(0, length * p / parts, length * (p + 1) / parts, x, acc + p * kept);
    });
    for (std::int64_t p = 1; p < parts; ++p)
      for (std::int64_t k = 0; k < kept; ++k) R::combine(acc[k], acc[p * kept + k]);
  } else if (walker.reduced(0)) {
    walker.run(0, 0, length, x, acc);
  } else {
    parallel_for(0, length, grain,
                 [&](std::int64_t begin, std::int64_t end) { walker.run(0, begin, end, x, acc); });
  }

  // From the dense accumulators to wherever the output keeps each axis.
  const double scale = kind == Reduction::mean ? 1.0 / static_cast<double>(count) : 1.0;
  const auto convert = [&](A value) {
    if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(value * static_cast<A>(scale));
    else
      return static_cast<T>(value);
  };
  if (kept == 1) {
    *out = convert(acc[0]);
    return;
  }
  Shape shape;
  Strides to{};
  for (int a = 0; a < nest.rank; ++a) {
    if (walker.reduced(a)) continue;
    to[static_cast<std::size_t>(shape.rank())] = walker.stride(2, a);
    shape.append(nest.size[static_cast<std::size_t>(a)]);
  }
  const Strides dense = strides_of(shape, MemoryFormat::row_major);
  const std::array operands{dense, to};
  const LoopNest copy(shape, MemoryFormat::row_major, operands);
  for_each_block(copy, [&](const LoopBlock& b) {
    for (std::int64_t r = 0; r < b.rows; ++r)
      for (std::int64_t c = 0; c < b.columns; ++c)
        out[b.offset[1] + r * b.row[1] + c * b.column[1]] =
            convert(acc[b.offset[0] + r * b.row[0] + c * b.column[0]]);
  });
}

/// What the values of Reduction that need an element are called; null for those that do not.
const char* extreme(Reduction kind) {
  switch (kind) {
    case Reduction::max:
      return "max";
    case Reduction::min:
      return "min";
    case Reduction::largest_magnitude:
    case Reduction::smallest_magnitude:
      return "norm";
    default:
      return nullptr;
  }
}

template <class T>
void reduce_typed(Reduction kind, const T* x, LoopNest& nest, std::int64_t count, T* out) {
  switch (kind) {
    case Reduction::sum:
    case Reduction::mean:
      return reduce_as<Sum, T>(kind, x, nest, count, out);
    case Reduction::product:
      return reduce_as<Product, T>(kind, x, nest, count, out);
    case Reduction::max:
      return reduce_as<Max, T>(kind, x, nest, count, out);
    case Reduction::min:
      return reduce_as<Min, T>(kind, x, nest, count, out);
    default:
      break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (kind == Reduction::sum_of_magnitudes)
      reduce_as<OfMagnitude<Sum>, T>(kind, x, nest, count, out);
    else if (kind == Reduction::sum_of_squares)
      reduce_as<SumOfSquares, T>(kind, x, nest, count, out);
    else if (kind == Reduction::largest_magnitude)
      reduce_as<OfMagnitude<Max>, T>(kind, x, nest, count, out);
    else
      reduce_as<OfMagnitude<Min>, T>(kind, x, nest, count, out);
  } else {
    fail(ErrorCode::internal, "reduce", "expected a floating type for magnitudes");
  }
}

}  // namespace

void reduce(Reduction kind, const Tensor& x, std::uint32_t axes, const Strides& out_strides,
            Tensor& out) {
  std::int64_t count = 1;
  Strides to = out_strides;
  for (int a = 0; a < x.rank(); ++a) {
    if ((axes >> a & 1U) == 0) continue;
    count *= x.shape()[a];
    to[static_cast<std::size_t>(a)] = 0;
  }
  if (out.elements() == 0) return;
  const char* where = extreme(kind);
  PARE_CHECK(!where || count > 0, invalid_argument, where,
             "expected at least one element, got shape {}", x.shape());
  visit_arithmetic(x.dtype(), "reduce", [&](auto type) {
    using T = decltype(type);
    const std::array operands{strides_of(x), to, to};
    LoopNest nest(x.shape(), x.format(), operands);
    reduce_typed<T>(kind, static_cast<const T*>(x.raw()), nest, count,
                    static_cast<T*>(out.mutable_raw()));
  });
}

}  // namespace pare
