// average_pool2d: the mean of each window.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/ops/layout.h"
#include "core/ops/pooling.h"

namespace pare {
namespace {

// Channels, or columns, that one piece of work keeps sums of beside their taps.
constexpr std::int64_t kBlock = 64;

/// What a window's sum is divided by.
PARE_INLINE std::int64_t divisor(const Pool2dSizes& s, bool count_padding, PoolTaps rows,
                                 PoolTaps columns) {
  return count_padding ? s.kernel_y * s.kernel_x
                       : (rows.end - rows.begin) * (columns.end - columns.begin);
}

template <class T> using Sum = std::conditional_t<std::is_same_v<T, float>, float, std::int32_t>;

/// Codes are averaged with the scale they have: halves go to the even code.
template <class T> PARE_INLINE T mean_of(Sum<T> sum, float count) {
  if constexpr (std::is_same_v<T, float>) {
    return sum / count;
  } else {
    return static_cast<T>(std::nearbyint(static_cast<float>(sum) / count));
  }
}

/// Rows [begin, end) of the result, counted over batch and height.
template <class T>
void forward_last(const Pool2dSizes& s, bool count_padding, const T* x, T* y, std::int64_t begin,
                  std::int64_t end) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t oy = row % s.out_height;
      const T* picture = x + row / s.out_height * s.height * s.width * s.channels;
      const PoolTaps rows = s.rows(oy);
      for (std::int64_t ox = 0; ox < s.out_width; ++ox) {
        const PoolTaps columns = s.columns(ox);
        const auto count = static_cast<float>(divisor(s, count_padding, rows, columns));
        const T* corner = picture + (s.row_of(oy) * s.width + s.column_of(ox)) * s.channels;
        T* to = y + (row * s.out_width + ox) * s.channels;
        for (std::int64_t c = 0; c < s.channels; c += kBlock) {
          const std::int64_t width = std::min(kBlock, s.channels - c);
          Sum<T> sums[kBlock];
          for (std::int64_t i = 0; i < width; ++i) sums[i] = 0;
          for (std::int64_t ky = rows.begin; ky < rows.end; ++ky)
            for (std::int64_t kx = columns.begin; kx < columns.end; ++kx) {
              const T* from = corner + (ky * s.width + kx) * s.channels + c;
              for (std::int64_t i = 0; i < width; ++i) sums[i] += from[i];
            }
          for (std::int64_t i = 0; i < width; ++i) to[c + i] = mean_of<T>(sums[i], count);
        }
      }
    }
  });
}

/// Planes [begin, end), counted over batch and channels.
template <class T>
void forward_rows(const Pool2dSizes& s, bool count_padding, const T* x, T* y, std::int64_t begin,
                  std::int64_t end) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t row = begin * s.out_height; row < end * s.out_height; ++row) {
      const std::int64_t oy = row % s.out_height;
      const T* plane = x + row / s.out_height * s.height * s.width;
      const PoolTaps rows = s.rows(oy);
      for (std::int64_t ox = 0; ox < s.out_width; ++ox) {
        const PoolTaps columns = s.columns(ox);
        const T* corner = plane + s.row_of(oy) * s.width + s.column_of(ox);
        Sum<T> sum = 0;
        for (std::int64_t ky = rows.begin; ky < rows.end; ++ky)
          for (std::int64_t kx = columns.begin; kx < columns.end; ++kx)
            sum += corner[ky * s.width + kx];
        const auto count = static_cast<float>(divisor(s, count_padding, rows, columns));
        y[row * s.out_width + ox] = mean_of<T>(sum, count);
      }
    }
  });
}

template <class T>
void run_forward(const Pool2dSizes& s, bool count_padding, const Tensor& x, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.mutable_data<T>();
  const std::int64_t row = s.out_width * s.kernel_y * s.kernel_x;
  if (y.channels_last()) {
    parallel_for(0, s.batch * s.out_height, 1 + 16384 / (row * s.channels + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   forward_last(s, count_padding, from, to, begin, end);
                 });
  } else {
    parallel_for(0, s.batch * s.channels, 1 + 16384 / (row * s.out_height + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   forward_rows(s, count_padding, from, to, begin, end);
                 });
  }
}

