// global_average_pool: the mean of each channel of each picture.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/ops/layout.h"
#include "core/ops/pooling.h"

namespace pare {
namespace {

// Channels whose sums are kept together, and pixels that are summed before they join the total:
// short sums lose no digits.
constexpr std::int64_t kBlock = 64;
constexpr std::int64_t kRun = 256;

template <class T> using Sum = std::conditional_t<std::is_same_v<T, float>, float, std::int32_t>;

template <class T> PARE_INLINE T mean_of(double sum, std::int64_t pixels) {
  const double mean = sum / static_cast<double>(pixels);
  if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(mean);
  } else {
    return static_cast<T>(std::nearbyint(mean));
  }
}

template <class T>
void forward_last(std::int64_t channels, std::int64_t pixels, const T* x, T* y, std::int64_t begin,
                  std::int64_t end) {
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t n = begin; n < end; ++n)
      for (std::int64_t c = 0; c < channels; c += kBlock) {
        const std::int64_t width = std::min(kBlock, channels - c);
        double total[kBlock] = {};
        for (std::int64_t p = 0; p < pixels; p += kRun) {
          Sum<T> sums[kBlock] = {};
          for (std::int64_t q = p; q < std::min(pixels, p + kRun); ++q) {
            const T* from = x + (n * pixels + q) * channels + c;
            for (std::int64_t i = 0; i < width; ++i) sums[i] += from[i];
          }
          for (std::int64_t i = 0; i < width; ++i) total[i] += static_cast<double>(sums[i]);
        }
        for (std::int64_t i = 0; i < width; ++i)
          y[n * channels + c + i] = mean_of<T>(total[i], pixels);
      }
  });
}

template <class T>
void forward_rows(std::int64_t pixels, const T* x, T* y, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kLanes = 16;
  multiversion([=]() PARE_INLINE_LAMBDA {
    for (std::int64_t plane = begin; plane < end; ++plane) {
      const T* from = x + plane * pixels;
      double total = 0;
      for (std::int64_t p = 0; p < pixels; p += kRun * kLanes) {
        const std::int64_t past = std::min(pixels, p + kRun * kLanes);
        Sum<T> sums[kLanes] = {};
        std::int64_t q = p;
        for (; q + kLanes <= past; q += kLanes)
          for (std::int64_t i = 0; i < kLanes; ++i) sums[i] += from[q + i];
        for (; q < past; ++q) sums[0] += from[q];
        for (const Sum<T> sum : sums) total += static_cast<double>(sum);
      }
      y[plane] = mean_of<T>(total, pixels);
    }
  });
}

template <class T> void run_forward(std::int64_t pixels, const Tensor& x, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.mutable_data<T>();
  const std::int64_t batch = x.dim(0);
  const std::int64_t channels = x.dim(1);
  if (x.channels_last()) {
    parallel_for(0, batch, 1 + 32768 / (pixels * channels + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   forward_last(channels, pixels, from, to, begin, end);
                 });
  } else {
    parallel_for(
        0, batch * channels, 1 + 32768 / (pixels + 1),
        [&](std::int64_t begin, std::int64_t end) { forward_rows(pixels, from, to, begin, end); });
  }
}

void infer_global_average_pool(InferArgs& args) {
  const Shape& x = args.shape(0);
  const DType dtype = args.dtype(0);
  PARE_CHECK(dtype == DType::f32 || dtype == DType::i8 || dtype == DType::u8, dtype_mismatch,
             "global_average_pool", "expected f32, i8 or u8, got {}", dtype);
  PARE_CHECK(x.rank() >= 3 && x.rank() <= 5, shape_mismatch, "global_average_pool",
             "expected x of shape [N, C, …] with one to three spatial axes, got {}", x);
  Shape y;
  y.append(x, 0);
  y.append(x, 1);
  for (int a = 2; a < x.rank(); ++a) {
    PARE_CHECK(x.symbolic(a) || x[a] > 0, shape_mismatch, "global_average_pool",
               "expected at least one pixel, got {}", x);
    y.append(1);
  }
  args.output(0, y, dtype);
}

void forward_global_average_pool(const Call&, std::span<const Tensor> inputs,
                                 std::span<Tensor> outputs, const Context&) {
  const Tensor& x = inputs[0];
  Tensor& y = outputs[0];  // its one pixel lies alike in both formats
  const std::int64_t pixels = x.shape().elements(2, x.rank());
  if (x.dtype() == DType::i8) {
    run_forward<std::int8_t>(pixels, x, y);
  } else if (x.dtype() == DType::u8) {
    run_forward<std::uint8_t>(pixels, x, y);
  } else {
    run_forward<float>(pixels, x, y);
  }
}

void backward_global_average_pool(BackwardArgs& args) {
  const Shape& shape = args.input_shape(0);
  Tensor gx = Tensor::empty(shape, DType::f32, args.input_format(0));
  const float* g = args.grad_output(0).data<float>();
  float* to = gx.mutable_data<float>();
  const std::int64_t channels = shape[1];
  const std::int64_t pixels = shape.elements(2, shape.rank());
  const auto count = static_cast<float>(pixels);
  const bool last = gx.channels_last();
  parallel_for(
      0, shape[0], 1 + 32768 / (pixels * channels + 1), [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> shares(static_cast<std::size_t>(channels));
        for (std::int64_t n = begin; n < end; ++n) {
          for (std::int64_t c = 0; c < channels; ++c)
            shares[static_cast<std::size_t>(c)] = g[n * channels + c] / count;
          float* picture = to + n * channels * pixels;
          if (last) {
            for (std::int64_t p = 0; p < pixels; ++p)
              std::copy(shares.begin(), shares.end(), picture + p * channels);
          } else {
            for (std::int64_t c = 0; c < channels; ++c)
              std::fill_n(picture + c * pixels, pixels, shares[static_cast<std::size_t>(c)]);
          }
        }
      });
  args.set(0, std::move(gx));
}

}  // namespace

constinit const OpDef kGlobalAveragePool = {
    .name = "global_average_pool",
    .format = FormatRule::keep,
    .infer = infer_global_average_pool,
    .forward = forward_global_average_pool,
    .backward = backward_global_average_pool,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_channels},
    .quantization = {.kind = QuantizationFact::Kind::own_range},
    .onnx = {.op_type = "GlobalAveragePool", .opset = 1},
};

Tensor global_average_pool(const Tensor& x) {
  return apply({&kGlobalAveragePool, {}}, detail::Borrowed(x));
}

}  // namespace pare
