// quantize_linear and dequantize_linear: ONNX's, to and from integer codes.
#include "core/check.h"
#include "core/quantize_loops.h"
#include "core/row_loops.h"
#include "pare/core/ops/quantization.h"

namespace pare {
namespace {

template <class Q> struct Quantized {
  PARE_INLINE Q operator()(float x, float, const CodeSpace& c) const {
    return static_cast<Q>(quantized(x, c.scale, c.zero, c.low, c.high));
  }
};
/// For ranges beyond the forms in float (i32).
struct QuantizedWide {
  std::int64_t qmin, qmax;
  PARE_INLINE std::int32_t operator()(float x, float, const CodeSpace& c) const {
    return static_cast<std::int32_t>(quantized_wide(x, c.scale, c.zero, qmin, qmax));
  }
};
/// (q − z)·s; the difference of two 32-bit codes needs 64 bits.
template <class Difference, class Q> struct Dequantized {
  PARE_INLINE float operator()(Q q, Q, const CodeSpace& c) const {
    return static_cast<float>(Difference{q} - Difference{c.zero}) * c.scale;
  }
};

template <class Visitor> void visit_code(DType dtype, Visitor&& visit) {
  switch (dtype) {
    case DType::i8:
      return visit(std::int8_t{});
    case DType::u8:
      return visit(std::uint8_t{});
    case DType::i16:
      return visit(std::int16_t{});
    case DType::u16:
      return visit(std::uint16_t{});
    default:
      return visit(std::int32_t{});
  }
}

void infer_quantize(InferArgs& args) {
  const auto& a = args.call.attributes.as<QuantizeAttributes>();
  PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, "quantize_linear", "expected f32, got {}",
             args.dtype(0));
  PARE_CHECK(is_code_type(a.dtype), dtype_mismatch, "quantize_linear",
             "expected codes of i8, u8, i16, u16 or i32, got {}", a.dtype);
  PARE_CHECK(a.qmin <= a.qmax && static_cast<double>(a.qmin) >= traits(a.dtype).lowest &&
                 static_cast<double>(a.qmax) <= traits(a.dtype).highest,
             invalid_argument, "quantize_linear",
             "expected qmin ≤ qmax that {} holds, got {} and {}", a.dtype, a.qmin, a.qmax);
  check_quantize_parameters(args, a.axis, a.dtype);
  args.output(0, args.shape(0), a.dtype);
}

void forward_quantize(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                      const Context&) {
  const auto& a = call.attributes.as<QuantizeAttributes>();
  const QuantizeParameters p(inputs[0], inputs[1], inputs.size() > 2 ? inputs[2] : Tensor(), a.axis,
                             a.qmin, a.qmax);
  p.check_scales("quantize_linear");
  const float* x = inputs[0].data<float>();
  if (a.dtype == DType::i32 && !p.fits) {
    map_codes(p, x, x, outputs[0].mutable_data<std::int32_t>(), QuantizedWide{a.qmin, a.qmax});
    return;
  }
  PARE_CHECK(p.fits, invalid_argument, "quantize_linear",
             "expected zero points within 2^22 of [{}, {}], got one outside", a.qmin, a.qmax);
  visit_code(a.dtype, [&](auto type) {
    using Q = decltype(type);
    map_codes(p, x, x, outputs[0].mutable_data<Q>(), Quantized<Q>{});
  });
}

/// A scale and zero point for each row of x, as dynamic_quantize_linear gives them.
void check_rows(const InferArgs& args) {
  const Shape& x = args.shape(0);
  const Shape& scale = args.shape(1);
  const int last = x.rank() - 1;
  bool fits = scale.rank() == x.rank() && !scale.symbolic(last) && scale[last] == 1;
  for (int a = 0; fits && a < last; ++a) fits = scale.same_axis(a, x, a);
  PARE_CHECK(fits, shape_mismatch, "dequantize_linear",
             "expected a scale of rank 0 or 1, or of {} with a last axis of 1, got {}", x, scale);
  PARE_CHECK(args.dtype(1) == DType::f32 && traits(args.dtype(0)).bits <= 16, dtype_mismatch,
             "dequantize_linear",
             "expected codes of 8 or 16 bits with f32 scales by rows, got {} "
             "and {}",
             args.dtype(0), args.dtype(1));
  if (!args.has(2)) return;
  PARE_CHECK(args.shape(2) == scale, shape_mismatch, "dequantize_linear",
             "expected a zero point of the scale's shape {}, got {}", scale, args.shape(2));
  PARE_CHECK(args.dtype(2) == args.dtype(0) || args.dtype(2) == DType::i32, dtype_mismatch,
             "dequantize_linear", "expected a zero point of i32 or {}, got {}", args.dtype(0),
             args.dtype(2));
}

struct Centred {
  template <class Q, class Z> PARE_INLINE float operator()(Q q, Z zero) const {
    return static_cast<float>(std::int32_t{q} - std::int32_t{zero});
  }
};
struct Scaled {
  PARE_INLINE float operator()(float v, float scale) const { return v * scale; }
};

/// Broadcast, in any format.
void dequantize_rows(const Tensor& codes, const Tensor& scale, const Tensor& zero, Tensor& y) {
  Tensor centred = Tensor::empty(y.shape(), DType::f32, y.format());
  const Tensor zeros = zero.defined() ? zero : Tensor::zeros(scale.shape(), DType::i32);
  visit_code(codes.dtype(), [&](auto type) {
    using Q = decltype(type);
    if (zeros.dtype() == DType::i32)
      zip_rows(codes, zeros, centred,
               [](const Row& row) { row_body<Q, std::int32_t, float>(row, Centred{}); });
    else
      zip_rows(codes, zeros, centred,
               [](const Row& row) { row_body<Q, Q, float>(row, Centred{}); });
  });
  zip_rows(centred, scale, y, fast_row<float, float, Scaled>);
}

void infer_dequantize(InferArgs& args) {
  PARE_CHECK(is_code_type(args.dtype(0)), dtype_mismatch, "dequantize_linear",
             "expected codes of i8, u8, i16, u16 or i32, got {}", args.dtype(0));
  if (args.shape(1).rank() > 1) {
    check_rows(args);
    args.output(0, args.shape(0), DType::f32);
    return;
  }
  check_quantize_parameters(args, args.call.attributes.as<DequantizeAttributes>().axis,
                            args.dtype(0));
  args.output(0, args.shape(0), DType::f32);
}

void forward_dequantize(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context&) {
  const Tensor zero = inputs.size() > 2 ? inputs[2] : Tensor();
  if (inputs[1].rank() > 1) return dequantize_rows(inputs[0], inputs[1], zero, outputs[0]);
  const QuantizeParameters p(inputs[0], inputs[1], zero,
                             call.attributes.as<DequantizeAttributes>().axis, 0, 0);
  bool zeros = true;
  for (const std::int32_t z : p.zero) zeros = zeros && z == 0;
  float* y = outputs[0].mutable_data<float>();
  visit_code(inputs[0].dtype(), [&](auto type) {
    using Q = decltype(type);
    const Q* q = inputs[0].data<Q>();
    if (zeros || (sizeof(Q) < 4 && p.fits))
      map_codes(p, q, q, y, Dequantized<std::int32_t, Q>{});
    else
      map_codes(p, q, q, y, Dequantized<std::int64_t, Q>{});
  });
}

}  // namespace

