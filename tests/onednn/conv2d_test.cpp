// oneDNN's conv2d, forward and backward, against loops in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "onednn/gradient_of.h"
#include "onednn/kernels.h"
#include "pare/core/ops/contraction.h"

namespace pare {
namespace {

struct Case {
  std::int64_t batch, in, height, width, out;
  std::array<std::int64_t, 2> kernel;
  Conv2dAttributes attributes;
  bool bias = true;

  std::int64_t size_out(int axis) const {
    const auto a = static_cast<std::size_t>(axis);
    const std::int64_t size = axis == 0 ? height : width;
    const auto& p = attributes;
    return (size + p.padding[a] + p.padding[a + 2] - p.dilation[a] * (kernel[a] - 1) - 1) /
               p.stride[a] +
           1;
  }
};

const Case kCases[] = {
    {2, 1, 8, 8, 4, {3, 3}, {}},
    {2, 3, 32, 32, 16, {3, 3}, {.padding = {1, 1, 1, 1}}},
    {3, 16, 9, 7, 16, {3, 3}, {.padding = {1, 1, 1, 1}}, false},
    {2, 16, 8, 8, 32, {3, 3}, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},
    {1, 64, 8, 8, 64, {3, 3}, {.padding = {1, 1, 1, 1}}},
    {2, 1, 28, 28, 20, {5, 5}, {}},
    {2, 20, 12, 12, 50, {5, 5}, {}},
    {3, 20, 9, 8, 50, {3, 3}, {.stride = {2, 1}, .padding = {1, 2, 0, 1}, .dilation = {2, 2}}},
    {3, 5, 6, 7, 48, {3, 5}, {.padding = {1, 4, 1, 3}}},
    {2, 20, 6, 6, 50, {1, 1}, {}},
    {2, 32, 5, 5, 64, {1, 1}, {.stride = {2, 2}}},
    {2, 8, 9, 9, 8, {3, 3}, {.padding = {0, 1, 2, 0}}},
    {2, 8, 11, 11, 8, {3, 3}, {.padding = {2, 2, 2, 2}, .dilation = {2, 2}}},
    {2, 8, 11, 7, 12, {3, 1}, {.stride = {1, 2}, .padding = {1, 0, 1, 0}, .dilation = {3, 1}}},
    {2, 32, 7, 7, 32, {3, 3}, {.padding = {1, 1, 1, 1}, .groups = 32}},
    {2, 20, 7, 7, 20, {3, 3}, {.padding = {1, 1, 1, 1}, .groups = 4}},
    {2, 32, 6, 6, 16, {3, 3}, {.padding = {1, 1, 1, 1}, .groups = 2}},
    {2, 5, 4, 4, 3, {4, 4}, {}},
    {1, 6, 1, 1, 7, {1, 1}, {}, false},
};

float noise(std::uint32_t& state) {
  state = state * 1664525U + 1013904223U;
  return static_cast<float>(state >> 8) / static_cast<float>(1 << 23) - 1.0F;
}
std::vector<float> numbers(std::int64_t count, std::uint32_t seed) {
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& v : out) v = noise(seed);
  return out;
}
Tensor tensor(const std::vector<float>& values, const Shape& shape, MemoryFormat format) {
  Tensor t = Tensor::empty(shape, DType::f32, format);
  t.copy_from(Tensor::from(values, shape));
  return t;
}

/// Calls visit(output, input, weight index) for every product of the convolution.
template <class Visit> void each_product(const Case& c, Visit&& visit) {
  const auto& p = c.attributes;
  const std::int64_t oh = c.size_out(0);
  const std::int64_t ow = c.size_out(1);
  const std::int64_t per_group = c.in / p.groups;
  for (std::int64_t n = 0; n < c.batch; ++n)
    for (std::int64_t o = 0; o < c.out; ++o)
      for (std::int64_t y = 0; y < oh; ++y)
        for (std::int64_t x = 0; x < ow; ++x)
          for (std::int64_t i = 0; i < per_group; ++i)
            for (std::int64_t ky = 0; ky < c.kernel[0]; ++ky)
              for (std::int64_t kx = 0; kx < c.kernel[1]; ++kx) {
                const std::int64_t sy = y * p.stride[0] - p.padding[0] + ky * p.dilation[0];
                const std::int64_t sx = x * p.stride[1] - p.padding[1] + kx * p.dilation[1];
                if (sy < 0 || sy >= c.height || sx < 0 || sx >= c.width) continue;
                const std::int64_t channel = o / (c.out / p.groups) * per_group + i;
                visit(
                    static_cast<std::size_t>(((n * c.out + o) * oh + y) * ow + x),
                    static_cast<std::size_t>(((n * c.in + channel) * c.height + sy) * c.width + sx),
                    static_cast<std::size_t>(
                        ((o * per_group + i) * c.kernel[0] + ky) * c.kernel[1] + kx));
              }
}

void expect_near(const Tensor& got, const std::vector<double>& want, const std::string& what) {
  const auto values = got.to_vector<float>();
  ASSERT_EQ(values.size(), want.size());
  double largest = 1;
  for (const double v : want) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(values[i], want[i], 2e-6 * largest) << what << ", element " << i;
}

struct Kernels {
  bool (*forward)(const Call&, std::span<const Tensor>, std::span<Tensor>, const Context&);
  bool (*backward)(BackwardArgs&);
};
constexpr Kernels kAny{onednn::conv2d_forward, onednn::conv2d_backward};
constexpr Kernels kPointwise{onednn::conv2d_pointwise_forward, onednn::conv2d_pointwise_backward};

void check(const Case& c, MemoryFormat x_format, MemoryFormat y_format,
           const Kernels& kernels = kAny) {
  const Shape xs{c.batch, c.in, c.height, c.width};
  const Shape ws{c.out, c.in / c.attributes.groups, c.kernel[0], c.kernel[1]};
  const Shape ys{c.batch, c.out, c.size_out(0), c.size_out(1)};
  const auto x = numbers(xs.elements(), 1);
  const auto w = numbers(ws.elements(), 2);
  const auto b = numbers(c.out, 3);
  const auto g = numbers(ys.elements(), 4);
  std::vector<double> y(g.size());
  std::vector<double> dx(x.size());
  std::vector<double> dw(w.size());
  std::vector<double> db(b.size());
  const std::size_t plane = static_cast<std::size_t>(ys[2] * ys[3]);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t o = i / plane % b.size();
    y[i] = c.bias ? b[o] : 0;
    db[o] += g[i];
  }
  each_product(c, [&](std::size_t out, std::size_t in, std::size_t weight) {
    y[out] += static_cast<double>(x[in]) * w[weight];
    dx[in] += static_cast<double>(g[out]) * w[weight];
    dw[weight] += static_cast<double>(g[out]) * x[in];
  });

