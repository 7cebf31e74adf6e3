// Integer convolutions and products with int32 accumulation: the reference for quantized layers.
#include "core/integer_reference.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/ops/convolution.h"
#include "core/ops/layout.h"
#include "core/ops/matmul.h"

namespace pare {
namespace {

using Codes = std::vector<std::int16_t>;  // differences of two bytes

void check_codes(const Tensor& x, std::int32_t zero, const char* where) {
  PARE_CHECK(x.dtype() == DType::i8 || x.dtype() == DType::u8, dtype_mismatch, where,
             "expected codes of i8 or u8, got {}", x.dtype());
  const DTypeTraits& t = traits(x.dtype());
  PARE_CHECK(static_cast<double>(zero) >= t.lowest && static_cast<double>(zero) <= t.highest,
             invalid_argument, where, "expected a zero point of {}, got {}", x.dtype(), zero);
}

/// The codes less their zero point, in memory order.
Codes centred(const Tensor& x, std::int32_t zero) {
  Codes out(static_cast<std::size_t>(x.elements()));
  const auto convert = [&](const auto* from) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::int16_t>(from[i] - zero);
  };
  if (x.dtype() == DType::i8) {
    convert(x.data<std::int8_t>());
  } else {
    convert(x.data<std::uint8_t>());
  }
  return out;
}

/// Throws where a row of weights could sum beyond int32 over any codes of x.
void check_bound(const std::int16_t* rows, std::int64_t count, std::int64_t length, DType dtype,
                 std::int32_t zero, const char* where) {
  const DTypeTraits& t = traits(dtype);
  const auto largest =
      static_cast<std::int64_t>(std::max(t.highest - zero, static_cast<double>(zero) - t.lowest));
  for (std::int64_t r = 0; r < count; ++r) {
    std::int64_t sum = 0;
    for (std::int64_t k = 0; k < length; ++k) sum += std::abs(rows[r * length + k]);
    PARE_CHECK(sum * largest <= std::numeric_limits<std::int32_t>::max(), out_of_range, where,
               "expected sums within int32, got up to {} in output {}", sum * largest, r);
  }
}

PARE_INLINE std::int32_t dot_body(const std::int16_t* a, const std::int16_t* b, std::int64_t n) {
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += std::int32_t{a[i]} * std::int32_t{b[i]};
  return sum;
}

/// out[r · row_step + c · column_step] = a's row r · b's row c, all rows `length` long. Four rows
/// of b share what is read of a.
PARE_INLINE void dot_rows_body(const std::int16_t* a, std::int64_t rows, const std::int16_t* b,
                               std::int64_t columns, std::int64_t length, std::int32_t* out,
                               std::int64_t row_step, std::int64_t column_step) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int16_t* x = a + r * length;
    std::int32_t* to = out + r * row_step;
    std::int64_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      const std::int16_t* w = b + c * length;
      std::int32_t s0 = 0;
      std::int32_t s1 = 0;
      std::int32_t s2 = 0;
      std::int32_t s3 = 0;
      for (std::int64_t i = 0; i < length; ++i) {
        const std::int32_t v = x[i];
        s0 += v * std::int32_t{w[i]};
        s1 += v * std::int32_t{w[length + i]};
        s2 += v * std::int32_t{w[2 * length + i]};
        s3 += v * std::int32_t{w[3 * length + i]};
      }
      to[c * column_step] = s0;
      to[(c + 1) * column_step] = s1;
      to[(c + 2) * column_step] = s2;
      to[(c + 3) * column_step] = s3;
    }
    for (; c < columns; ++c) to[c * column_step] = dot_body(x, b + c * length, length);
  }
}
PARE_MULTIVERSION(void, dot_rows,
                  (const std::int16_t* a, std::int64_t rows, const std::int16_t* b,
                   std::int64_t columns, std::int64_t length, std::int32_t* out,
                   std::int64_t row_step, std::int64_t column_step),
                  (a, rows, b, columns, length, out, row_step, column_step))

