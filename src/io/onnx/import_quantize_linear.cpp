// Import of QuantizeLinear, DequantizeLinear (per tensor, per axis, blocked) and
// DynamicQuantizeLinear.
#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/packed_codes.h"
#include "io/onnx/import_bounds.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"
#include "io/onnx/import_quantized.h"
#include "pare/core/ops/dequantize_weight.h"

namespace pare::onnx {
namespace {

/// x with each block of `size` neighbours along an axis as one row: then the scales are per row.
struct Blocks {
  Shape whole;
  int axis = 0;
  std::int64_t size = 1, count = 1;  ///< of a block; blocks along the axis

  Blocks(NodeImport& node, const Shape& x, int along, std::int64_t block)
      : whole(x), axis(along), size(block) {
    if (x.symbolic()) node.refuse(fmt::format("blocks of unknown sizes {}", x));
    count = (x[axis] + size - 1) / size;
  }
  std::int64_t before() const { return whole.elements(0, axis); }
  std::int64_t behind() const { return whole.elements(axis + 1, whole.rank()); }
  std::int64_t rows() const { return before() * count * behind(); }

  int rows_of(NodeImport& node, int x) const {
    if (whole[axis] != count * size) {
      PadAttributes pad;
      pad.before.assign(static_cast<std::size_t>(whole.rank()), 0);
      pad.after = pad.before;
      pad.after[static_cast<std::size_t>(axis)] = count * size - whole[axis];
      x = call(node, kPad, pad, {x});
    }
    const int split = reshape(node, x, Shape{before(), count, size, behind()});
    return reshape(node, transpose(node, split, {0, 1, 3, 2}), Shape{rows(), size});
  }
  int whole_of(NodeImport& node, int rows_value) const {
    const int split = reshape(node, rows_value, Shape{before(), count, behind(), size});
    const int joined = transpose(node, split, {0, 1, 3, 2});
    Shape padded = whole;
    padded.set(axis, count * size);
    const int y = reshape(node, joined, padded);
    return whole == padded ? y : slice(node, y, axis, 0, whole[axis]);
  }
};

/// Block size, checked against the scale's shape; 0 where there are no blocks.
std::int64_t block_of(NodeImport& node) {
  const std::int64_t block = node.integer("block_size", 0);
  return within(node, block, 0, std::int64_t{1} << 30);
}

std::int64_t quantized_axis(NodeImport& node) {
  const std::int64_t axis = node.integer("axis", 1);
  const Shape& scale = node.shape(1);
  const bool one = scale.rank() == 0 || (!scale.symbolic() && scale.elements() == 1);
  return one ? -1 : axis_of(node, axis, node.shape(0).rank());
}

void check_blocks(NodeImport& node, const Blocks& blocks) {
  Shape wanted = blocks.whole;
  wanted.set(blocks.axis, blocks.count);
  if (node.shape(1) != wanted)
    node.refuse(fmt::format("scales {} for blocks {}", node.shape(1), wanted));
}

/// Integer layers look for a zero point: one that is left out beside a constant scale is a 0.
CodeScale with_zeros(NodeImport& node, CodeScale by) {
  const Graph::Value& scale = node.graph().value(by.scale);
  if (by.zero < 0 && scale.is_leaf())
    by.zero = node.constant(Tensor::zeros(scale.shape, DType::i32));
  return by;
}

void import_quantize_linear(NodeImport& node) {
  node.ignore("saturate");   // of the 8-bit floats alone
  node.ignore("precision");  // of the division: ours is the scale's or better
  const std::int64_t type = node.integer("output_dtype", 0);
  const DType codes = node.has(2) ? node.dtype(2)
                      : type != 0 ? dtype_of_element(node, type)
                                  : DType::u8;
  const std::int64_t block = block_of(node);
  const int x = node.value(0);
  if (block == 0) {
    const CodeScale by = with_zeros(node, code_scale(node, 1, 2, quantized_axis(node)));
    node.output(0, quantized_to(node, x, by, codes));
    return;
  }
  const int axis = axis_of(node, node.integer("axis", 1), node.shape(0).rank());
  const Blocks blocks(node, node.shape(0), axis, block);
  check_blocks(node, blocks);
  const int rows = blocks.rows_of(node, x);
  node.output(0, blocks.whole_of(node, quantized_to(node, rows, code_scale(node, 1, 2), codes)));
}

bool is_weight_code(DType dtype) { return traits(dtype).bits <= 8 && dtype != DType::boolean; }

/// A weight whose codes are known stays as it is stored: in blocks, packed, or anywhere in a file
/// whose weights alone are quantized; settle_stored_weights looks at the readers. −1: not such a
/// one.
int stored_weight(NodeImport& node, std::int64_t block) {
  const Tensor* codes = node.constant(0);
  if (codes && block == 0 && !is_packed(codes->dtype()) &&
      !node.graph().metadata().contains(kWeightOnlyKey))
    return -1;
  if (!codes || !is_weight_code(codes->dtype()) || node.dtype(1) != DType::f32) return -1;
  if (node.has(2) && node.dtype(2) != codes->dtype()) return -1;
  const CodeScale by = block == 0
                           ? code_scale(node, 1, 2, quantized_axis(node))
                           : CodeScale{node.value(1), given(node, 2),
                                       axis_of(node, node.integer("axis", 1), codes->rank())};
  std::vector<int> inputs{node.value(0), by.scale};
  if (by.zero >= 0) inputs.push_back(by.zero);
  return call(node, kDequantizeWeight, DequantizeWeightAttributes{by.axis, block},
              std::move(inputs));
}

void import_dequantize_linear(NodeImport& node) {
  const std::int64_t type = node.integer("output_dtype", 0);
  const DType result = type != 0 ? dtype_of_element(node, type) : node.dtype(1);
  const std::int64_t block = block_of(node);
  if (block > 0) {
    const int axis = axis_of(node, node.integer("axis", 1), node.shape(0).rank());
    check_blocks(node, Blocks(node, node.shape(0), axis, block));
  }
  if (const int weight = stored_weight(node, block); weight >= 0) {
    node.output(0, cast(node, weight, result));
    return;
  }
  int codes = node.value(0);
  if (block == 0) {
    const CodeScale by = with_zeros(node, code_scale(node, 1, 2, quantized_axis(node)));
    const int y = dequantized(node, codes, by);
    node.output(0, cast(node, y, result));
    return;
  }
  const int axis = axis_of(node, node.integer("axis", 1), node.shape(0).rank());
  const Blocks blocks(node, node.shape(0), axis, block);
  if (const Tensor* known = node.constant(0)) {
    const Tensor bytes = unpacked(*known);
    if (!bytes.same_as(*known)) codes = node.constant(bytes);
  }
  const int y = dequantized(node, blocks.rows_of(node, codes), code_scale(node, 1, 2));
  node.output(0, cast(node, blocks.whole_of(node, y), result));
}

void import_dynamic_quantize(NodeImport& node) {
  const DynamicCodes dynamic = quantized_dynamically(node, node.value(0));
  node.output(0, dynamic.codes);
  node.output(1, dynamic.by.scale);
  node.output(2, dynamic.by.zero);
}

constexpr OpImport kImports[] = {
    {"DequantizeLinear", "", import_dequantize_linear},
    {"DequantizeLinear", "com.microsoft", import_dequantize_linear},
    {"DynamicQuantizeLinear", "", import_dynamic_quantize},
    {"QuantizeLinear", "", import_quantize_linear},
    {"QuantizeLinear", "com.microsoft", import_quantize_linear},
};

}  // namespace

constinit const std::span<const OpImport> kQuantizationImports = kImports;

}  // namespace pare::onnx
