// max_pool2d: the largest value of each window.
#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/ops/layout.h"
#include "core/ops/pooling.h"

namespace pare {
namespace {

// Results that one piece of work keeps beside their taps.
constexpr std::int64_t kBlock = 64;

/// take ? a : b without a branch, which random pictures would mispredict half the time.
template <class T> PARE_INLINE T select(bool take, T a, T b) {
  if constexpr (std::is_same_v<T, float>) {
    const std::uint32_t mask = 0U - static_cast<std::uint32_t>(take);
    return std::bit_cast<float>((std::bit_cast<std::uint32_t>(a) & mask) |
                                (std::bit_cast<std::uint32_t>(b) & ~mask));
  } else {
    return take ? a : b;
  }
}

/// Takes the larger of best and x for each of `count` neighbours, the first of equals, NaN always
/// (PyTorch's rule). An index below 0 says that there is no best yet.
template <bool kIndexed, class T>
PARE_INLINE void take_larger(T* best, std::int32_t* at, const T* x, std::int64_t step,
                             std::int64_t count, std::int32_t tap) {
  for (std::int64_t i = 0; i < count; ++i) {
    const T value = x[i * step];
    // One condition for both, so that it stays a select.
    const bool take = (value > best[i]) | (value != value) | (kIndexed && at[i] < 0);
    best[i] = select(take, value, best[i]);
    if constexpr (kIndexed) at[i] = take ? tap : at[i];
  }
}

template <class T>
constexpr T kLowest = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                           : std::numeric_limits<T>::lowest();

/// The `count` results from `y` on, of neighbours in memory; visit(tap, first of them inside, past
/// the last, value of x under the first) goes through the taps.
template <bool kIndexed, class T, class Index, class Taps>
PARE_INLINE void one_block(T* y, Index* index, std::int64_t count, std::int64_t step,
                           const Taps& taps) {
  T best[kBlock];
  std::int32_t at[kBlock];
  for (std::int64_t i = 0; i < count; ++i) {
    best[i] = kLowest<T>;
    at[i] = -1;
  }
  taps([&](std::int64_t tap, std::int64_t begin, std::int64_t end, const T* x) PARE_INLINE_LAMBDA {
    const auto number = static_cast<std::int32_t>(tap);
    // Known steps become vector loads.
    if (step == 1) {
      take_larger<kIndexed>(best + begin, at + begin, x, 1, end - begin, number);
    } else if (step == 2) {
      take_larger<kIndexed>(best + begin, at + begin, x, 2, end - begin, number);
    } else {
      take_larger<kIndexed>(best + begin, at + begin, x, step, end - begin, number);
    }
  });
  for (std::int64_t i = 0; i < count; ++i) y[i] = best[i];
  if constexpr (kIndexed)
    for (std::int64_t i = 0; i < count; ++i) index[i] = static_cast<Index>(at[i]);
}

/// Rows [begin, end) of the result, counted over batch and height: neighbours are channels.
template <bool kIndexed, class T, class Index>
void forward_last(const Pool2dSizes& s, const T* x, T* y, Index* index, std::int64_t begin,
                  std::int64_t end) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t oy = row % s.out_height;
      const T* picture = x + row / s.out_height * s.height * s.width * s.channels;
      const PoolTaps rows = s.rows(oy);
      for (std::int64_t ox = 0; ox < s.out_width; ++ox) {
        const PoolTaps columns = s.columns(ox);
        const T* corner = picture + (s.row_of(oy) * s.width + s.column_of(ox)) * s.channels;
        const std::int64_t out = (row * s.out_width + ox) * s.channels;
        for (std::int64_t c = 0; c < s.channels; c += kBlock) {
          const std::int64_t count = std::min(kBlock, s.channels - c);
          one_block<kIndexed>(y + out + c, index + (kIndexed ? out + c : 0), count, 1,
                              [&](const auto& visit) PARE_INLINE_LAMBDA {
                                for (std::int64_t ky = rows.begin; ky < rows.end; ++ky)
                                  for (std::int64_t kx = columns.begin; kx < columns.end; ++kx)
                                    visit(ky * s.kernel_x + kx, 0, count,
                                          corner + (ky * s.width + kx) * s.channels + c);
                              });
        }
      }
    }
  });
}

