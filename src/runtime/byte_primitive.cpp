// A plan's int8 convolutions on pare's own AVX2 kernel.
#include "runtime/byte_primitive.h"

#include <algorithm>

#include "core/byte_convolution.h"

namespace pare::runtime {
namespace {

class ByteExecution final : public Execution {
 public:
  ByteExecution(const ByteConvolution& convolution, const std::byte* constants)
      : convolution_(convolution), constants_(constants) {}
  void run(const void* source, void* destination, void* scratch) override {
    convolution_.run(constants_, static_cast<const std::uint8_t*>(source), destination,
                     static_cast<std::byte*>(scratch));
  }

 private:
  const ByteConvolution& convolution_;
  const std::byte* constants_;
};

class BytePrimitive final : public Primitive {
 public:
  explicit BytePrimitive(std::unique_ptr<ByteConvolution> convolution)
      : convolution_(std::move(convolution)) {}
  std::string name() const override { return "avx2_u8s8"; }
  bool slow() const override { return false; }
  std::size_t constant_bytes() const override { return convolution_->constant_bytes(); }
  std::size_t scratch_bytes() const override { return convolution_->scratch_bytes(); }
  void fill(void* constants) override { convolution_->fill(static_cast<std::byte*>(constants)); }
  std::unique_ptr<Execution> execution(const void* constants) const override {
    return std::make_unique<ByteExecution>(*convolution_, static_cast<const std::byte*>(constants));
  }

 private:
  std::unique_ptr<ByteConvolution> convolution_;
};

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
  if (codes) {
    low = std::max(low, traits(to.dtype).lowest - to.zero_point);
    high = std::min(high, traits(to.dtype).highest - to.zero_point);
    e.zero_point = to.zero_point;
  }
  e.low = static_cast<float>(low);
  e.high = static_cast<float>(high);
  return e;
}

}  // namespace

std::unique_ptr<Primitive> make_byte_convolution(const ConvolutionSpec& spec) {
  const DType residual = spec.epilogue.residual_encoding.dtype;
  const bool same_width = (spec.destination.dtype == DType::f32) == (residual == DType::f32);
  if (spec.weight.dtype() != DType::i8 || spec.source.dtype != DType::u8 ||
      (spec.epilogue.residual && !same_width))
    return nullptr;
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
  }
  auto convolution = ByteConvolution::make(bytes);
  return convolution ? std::make_unique<BytePrimitive>(std::move(convolution)) : nullptr;
}

}  // namespace pare::runtime