/// One axis of a convolution or transposed convolution: which index of the source a tap of an
/// output reads.
struct Axis {
  std::int64_t size, out, kernel, stride, padding, dilation;
  bool transposed;
  /// −1 where nothing is.
  std::int64_t source(std::int64_t o, std::int64_t tap) const {
    const std::int64_t at =
        transposed ? o + padding - tap * dilation : o * stride + tap * dilation - padding;
    if (transposed && (at < 0 || at % stride != 0)) return -1;
    const std::int64_t i = transposed ? at / stride : at;
    return i >= 0 && i < size ? i : -1;
  }
};

/// Either kind, seen from its result.
struct Lattice {
  Axis z, y, x;
  std::int64_t batch, groups, group_channels, group_outputs;
  std::int64_t channels() const { return groups * group_channels; }
  std::int64_t outputs() const { return groups * group_outputs; }
  std::int64_t taps() const { return group_channels * z.kernel * y.kernel * x.kernel; }
  std::int64_t pixels() const { return z.out * y.out * x.out; }
  std::int64_t source_pixels() const { return z.size * y.size * x.size; }
};

Lattice lattice_of(const ConvolutionSizes& s) {
  return {
      .z = {s.depth, s.out_depth, s.kernel_depth, s.stride_z, s.pad_front, s.dilation_z, false},
      .y = {s.height, s.out_height, s.kernel_height, s.stride_y, s.pad_top, s.dilation_y, false},
      .x = {s.width, s.out_width, s.kernel_width, s.stride_x, s.pad_left, s.dilation_x, false},
      .batch = s.batch,
      .groups = s.groups,
      .group_channels = s.group_channels,
      .group_outputs = s.group_outputs};
}

/// Of the transposed convolution that goes against the convolution of these sizes.
Lattice transposed_lattice(const ConvolutionSizes& s) {
  return {.z = {s.out_depth, s.depth, s.kernel_depth, s.stride_z, s.pad_front, s.dilation_z, true},
          .y = {s.out_height, s.height, s.kernel_height, s.stride_y, s.pad_top, s.dilation_y, true},
          .x = {s.out_width, s.width, s.kernel_width, s.stride_x, s.pad_left, s.dilation_x, true},
          .batch = s.batch,
          .groups = s.groups,
          .group_channels = s.group_outputs,
          .group_outputs = s.group_channels};
}

/// The patches of one row of output pixels of one group, taps in the order (kz, ky, kx, c); what
/// no pixel of the source meets stays 0.
void gather_row(const Lattice& l, const std::int16_t* picture, std::int64_t oz, std::int64_t oy,
                std::int64_t group, Codes& patches) {
  std::fill(patches.begin(), patches.end(), std::int16_t{0});
  const std::int64_t taps = l.taps();
  for (std::int64_t kz = 0; kz < l.z.kernel; ++kz)
    for (std::int64_t ky = 0; ky < l.y.kernel; ++ky) {
      const std::int64_t iz = l.z.source(oz, kz);
      const std::int64_t iy = l.y.source(oy, ky);
      if (iz < 0 || iy < 0) continue;
      const std::int16_t* row = picture + (iz * l.y.size + iy) * l.x.size * l.channels();
      for (std::int64_t ox = 0; ox < l.x.out; ++ox)
        for (std::int64_t kx = 0; kx < l.x.kernel; ++kx) {
          const std::int64_t ix = l.x.source(ox, kx);
          if (ix < 0) continue;
          const std::int64_t tap = (kz * l.y.kernel + ky) * l.x.kernel + kx;
          std::copy_n(row + ix * l.channels() + group * l.group_channels, l.group_channels,
                      patches.begin() + ox * taps + tap * l.group_channels);
        }
    }
}