/// Planes [begin, end), counted over batch and channels: neighbours are columns.
template <bool kIndexed, class T, class Index>
void forward_rows(const Pool2dSizes& s, const T* x, T* y, Index* index, std::int64_t begin,
                  std::int64_t end) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t row = begin * s.out_height; row < end * s.out_height; ++row) {
      const std::int64_t oy = row % s.out_height;
      const T* plane = x + row / s.out_height * s.height * s.width;
      const PoolTaps rows = s.rows(oy);
      for (std::int64_t ox = 0; ox < s.out_width; ox += kBlock) {
        const std::int64_t count = std::min(kBlock, s.out_width - ox);
        const std::int64_t out = row * s.out_width + ox;
        one_block<kIndexed>(
            y + out, index + (kIndexed ? out : 0), count, s.stride_x,
            [&](const auto& visit) PARE_INLINE_LAMBDA {
              for (std::int64_t ky = rows.begin; ky < rows.end; ++ky)
                for (std::int64_t kx = 0; kx < s.kernel_x; ++kx) {
                  const std::int64_t column = s.column_of(ox) + kx;
                  // 0 <= column + i * stride < width
                  const std::int64_t first =
                      column >= 0 ? 0 : (-column + s.stride_x - 1) / s.stride_x;
                  const std::int64_t past =
                      column >= s.width ? 0 : (s.width - column - 1) / s.stride_x + 1;
                  const std::int64_t last = std::min(count, past);
                  if (first < last)
                    visit(ky * s.kernel_x + kx, first, last,
                          plane + (s.row_of(oy) + ky) * s.width + column + first * s.stride_x);
                }
            });
      }
    }
  });
}

/// The commonest pooling of planes, 2x2 windows side by side. Results lie one after another across
/// rows and planes: a block of them is first laid out tap by tap, whatever the width of a row.
template <bool kIndexed, class T, class Index>
void forward_pairs(const Pool2dSizes& s, const T* x, T* y, Index* index, std::int64_t begin,
                   std::int64_t end) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    T taps[4][kBlock] = {};
    T best[kBlock];
    std::int32_t at[kBlock];
    const std::int64_t size = s.out_height * s.out_width;
    for (std::int64_t first = begin * size; first < end * size; first += kBlock) {
      const std::int64_t count = std::min(kBlock, end * size - first);
      for (std::int64_t done = 0; done < count;) {
        const std::int64_t row = (first + done) / s.out_width;
        const std::int64_t column = (first + done) % s.out_width;
        const std::int64_t part = std::min(s.out_width - column, count - done);
        const T* top = x + row / s.out_height * s.height * s.width +
                       row % s.out_height * 2 * s.width + 2 * column;
        const T* bottom = top + s.width;
        for (std::int64_t i = 0; i < part; ++i) {
          taps[0][done + i] = top[2 * i];
          taps[1][done + i] = top[2 * i + 1];
          taps[2][done + i] = bottom[2 * i];
          taps[3][done + i] = bottom[2 * i + 1];
        }
        done += part;
      }
      for (std::int64_t i = 0; i < kBlock; ++i) {
        best[i] = taps[0][i];
        at[i] = 0;
      }
      for (std::int32_t tap = 1; tap < 4; ++tap)
        take_larger<kIndexed>(best, at, taps[tap], 1, kBlock, tap);
      std::copy_n(best, count, y + first);
      if constexpr (kIndexed)
        for (std::int64_t i = 0; i < count; ++i) index[first + i] = static_cast<Index>(at[i]);
    }
  });
}

