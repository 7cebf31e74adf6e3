// A plan's convolutions and dense layers on pare's own AVX2 kernels.
#include "runtime/own_primitives.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/byte_convolution.h"
#include "core/float_convolution.h"
#include "pare/core/ops/movement.h"

namespace pare::runtime {
namespace {

// Kernel is one of the two; Number what its source holds.
template <class Kernel, class Number> class OwnExecution final : public Execution {
 public:
  OwnExecution(const Kernel& kernel, const std::byte* constants)
      : kernel_(kernel), constants_(constants) {}
  void run(const void* source, void* destination, void* scratch) override {
    const auto* from = static_cast<const Number*>(source);
    auto* working = static_cast<std::byte*>(scratch);
    if constexpr (std::is_same_v<Number, float>)
      kernel_.run(constants_, from, static_cast<float*>(destination), working);
    else
      kernel_.run(constants_, from, destination, working);
  }

 private:
  const Kernel& kernel_;
  const std::byte* constants_;
};

template <class Kernel, class Number> class OwnPrimitive final : public Primitive {
 public:
  explicit OwnPrimitive(std::unique_ptr<Kernel> kernel, bool activates = true)
      : kernel_(std::move(kernel)), activates_(activates) {}
  std::string name() const override { return kernel_->name(); }
  bool slow() const override { return false; }
  bool activates() const override { return activates_; }
  std::size_t constant_bytes() const override { return kernel_->constant_bytes(); }
  std::size_t scratch_bytes() const override { return kernel_->scratch_bytes(); }
  void fill(void* constants) override { kernel_->fill(static_cast<std::byte*>(constants)); }
  Tensor weight(const void* constants) const override {
    return kernel_->weight(static_cast<const std::byte*>(constants));
  }
  bool same(const void* a, const void* b) const override {
    if constexpr (std::is_same_v<Number, float>)
      return kernel_->same(static_cast<const std::byte*>(a), static_cast<const std::byte*>(b));
    else
      return std::memcmp(a, b, constant_bytes()) == 0;
  }
  std::unique_ptr<Execution> execution(const void* constants) const override {
    return std::make_unique<OwnExecution<Kernel, Number>>(*kernel_,
                                                          static_cast<const std::byte*>(constants));
  }

 private:
  std::unique_ptr<Kernel> kernel_;
  bool activates_;
};

// |sum| < 2^31 in units of the multiplier; what a float may be to be rounded to 32 bits.
constexpr double kMostSum = 2147483648.0;
constexpr double kMostRounded = 1073741824.0;

ByteEpilogue epilogue_of(const ConvolutionSpec& spec) {
  const Encoding& to = spec.destination;
  const bool codes = to.dtype != DType::f32;
  const double unit = codes ? to.scale : 1;
  ByteEpilogue e;
  e.destination = to.dtype;
  e.residual = spec.epilogue.residual;
  e.residual_dtype = spec.epilogue.residual_encoding.dtype;
  e.residual_zero = static_cast<float>(spec.epilogue.residual_encoding.zero_point);
  e.residual_scale = static_cast<float>(spec.epilogue.residual_encoding.scale / unit);
  double low = spec.epilogue.low / unit;
  double high = spec.epilogue.high / unit;
  e.clips = std::isfinite(low) || std::isfinite(high);
  if (codes) {
    low = std::max(low, traits(to.dtype).lowest - to.zero_point);
    high = std::min(high, traits(to.dtype).highest - to.zero_point);
    e.zero_point = to.zero_point;
  }
  e.low = static_cast<float>(low);
  e.high = static_cast<float>(high);
  return e;
}

std::unique_ptr<Primitive> make_byte_convolution(const ConvolutionSpec& spec) {
  const DType residual = spec.epilogue.residual_encoding.dtype;
  const bool same_width = (spec.destination.dtype == DType::f32) == (residual == DType::f32);
  if (spec.source.dtype != DType::u8 || (spec.epilogue.residual && !same_width)) return nullptr;
  const auto out = static_cast<std::size_t>(spec.weight.dim(0));
  ByteConvolutionSpec bytes{.batch = spec.batch,
                            .height = spec.height,
                            .width = spec.width,
                            .weight = spec.weight.to(MemoryFormat::row_major),
                            .attributes = spec.attributes,
                            .source_zero = static_cast<std::uint8_t>(spec.source.zero_point),
                            .bias = {},
                            .multipliers = std::vector<float>(out),
                            .epilogue = epilogue_of(spec)};
  if (spec.bias.defined()) bytes.bias = spec.bias.to_vector<std::int32_t>();
  const bool codes = spec.destination.dtype != DType::f32;
  for (std::size_t o = 0; o < out; ++o) {
    const double weight_scale = spec.weight_scales[spec.weight_scales.size() == 1 ? 0 : o];
    const double sum = spec.source.scale * weight_scale;
    bytes.multipliers[o] = static_cast<float>(codes ? sum / spec.destination.scale : sum);
    // Where a result may leave 32 bits it is clipped while it is a float.
    const double most = bytes.multipliers[o] * kMostSum + 256.0 * bytes.epilogue.residual_scale;
    bytes.epilogue.clips = bytes.epilogue.clips || (codes && !(most < kMostRounded));
  }
  auto convolution = ByteConvolution::make(bytes);
  if (!convolution) return nullptr;
  return std::make_unique<OwnPrimitive<ByteConvolution, std::uint8_t>>(std::move(convolution));
}

/// All but the activation.
std::unique_ptr<Primitive> make_float_convolution(const ConvolutionSpec& spec) {
  if (spec.source.dtype != DType::f32) return nullptr;
  FloatConvolutionSpec floats{.batch = spec.batch,
                              .height = spec.height,
                              .width = spec.width,
                              .weight = spec.weight.to(MemoryFormat::row_major),
                              .bias = spec.bias,
                              .attributes = spec.attributes,
                              .residual = spec.epilogue.residual,
                              .low = static_cast<float>(spec.epilogue.low),
                              .high = static_cast<float>(spec.epilogue.high)};
  auto convolution = FloatConvolution::make(floats);
  if (!convolution) return nullptr;
  return std::make_unique<OwnPrimitive<FloatConvolution, float>>(
      std::move(convolution), spec.epilogue.activation == Activation::none);
}

}  // namespace

std::unique_ptr<Primitive> make_own_dense(const DenseSpec& spec) {
  if (spec.weight.elements() == 0) return nullptr;
  const bool codes = spec.weight.dtype() == DType::i8;
  // Time in f32 over that of oneDNN's matmul: 0.3 to 0.8 of 2 to 8 rows, 0.6 to 0.95 of 16 to 64,
  // 0.9 to 1 of 256; of one row 0.4 with 64 by 64 weights, 0.9 with 128 by 128, 1.3 with 512 by
  // 128.
  constexpr std::int64_t kSmallWeight = 128 * 128;
  if (!codes && spec.rows == 1 && spec.weight.elements() > kSmallWeight) return nullptr;
  // A pointwise convolution over a picture of one line.
  ConvolutionSpec line;
  line.width = spec.rows;
  line.weight = reshape(spec.weight, {spec.weight.dim(0), spec.weight.dim(1), 1, 1});
  line.bias = spec.bias;
  line.weight_scales = spec.weight_scales;
  line.source = spec.source;
  line.destination = spec.destination;
  line.epilogue = spec.epilogue;
  return codes ? make_byte_convolution(line) : make_float_convolution(line);
}

std::unique_ptr<Primitive> make_own_convolution(const ConvolutionSpec& spec) {
  if (spec.weight.elements() == 0) return nullptr;
  if (spec.weight.dtype() == DType::i8) return make_byte_convolution(spec);
  return spec.epilogue.activation == Activation::none ? make_float_convolution(spec) : nullptr;
}

}  // namespace pare::runtime