/// Sums of x's codes, less `x_zero`, times `weights` [outputs, kz, ky, kx, c] into y, i32.
void convolve(const Lattice& l, const Tensor& x, std::int32_t x_zero, const Codes& weights,
              Tensor& y, const char* where) {
  const std::int64_t taps = l.taps();
  check_bound(weights.data(), l.outputs(), taps, x.dtype(), x_zero, where);
  const Codes pictures = centred(in_format(x, MemoryFormat::channels_last), x_zero);
  std::int32_t* out = y.mutable_data<std::int32_t>();
  const bool last = y.channels_last();
  parallel_for(0, l.batch * l.z.out * l.y.out, 1, [&](std::int64_t begin, std::int64_t end) {
    Codes patches(static_cast<std::size_t>(l.x.out * taps));
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t oy = row % l.y.out;
      const std::int64_t oz = row / l.y.out % l.z.out;
      const std::int64_t n = row / l.y.out / l.z.out;
      const std::int64_t pixel = (oz * l.y.out + oy) * l.x.out;
      for (std::int64_t g = 0; g < l.groups; ++g) {
        gather_row(l, pictures.data() + n * l.source_pixels() * l.channels(), oz, oy, g, patches);
        const std::int64_t o = g * l.group_outputs;
        std::int32_t* to = out + n * l.outputs() * l.pixels() +
                           (last ? pixel * l.outputs() + o : o * l.pixels() + pixel);
        dot_rows(patches.data(), l.x.out, weights.data() + o * taps, l.group_outputs, taps, to,
                 last ? l.outputs() : 1, last ? 1 : l.pixels());
      }
    }
  });
}

/// A transposed convolution's weight [C, O/groups, …] as [O, …, C/groups].
Codes from_outputs(const Lattice& l, const Tensor& weight) {
  const Codes from = centred(in_format(weight, MemoryFormat::row_major), 0);
  const std::int64_t kernel = l.z.kernel * l.y.kernel * l.x.kernel;
  Codes to(from.size());
  for (std::int64_t o = 0; o < l.outputs(); ++o)
    for (std::int64_t tap = 0; tap < kernel; ++tap)
      for (std::int64_t c = 0; c < l.group_channels; ++c) {
        const std::int64_t channel = o / l.group_outputs * l.group_channels + c;
        to[static_cast<std::size_t>((o * kernel + tap) * l.group_channels + c)] =
            from[static_cast<std::size_t>(
                (channel * l.group_outputs + o % l.group_outputs) * kernel + tap)];
      }
  return to;
}

constexpr const char* kConvolutions[] = {"conv1d_integer", "conv2d_integer", "conv3d_integer"};
constexpr const char* kTransposed[] = {"conv_transpose1d_integer", "conv_transpose2d_integer",
                                       "conv_transpose3d_integer"};

/// b [k, n] of one product, transposed: rows of k.
void transpose_into(const std::int16_t* b, std::int64_t k, std::int64_t n, Codes& out) {
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < k; ++i) out[static_cast<std::size_t>(j * k + i)] = b[i * n + j];
}

}  // namespace

template <std::size_t N>
Tensor convolution_integer(const Tensor& x, std::int32_t x_zero, const Tensor& weight,
                           const ConvolutionAttributes<N>& attributes) {
  const char* where = kConvolutions[N - 1];
  check_codes(x, x_zero, where);
  check_codes(weight, 0, where);
  const Shape shape = convolution_shape(attributes, x.shape(), weight.shape(), where);
  Tensor y = Tensor::empty(shape, DType::i32, x.format());
  const Codes weights = centred(in_format(weight, MemoryFormat::channels_last), 0);
  convolve(lattice_of({attributes, x.shape(), weight.shape(), shape}), x, x_zero, weights, y,
           where);
  return y;
}
template Tensor convolution_integer(const Tensor&, std::int32_t, const Tensor&,
                                    const Conv1dAttributes&);
template Tensor convolution_integer(const Tensor&, std::int32_t, const Tensor&,
                                    const Conv2dAttributes&);
template Tensor convolution_integer(const Tensor&, std::int32_t, const Tensor&,
                                    const Conv3dAttributes&);