template <bool kIndexed, class T, class Index>
void run_forward(const Pool2dSizes& s, const Tensor& x, Tensor& y, Index* index) {
  const T* from = x.data<T>();
  T* to = y.mutable_data<T>();
  const std::int64_t row = s.out_width * s.kernel_y * s.kernel_x;
  if (y.channels_last()) {
    parallel_for(0, s.batch * s.out_height, 1 + 16384 / (row * s.channels + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   forward_last<kIndexed>(s, from, to, index, begin, end);
                 });
    return;
  }
  const bool pairs = s.kernel_y == 2 && s.kernel_x == 2 && s.stride_y == 2 && s.stride_x == 2 &&
                     s.row_of(0) == 0 && s.column_of(0) == 0 && s.out_height * 2 <= s.height &&
                     s.out_width * 2 <= s.width;
  parallel_for(0, s.batch * s.channels, 1 + 16384 / (row * s.out_height + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 if (pairs) {
                   forward_pairs<kIndexed>(s, from, to, index, begin, end);
                 } else {
                   forward_rows<kIndexed>(s, from, to, index, begin, end);
                 }
               });
}

/// What oneDNN's indices would be is not used: ours is the tap within the window, ky · kernel_x +
/// kx, in the smallest type that holds it, and only backward reads it.
DType index_dtype(const Pool2dAttributes& attr) {
  return attr.kernel[0] <= 256 && attr.kernel[1] <= 256 && attr.kernel[0] * attr.kernel[1] <= 256
             ? DType::u8
             : DType::i32;
}

void infer_max_pool2d(InferArgs& args) {
  const auto& attr = args.call.attributes.as<Pool2dAttributes>();
  const DType dtype = args.dtype(0);
  PARE_CHECK(dtype == DType::f32 || dtype == DType::i8 || dtype == DType::u8, dtype_mismatch,
             "max_pool2d", "expected f32, i8 or u8, got {}", dtype);
  const Shape y = pool2d_shape(attr, args.shape(0), "max_pool2d");
  args.output(0, y, dtype);
  if (dtype == DType::f32) args.output(1, y, index_dtype(attr));
}

void forward_max_pool2d(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context&) {
  Tensor& y = outputs[0];
  const Tensor x = in_format(inputs[0], y.format());
  const Pool2dSizes sizes(call.attributes.as<Pool2dAttributes>(), x.shape(), y.shape());
  if (y.elements() == 0) return;
  const bool indexed = outputs.size() > 1 && outputs[1].defined();
  std::uint8_t* none = nullptr;
  if (x.dtype() == DType::i8) {
    run_forward<false, std::int8_t>(sizes, x, y, none);
  } else if (x.dtype() == DType::u8) {
    run_forward<false, std::uint8_t>(sizes, x, y, none);
  } else if (!indexed) {
    run_forward<false, float>(sizes, x, y, none);
  } else if (outputs[1].dtype() == DType::u8) {
    run_forward<true, float>(sizes, x, y, outputs[1].mutable_data<std::uint8_t>());
  } else {
    run_forward<true, float>(sizes, x, y, outputs[1].mutable_data<std::int32_t>());
  }
}

/// Pictures [begin, end).
template <class Index>
void backward_last(const Pool2dSizes& s, const float* g, const Index* index, float* gx,
                   std::int64_t begin, std::int64_t end) {
  const bool disjoint = s.disjoint();
  const bool clear = !s.tiles();
  multiversion([=]() PARE_INLINE_LAMBDA {
    const std::int64_t size = s.height * s.width * s.channels;
    if (clear) std::fill(gx + begin * size, gx + end * size, 0.0F);
    for (std::int64_t row = begin * s.out_height; row < end * s.out_height; ++row) {
      const std::int64_t oy = row % s.out_height;
      const PoolTaps rows = s.rows(oy);
      for (std::int64_t ox = 0; ox < s.out_width; ++ox) {
        const PoolTaps columns = s.columns(ox);
        float* corner = gx + row / s.out_height * size +
                        (s.row_of(oy) * s.width + s.column_of(ox)) * s.channels;
        const float* from = g + (row * s.out_width + ox) * s.channels;
        const Index* at = index + (row * s.out_width + ox) * s.channels;
        for (std::int64_t ky = rows.begin; ky < rows.end; ++ky)
          for (std::int64_t kx = columns.begin; kx < columns.end; ++kx) {
            float* to = corner + (ky * s.width + kx) * s.channels;
            const auto tap = static_cast<std::int32_t>(ky * s.kernel_x + kx);
            if (disjoint) {
              for (std::int64_t c = 0; c < s.channels; ++c)
                to[c] = static_cast<std::int32_t>(at[c]) == tap ? from[c] : 0.0F;
            } else {
              for (std::int64_t c = 0; c < s.channels; ++c)
                to[c] += static_cast<std::int32_t>(at[c]) == tap ? from[c] : 0.0F;
            }
          }
      }
    }
  });
}

