// Import of operators on integer codes, ai.onnx's and com.microsoft's, as Q/DQ graphs.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/packed_codes.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_convolution.h"
#include "io/onnx/import_families.h"
#include "io/onnx/import_pooling.h"
#include "io/onnx/import_product.h"
#include "io/onnx/import_quantized.h"
#include "pare/core/ops/dequantize_weight.h"

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

/// Numbers of a few bits, several in a byte.
std::vector<std::int32_t> unpacked_bytes(const Tensor& packed, std::int64_t bits) {
  const DType dtype = bits == 8 ? DType::u8 : bits == 4 ? DType::u4 : DType::u2;
  const Tensor bytes = packed.to(MemoryFormat::row_major);
  Tensor codes = Tensor::empty({bytes.elements() * 8 / bits}, dtype);
  std::memcpy(codes.mutable_raw(), bytes.raw(), bytes.bytes());
  return code_values(codes);
}

/// The types that hold codes of so many bits around 0, and from 0 up.
std::pair<DType, DType> code_types(std::int64_t bits) {
  if (bits == 8) return {DType::i8, DType::u8};
  return bits == 4 ? std::pair{DType::i4, DType::u4} : std::pair{DType::i2, DType::u2};
}

/// A [..., K] times a weight [N, K] of 2-, 4- or 8-bit codes with a scale for each block along K.
void import_matmul_nbits(NodeImport& node) {
  const std::int64_t k = node.integer("K", 0);
  const std::int64_t n = node.integer("N", 0);
  const std::int64_t bits = node.integer("bits", 4);
  const std::int64_t block = node.integer("block_size", 32);
  node.ignore("accuracy_level");
  constexpr std::int64_t kMost = std::int64_t{1} << 28;
  if ((bits != 2 && bits != 4 && bits != 8) || std::min({k, n, block}) < 1 ||
      std::max({k, n, block}) > kMost)
    node.refuse(fmt::format("bits = {}, K = {}, N = {}, block_size = {}", bits, k, n, block));
  if (node.has(4)) node.refuse("g_idx");
  const Tensor* packed = node.constant(1);
  if (!packed || packed->dtype() != DType::u8) node.refuse("codes that are not constant bytes");
  const std::int64_t blocks = (k + block - 1) / block, row = blocks * block;
  if (packed->elements() * 8 / bits != n * row)
    node.refuse(fmt::format("{} codes, not {}", packed->elements() * 8 / bits, n * row));
  const Graph::Value& given_scales = node.graph().value(node.value(2));
  if (!given_scales.is_leaf() || given_scales.tensor.elements() != n * blocks)
    node.refuse(fmt::format("scales that are not {} constants", n * blocks));
  const Tensor scales = given_scales.tensor.to(DType::f32);
  const std::vector<std::int32_t> codes = unpacked_bytes(*packed, bits);
  // Without zero points they are half the range, and codes less them are signed ones.
  const auto [around_zero, from_zero] = code_types(bits);
  const std::int32_t half = node.has(3) ? 0 : 1 << (bits - 1);
  std::vector<std::int32_t> own;
  own.reserve(static_cast<std::size_t>(n * k));
  for (std::int64_t r = 0; r < n; ++r)
    for (std::int64_t c = 0; c < k; ++c)
      own.push_back(codes[static_cast<std::size_t>(r * row + c)] - half);
  const DType dtype = node.has(3) ? from_zero : around_zero;
  std::vector<int> inputs{node.constant(codes_of(own, {n, k}, dtype)),
                          node.constant(Tensor::from(scales.to_vector<float>(), {n, blocks}))};
  if (node.has(3)) {
    const Tensor* given = node.constant(3);
    if (!given || given->dtype() != DType::u8)
      node.refuse("zero points that are no constant bytes");
    // Rows of whole bytes.
    const std::vector<std::int32_t> values = unpacked_bytes(*given, bits);
    const auto width = static_cast<std::int64_t>(values.size()) / n;
    if (width < blocks) node.refuse(fmt::format("{} zero points a row, not {}", width, blocks));
    std::vector<std::int32_t> zeros;
    for (std::int64_t i = 0; i < n * blocks; ++i)
      zeros.push_back(values[static_cast<std::size_t>(i / blocks * width + i % blocks)]);
    inputs.push_back(node.constant(codes_of(zeros, {n, blocks}, dtype)));
  }
  const int weight =
      call(node, kDequantizeWeight, DequantizeWeightAttributes{1, block}, std::move(inputs));
  std::vector<int> factors{as_f32(node, node.value(0)), weight};
  if (node.has(5)) factors.push_back(as_f32(node, node.value(5)));
  node.output(0, cast(node, call(node, kLinear, std::move(factors)), node.dtype(0)));
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