  const Call call{nullptr, Attributes::of(c.attributes)};
  Tensors inputs{tensor(x, xs, x_format), tensor(w, ws, MemoryFormat::row_major),
                 c.bias ? Tensor::from(b, {c.out}) : Tensor()};
  Tensors outputs{Tensor::full(ys, NAN, DType::f32, y_format)};
  ASSERT_TRUE(kernels.forward(call, inputs, outputs, context()));
  expect_near(outputs[0], y, "output");

  test::GradientOf gradient(call, inputs, tensor(g, ys, y_format));
  ASSERT_TRUE(kernels.backward(gradient));
  expect_near(gradient.gradients[0], dx, "gradient of x");
  expect_near(gradient.gradients[1], dw, "gradient of the weight");
  if (c.bias) expect_near(gradient.gradients[2], db, "gradient of the bias");
}

TEST(OnednnConv2d, EqualsLoopsInBothFormats) {
  constexpr auto kRows = MemoryFormat::row_major;
  constexpr auto kLast = MemoryFormat::channels_last;
  ContextScope scope;
  scope->threads = 1;
  int number = 0;
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << "case " << number++ << ": " << c.in << "x" << c.height << "x"
                                    << c.width << " to " << c.out);
    check(c, kRows, kRows);
    check(c, kLast, kLast);
    if (c.in == 3 || c.in == 8) {  // a format of its own for each operand
      check(c, kRows, kLast);
      check(c, kLast, kRows);
    }
    if (HasFatalFailure()) return;
  }
}

