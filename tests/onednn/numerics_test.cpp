// A plan's int8 primitives, bit by bit against the model of their arithmetic, and within one step
// of ONNX's order of rounding.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "onednn/api.h"
#include "onednn/int8_model.h"
#include "onednn/makers.h"
#include "pare/core/context.h"

namespace pare {
namespace {

using runtime::Encoding;
using runtime::Epilogue;

struct Layer {
  const char* name;
  std::int64_t batch, in, size, out, kernel, stride, padding, groups;  ///< size 0: a dense layer
};
const Layer kLayers[] = {
    {"3x3 of 3", 2, 3, 12, 16, 3, 1, 1, 1},     {"3x3 of 16", 2, 16, 9, 16, 3, 1, 1, 1},
    {"3x3/2", 1, 16, 8, 32, 3, 2, 1, 1},        {"3x3 of 64", 1, 64, 8, 64, 3, 1, 1, 1},
    {"5x5 unpadded", 2, 1, 12, 20, 5, 1, 0, 1}, {"5x5 of 20", 1, 20, 8, 50, 5, 1, 0, 1},
    {"1x1", 2, 32, 5, 48, 1, 1, 0, 1},          {"1x1/2", 2, 20, 6, 24, 1, 2, 0, 1},
    {"depthwise", 2, 32, 7, 32, 3, 1, 1, 32},   {"grouped", 1, 32, 6, 16, 3, 1, 1, 2},
    {"dense", 3, 100, 0, 10, 1, 1, 0, 1},       {"dense, one row", 1, 784, 0, 30, 1, 1, 0, 1},
    {"dense, 64", 16, 64, 0, 64, 1, 1, 0, 1},
};

struct Setting {
  const char* name;
  Encoding source, destination;
  Epilogue epilogue;
  bool bias = true;
  bool per_channel = true;
};
const Encoding kByte{DType::u8, 0.02, 0};
const Encoding kSigned{DType::i8, 0.03, 0};
const Setting kSettings[] = {
    {"u8 to u8 with relu", kByte, {DType::u8, 0.05, 0}, {.low = 0}},
    {"u8 to i8", kByte, {DType::i8, 0.07, 0}, {}},
    {"u8 to f32, no bias", kByte, {}, {}, false},
    {"u8 to f32 with relu", kByte, {}, {.low = 0}},
    {"i8 to i8", kSigned, {DType::i8, 0.07, 0}, {}},
    {"i8 to u8, one scale", kSigned, {DType::u8, 0.07, 0}, {.low = 0}, true, false},
    {"zero points", {DType::u8, 0.02, 128}, {DType::u8, 0.06, 120}, {}},
    {"zero points and relu", {DType::u8, 0.02, 7}, {DType::u8, 0.06, 40}, {.low = 0}},
    {"relu6", kByte, {DType::u8, 0.05, 0}, {.low = 0, .high = 6}},
    {"residual",
     kByte,
     {DType::u8, 0.05, 0},
     {.residual = true, .residual_encoding = {DType::u8, 0.08, 0}, .low = 0}},
    {"residual i8 and zero points",
     kByte,
     {DType::i8, 0.05, -4},
     {.residual = true, .residual_encoding = {DType::i8, 0.08, 6}}},
};

struct Random {
  std::uint64_t state = 88172645463325252ULL;
  int operator()(int low, int high) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return low + static_cast<int>(state % static_cast<std::uint64_t>(high - low + 1));
  }
};

double at(const void* data, DType dtype, std::size_t i) {
  switch (dtype) {
    case DType::u8:
      return static_cast<const std::uint8_t*>(data)[i];
    case DType::i8:
      return static_cast<const std::int8_t*>(data)[i];
    default:
      return static_cast<double>(static_cast<const float*>(data)[i]);
  }
}
void put(void* data, DType dtype, std::size_t i, int value) {
  if (dtype == DType::u8) static_cast<std::uint8_t*>(data)[i] = static_cast<std::uint8_t>(value);
  if (dtype == DType::i8) static_cast<std::int8_t*>(data)[i] = static_cast<std::int8_t>(value);
  if (dtype == DType::f32) static_cast<float*>(data)[i] = static_cast<float>(value);
}

struct Buffer {  // 64-byte aligned
  explicit Buffer(std::size_t bytes) : memory(bytes + 64) {}
  void* data() {
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    return memory.data() + (64 - address % 64) % 64;
  }
  std::vector<std::byte> memory;
};

struct Result {
  bool made = false;
  std::string name;
  int outputs = 0;
  int wrong = 0;        ///< not the model's
  int off_by_more = 0;  ///< more than one step from ONNX's order, or one step away from a tie
};

Result check(const Layer& layer, const Setting& setting, int weight_limit) {
  Random random;
  const bool dense = layer.size == 0;
  const std::int64_t size = dense ? 1 : layer.size;
  const std::int64_t out_size = (size + 2 * layer.padding - layer.kernel) / layer.stride + 1;
  const std::int64_t per_group = layer.in / layer.groups;
  Tensor weight = Tensor::empty(
      dense ? Shape{layer.out, layer.in} : Shape{layer.out, per_group, layer.kernel, layer.kernel},
      DType::i8);
  auto* w = weight.mutable_data<std::int8_t>();
  for (std::int64_t i = 0; i < weight.elements(); ++i)
    w[i] = static_cast<std::int8_t>(random(-weight_limit, weight_limit));
  Tensor bias;
  if (setting.bias) {
    bias = Tensor::empty({layer.out}, DType::i32);
    for (std::int64_t o = 0; o < layer.out; ++o)
      bias.mutable_data<std::int32_t>()[o] = random(-3000, 3000);
  }
  std::vector<float> scales;
  for (std::int64_t o = 0; o < (setting.per_channel ? layer.out : 1); ++o)
    scales.push_back(static_cast<float>(random(50, 200)) * 1e-4F);

  const auto source_count = static_cast<std::size_t>(layer.batch * size * size * layer.in);
  const auto count = static_cast<std::size_t>(layer.batch * out_size * out_size * layer.out);
  Buffer source(source_count);
  const DType in_type = setting.source.dtype;
  for (std::size_t i = 0; i < source_count; ++i)
    put(source.data(), in_type, i, in_type == DType::u8 ? random(0, 255) : random(-127, 127));
  const DType out_type = setting.destination.dtype;
  Buffer destination(count * 4);
  std::vector<double> previous(count);
  for (std::size_t i = 0; i < count; ++i) {
    put(destination.data(), out_type, i, out_type == DType::u8 ? random(0, 255) : random(-99, 99));
    previous[i] = at(destination.data(), out_type, i);
  }

  const auto made = [&] {
    if (dense)
      return onednn::make_dense({.rows = layer.batch,
                                 .weight = weight,
                                 .bias = bias,
                                 .weight_scales = scales,
                                 .source = setting.source,
                                 .destination = setting.destination,
                                 .epilogue = setting.epilogue});
    const std::int64_t p = layer.padding;
    return onednn::make_convolution({.batch = layer.batch,
                                     .height = size,
                                     .width = size,
                                     .weight = weight,
                                     .bias = bias,
                                     .weight_scales = scales,
                                     .attributes = {.stride = {layer.stride, layer.stride},
                                                    .padding = {p, p, p, p},
                                                    .groups = layer.groups},
                                     .source = setting.source,
                                     .destination = setting.destination,
                                     .epilogue = setting.epilogue});
  };
  const auto primitive = made();
  Result result;
  if (!primitive) return result;
  result.made = true;
  result.name = primitive->name();
  Buffer constants(primitive->constant_bytes());
  primitive->fill(constants.data());
  const Tensor given_back = primitive->weight(constants.data());
  EXPECT_TRUE(given_back.defined() &&
              given_back.to_vector<std::int8_t>() == weight.to_vector<std::int8_t>())
      << "weights of " << result.name;
  Buffer scratch(primitive->scratch_bytes());
  primitive->execution(constants.data())->run(source.data(), destination.data(), scratch.data());

  // Sums of q − z, so that padding, which stands for zero, adds nothing.
  for (std::int64_t n = 0; n < layer.batch; ++n)
    for (std::int64_t y = 0; y < out_size; ++y)
      for (std::int64_t x = 0; x < out_size; ++x)
        for (std::int64_t o = 0; o < layer.out; ++o) {
          std::int64_t sum = 0;  // of codes: what oneDNN accumulates
          std::int64_t weights = 0;
          std::int64_t inside = 0;
          for (std::int64_t i = 0; i < per_group; ++i)
            for (std::int64_t ky = 0; ky < layer.kernel; ++ky)
              for (std::int64_t kx = 0; kx < layer.kernel; ++kx) {
                const std::int64_t weight_at =
                    w[((o * per_group + i) * layer.kernel + ky) * layer.kernel + kx];
                weights += weight_at;
                const std::int64_t sy = y * layer.stride - layer.padding + ky;
                const std::int64_t sx = x * layer.stride - layer.padding + kx;
                if (sy < 0 || sy >= size || sx < 0 || sx >= size) continue;
                const std::int64_t channel = o / (layer.out / layer.groups) * per_group + i;
                sum += weight_at * static_cast<std::int64_t>(
                                       at(source.data(), in_type,
                                          static_cast<std::size_t>(
                                              ((n * size + sy) * size + sx) * layer.in + channel)));
                inside += weight_at;
              }
          const bool padded = layer.padding != 0;
          const int zero = setting.source.zero_point;
          const std::int64_t b = setting.bias ? bias.data<std::int32_t>()[o] : 0;
          // Padded: oneDNN subtracts the zero point from the sum; else it is in the bias.
          const std::int64_t acc = padded ? sum - zero * inside : sum;
          const std::int64_t acc_bias = padded ? b : b - zero * weights;
          const double scale = scales[setting.per_channel ? static_cast<std::size_t>(o) : 0];
          const auto channel =
              test::channel_model(onednn::kVersion3, setting.source, scale, setting.destination,
                                  acc_bias, setting.bias || (zero != 0 && !padded));
          const auto i =
              static_cast<std::size_t>(((n * out_size + y) * out_size + x) * layer.out + o);
          const double want = test::model_output(onednn::kVersion3, acc, channel, setting.epilogue,
                                                 setting.destination, previous[i]);
          const double got = at(destination.data(), out_type, i);
          ++result.outputs;
          result.wrong += got != want;

          // ONNX's order in double precision: round, then the zero point.
          const bool real = out_type == DType::f32;
          const double step = real ? 1 : setting.destination.scale;
          double v = static_cast<double>(sum - zero * inside + b) * setting.source.scale * scale;
          const double largest = std::abs(static_cast<double>(sum) * setting.source.scale * scale);
          if (setting.epilogue.residual) {
            const auto& r = setting.epilogue.residual_encoding;
            v += (previous[i] - r.zero_point) * r.scale;
          }
          v = std::min(std::max(v, setting.epilogue.low), setting.epilogue.high) / step;
          const double z = setting.destination.zero_point;
          const double slack = std::ldexp(std::abs(v) + largest / step + std::abs(z) + 1, -21);
          if (real) {
            result.off_by_more += std::abs(got - v) > slack;
            continue;
          }
          const double low = out_type == DType::u8 ? 0 : -128;
          const double high = out_type == DType::u8 ? 255 : 127;
          const double exact = std::min(std::max(std::nearbyint(v) + z, low), high);
          const double to_tie = std::abs(v - std::floor(v) - 0.5);
          result.off_by_more += std::abs(got - exact) > (to_tie <= slack ? 1.0 : 0.0);
        }
  return result;
}

void check_all(int weight_limit) {
  for (const Layer& layer : kLayers)
    for (const Setting& setting : kSettings) {
      SCOPED_TRACE(testing::Message() << layer.name << ", " << setting.name);
      const Result r = check(layer, setting, weight_limit);
      const bool depthwise = layer.groups == layer.in && layer.groups > 1;
      const bool exact = weight_limit <= 63 || !onednn::saturates() ||
                         (depthwise && setting.source.dtype == DType::u8);
      EXPECT_EQ(r.made, exact && onednn::right_in_int8());
      EXPECT_EQ(r.wrong, 0) << "of " << r.outputs << " by " << r.name;
      EXPECT_EQ(r.off_by_more, 0) << "of " << r.outputs << " by " << r.name;
    }
}

TEST(OnednnNumerics, SevenBitWeightsAreTheModelBitByBit) { check_all(63); }
TEST(OnednnNumerics, FullRangeWeightsAreTheModelBitByBit) { check_all(127); }

}  // namespace
}  // namespace pare
