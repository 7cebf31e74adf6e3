// Integer calls: a convolution or matrix product of dequantized operands, run on their codes.
#include "graph/integer_call.h"

#include <algorithm>

#include "core/byte_product.h"
#include "core/check.h"
#include "core/integer_reference.h"
#include "core/ops/convolution.h"
#include "pare/core/ops.h"

namespace pare {

namespace {

using Kind = QuantizedGroup::Kind;

std::optional<Kind> kind_of(const OpDef* op) {
  if (is_convolution(op)) return Kind::convolution;
  if (is_conv_transpose(op)) return Kind::conv_transpose;
  if (op == &kLinear) return Kind::linear;
  if (op == &kMatmul) return Kind::matmul;
  return std::nullopt;
}

bool is_byte(const Graph& graph, int value) {
  const DType dtype = graph.value(value).dtype;
  return dtype == DType::i8 || dtype == DType::u8;
}

/// s_x·s_w in single precision: one, or one per output channel. A transposed convolution's groups
/// share theirs: output channel c has number c modulo their count.
std::vector<float> products(const Tensor& x_scale, const Tensor& weight_scale) {
  const float x = x_scale.to_vector<float>()[0];
  std::vector<float> out = weight_scale.to_vector<float>();
  for (float& scale : out) scale = x * scale;
  return out;
}

bool all_zero(const Tensor& zero_points) {
  const auto values = zero_points.to(DType::i32).to_vector<std::int32_t>();
  return std::ranges::all_of(values, [](std::int32_t z) { return z == 0; });
}

/// Whether the scale of rank 1, if it is one, runs along the axis of the output channels.
bool per_output_channel(const Graph& graph, Kind kind, const QuantizedOperand& weight) {
  if (graph.value(weight.scale).shape.rank() == 0) return true;
  const int rank = graph.value(weight.codes).shape.rank();
  const std::int64_t axis = weight.axis < 0 ? weight.axis + rank : weight.axis;
  if (kind == Kind::matmul) return rank == 2 && axis == 1;
  return axis == (kind == Kind::conv_transpose ? 1 : 0);
}

/// Whether the bias can be added to the sums: i32 in units of s_x·s_w.
bool in_units(const Graph& graph, const QuantizedOperand& bias, const std::vector<float>& units) {
  if (!bias.quantized() || graph.value(bias.codes).dtype != DType::i32 ||
      !all_zero(graph.value(bias.zero_point).tensor))
    return false;
  const auto scales = graph.value(bias.scale).tensor.to_vector<float>();
  const std::size_t channels = std::max(scales.size(), units.size());
  for (std::size_t c = 0; c < channels; ++c)
    if (scales[c % scales.size()] != units[c % units.size()]) return false;
  return true;
}

/// Of a product with a constant matrix whose other factor is quantized as it comes.
std::optional<IntegerCall> dynamic_call(const Graph& graph, int n, Kind kind) {
  IntegerCall integer;
  integer.kind = kind;
  integer.x = dynamic_operand(graph, n, 0);
  integer.weight = quantized_operand(graph, n, 1);
  const QuantizedOperand& weight = integer.weight;
  if (!integer.x.quantized() || !weight.quantized() || !graph.value(weight.codes).is_leaf() ||
      graph.value(weight.codes).dtype != DType::i8 || !per_output_channel(graph, kind, weight) ||
      !all_zero(graph.value(weight.zero_point).tensor))
    return std::nullopt;
  const Shape& matrix = graph.value(weight.codes).shape;
  if (matrix.rank() != 2 || graph.value(integer.x.codes).shape.rank() < 2) return std::nullopt;
  const std::int64_t inner = matrix[kind == Kind::matmul ? 0 : 1];
  if (inner < 1 || inner > ByteProduct::kMostInner) return std::nullopt;
  if (kind == Kind::linear) integer.bias = {.value = quantized_operand(graph, n, 2).value};
  return integer;
}

/// In the order of run_integer, with a scale and zero point for each row: Σ (q_x − z)·q_w is
/// Σ q_x·q_w − z·Σ q_w, exact in 32 bits.
Tensor run_dynamic(const IntegerCall& integer, std::span<const Tensor> read) {
  const bool by_columns = integer.kind == Kind::matmul;
  const Tensor sums =
      by_columns ? matmul_integer(read[0], 0, read[3], 0) : linear_integer(read[0], 0, read[3]);
  const std::int64_t columns = read[3].dim(by_columns ? 1 : 0);
  const std::int64_t inner = read[3].dim(by_columns ? 0 : 1);
  const auto* w = read[3].data<std::int8_t>();
  std::vector<std::int32_t> of_columns(static_cast<std::size_t>(columns));
  for (std::int64_t c = 0; c < columns; ++c)
    for (std::int64_t k = 0; k < inner; ++k)
      of_columns[static_cast<std::size_t>(c)] += by_columns ? w[k * columns + c] : w[c * inner + k];
  const auto scales = read[1].to_vector<float>();
  const auto zeros = read[2].to_vector<std::uint8_t>();
  const auto weight_scales = read[4].to_vector<float>();
  const auto bias = read.size() > 6 ? read[6].to_vector<float>() : std::vector<float>();
  Tensor y = Tensor::empty(sums.shape());
  const auto* in = sums.data<std::int32_t>();
  float* out = y.mutable_data<float>();
  for (std::int64_t i = 0; i < sums.elements(); ++i) {
    const auto c = static_cast<std::size_t>(i % columns);
    const auto row = scales.size() == 1 ? 0 : static_cast<std::size_t>(i / columns);
    const std::int32_t sum = in[i] - zeros[row] * of_columns[c];
    out[i] =
        static_cast<float>(sum) * (scales[row] * weight_scales[weight_scales.size() == 1 ? 0 : c]);
    if (!bias.empty()) out[i] = out[i] + bias[c];
  }
  return y;
}

Tensor convolve(const Call& call, const Tensor& x, std::int32_t zero, const Tensor& weight) {
  const auto convolution = [&](const auto& attributes) {
    return convolution_integer(x, zero, weight, attributes);
  };
  const auto transposed = [&](const auto& attributes) {
    return conv_transpose_integer(x, zero, weight, attributes);
  };
  const Attributes& a = call.attributes;
  if (call.op == &kConv1d) return convolution(a.as<Conv1dAttributes>());
  if (call.op == &kConv2d) return convolution(a.as<Conv2dAttributes>());
  if (call.op == &kConv3d) return convolution(a.as<Conv3dAttributes>());
  if (call.op == &kConvTranspose1d) return transposed(a.as<ConvTranspose1dAttributes>());
  if (call.op == &kConvTranspose2d) return transposed(a.as<ConvTranspose2dAttributes>());
  return transposed(a.as<ConvTranspose3dAttributes>());
}

}  // namespace

std::vector<int> IntegerCall::reads() const {
  std::vector<int> values{x.codes,      x.scale,      x.zero_point,
                          weight.codes, weight.scale, weight.zero_point};
  if (bias.value >= 0) values.push_back(bias.quantized() ? bias.codes : bias.value);
  return values;
}

std::optional<IntegerCall> integer_call(const Graph& graph, int n) {
  const Graph::Node& node = graph.node(n);
  const auto kind = kind_of(node.call.op);
  if (!kind) return std::nullopt;
  if (*kind == Kind::linear || *kind == Kind::matmul)
    if (auto integer = dynamic_call(graph, n, *kind)) return integer;
  IntegerCall integer;
  integer.kind = *kind;
  integer.x = quantized_operand(graph, n, 0);
  integer.weight = quantized_operand(graph, n, 1);
  const QuantizedOperand& x = integer.x;
  const QuantizedOperand& weight = integer.weight;
  if (!x.quantized() || !weight.quantized() || !is_byte(graph, x.codes) ||
      !is_byte(graph, weight.codes) || graph.value(x.scale).shape.rank() != 0 ||
      !per_output_channel(graph, *kind, weight))
    return std::nullopt;
  if (*kind == Kind::matmul) {
    const bool one_zero_point = graph.value(weight.zero_point).shape.rank() == 0 ||
                                all_zero(graph.value(weight.zero_point).tensor);
    return one_zero_point ? std::optional(integer) : std::nullopt;
  }
  if (graph.value(weight.codes).dtype != DType::i8 ||
      !all_zero(graph.value(weight.zero_point).tensor))
    return std::nullopt;
  integer.bias = quantized_operand(graph, n, 2);
  const Tensor& x_scale = graph.value(x.scale).tensor;
  const Tensor& weight_scale = graph.value(weight.scale).tensor;
  if (!in_units(graph, integer.bias, products(x_scale, weight_scale)))
    integer.bias = {.value = integer.bias.value};
  return integer;
}

// docs/numerics.md states this order; the fast paths are measured against it:
//   acc  = Σ (q_x − z_x)·(q_w − z_w)             exact in 32 bits; padding adds nothing
//   acc  = acc + bias                            a bias in units of s_x·s_w, exact
//   y    = float(acc) · m,  m = s_x·s_w          two single-precision products, each rounded once
//   y    = y + bias                              a bias that is float
// then the float ops that follow (residual, activation) and quantize_linear's round_half_even(y/s).
Tensor run_integer(const IntegerCall& integer, const Call& call, std::span<const Tensor> read) {
  if (integer.x.dynamic >= 0) return run_dynamic(integer, read);
  // Zero points per channel are all 0.
  const auto zero = [&](std::size_t k) {
    return read[k].rank() == 0 ? static_cast<std::int32_t>(read[k].item()) : 0;
  };
  Tensor sums;
  switch (integer.kind) {
    case Kind::convolution:
    case Kind::conv_transpose:
      sums = convolve(call, read[0], zero(2), read[3]);
      break;
    case Kind::linear:
      sums = linear_integer(read[0], zero(2), read[3]);
      break;
    default:
      sums = matmul_integer(read[0], zero(2), read[3], zero(5));
  }
  const std::vector<float> units = products(read[1], read[4]);
  std::vector<std::int32_t> bias;
  std::vector<float> float_bias;
  if (read.size() > 6 && integer.bias.quantized()) bias = read[6].to_vector<std::int32_t>();
  if (read.size() > 6 && !integer.bias.quantized()) float_bias = read[6].to_vector<float>();

  const bool second =
      integer.kind == Kind::convolution || integer.kind == Kind::conv_transpose;  // axis
  const std::int64_t channels = sums.rank() == 0 ? 1 : sums.dim(second ? 1 : -1);
  const std::int64_t inner =
      second && !sums.channels_last() ? sums.shape().elements(2, sums.rank()) : 1;
  Tensor y = Tensor::empty(sums.shape(), DType::f32, sums.format());
  const std::int32_t* in = sums.data<std::int32_t>();
  float* out = y.mutable_data<float>();
  for (std::int64_t i = 0; i < sums.elements(); ++i) {
    const auto c = static_cast<std::size_t>(i / inner % channels);
    const std::int64_t sum = std::int64_t{in[i]} + (bias.empty() ? 0 : bias[c]);
    out[i] = static_cast<float>(sum) * units[c % units.size()];
    if (!float_bias.empty()) out[i] = out[i] + float_bias[c];
  }
  return y;
}

}  // namespace pare