template <std::size_t N>
Tensor conv_transpose_integer(const Tensor& x, std::int32_t x_zero, const Tensor& weight,
                              const ConvTransposeAttributes<N>& attributes) {
  const char* where = kTransposed[N - 1];
  check_codes(x, x_zero, where);
  check_codes(weight, 0, where);
  const Shape shape = conv_transpose_shape(attributes, x.shape(), weight.shape(), where);
  Tensor y = Tensor::empty(shape, DType::i32, x.format());
  const Lattice lattice =
      transposed_lattice({convolution_of(attributes), shape, weight.shape(), x.shape()});
  convolve(lattice, x, x_zero, from_outputs(lattice, weight), y, where);
  return y;
}
template Tensor conv_transpose_integer(const Tensor&, std::int32_t, const Tensor&,
                                       const ConvTranspose1dAttributes&);
template Tensor conv_transpose_integer(const Tensor&, std::int32_t, const Tensor&,
                                       const ConvTranspose2dAttributes&);
template Tensor conv_transpose_integer(const Tensor&, std::int32_t, const Tensor&,
                                       const ConvTranspose3dAttributes&);

Tensor linear_integer(const Tensor& x, std::int32_t x_zero, const Tensor& weight) {
  check_codes(x, x_zero, "linear_integer");
  check_codes(weight, 0, "linear_integer");
  PARE_CHECK(weight.rank() == 2 && x.rank() >= 1 && x.dim(-1) == weight.dim(1), shape_mismatch,
             "linear_integer", "expected x [..., in] and weight [out, in], got {} and {}",
             x.shape(), weight.shape());
  Shape shape = x.shape();
  shape.set(x.rank() - 1, weight.dim(0));
  Tensor y = Tensor::empty(shape, DType::i32);
  const std::int64_t in = weight.dim(1);
  const std::int64_t outs = weight.dim(0);
  const Codes codes = centred(in_format(x, MemoryFormat::row_major), x_zero);
  const Codes weights = centred(weight, 0);
  check_bound(weights.data(), outs, in, x.dtype(), x_zero, "linear_integer");
  std::int32_t* out = y.mutable_data<std::int32_t>();
  const std::int64_t rows = x.shape().elements(0, x.rank() - 1);
  parallel_for(0, rows, 1 + 65536 / (in * outs + 1), [&](std::int64_t begin, std::int64_t end) {
    dot_rows(codes.data() + begin * in, end - begin, weights.data(), outs, in, out + begin * outs,
             outs, 1);
  });
  return y;
}

Tensor matmul_integer(const Tensor& a, std::int32_t a_zero, const Tensor& b, std::int32_t b_zero) {
  check_codes(a, a_zero, "matmul_integer");
  check_codes(b, b_zero, "matmul_integer");
  Tensor y = Tensor::empty(matmul_shape(a.shape(), b.shape()), DType::i32);
  const MatmulPlan plan(a.shape(), b.shape());
  const Codes left = centred(in_format(a, MemoryFormat::row_major), a_zero);
  const Codes right = centred(in_format(b, MemoryFormat::row_major), b_zero);
  std::int32_t* out = y.mutable_data<std::int32_t>();
  const auto batches = static_cast<std::int64_t>(plan.offsets.size());
  parallel_for(0, batches, plan.grain(), [&](std::int64_t begin, std::int64_t end) {
    Codes columns(static_cast<std::size_t>(plan.k * plan.n));
    for (std::int64_t i = begin; i < end; ++i) {
      const auto [oa, ob] = plan.offsets[static_cast<std::size_t>(i)];
      transpose_into(right.data() + ob, plan.k, plan.n, columns);
      check_bound(columns.data(), plan.n, plan.k, a.dtype(), a_zero, "matmul_integer");
      dot_rows(left.data() + oa, plan.m, columns.data(), plan.n, plan.k, out + i * plan.m * plan.n,
               plan.n, 1);
    }
  });
  return y;
}

}  // namespace pare