/// Planes [begin, end).
template <class Index>
void backward_rows(const Pool2dSizes& s, const float* g, const Index* index, float* gx,
                   std::int64_t begin, std::int64_t end) {
  std::vector<std::int64_t> offsets;  // of each tap from the window's corner
  for (std::int64_t ky = 0; ky < s.kernel_y; ++ky)
    for (std::int64_t kx = 0; kx < s.kernel_x; ++kx) offsets.push_back(ky * s.width + kx);
  const std::int64_t size = s.height * s.width;
  std::fill(gx + begin * size, gx + end * size, 0.0F);
  for (std::int64_t plane = begin; plane < end; ++plane)
    for (std::int64_t oy = 0; oy < s.out_height; ++oy) {
      const std::int64_t out = (plane * s.out_height + oy) * s.out_width;
      float* row = gx + plane * size + s.row_of(oy) * s.width + s.column_of(0);
      for (std::int64_t ox = 0; ox < s.out_width; ++ox)
        row[ox * s.stride_x + offsets[static_cast<std::size_t>(index[out + ox])]] += g[out + ox];
    }
}

template <class Index>
void run_backward(const Pool2dSizes& s, const Tensor& grad, const Index* index, Tensor& gx) {
  const float* g = grad.data<float>();
  float* to = gx.mutable_data<float>();
  const std::int64_t plane = s.height * s.width;
  if (gx.channels_last()) {
    parallel_for(
        0, s.batch, 1 + 16384 / (plane * s.channels + 1),
        [&](std::int64_t begin, std::int64_t end) { backward_last(s, g, index, to, begin, end); });
  } else {
    parallel_for(
        0, s.batch * s.channels, 1 + 16384 / (plane + 1),
        [&](std::int64_t begin, std::int64_t end) { backward_rows(s, g, index, to, begin, end); });
  }
}

void backward_max_pool2d(BackwardArgs& args) {
  const Tensor& index = args.output(1);
  const Tensor g = in_format(args.grad_output(0), index.format());
  Tensor gx = Tensor::empty(args.input_shape(0), DType::f32, index.format());
  const Pool2dSizes sizes(args.call().attributes.as<Pool2dAttributes>(), gx.shape(), g.shape());
  if (index.dtype() == DType::u8) {
    run_backward(sizes, g, index.data<std::uint8_t>(), gx);
  } else {
    run_backward(sizes, g, index.data<std::int32_t>(), gx);
  }
  args.set(0, std::move(gx));
}

void emit_max_pool2d(const Call& call, OnnxEmitter& emitter) {
  emit_pool2d(call.attributes.as<Pool2dAttributes>(),
              emitter.node("MaxPool", {emitter.input(0)}, {emitter.output(0)}));
}

}  // namespace

constinit const OpDef kMaxPool2d = {
    .name = "max_pool2d",
    .hidden_outputs = 1,
    .format = FormatRule::keep,
    .infer = infer_max_pool2d,
    .forward = forward_max_pool2d,
    .backward = backward_max_pool2d,
    .saves_outputs = 0b10,
    .defaults = [] { return Attributes::of(Pool2dAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_channels},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "MaxPool", .opset = 12, .emit = emit_max_pool2d},
};

Tensor max_pool2d(const Tensor& x, const Attributes& attributes) {
  return apply({&kMaxPool2d, attributes}, detail::Borrowed(x));
}
Tensor max_pool2d(const Tensor& x, const Pool2dAttributes& attributes) {
  return max_pool2d(x, Attributes::of(attributes));
}

}  // namespace pare
