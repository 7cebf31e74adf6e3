// pare's own convolutions for plans: bytes exactly, floats against sums in double.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/byte_convolution.h"
#include "core/float_convolution.h"
#include "core/integer_reference.h"
#include "core/sanitizers.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

struct Case {
  const char* name;
  Shape x;       // [N, C, H, W]
  Shape weight;  // [O, C, kH, kW]
  Conv2dAttributes attributes;
  int most;  // of the weights
  const char* kernel;
};

constexpr std::array<std::int64_t, 4> kOnes{1, 1, 1, 1};

const std::vector<Case>& byte_cases() {
  static const std::vector<Case> all{
      {"few channels, stride 2",
       {2, 3, 9, 8},
       {16, 3, 3, 3},
       {.stride = {2, 2}, .padding = kOnes},
       32,
       "avx2_u8s8"},
      {"odd channels, dilation",
       {1, 7, 8, 9},
       {21, 7, 3, 2},
       {.dilation = {2, 1}},
       32,
       "avx2_u8s8"},
      {"pointwise", {2, 20, 5, 5}, {18, 20, 1, 1}, {}, 32, "avx2_u8s8"},
      {"few channels, stride 2, weights of full range",
       {2, 3, 9, 8},
       {16, 3, 3, 3},
       {.stride = {2, 2}, .padding = kOnes},
       128,
       "avx2_u8s8_wide"},
      {"odd channels, dilation, weights of full range",
       {1, 7, 8, 9},
       {21, 7, 3, 2},
       {.padding = {1, 0, 0, 2}, .dilation = {2, 1}},
       128,
       "avx2_u8s8_wide"},
      {"pointwise, weights of full range",
       {3, 20, 5, 9},
       {18, 20, 1, 1},
       {},
       128,
       "avx2_u8s8_wide"},
      {"pointwise, padded", {1, 9, 3, 3}, {5, 9, 1, 1}, {.padding = kOnes}, 128, "avx2_u8s8_wide"},
      {"two pixels a row", {1, 8, 6, 2}, {16, 8, 1, 2}, {.padding = {0, 1, 0, 0}}, 32, "avx2_u8s8"},
      {"16 channels, 3 by 3", {1, 16, 8, 8}, {16, 16, 3, 3}, {.padding = kOnes}, 63, "avx2_u8s8"},
      {"tiles", {2, 32, 8, 8}, {16, 32, 3, 3}, {.padding = kOnes}, 63, "avx2_winograd_u8s8"},
      {"tiles, odd size, uneven padding, weights of full range",
       {3, 48, 7, 5},
       {32, 48, 3, 3},
       {.padding = {2, 0, 1, 2}},
       128,
       "avx2_winograd_u8s8"},
      {"more tiles than a chunk", {4, 64, 17, 19}, {64, 64, 3, 3}, {}, 127, "avx2_winograd_u8s8"},
      {"depthwise",
       {2, 32, 7, 9},
       {32, 1, 3, 3},
       {.padding = kOnes, .groups = 32},
       128,
       "avx2_u8s8_depthwise"},
      {"depthwise, stride 2, uneven padding",
       {3, 16, 9, 8},
       {16, 1, 3, 3},
       {.stride = {2, 2}, .padding = {0, 1, 2, 0}, .groups = 16},
       128,
       "avx2_u8s8_depthwise"},
      {"depthwise, an even number of taps, dilation",
       {1, 48, 11, 12},
       {48, 1, 5, 4},
       {.padding = {4, 2, 4, 1}, .dilation = {2, 1}, .groups = 48},
       128,
       "avx2_u8s8_depthwise"},
      {"depthwise, a column",
       {1, 16, 5, 1},
       {16, 1, 3, 3},
       {.padding = kOnes, .groups = 16},
       128,
       "avx2_u8s8_depthwise"},
      {"depthwise, more padding than picture",
       {1, 16, 2, 2},
       {16, 1, 2, 2},
       {.stride = {1, 3}, .padding = {3, 4, 3, 3}, .groups = 16},
       128,
       "avx2_u8s8_depthwise"},
  };
  return all;
}