void infer_average_pool2d(InferArgs& args) {
  const auto& attr = args.call.attributes.as<Pool2dAttributes>();
  const DType dtype = args.dtype(0);
  PARE_CHECK(dtype == DType::f32 || dtype == DType::i8 || dtype == DType::u8, dtype_mismatch,
             "average_pool2d", "expected f32, i8 or u8, got {}", dtype);
  const bool padded =
      std::any_of(attr.padding.begin(), attr.padding.end(), [](std::int64_t p) { return p != 0; });
  PARE_CHECK(dtype == DType::f32 || !padded || !attr.count_include_pad, unsupported,
             "average_pool2d",
             "expected no counted padding for {} codes, whose zero is not known here", dtype);
  args.output(0, pool2d_shape(attr, args.shape(0), "average_pool2d"), dtype);
}

void forward_average_pool2d(const Call& call, std::span<const Tensor> inputs,
                            std::span<Tensor> outputs, const Context&) {
  Tensor& y = outputs[0];
  const Tensor x = in_format(inputs[0], y.format());
  const auto& attr = call.attributes.as<Pool2dAttributes>();
  const Pool2dSizes sizes(attr, x.shape(), y.shape());
  if (x.dtype() == DType::i8) {
    run_forward<std::int8_t>(sizes, attr.count_include_pad, x, y);
  } else if (x.dtype() == DType::u8) {
    run_forward<std::uint8_t>(sizes, attr.count_include_pad, x, y);
  } else {
    run_forward<float>(sizes, attr.count_include_pad, x, y);
  }
}

/// Pictures [begin, end); a plane of a row-major tensor is a picture of one channel.
void backward_pictures(const Pool2dSizes& s, std::int64_t channels, bool count_padding,
                       const float* g, float* gx, std::int64_t begin, std::int64_t end) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    const std::int64_t size = s.height * s.width * channels;
    std::fill(gx + begin * size, gx + end * size, 0.0F);
    for (std::int64_t row = begin * s.out_height; row < end * s.out_height; ++row) {
      const std::int64_t oy = row % s.out_height;
      const PoolTaps rows = s.rows(oy);
      for (std::int64_t ox = 0; ox < s.out_width; ++ox) {
        const PoolTaps columns = s.columns(ox);
        const auto count = static_cast<float>(divisor(s, count_padding, rows, columns));
        const float* from = g + (row * s.out_width + ox) * channels;
        float* corner =
            gx + row / s.out_height * size + (s.row_of(oy) * s.width + s.column_of(ox)) * channels;
        for (std::int64_t ky = rows.begin; ky < rows.end; ++ky)
          for (std::int64_t kx = columns.begin; kx < columns.end; ++kx) {
            float* to = corner + (ky * s.width + kx) * channels;
            for (std::int64_t c = 0; c < channels; ++c) to[c] += from[c] / count;
          }
      }
    }
  });
}

void backward_average_pool2d(BackwardArgs& args) {
  const MemoryFormat format = args.input_format(0);
  const auto& attr = args.call().attributes.as<Pool2dAttributes>();
  const Tensor grad = in_format(args.grad_output(0), format);
  Tensor gx = Tensor::empty(args.input_shape(0), DType::f32, format);
  const Pool2dSizes s(attr, gx.shape(), grad.shape());
  const bool last = gx.channels_last();
  const std::int64_t channels = last ? s.channels : 1;
  const float* g = grad.data<float>();
  float* to = gx.mutable_data<float>();
  parallel_for(0, last ? s.batch : s.batch * s.channels,
               1 + 16384 / (s.height * s.width * channels + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 backward_pictures(s, channels, attr.count_include_pad, g, to, begin, end);
               });
  args.set(0, std::move(gx));
}

void emit_average_pool2d(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<Pool2dAttributes>();
  OnnxEmitter::Node& node = emitter.node("AveragePool", {emitter.input(0)}, {emitter.output(0)});
  emit_pool2d(attr, node);
  node.attribute("count_include_pad", std::int64_t{attr.count_include_pad});
}

}  // namespace

constinit const OpDef kAveragePool2d = {
    .name = "average_pool2d",
    .format = FormatRule::keep,
    .infer = infer_average_pool2d,
    .forward = forward_average_pool2d,
    .backward = backward_average_pool2d,
    .defaults = [] { return Attributes::of(Pool2dAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_channels},
    .quantization = {.kind = QuantizationFact::Kind::own_range},
    .onnx = {.op_type = "AveragePool", .opset = 7, .emit = emit_average_pool2d},
};

Tensor average_pool2d(const Tensor& x, const Attributes& attributes) {
  return apply({&kAveragePool2d, attributes}, detail::Borrowed(x));
}
Tensor average_pool2d(const Tensor& x, const Pool2dAttributes& attributes) {
  return average_pool2d(x, Attributes::of(attributes));
}

}  // namespace pare
