// Parameters of quantization: reading, checking, channel links, ONNX nodes.
#include "core/quantize_loops.h"

#include <cmath>

#include "core/check.h"
#include "core/dtype_switch.h"

namespace pare {
namespace {

/// ONNX wants zero points of the codes' type.
std::string zero_point_name(OnnxEmitter& e, DType dtype) {
  if (!e.has_input(2)) {
    const Tensor zeros = Tensor::zeros(e.input_shape(1), dtype);
    return e.constant(zeros);
  }
  if (e.input_dtype(2) == dtype) return e.input(2);
  std::string converted = e.temporary();
  e.node("Cast", {e.input(2)}, {converted}).attribute("to", std::int64_t{traits(dtype).onnx});
  return converted;
}

}  // namespace

QuantizeParameters::QuantizeParameters(const Tensor& x, const Tensor& scales, const Tensor& zeros,
                                       std::int64_t axis, std::int64_t qmin, std::int64_t qmax)
    : channels(scales.elements()) {
  const std::int64_t elements = x.elements();
  if (channels == 1 || elements == 0) {
    inner = elements;
    outer = elements == 0 ? 0 : 1;
  } else {
    const int at = normalize_axis(axis, x.rank(), "quantize");
    inner = strides_of(x)[static_cast<std::size_t>(at)];
    outer = elements / (channels * inner);
  }
  const float* s = scales.data<float>();
  scale.assign(s, s + channels);
  zero.assign(scale.size(), 0);
  if (zeros.defined()) {
    visit_arithmetic(zeros.dtype(), "zero_point", [&](auto type) {
      const auto* z = static_cast<const decltype(type)*>(zeros.raw());
      for (std::size_t c = 0; c < zero.size(); ++c) zero[c] = static_cast<std::int32_t>(z[c]);
    });
  }
  for (const std::int32_t z : zero) {
    low.push_back(static_cast<float>(qmin - z));
    high.push_back(static_cast<float>(qmax - z));
    fits = fits && codes_fit(qmin, qmax, z);
  }
}

void QuantizeParameters::check_scales(const char* where) const {
  for (std::size_t c = 0; c < scale.size(); ++c)
    PARE_CHECK(std::isfinite(scale[c]) && scale[c] > 0, invalid_argument, where,
               "expected finite scales above 0, got {} (number {})", scale[c], c);
}

void check_quantize_parameters(const InferArgs& args, std::int64_t axis, DType codes) {
  const char* where = args.call.op->name;
  const Shape& scale = args.shape(1);
  PARE_CHECK(args.dtype(1) == DType::f32, dtype_mismatch, where, "expected an f32 scale, got {}",
             args.dtype(1));
  PARE_CHECK(scale.rank() <= 1, shape_mismatch, where, "expected a scale of rank 0 or 1, got {}",
             scale);
  if (scale.rank() == 1 && (scale.symbolic(0) || scale[0] != 1)) {
    const int at = normalize_axis(axis, args.shape(0).rank(), where);
    PARE_CHECK(scale.same_axis(0, args.shape(0), at), shape_mismatch, where,
               "expected a scale for each index of axis {} of {}, got {}", at, args.shape(0),
               scale);
  }
  if (!args.has(2)) return;
  PARE_CHECK(args.dtype(2) == DType::i32 || args.dtype(2) == codes, dtype_mismatch, where,
             "expected a zero point of i32 or {}, got {}", codes, args.dtype(2));
  PARE_CHECK(args.shape(2) == scale, shape_mismatch, where,
             "expected a zero point of the scale's shape {}, got {}", scale, args.shape(2));
}

bool is_code_type(DType d) {
  return d == DType::i8 || d == DType::u8 || d == DType::i16 || d == DType::u16 || d == DType::i32;
}

void link_quantize_channels(std::int64_t axis, ChannelLinks& links) {
  const int rank = links.shape(in(0)).rank();
  for (int a = 0; a < rank; ++a) links.tie(in(0), a, out(0), a);
  for (int i = 1; i <= 2; ++i) {
    if (!links.has(in(i)) || links.shape(in(i)).rank() == 0) continue;
    if (links.shape(in(i)).rank() > 1) {  // by rows
      for (int a = 0; a + 1 < rank; ++a) links.tie(in(0), a, in(i), a);
      continue;
    }
    const int at = normalize_axis(axis, rank, "quantize");
    if (links.shape(in(i)).same_axis(0, links.shape(in(0)), at)) links.tie(in(0), at, in(i), 0);
  }
}

void emit_quantize(OnnxEmitter& e, DType dtype, std::int64_t axis, std::int64_t qmin,
                   std::int64_t qmax, const std::string& output) {
  // 16-bit codes came with opset 21.
  const int largest = e.opset() >= 21 ? 16 : 8;
  PARE_CHECK(traits(dtype).bits <= largest, unsupported, "quantize_linear",
             "expected codes of at most {} bits for ONNX opset {}, got {}", largest, e.opset(),
             dtype);
  const bool narrow = static_cast<double>(qmin) > traits(dtype).lowest ||
                      static_cast<double>(qmax) < traits(dtype).highest;
  const std::string codes = narrow ? e.temporary() : output;
  auto& node =
      e.node("QuantizeLinear", {e.input(0), e.input(1), zero_point_name(e, dtype)}, {codes});
  if (e.input_shape(1).rank() == 1) node.attribute("axis", axis);
  if (!narrow) return;
  e.node("Clip",
         {codes, e.constant(Tensor::scalar(static_cast<double>(qmin), dtype)),
          e.constant(Tensor::scalar(static_cast<double>(qmax), dtype))},
         {output});
}

void emit_dequantize(OnnxEmitter& e, const std::string& codes, DType dtype, std::int64_t axis) {
  PARE_CHECK(traits(dtype).bits != 16 || e.opset() >= 21, unsupported, "dequantize_linear",
             "expected ONNX opset 21 for codes of 16 bits, got {}", e.opset());
  if (e.input_shape(1).rank() > 1) {  // by rows, which DequantizeLinear has not
    const auto real = [&](const std::string& value) {
      std::string converted = e.temporary();
      e.node("Cast", {value}, {converted}).attribute("to", std::int64_t{traits(DType::f32).onnx});
      return converted;
    };
    std::string centred = real(codes);
    if (e.has_input(2)) {
      const std::string difference = e.temporary();
      e.node("Sub", {centred, real(e.input(2))}, {difference});
      centred = difference;
    }
    e.node("Mul", {centred, e.input(1)}, {e.output(0)});
    return;
  }
  auto& node =
      e.node("DequantizeLinear", {codes, e.input(1), zero_point_name(e, dtype)}, {e.output(0)});
  if (e.input_shape(1).rank() == 1) node.attribute("axis", axis);
}

}  // namespace pare
