// Integer convolutions and products against loops over int64.
#include "core/integer_reference.h"

#include <gtest/gtest.h>

#include "core/strides.h"
#include "expect_error.h"
#include "pare/core/generator.h"

namespace pare {
namespace {

template <class T> Tensor codes(Generator& generator, const Shape& shape) {
  std::vector<T> values(static_cast<std::size_t>(shape.elements()));
  for (T& v : values) v = static_cast<T>(generator.below(256));
  return Tensor::from(values, shape);
}

std::int64_t code(const Tensor& x, std::initializer_list<std::int64_t> index) {
  const Strides strides = strides_of(x);
  std::int64_t at = 0;
  std::size_t axis = 0;
  for (const std::int64_t i : index) at += i * strides[axis++];
  return x.dtype() == DType::i8 ? std::int64_t{x.data<std::int8_t>()[at]}
                                : std::int64_t{x.data<std::uint8_t>()[at]};
}

void expect_convolution(const Tensor& x, std::int32_t zero, const Tensor& w,
                        const Conv2dAttributes& a) {
  const Tensor result = convolution_integer(x, zero, w, a);
  EXPECT_EQ(result.format(), x.format());
  const std::vector<std::int32_t> y = result.to_vector<std::int32_t>();
  const Shape& shape = result.shape();
  const std::int64_t group_channels = w.dim(1);
  const std::int64_t group_outputs = w.dim(0) / a.groups;
  std::size_t at = 0;
  for (std::int64_t n = 0; n < shape[0]; ++n)
    for (std::int64_t o = 0; o < shape[1]; ++o)
      for (std::int64_t oy = 0; oy < shape[2]; ++oy)
        for (std::int64_t ox = 0; ox < shape[3]; ++ox) {
          std::int64_t sum = 0;
          for (std::int64_t c = 0; c < group_channels; ++c)
            for (std::int64_t ky = 0; ky < w.dim(2); ++ky)
              for (std::int64_t kx = 0; kx < w.dim(3); ++kx) {
                const std::int64_t iy = oy * a.stride[0] + ky * a.dilation[0] - a.padding[0];
                const std::int64_t ix = ox * a.stride[1] + kx * a.dilation[1] - a.padding[1];
                if (iy < 0 || ix < 0 || iy >= x.dim(2) || ix >= x.dim(3)) continue;
                const std::int64_t channel = o / group_outputs * group_channels + c;
                sum += (code(x, {n, channel, iy, ix}) - zero) * code(w, {o, c, ky, kx});
              }
          ASSERT_EQ(y[at++], sum) << n << ' ' << o << ' ' << oy << ' ' << ox;
        }
}

TEST(IntegerReference, Convolution) {
  Generator generator(1);
  const Conv2dAttributes plain{.stride = {2, 1}, .padding = {1, 2, 0, 1}, .dilation = {1, 2}};
  const Conv2dAttributes grouped{.padding = {1, 1, 1, 1}, .groups = 2};
  const Conv2dAttributes depthwise{.padding = {1, 1, 1, 1}, .groups = 4};
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor u = codes<std::uint8_t>(generator, {2, 4, 7, 6}).to(format);
    const Tensor s = codes<std::int8_t>(generator, {2, 4, 7, 6}).to(format);
    expect_convolution(u, 131, codes<std::int8_t>(generator, {5, 4, 3, 3}), plain);
    expect_convolution(s, -7, codes<std::int8_t>(generator, {5, 4, 3, 2}), plain);
    expect_convolution(u, 0, codes<std::int8_t>(generator, {6, 2, 3, 3}), grouped);
    expect_convolution(s, 127, codes<std::int8_t>(generator, {4, 1, 3, 3}), depthwise);
    expect_convolution(u, 255, codes<std::int8_t>(generator, {9, 4, 1, 1}), {});
  }
}

TEST(IntegerReference, Volumes) {
  Generator generator(3);
  const Conv3dAttributes a{
      .stride = {2, 1, 2}, .padding = {1, 0, 2, 0, 1, 1}, .dilation = {1, 2, 1}, .groups = 2};
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor x = codes<std::uint8_t>(generator, {2, 4, 5, 6, 4}).to(format);
    const Tensor w = codes<std::int8_t>(generator, {6, 2, 3, 2, 3}).to(format);
    const Tensor result = convolution_integer(x, 77, w, a);
    ASSERT_EQ(result.shape(), (Shape{2, 6, 2, 5, 3}));
    EXPECT_EQ(result.format(), format);
    const std::vector<std::int32_t> y = result.to_vector<std::int32_t>();
    for (std::int64_t i = 0; i < result.elements(); ++i) {
      const std::int64_t n = i / 180, o = i / 30 % 6, oz = i / 15 % 2, oy = i / 3 % 5, ox = i % 3;
      std::int64_t sum = 0;
      for (std::int64_t tap = 0; tap < 36; ++tap) {
        const std::int64_t c = tap / 18, kz = tap / 6 % 3, ky = tap / 3 % 2, kx = tap % 3;
        const std::int64_t iz = oz * 2 + kz - 1, iy = oy + ky * 2, ix = ox * 2 + kx - 2;
        if (iz < 0 || ix < 0 || iz >= 5 || iy >= 6 || ix >= 4) continue;
        sum += (code(x, {n, o / 3 * 2 + c, iz, iy, ix}) - 77) * code(w, {o, c, kz, ky, kx});
      }
      ASSERT_EQ(y[static_cast<std::size_t>(i)], sum) << i;
    }
  }
}

