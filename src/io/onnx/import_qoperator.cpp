// Import of operators on integer codes, ai.onnx's and com.microsoft's, as Q/DQ graphs.
#include <algorithm>

#include "core/check.h"
#include "core/dtype_switch.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_convolution.h"
#include "io/onnx/import_families.h"
#include "io/onnx/import_pooling.h"
#include "io/onnx/import_product.h"
#include "io/onnx/import_quantized.h"

namespace pare::onnx {
namespace {

/// Input i dequantized by the scale and zero point behind it.
int operand(NodeImport& node, int i, std::int64_t axis = 0) {
  return dequantized(node, node.value(i), code_scale(node, i + 1, i + 2, axis));
}

void import_qlinear_conv(NodeImport& node) {
  const CodeScale x = code_scale(node, 1, 2);
  const CodeScale weight = code_scale(node, 4, 5, 0);
  std::vector<int> inputs{dequantized(node, node.value(0), x),
                          dequantized(node, node.value(3), weight)};
  if (node.has(8)) inputs.push_back(dequantized_bias(node, node.value(8), x, weight));
  node.output(0, quantized(node, convolution(node, std::move(inputs)), code_scale(node, 6, 7)));
}

/// The axis of a second factor's scales: its columns.
std::int64_t columns_of(NodeImport& node, int i) { return std::max(0, node.shape(i).rank() - 1); }

void import_qlinear_matmul(NodeImport& node) {
  if (node.shape(1).rank() > 0 && (node.shape(1).symbolic() || node.shape(1).elements() != 1))
    node.refuse(fmt::format("a scale for each row of the first factor, {}", node.shape(1)));
  const int a = operand(node, 0);
  const int b = operand(node, 3, columns_of(node, 3));
  node.output(0, quantized(node, matmul(node, a, b), code_scale(node, 6, 7)));
}

/// Sums of codes are whole numbers: exact up to 2^24, to 2^-24 of their size beyond.
void import_matmul_integer(NodeImport& node) {
  if (node.has(2) && node.shape(2).rank() > 0 &&
      (node.shape(2).symbolic() || node.shape(2).elements() != 1))
    node.refuse(fmt::format("a zero point for each row of the first factor, {}", node.shape(2)));
  const int a = dequantized(node, node.value(0), unit_scale(node, 2));
  const int b = dequantized(node, node.value(1), unit_scale(node, 3, columns_of(node, 1)));
  node.output(0, cast(node, matmul(node, a, b), DType::i32));
}

void import_conv_integer(NodeImport& node) {
  const int x = dequantized(node, node.value(0), unit_scale(node, 2));
  const int weight = dequantized(node, node.value(1), unit_scale(node, 3, 0));
  node.output(0, cast(node, convolution(node, {x, weight}), DType::i32));
}

// --- com.microsoft

template <const OpDef& Op> void import_qlinear_binary(NodeImport& node) {
  const int y = call(node, Op, {operand(node, 0), operand(node, 3)});
  node.output(0, quantized(node, y, code_scale(node, 6, 7)));
}

void import_qlinear_sigmoid(NodeImport& node) {
  const int y = call(node, kSigmoid, {operand(node, 0)});
  node.output(0, quantized(node, y, code_scale(node, 3, 4)));
}

void import_qlinear_leaky_relu(NodeImport& node) {
  const LeakyReluAttributes attributes{node.real("alpha", 0.01F)};
  const int y = call(node, kLeakyRelu, attributes, {operand(node, 0)});
  node.output(0, quantized(node, y, code_scale(node, 3, 4)));
}

void import_qlinear_softmax(NodeImport& node) {
  const std::int64_t version = node.integer("opset", 13);
  const int rank = node.shape(0).rank();
  const int axis = axis_of(node, node.integer("axis", -1), rank);
  if (version < 13 && axis != rank - 1) node.refuse("opset < 13 over several axes");
  const int y = call(node, kSoftmax, SoftmaxAttributes{axis}, {operand(node, 0)});
  node.output(0, quantized(node, y, code_scale(node, 3, 4)));
}

void import_qlinear_global_average(NodeImport& node) {
  expect_integer(node, "channels_last", 0, 0);
  const int x = operand(node, 0);
  node.output(0, quantized(node, call(node, kGlobalAveragePool, {x}), code_scale(node, 3, 4)));
}

void import_qlinear_average(NodeImport& node) {
  expect_integer(node, "channels_last", 0, 0);
  const int y = average_pool(node, operand(node, 0));
  node.output(0, quantized(node, y, code_scale(node, 3, 4)));
}

/// (scale, zero point), then a tensor, its scale and its zero point for each part.
void import_qlinear_concat(NodeImport& node) {
  std::vector<int> parts;
  for (int i = 2; i + 1 < node.inputs(); i += 3) parts.push_back(operand(node, i));
  if (parts.empty()) node.refuse("no parts");
  const ConcatAttributes attributes{node.integer("axis", 0)};
  const int y = parts.size() == 1 ? parts[0] : call(node, kConcat, attributes, std::move(parts));
  node.output(0, quantized(node, y, code_scale(node, 0, 1)));
}

/// alpha · A·B + C in codes; without a scale of the result, as floats.
void import_qgemm(NodeImport& node) {
  const double alpha = node.real("alpha", 1);
  const bool trans_a = node.integer("transA", 0) != 0;
  const bool trans_b = node.integer("transB", 0) != 0;
  const CodeScale a = code_scale(node, 1, 2);
  const CodeScale b = code_scale(node, 4, 5, trans_b ? 0 : 1);
  int x = dequantized(node, node.value(0), a);
  int weight = dequantized(node, node.value(3), b);
  if (trans_a) x = transpose(node, x, {1, 0});
  int y = -1;
  if (trans_b && alpha == 1 && node.has(6) && node.shape(6).rank() == 1) {
    y = call(node, kLinear, {x, weight, dequantized_bias(node, node.value(6), a, b)});
  } else {
    if (trans_b) weight = transpose(node, weight, {1, 0});
    y = matmul(node, x, weight);
    if (alpha != 1) y = call(node, kMul, {y, number(node, alpha, DType::f32)});
    if (node.has(6)) {
      // The bias is in units of alpha · scale_a · scale_b.
      CodeScale units = b;
      if (alpha != 1) units.scale = call(node, kMul, {b.scale, number(node, alpha, DType::f32)});
      units.axis = shape_of(node, node.value(6)).rank() - 1;
      CodeScale by{call(node, kMul, {a.scale, units.scale}), -1, units.axis};
      y = call(node, kAdd, {y, dequantized(node, node.value(6), by)});
    }
  }
  node.output(0, node.has(7) ? quantized(node, y, code_scale(node, 7, 8)) : y);
}

void import_dynamic_matmul(NodeImport& node) {
  const DynamicCodes a = quantized_dynamically(node, node.value(0));
  const int b = dequantized(node, node.value(1), code_scale(node, 2, 3, columns_of(node, 1)));
  const int y = matmul(node, dequantized(node, a.codes, a.by), b);
  node.output(0, node.has(4) ? call(node, kAdd, {y, node.value(4)}) : y);
}

void import_matmul_to_float(NodeImport& node) {
  const int a = dequantized(node, node.value(0), code_scale(node, 2, 4));
  const int b = dequantized(node, node.value(1), code_scale(node, 3, 5, columns_of(node, 1)));
  const int y = matmul(node, a, b);
  node.output(0, node.has(6) ? call(node, kAdd, {y, node.value(6)}) : y);
}

/// 4- or 8-bit codes, the first of a byte in its lower half, as bytes.
Tensor nibbles(const Tensor& packed, std::int64_t bits) {
  if (bits == 8) return packed;
  const std::vector<std::uint8_t> bytes = packed.to_vector<std::uint8_t>();
  std::vector<std::uint8_t> out;
  out.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    out.push_back(byte & 15U);
    out.push_back(static_cast<std::uint8_t>(byte >> 4U));
  }
  return Tensor::from(out, {static_cast<std::int64_t>(out.size())});
}

/// A [..., K] times a weight [N, K] of 4- or 8-bit codes with a scale for each block along K.
void import_matmul_nbits(NodeImport& node) {
  const std::int64_t k = node.integer("K", 0);
  const std::int64_t n = node.integer("N", 0);
  const std::int64_t bits = node.integer("bits", 4);
  const std::int64_t block = node.integer("block_size", 32);
  node.ignore("accuracy_level");
  constexpr std::int64_t kMost = std::int64_t{1} << 28;
  if ((bits != 4 && bits != 8) || std::min({k, n, block}) < 1 || std::max({k, n, block}) > kMost)
    node.refuse(fmt::format("bits = {}, K = {}, N = {}, block_size = {}", bits, k, n, block));
  if (node.has(4)) node.refuse("g_idx");
  const Tensor* packed = node.constant(1);
  if (!packed || packed->dtype() != DType::u8) node.refuse("codes that are not constant bytes");
  const std::int64_t blocks = (k + block - 1) / block;
  const Tensor codes = nibbles(*packed, bits);
  if (codes.elements() != n * blocks * block)
    node.refuse(fmt::format("{} codes, not {}", codes.elements(), n * blocks * block));
  // The zero points: half the range, given as floats, or packed, rows of whole bytes.
  std::vector<std::int32_t> zeros(static_cast<std::size_t>(n * blocks), bits == 4 ? 8 : 128);
  if (node.has(3)) {
    const Tensor* given = node.constant(3);
    if (!given || given->dtype() != DType::u8)
      node.refuse("zero points that are no constant bytes");
    const std::vector<std::uint8_t> values = nibbles(*given, bits).to_vector<std::uint8_t>();
    const auto row = static_cast<std::int64_t>(values.size()) / n;
    if (row < blocks) node.refuse(fmt::format("{} zero points a row, not {}", row, blocks));
    for (std::int64_t i = 0; i < n * blocks; ++i)
      zeros[static_cast<std::size_t>(i)] =
          values[static_cast<std::size_t>(i / blocks * row + i % blocks)];
  }
  std::vector<std::int8_t> moved;
  bool fits = true;
  const std::vector<std::uint8_t> plain = codes.to_vector<std::uint8_t>();
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const std::int32_t code = plain[i] - zeros[i / static_cast<std::size_t>(block)];
    fits = fits && code >= -128 && code <= 127;
    moved.push_back(static_cast<std::int8_t>(code));
  }
  if (!fits) node.refuse("codes less zero points that do not fit 8 bits");
  const Shape rows{n * blocks, block};
  CodeScale by{reshape(node, cast(node, node.value(2), DType::f32), Shape{n * blocks}), -1, 0};
  int weight = dequantized(node, node.constant(Tensor::from(moved, rows)), by);
  weight = reshape(node, weight, Shape{n, blocks * block});
  if (blocks * block != k) weight = slice(node, weight, 1, 0, k);
  std::vector<int> inputs{as_f32(node, node.value(0)), weight};
  if (node.has(5)) inputs.push_back(as_f32(node, node.value(5)));
  node.output(0, cast(node, call(node, kLinear, std::move(inputs)), node.dtype(0)));
}