constinit const OpDef kQuantizeLinear = {
    .name = "quantize_linear",
    .min_inputs = 2,
    .max_inputs = 3,
    .format = FormatRule::keep,
    .infer = infer_quantize,
    .forward = forward_quantize,
    .defaults = [] { return Attributes::of(QuantizeAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_quantize_channels(call.attributes.as<QuantizeAttributes>().axis, links);
                     }},
    .onnx = {.op_type = "QuantizeLinear", .emit = [](const Call& call, OnnxEmitter& e) {
               const auto& a = call.attributes.as<QuantizeAttributes>();
               emit_quantize(e, a.dtype, a.axis, a.qmin, a.qmax, e.output(0));
             }}};

constinit const OpDef kDequantizeLinear = {
    .name = "dequantize_linear",
    .min_inputs = 2,
    .max_inputs = 3,
    .format = FormatRule::keep,
    .infer = infer_dequantize,
    .forward = forward_dequantize,
    .defaults = [] { return Attributes::of(DequantizeAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_quantize_channels(call.attributes.as<DequantizeAttributes>().axis,
                                              links);
                     }},
    .onnx = {.op_type = "DequantizeLinear", .emit = [](const Call& call, OnnxEmitter& e) {
               emit_dequantize(e, e.input(0), e.input_dtype(0),
                               call.attributes.as<DequantizeAttributes>().axis);
             }}};

Tensor quantize_linear(const Tensor& x, const Tensor& scale, const Tensor& zero_point,
                       const QuantizeAttributes& attributes) {
  return apply({&kQuantizeLinear, Attributes::of(attributes)},
               detail::Borrowed(x, scale, zero_point));
}

Tensor dequantize_linear(const Tensor& q, const Tensor& scale, const Tensor& zero_point,
                         const DequantizeAttributes& attributes) {
  return apply({&kDequantizeLinear, Attributes::of(attributes)},
               detail::Borrowed(q, scale, zero_point));
}

}  // namespace pare
