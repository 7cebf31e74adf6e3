// dequantize_weight: codes of 8, 4 or 2 bits, by blocks, as the floats that they stand for.
#include "pare/core/ops/dequantize_weight.h"

#include "core/check.h"
#include "core/packed_codes.h"
#include "core/quantize_loops.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

const DequantizeWeightAttributes& attributes_of(const Call& call) {
  return call.attributes.as<DequantizeWeightAttributes>();
}

bool is_weight_code(DType d) { return is_packed(d) || d == DType::i8 || d == DType::u8; }

std::int64_t blocks_of(std::int64_t size, std::int64_t block) { return (size + block - 1) / block; }

void check_blocks(const InferArgs& args, const DequantizeWeightAttributes& a) {
  const char* where = args.call.op->name;
  Shape wanted = args.shape(0);
  const int axis = normalize_axis(a.axis, wanted.rank(), where);
  wanted.set(axis, blocks_of(wanted[axis], a.block));
  PARE_CHECK(args.shape(1) == wanted, shape_mismatch, where,
             "expected scales {} for blocks of {} along axis {} of {}, got {}", wanted, a.block,
             axis, args.shape(0), args.shape(1));
  PARE_CHECK(args.dtype(1) == DType::f32, dtype_mismatch, where, "expected an f32 scale, got {}",
             args.dtype(1));
  if (!args.has(2)) return;
  PARE_CHECK(args.dtype(2) == DType::i32 || args.dtype(2) == args.dtype(0), dtype_mismatch, where,
             "expected a zero point of i32 or {}, got {}", args.dtype(0), args.dtype(2));
  PARE_CHECK(args.shape(2) == wanted, shape_mismatch, where,
             "expected a zero point of the scale's shape {}, got {}", wanted, args.shape(2));
}

void infer(InferArgs& args) {
  const DequantizeWeightAttributes& a = attributes_of(args.call);
  PARE_CHECK(is_weight_code(args.dtype(0)), dtype_mismatch, "dequantize_weight",
             "expected codes of i8, u8, i4, u4, i2 or u2, got {}", args.dtype(0));
  PARE_CHECK(a.block >= 0, invalid_argument, "dequantize_weight",
             "expected a block of 1 or more, or 0 for none, got {}", a.block);
  if (a.block > 0)
    check_blocks(args, a);
  else
    check_quantize_parameters(args, a.axis, args.dtype(0));
  args.output(0, args.shape(0), DType::f32);
}

// Where an element's scale is: the codes are seen as [outer, size, inner].
struct Places {
  std::int64_t outer = 1, size = 1, inner = 1;
  std::int64_t block = 1, blocks = 1;  ///< along `size`; all of it for one scale
  bool per_outer = false;              ///< each has scales of its own, and each of `inner`

  Places(const Shape& shape, std::int64_t scales, const DequantizeWeightAttributes& a) {
    if (a.block == 0 && scales == 1) {
      inner = shape.elements();
      return;
    }
    const int axis = normalize_axis(a.axis, shape.rank(), "dequantize_weight");
    outer = shape.elements(0, axis);
    size = shape[axis];
    inner = shape.elements(axis + 1, shape.rank());
    per_outer = a.block > 0;
    block = per_outer ? a.block : 1;
    blocks = blocks_of(size, block);
  }
  /// Of element [o, k, i].
  std::int64_t scale(std::int64_t o, std::int64_t k, std::int64_t i) const {
    return per_outer ? (o * blocks + k / block) * inner + i : k;
  }
};

void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context&) {
  const Tensor& q = inputs[0];
  if (q.elements() == 0) return;
  const Places places(q.shape(), inputs[1].elements(), attributes_of(call));
  const std::vector<std::int32_t> codes = code_values(q);
  const bool has_zeros = inputs.size() > 2 && inputs[2].defined();
  const std::vector<std::int32_t> zeros =
      has_zeros ? code_values(inputs[2]) : std::vector<std::int32_t>();
  const float* scales = inputs[1].data<float>();
  float* y = outputs[0].mutable_data<float>();
  parallel_for(0, places.outer * places.size, kElementGrain / places.inner + 1,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r)
                   for (std::int64_t i = 0; i < places.inner; ++i) {
                     const std::int64_t s = places.scale(r / places.size, r % places.size, i);
                     const auto at = static_cast<std::size_t>(r * places.inner + i);
                     const std::int32_t zero = has_zeros ? zeros[static_cast<std::size_t>(s)] : 0;
                     y[at] = static_cast<float>(codes[at] - zero) * scales[s];
                   }
               });
}

void emit(const Call& call, OnnxEmitter& e) {
  const DequantizeWeightAttributes& a = attributes_of(call);
  const DType dtype = e.input_dtype(0);
  PARE_CHECK((a.block == 0 && !is_packed(dtype)) || e.opset() >= 21, unsupported,
             "dequantize_weight", "expected ONNX opset 21 for blocks and codes of 4 bits, got {}",
             e.opset());
  PARE_CHECK(traits(dtype).bits > 2 || e.opset() >= 25, unsupported, "dequantize_weight",
             "expected ONNX opset 25 for codes of 2 bits, got {}", e.opset());
  std::vector<std::string> inputs{e.input(0), e.input(1)};
  if (e.has_input(2)) {
    inputs.push_back(e.input(2));
    if (e.input_dtype(2) != dtype) {
      inputs.back() = e.temporary();
      e.node("Cast", {e.input(2)}, {inputs.back()})
          .attribute("to", std::int64_t{traits(dtype).onnx});
    }
  }
  auto& node = e.node("DequantizeLinear", std::move(inputs), {e.output(0)});
  if (e.input_shape(1).rank() > 0) node.attribute("axis", a.axis);
  if (a.block > 0) node.attribute("block_size", a.block);
}

}  // namespace

constinit const OpDef kDequantizeWeight = {
    .name = "dequantize_weight",
    .min_inputs = 2,
    .max_inputs = 3,
    .infer = infer,
    .forward = forward,
    .defaults = [] { return Attributes::of(DequantizeWeightAttributes{}); },
    .onnx = {.op_type = "DequantizeLinear", .emit = emit}};

Tensor dequantize_weight(const Tensor& q, const Tensor& scale, const Tensor& zero_point,
                         const DequantizeWeightAttributes& attributes) {
  return apply({&kDequantizeWeight, Attributes::of(attributes)},
               detail::Borrowed(q, scale, zero_point));
}

}  // namespace pare