constexpr OpImport kImports[] = {
    {"ConvInteger", "", import_conv_integer},
    {"DynamicQuantizeMatMul", "com.microsoft", import_dynamic_matmul},
    {"MatMulInteger", "", import_matmul_integer},
    {"MatMulIntegerToFloat", "com.microsoft", import_matmul_to_float},
    {"MatMulNBits", "com.microsoft", import_matmul_nbits},
    {"QGemm", "com.microsoft", import_qgemm},
    {"QLinearAdd", "com.microsoft", import_qlinear_binary<kAdd>},
    {"QLinearAveragePool", "com.microsoft", import_qlinear_average},
    {"QLinearConcat", "com.microsoft", import_qlinear_concat},
    {"QLinearConv", "", import_qlinear_conv},
    {"QLinearGlobalAveragePool", "com.microsoft", import_qlinear_global_average},
    {"QLinearLeakyRelu", "com.microsoft", import_qlinear_leaky_relu},
    {"QLinearMatMul", "", import_qlinear_matmul},
    {"QLinearMul", "com.microsoft", import_qlinear_binary<kMul>},
    {"QLinearSigmoid", "com.microsoft", import_qlinear_sigmoid},
    {"QLinearSoftmax", "com.microsoft", import_qlinear_softmax},
};

}  // namespace

constinit const std::span<const OpImport> kQoperatorImports = kImports;

}  // namespace pare::onnx