const std::vector<Case>& float_cases() {
  static const std::vector<Case> all{
      {"stride 2",
       {2, 16, 9, 8},
       {32, 16, 3, 3},
       {.stride = {2, 2}, .padding = kOnes},
       1,
       "avx2_f32"},
      {"pointwise", {2, 24, 5, 5}, {16, 24, 1, 1}, {}, 1, "avx2_f32"},
      {"three channels", {1, 3, 11, 6}, {16, 3, 3, 3}, {.padding = kOnes}, 1, "avx2_f32"},
      {"tiles", {2, 8, 8, 8}, {16, 8, 3, 3}, {.padding = kOnes}, 1, "avx2_winograd_f32"},
      {"tiles, odd size, uneven padding",
       {3, 24, 7, 5},
       {32, 24, 3, 3},
       {.padding = {2, 0, 1, 2}},
       1,
       "avx2_winograd_f32"},
      {"more tiles than a chunk", {4, 64, 17, 19}, {64, 64, 3, 3}, {}, 1, "avx2_winograd_f32"},
  };
  return all;
}

/// Whole numbers in [low, high), channels-last.
Tensor whole(Generator& generator, int low, int high, const Shape& shape, DType dtype) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (float& v : values)
    v = static_cast<float>(
        low + static_cast<int>(generator.below(static_cast<std::uint64_t>(high - low))));
  return Tensor::from(values, shape).to(dtype).to(MemoryFormat::channels_last);
}

bool is_for_this_cpu() { return isa_cap() == Isa::avx2; }

/// The kernel's constants and scratch memory, aligned as a plan aligns them. Gives what the
/// constants give back of the weight.
template <class Kernel, class Number, class Result>
Tensor run_kernel(Kernel& kernel, const Number* source, Result* destination) {
  Tensor constants = Tensor::empty({static_cast<std::int64_t>(kernel.constant_bytes())}, DType::u8);
  Tensor scratch =
      Tensor::empty({static_cast<std::int64_t>(kernel.scratch_bytes()) + 1}, DType::u8);
  kernel.fill(static_cast<std::byte*>(constants.mutable_raw()));
  kernel.run(static_cast<const std::byte*>(constants.raw()), source, destination,
             static_cast<std::byte*>(scratch.mutable_raw()));
  return kernel.weight(static_cast<const std::byte*>(constants.raw()));
}

std::vector<float> multipliers_of(std::int64_t outputs) {
  std::vector<float> m(static_cast<std::size_t>(outputs));
  for (std::size_t o = 0; o < m.size(); ++o) m[o] = 0x1p-13F * static_cast<float>(1 + o % 3);
  return m;
}

void expect_bytes(const Case& c, DType destination, bool residual) {
  SCOPED_TRACE(c.name);
  Generator generator(4);
  const std::uint8_t zero = 131;
  const Tensor x = whole(generator, 0, 256, c.x, DType::u8);
  const Tensor w = whole(generator, -c.most, std::min(c.most, 127) + 1, c.weight, DType::i8)
                       .to(MemoryFormat::row_major);
  const std::int64_t outputs = c.weight[0];
  ByteConvolutionSpec spec{.batch = c.x[0],
                           .height = c.x[2],
                           .width = c.x[3],
                           .weight = w,
                           .attributes = c.attributes,
                           .source_zero = zero,
                           .bias = std::vector<std::int32_t>(static_cast<std::size_t>(outputs)),
                           .multipliers = multipliers_of(outputs),
                           .epilogue = {}};
  std::iota(spec.bias.begin(), spec.bias.end(), -7);
  spec.epilogue.destination = destination;
  spec.epilogue.residual = residual;
  spec.epilogue.residual_dtype = destination;
  spec.epilogue.residual_scale = 0.5F;
  spec.epilogue.zero_point = destination == DType::u8 ? 12 : 0;
  const auto kernel = ByteConvolution::make(spec);
  ASSERT_NE(kernel, nullptr);
  EXPECT_STREQ(kernel->name(), c.kernel);

  const Tensor sums = convolution_integer(x, zero, w, c.attributes);
  Tensor y = whole(generator, 0, 120, sums.shape(), destination);
  const Tensor before = y.clone();
  const Tensor weight = run_kernel(*kernel, x.data<std::uint8_t>(), y.mutable_raw());
  EXPECT_EQ(weight.shape(), w.shape());
  EXPECT_EQ(weight.to_vector<std::int8_t>(), w.to_vector<std::int8_t>());

  const auto expected = sums.to_vector<std::int32_t>();
  const auto added = before.to(DType::f32).to_vector<float>();
  const auto result = y.to(DType::f32).to_vector<float>();
  const std::int64_t pixels = sums.dim(2) * sums.dim(3);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto o = static_cast<std::size_t>(static_cast<std::int64_t>(i) / pixels % outputs);
    float v = static_cast<float>(expected[i] + spec.bias[o]) * spec.multipliers[o];
    if (residual) v = std::fma(added[i], 0.5F, v);
    if (destination != DType::f32) {
      v = std::nearbyint(v) + static_cast<float>(spec.epilogue.zero_point);
      v = std::min(std::max(v, static_cast<float>(traits(destination).lowest)),
                   static_cast<float>(traits(destination).highest));
    }
    ASSERT_EQ(result[i], v) << i;
  }
}

