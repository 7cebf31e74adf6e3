// Quantization as importers build it: dequantize_linear and quantize_linear of ONNX's operands.
#include "io/onnx/import_quantized.h"

#include <algorithm>

#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/packed_codes.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"
#include "pare/core/ops/dynamic_quantize.h"

namespace pare::onnx {
namespace {

/// What a graph knows of a value: a leaf that ONNX gave as data.
const Tensor* leaf_of(NodeImport& node, int value) {
  const Graph::Value& v = node.graph().value(value);
  return v.is_leaf() ? &v.tensor : nullptr;
}

/// Scales have rank 0 or 1 in pare, and the zero point their shape. One element is the whole
/// tensor's: the channel of a weight that has only one is not told apart from it.
int of_rank_one(NodeImport& node, int value) {
  const Shape shape = shape_of(node, value);
  if (shape.rank() == 0) return value;
  if (shape.symbolic()) {
    if (shape.rank() == 1) return value;
    node.refuse(fmt::format("a scale of unknown shape {}", shape));
  }
  std::vector<std::int64_t> sizes;
  if (shape.elements() != 1) sizes = {shape.elements()};
  if (shape == Shape(sizes)) return value;
  // Scales are not trained: a leaf is a constant in either shape.
  const Tensor* leaf = leaf_of(node, value);
  if (leaf) return node.constant(reshape(leaf->detach(), sizes));
  return reshape(node, value, Shape(sizes));
}

void match_shapes(NodeImport& node, CodeScale& by) {
  by.scale = of_rank_one(node, cast(node, by.scale, DType::f32));
  if (by.zero < 0) return;
  by.zero = of_rank_one(node, by.zero);
  const Shape scale = shape_of(node, by.scale);
  if (shape_of(node, by.zero) != scale) by.zero = reshape(node, by.zero, scale);
}

bool is_one_byte(DType dtype) { return dtype == DType::i8 || dtype == DType::u8; }

/// Codes less their zero points as i8, where all fit and that changes anything; undefined
/// elsewhere.
Tensor shifted(const Tensor& codes, const Tensor& zeros, std::int64_t axis) {
  if (!is_one_byte(codes.dtype())) return {};
  const std::vector<std::int32_t> zero = zeros.to(DType::i32).to_vector<std::int32_t>();
  const bool moves = std::any_of(zero.begin(), zero.end(), [](int z) { return z != 0; });
  if (codes.dtype() == DType::i8 && !moves) return {};
  const std::vector<std::int32_t> values = codes.to(DType::i32).to_vector<std::int32_t>();
  std::int64_t inner = 1;
  if (zero.size() > 1) inner = codes.shape().elements(static_cast<int>(axis) + 1, codes.rank());
  std::vector<std::int8_t> out;
  out.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t channel =
        zero.size() == 1 ? 0 : i / static_cast<std::size_t>(inner) % zero.size();
    const std::int32_t code = values[i] - zero[channel];
    if (code < -128 || code > 127) return {};
    out.push_back(static_cast<std::int8_t>(code));
  }
  return Tensor::from(out, codes.shape());
}

/// A constant under the name of the leaf that it replaces.
int instead_of(NodeImport& node, int leaf, const Tensor& values) {
  const int value = node.constant(values);
  node.graph().edit_value(value).name = node.graph().value(leaf).name;
  return value;
}

}  // namespace

Tensor unpacked(const Tensor& codes) {
  if (!is_packed(codes.dtype())) return codes;
  return codes_of(code_values(codes), codes.shape(), DType::i8);
}

ByteCodes in_bytes(const Tensor& codes, const Tensor& zeros, std::int64_t axis) {
  ByteCodes bytes{unpacked(codes), zeros.defined() ? unpacked(zeros) : Tensor()};
  if (!zeros.defined() || codes.shape().symbolic() || codes.rank() == 0) return bytes;
  const Tensor moved = shifted(bytes.codes, bytes.zeros, axis);
  return moved.defined() ? ByteCodes{moved, Tensor::zeros(zeros.shape(), DType::i8)} : bytes;
}

CodeScale code_scale(NodeImport& node, int i, int j, std::int64_t axis) {
  CodeScale by{node.value(i), given(node, j), axis};
  match_shapes(node, by);
  return by;
}

CodeScale unit_scale(NodeImport& node, int j, std::int64_t axis) {
  CodeScale by{-1, given(node, j), axis};
  Shape shape;
  if (by.zero >= 0) {
    by.zero = of_rank_one(node, by.zero);
    shape = shape_of(node, by.zero);
    if (shape.symbolic()) node.refuse(fmt::format("a zero point of unknown shape {}", shape));
  }
  by.scale = node.constant(Tensor::ones(shape));
  return by;
}

int dequantized(NodeImport& node, int codes, CodeScale by) {
  if (const Tensor* known = leaf_of(node, codes)) {
    const Tensor* zero = by.zero >= 0 ? leaf_of(node, by.zero) : nullptr;
    const ByteCodes bytes = in_bytes(*known, zero ? *zero : Tensor(), by.axis);
    if (!bytes.codes.same_as(*known)) {
      codes = instead_of(node, codes, bytes.codes);
      if (bytes.zeros.defined()) by.zero = instead_of(node, by.zero, bytes.zeros);
    }
  }
  if (is_packed(dtype_of(node, codes)))
    node.refuse(fmt::format("codes of {} that are not constant", dtype_of(node, codes)));
  std::vector<int> inputs{codes, by.scale};
  if (by.zero >= 0) inputs.push_back(by.zero);
  return call(node, kDequantizeLinear, DequantizeAttributes{by.axis}, std::move(inputs));
}

int quantized_to(NodeImport& node, int x, const CodeScale& by, DType codes) {
  if (is_packed(codes)) node.refuse(fmt::format("codes of {}", codes));
  QuantizeAttributes attributes;
  attributes.dtype = codes;
  attributes.axis = by.axis;
  attributes.qmin = static_cast<std::int64_t>(traits(codes).lowest);
  attributes.qmax = static_cast<std::int64_t>(traits(codes).highest);
  std::vector<int> inputs{cast(node, x, DType::f32), by.scale};
  if (by.zero >= 0) inputs.push_back(by.zero);
  return call(node, kQuantizeLinear, attributes, std::move(inputs));
}

int quantized(NodeImport& node, int x, const CodeScale& by) {
  return quantized_to(node, x, by, by.zero >= 0 ? dtype_of(node, by.zero) : DType::u8);
}

int dequantized_bias(NodeImport& node, int codes, const CodeScale& x, const CodeScale& weight) {
  const Tensor* a = leaf_of(node, x.scale);
  const Tensor* b = leaf_of(node, weight.scale);
  CodeScale by;
  if (a && b && a->elements() == 1) {
    // In single precision, as the sums' units are.
    std::vector<float> units = b->to_vector<float>();
    for (float& unit : units) unit = a->to_vector<float>()[0] * unit;
    by.scale = node.constant(Tensor::from(units, b->shape()));
  } else {
    by.scale = call(node, kMul, {x.scale, weight.scale});
  }
  return dequantized(node, codes, by);
}

DynamicCodes quantized_dynamically(NodeImport& node, int x) {
  const int codes = call(node, kDynamicQuantizeLinear, {cast(node, x, DType::f32)});
  const Graph& graph = node.graph();
  const std::vector<int> outputs = graph.node(graph.value(codes).producer).outputs;
  return {codes, {outputs[1], outputs[2], 0}};
}

}  // namespace pare::onnx