/// Over one to three axes, as what it is: every input pixel adds its product with the kernel.
template <std::size_t N>
void expect_transposed(const Tensor& x, std::int32_t zero, const Tensor& w,
                       const ConvTransposeAttributes<N>& a) {
  const Tensor result = conv_transpose_integer(x, zero, w, a);
  EXPECT_EQ(result.format(), x.format());
  const Shape& y = result.shape();
  const auto spatial = [](const Shape& s, int axis) {  // counted from the last
    return axis < s.rank() - 2 ? s[s.rank() - 1 - axis] : 1;
  };
  const auto at = [&](std::int64_t i, int axis, const Shape& s) {
    for (int k = 0; k < axis; ++k) i /= spatial(s, k);
    return i % spatial(s, axis);
  };
  const std::int64_t per_group = w.dim(1);
  const std::int64_t channels = w.dim(0) / a.groups;
  const std::int64_t pixels = y.elements(2, y.rank());
  const std::int64_t kernel = w.shape().elements(2, w.rank());
  const std::int64_t sources = x.shape().elements(2, x.rank());
  const auto xs = x.to(DType::i32).to_vector<std::int32_t>();
  const auto ws = w.to(DType::i32).to_vector<std::int32_t>();
  std::vector<std::int64_t> sums(static_cast<std::size_t>(y.elements()));
  for (std::int64_t i = 0; i < x.elements(); ++i) {
    const std::int64_t c = i / sources % x.dim(1);
    const std::int64_t n = i / sources / x.dim(1);
    for (std::int64_t k = 0; k < per_group * kernel; ++k) {
      std::int64_t pixel = 0;
      bool inside = true;
      for (int axis = static_cast<int>(N) - 1; axis >= 0; --axis) {
        const auto s = N - 1 - static_cast<std::size_t>(axis);
        const std::int64_t to = at(i, axis, x.shape()) * a.stride[s] - a.padding[s] +
                                at(k, axis, w.shape()) * a.dilation[s];
        inside = inside && to >= 0 && to < spatial(y, axis);
        pixel = pixel * spatial(y, axis) + to;
      }
      if (!inside) continue;
      const std::int64_t o = c / channels * per_group + k / kernel;
      sums[static_cast<std::size_t>((n * y[1] + o) * pixels + pixel)] +=
          std::int64_t{xs[static_cast<std::size_t>(i)] - zero} *
          ws[static_cast<std::size_t>(c * per_group * kernel + k)];
    }
  }
  const auto found = result.to_vector<std::int32_t>();
  for (std::size_t i = 0; i < sums.size(); ++i) ASSERT_EQ(found[i], sums[i]) << i;
}