TEST(OnednnConv2d, PointwiseEqualsLoops) {
  for (const int threads : {1, 2, 3})
    for (const Case& c :
         {Case{2, 16, 8, 8, 24, {1, 1}, {}}, Case{5, 19, 9, 11, 17, {1, 1}, {}},
          Case{1, 32, 16, 16, 40, {1, 1}, {}, false}, Case{3, 64, 16, 32, 48, {1, 1}, {}}}) {
      ContextScope scope;
      scope->threads = threads;
      SCOPED_TRACE(testing::Message() << threads << " threads, " << c.in << " to " << c.out);
      check(c, MemoryFormat::row_major, MemoryFormat::row_major, kPointwise);
    }
}

TEST(OnednnConv2d, PointwiseLeavesTheRestToOthers) {
  const auto runs = [](const Shape& weight, const Conv2dAttributes& attributes,
                       MemoryFormat format) {
    const Call call{&kConv2d, Attributes::of(attributes)};
    const Tensors inputs{Tensor::zeros({2, 32, 9, 9}, DType::f32, format), Tensor::zeros(weight)};
    const Tensor y = pare::apply(call, inputs);
    Tensors outputs{y};
    test::GradientOf gradient(call, inputs, outputs[0]);
    const bool backward = kPointwise.backward(gradient);
    EXPECT_EQ(kPointwise.forward(call, inputs, outputs, context()), backward);
    return backward;
  };
  constexpr auto kRows = MemoryFormat::row_major;
  EXPECT_TRUE(runs({16, 32, 1, 1}, {}, kRows));
  EXPECT_FALSE(runs({16, 32, 1, 1}, {}, MemoryFormat::channels_last));
  EXPECT_FALSE(runs({16, 32, 1, 1}, {.stride = {1, 2}}, kRows));
  EXPECT_FALSE(runs({16, 32, 1, 1}, {.padding = {0, 1, 0, 0}}, kRows));
  EXPECT_FALSE(runs({32, 16, 1, 1}, {.groups = 2}, kRows));
  EXPECT_FALSE(runs({16, 32, 1, 2}, {}, kRows));
  EXPECT_FALSE(runs({4, 32, 1, 1}, {}, kRows));
}

TEST(OnednnConv2d, WeightsMayBeChannelsLast) {
  const Shape xs{1, 4, 5, 5};
  const Shape ws{6, 2, 3, 3};
  const Call call{nullptr, Attributes::of(Conv2dAttributes{.groups = 2})};
  const auto x = numbers(xs.elements(), 1);
  const auto w = numbers(ws.elements(), 2);
  Tensors results[2];
  for (const auto format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    Tensors inputs{tensor(x, xs, MemoryFormat::row_major), tensor(w, ws, format)};
    Tensors outputs{Tensor::empty({1, 6, 3, 3})};
    ASSERT_TRUE(onednn::conv2d_forward(call, inputs, outputs, context()));
    test::GradientOf gradient(call, inputs, outputs[0]);
    ASSERT_TRUE(onednn::conv2d_backward(gradient));
    results[static_cast<int>(format)] = {outputs[0], gradient.gradients[0], gradient.gradients[1]};
  }
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(results[0][i].to_vector<float>(), results[1][i].to_vector<float>()) << i;
}

TEST(OnednnConv2d, AnyThreadsGiveTheSame) {
  const Case& c = kCases[3];
  for (const int threads : {1, 2, 4}) {
    ContextScope scope;
    scope->threads = threads;
    check(c, MemoryFormat::channels_last, MemoryFormat::channels_last);
  }
}

TEST(OnednnConv2d, RunsInSeveralThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      context().threads = 1;
      for (const Case& c : kCases)
        check(c, MemoryFormat::channels_last, MemoryFormat::channels_last);
    });
  for (auto& t : threads) t.join();
}

TEST(OnednnConv2d, LeavesOtherTypesToOthers) {
  Tensors inputs{Tensor::zeros({1, 1, 3, 3}, DType::f64), Tensor::zeros({1, 1, 3, 3}, DType::f64)};
  Tensors outputs{Tensor::zeros({1, 1, 1, 1}, DType::f64)};
  const Call call{nullptr, Attributes::of(Conv2dAttributes{})};
  EXPECT_FALSE(onednn::conv2d_forward(call, inputs, outputs, context()));
}

}  // namespace
}  // namespace pare
