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

/// The patches of one row of output pixels of one group, taps in the order (ky, kx, c); what lies
/// outside the picture stays 0.
void gather_row(const ConvolutionSizes& s, const std::int16_t* picture, std::int64_t oy,
                std::int64_t group, Codes& patches) {
  std::fill(patches.begin(), patches.end(), std::int16_t{0});
  for (std::int64_t ky = 0; ky < s.kernel_height; ++ky) {
    const std::int64_t iy = oy * s.stride_y + ky * s.dilation_y - s.pad_top;
    if (iy < 0 || iy >= s.height) continue;
    for (std::int64_t ox = 0; ox < s.out_width; ++ox)
      for (std::int64_t kx = 0; kx < s.kernel_width; ++kx) {
        const std::int64_t ix = ox * s.stride_x + kx * s.dilation_x - s.pad_left;
        if (ix < 0 || ix >= s.width) continue;
        std::copy_n(picture + (iy * s.width + ix) * s.channels + group * s.group_channels,
                    s.group_channels,
                    patches.begin() + ox * s.taps + (ky * s.kernel_width + kx) * s.group_channels);
      }
  }
}

/// b [k, n] of one product, transposed: rows of k.
void transpose_into(const std::int16_t* b, std::int64_t k, std::int64_t n, Codes& out) {
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < k; ++i) out[static_cast<std::size_t>(j * k + i)] = b[i * n + j];
}

}  // namespace

Tensor conv2d_integer(const Tensor& x, std::int32_t x_zero, const Tensor& weight,
                      const Conv2dAttributes& attributes) {
  check_codes(x, x_zero, "conv2d_integer");
  check_codes(weight, 0, "conv2d_integer");
  const Shape shape = convolution_shape(attributes, x.shape(), weight.shape(), "conv2d_integer");
  Tensor y = Tensor::empty(shape, DType::i32, x.format());
  const ConvolutionSizes s(attributes, x.shape(), weight.shape(), shape);
  const Codes pictures = centred(in_format(x, MemoryFormat::channels_last), x_zero);
  const Codes weights = centred(in_format(weight, MemoryFormat::channels_last), 0);
  check_bound(weights.data(), s.outputs, s.taps, x.dtype(), x_zero, "conv2d_integer");
  std::int32_t* out = y.mutable_data<std::int32_t>();
  const bool last = y.channels_last();
  parallel_for(0, s.batch * s.out_height, 1, [&](std::int64_t begin, std::int64_t end) {
    Codes patches(static_cast<std::size_t>(s.out_width * s.taps));
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t n = row / s.out_height;
      const std::int64_t oy = row % s.out_height;
      const std::int64_t pixel = oy * s.out_width;
      for (std::int64_t g = 0; g < s.groups; ++g) {
        gather_row(s, pictures.data() + n * s.height * s.width * s.channels, oy, g, patches);
        const std::int64_t o = g * s.group_outputs;
        std::int32_t* to =
            out + n * s.outputs * s.pixels + (last ? pixel * s.outputs + o : o * s.pixels + pixel);
        dot_rows(patches.data(), s.out_width, weights.data() + o * s.taps, s.group_outputs, s.taps,
                 to, last ? s.outputs : 1, last ? 1 : s.pixels);
      }
    }
  });
  return y;
}

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