// Under a sanitizer a second run would take minutes and see nothing new.
const std::vector<int> kThreads = PARE_SANITIZED ? std::vector{2} : std::vector{1, 2};

TEST(OwnConvolution, OfBytesIsExact) {
  if (!is_for_this_cpu()) GTEST_SKIP() << "the own int8 kernels are for AVX2 without VNNI";
  for (const int threads : kThreads) {
    ContextScope scope;
    scope->threads = threads;
    for (const Case& c : byte_cases())
      for (const DType destination : {DType::u8, DType::i8, DType::f32})
        for (const bool residual : {false, true}) expect_bytes(c, destination, residual);
  }
}

// The last 16 channels begin among the ones before them: there a sum in place would be added twice.
TEST(OwnConvolution, DepthwiseOfChannelsThatAreNoMultipleOf16) {
  if (!is_for_this_cpu()) GTEST_SKIP() << "the own int8 kernels are for AVX2 without VNNI";
  const Case c{"depthwise, 20 channels",         {2, 20, 5, 6}, {20, 1, 3, 3},
               {.padding = kOnes, .groups = 20}, 128,           "avx2_u8s8_depthwise"};
  for (const DType destination : {DType::u8, DType::i8, DType::f32})
    expect_bytes(c, destination, false);
  ByteConvolutionSpec spec{.height = 4,
                           .width = 4,
                           .weight = Tensor::full(c.weight, 1, DType::i8),
                           .attributes = c.attributes,
                           .multipliers = multipliers_of(20),
                           .epilogue = {}};
  spec.epilogue.residual = true;
  EXPECT_EQ(ByteConvolution::make(spec), nullptr);
}

TEST(OwnConvolution, OfBytesAtTheBoundsOfSixteenBits) {
  if (!is_for_this_cpu()) GTEST_SKIP() << "the own int8 kernels are for AVX2 without VNNI";
  // Bytes of 255 and neighbours' weights whose products just stay below 2^15, or above.
  for (const int w : {32, -32, 64, -64, 127, -128}) {
    for (const std::int64_t channels : {4, 32}) {
      ByteConvolutionSpec spec{.height = 4,
                               .width = 4,
                               .weight = Tensor::full({16, channels, 3, 3}, w, DType::i8),
                               .attributes = {.padding = kOnes},
                               .source_zero = 0,
                               .bias = {},
                               .multipliers = std::vector<float>(16, 1),
                               .epilogue = {}};
      spec.epilogue.destination = DType::f32;
      const auto kernel = ByteConvolution::make(spec);
      ASSERT_NE(kernel, nullptr);
      const Tensor x = Tensor::full({1, 4, 4, channels}, 255, DType::u8);
      Tensor y = Tensor::empty({1, 4, 4, 16});
      run_kernel(*kernel, x.data<std::uint8_t>(), y.mutable_raw());
      EXPECT_EQ(y.to_vector<float>()[5 * 16], static_cast<float>(255 * w * 9 * channels));
      EXPECT_EQ(y.to_vector<float>()[0], static_cast<float>(255 * w * 4 * channels));
    }
  }
}