TEST(IntegerReference, TransposedConvolution) {
  Generator generator(4);
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor line = codes<std::uint8_t>(generator, {2, 3, 6}).to(format);
    expect_transposed(
        line, 200, codes<std::int8_t>(generator, {3, 4, 5}),
        ConvTranspose1dAttributes{.stride = {3}, .padding = {2, 1}, .output_padding = {1}});
    const Tensor u = codes<std::uint8_t>(generator, {2, 4, 5, 3}).to(format);
    expect_transposed(
        u, 9, codes<std::int8_t>(generator, {4, 3, 3, 2}),
        ConvTranspose2dAttributes{
            .stride = {2, 1}, .padding = {1, 0, 0, 1}, .dilation = {1, 2}, .groups = 2});
    expect_transposed(u, 0, codes<std::int8_t>(generator, {4, 5, 1, 1}),
                      ConvTranspose2dAttributes{.stride = {2, 3}});
    const Tensor s = codes<std::int8_t>(generator, {1, 2, 3, 2, 4}).to(format);
    expect_transposed(
        s, -5, codes<std::int8_t>(generator, {2, 3, 2, 3, 2}),
        ConvTranspose3dAttributes{
            .stride = {2, 1, 2}, .padding = {0, 1, 0, 1, 0, 1}, .output_padding = {1, 0, 0}});
  }
}

TEST(IntegerReference, DenseLayersAndProducts) {
  Generator generator(2);
  const Tensor x = codes<std::uint8_t>(generator, {2, 3, 19});
  const Tensor w = codes<std::int8_t>(generator, {6, 19});
  const std::vector<std::int32_t> y = linear_integer(x, 120, w).to_vector<std::int32_t>();
  const Tensor b = codes<std::uint8_t>(generator, {19, 6});
  const std::vector<std::int32_t> z = matmul_integer(x, 120, b, 9).to_vector<std::int32_t>();
  for (std::int64_t i = 0; i < 6; ++i)
    for (std::int64_t o = 0; o < 6; ++o) {
      std::int64_t dense = 0;
      std::int64_t product = 0;
      for (std::int64_t k = 0; k < 19; ++k) {
        const std::int64_t v = code(x, {i / 3, i % 3, k}) - 120;
        dense += v * code(w, {o, k});
        product += v * (code(b, {k, o}) - 9);
      }
      EXPECT_EQ(y[static_cast<std::size_t>(i * 6 + o)], dense);
      EXPECT_EQ(z[static_cast<std::size_t>(i * 6 + o)], product);
    }
  const Tensor batches = matmul_integer(codes<std::int8_t>(generator, {2, 1, 3, 4}), 0,
                                        codes<std::int8_t>(generator, {3, 4, 2}), 0);
  EXPECT_EQ(batches.shape(), (Shape{2, 3, 3, 2}));
}

TEST(IntegerReference, RefusesBadInput) {
  const Tensor x = Tensor::zeros({1, 2}, DType::u8);
  const Tensor w = Tensor::zeros({3, 2}, DType::i8);
  EXPECT_ERROR(linear_integer(x, 256, w), invalid_argument,
               "linear_integer: expected a zero point of u8, got 256");
  EXPECT_ERROR(linear_integer(x.to(DType::f32), 0, w), dtype_mismatch, "linear_integer", "f32");
  EXPECT_ERROR(linear_integer(x, 0, Tensor::zeros({3, 3}, DType::i8)), shape_mismatch,
               "linear_integer", "[3, 3]");
  EXPECT_ERROR(convolution_integer(Tensor::zeros({1, 2, 3, 3, 3}, DType::u8), 256,
                                   Tensor::zeros({1, 2, 1, 1, 1}, DType::i8), Conv3dAttributes{}),
               invalid_argument, "conv3d_integer: expected a zero point of u8, got 256");
  EXPECT_ERROR(
      conv_transpose_integer(Tensor::zeros({1, 2, 3}, DType::u8), 0,
                             Tensor::zeros({3, 2, 1}, DType::i8), ConvTranspose1dAttributes{}),
      shape_mismatch, "conv_transpose1d_integer: expected x with 3 channels");
  // 70 000 products of 255 by 127 are more than int32 holds.
  EXPECT_ERROR(linear_integer(Tensor::zeros({1, 70000}, DType::u8), 0,
                              Tensor::full({1, 70000}, 127, DType::i8)),
               out_of_range, "linear_integer: expected sums within int32", "output 0");
}

}  // namespace
}  // namespace pare