/// The convolution in double.
std::vector<double> expected_floats(const Tensor& x, const Tensor& w, const Conv2dAttributes& a,
                                    const Shape& shape) {
  const auto in = x.to_vector<float>();
  const auto filters = w.to_vector<float>();
  const std::int64_t channels = x.dim(1);
  std::vector<double> y;
  for (std::int64_t n = 0; n < shape[0]; ++n)
    for (std::int64_t o = 0; o < shape[1]; ++o)
      for (std::int64_t oy = 0; oy < shape[2]; ++oy)
        for (std::int64_t ox = 0; ox < shape[3]; ++ox) {
          double sum = 0;
          for (std::int64_t c = 0; c < channels; ++c)
            for (std::int64_t ky = 0; ky < w.dim(2); ++ky)
              for (std::int64_t kx = 0; kx < w.dim(3); ++kx) {
                const std::int64_t iy = oy * a.stride[0] + ky * a.dilation[0] - a.padding[0];
                const std::int64_t ix = ox * a.stride[1] + kx * a.dilation[1] - a.padding[1];
                if (iy < 0 || ix < 0 || iy >= x.dim(2) || ix >= x.dim(3)) continue;
                sum += double{in[static_cast<std::size_t>(
                           ((n * channels + c) * x.dim(2) + iy) * x.dim(3) + ix)]} *
                       double{filters[static_cast<std::size_t>(
                           ((o * channels + c) * w.dim(2) + ky) * w.dim(3) + kx)]};
              }
          y.push_back(sum);
        }
  return y;
}

void expect_floats(const Case& c, bool residual) {
  SCOPED_TRACE(c.name);
  Generator generator(5);
  const Tensor x = generator.normal(c.x).to(MemoryFormat::channels_last);
  const Tensor w = generator.normal(c.weight);
  const Tensor bias = generator.normal({c.weight[0]});
  FloatConvolutionSpec spec{.batch = c.x[0],
                            .height = c.x[2],
                            .width = c.x[3],
                            .weight = w,
                            .bias = bias,
                            .attributes = c.attributes,
                            .residual = residual,
                            .low = 0,
                            .high = 6};
  const auto kernel = FloatConvolution::make(spec);
  ASSERT_NE(kernel, nullptr);
  EXPECT_STREQ(kernel->name(), c.kernel);
  const Shape shape = conv2d(x, w, {}, c.attributes).shape();
  Tensor y = generator.normal(shape).to(MemoryFormat::channels_last);
  const auto added = y.to_vector<float>();
  const Tensor weight = run_kernel(*kernel, x.data<float>(), y.mutable_data<float>());
  ASSERT_EQ(weight.shape(), w.shape());
  const auto filters = w.to_vector<float>();
  const auto given_back = weight.to_vector<float>();
  for (std::size_t i = 0; i < filters.size(); ++i) ASSERT_NEAR(given_back[i], filters[i], 2e-6);
  const auto expected = expected_floats(x, w, c.attributes, shape);
  const auto result = y.to_vector<float>();
  const auto b = bias.to_vector<float>();
  // Terms of about 1: the rounding errors of their sum grow with the root of their number.
  const double bound = 4e-6 * std::sqrt(static_cast<double>(w.elements() / w.dim(0)));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto o =
        static_cast<std::size_t>(static_cast<std::int64_t>(i) / (shape[2] * shape[3]) % shape[1]);
    const double v = expected[i] + double{b[o]} + (residual ? double{added[i]} : 0);
    ASSERT_NEAR(result[i], std::clamp(v, 0.0, 6.0), bound) << i;
  }
}

TEST(OwnConvolution, OfFloatsIsTheSum) {
  if (!is_for_this_cpu()) GTEST_SKIP() << "the own kernels are for AVX2";
  for (const int threads : kThreads) {
    ContextScope scope;
    scope->threads = threads;
    for (const Case& c : float_cases())
      for (const bool residual : {false, true}) expect_floats(c, residual);
  }
}

TEST(OwnConvolution, OfFloatsKeepsNaN) {
  if (!is_for_this_cpu()) GTEST_SKIP() << "the own kernels are for AVX2";
  for (const std::int64_t stride : {1, 2}) {
    FloatConvolutionSpec spec{.height = 6,
                              .width = 6,
                              .weight = Tensor::ones({16, 8, 3, 3}),
                              .bias = {},
                              .attributes = {.stride = {stride, stride}},
                              .low = 0,
                              .high = 1};
    const auto kernel = FloatConvolution::make(spec);
    const Tensor x = Tensor::full({1, 6, 6, 8}, std::nan(""));
    Tensor y = Tensor::empty({1, stride == 1 ? 4 : 2, stride == 1 ? 4 : 2, 16});
    run_kernel(*kernel, x.data<float>(), y.mutable_data<float>());
    for (const float v : y.to_vector<float>()) ASSERT_TRUE(std::isnan(v));
  }
}

}  // namespace
}  // namespace pare
