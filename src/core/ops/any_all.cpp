// any and all over any axes: whether some or every element is not zero.
#include "core/broadcast.h"
#include "core/convert.h"
#include "core/dtype_switch.h"
#include "core/ops/reduced.h"
#include "core/reduce.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

std::uint32_t axes_of(const Call& call, int rank) {
  return reduced_axes(call.attributes.as<ReduceAttributes>().axes, rank, call.op->name);
}

void infer_truth(InferArgs& args) {
  const DType d = args.dtype(0);
  PARE_CHECK(is_arithmetic(d) || d == DType::boolean, dtype_mismatch, args.call.op->name,
             "expected bool or a number type, got {}", d);
  const auto mask = axes_of(args.call, args.shape(0).rank());
  const bool keepdim = args.call.attributes.as<ReduceAttributes>().keepdim;
  args.output(0, reduced_shape(args.shape(0), mask, keepdim), DType::boolean);
}

template <class T> struct IsNotZero {
  PARE_INLINE std::uint8_t operator()(T v) const { return v != T(0) ? 1 : 0; }
};

/// The largest or smallest of bytes 0 and 1.
template <bool All>
void forward_truth(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto mask = axes_of(call, x.rank());
  Tensor& y = outputs[0];
  if (x.elements() == 0) return y.fill(All ? 1 : 0);
  Tensor bytes = Tensor::empty(x.shape(), DType::u8, x.format());
  visit_any(x.dtype(), call.op->name, [&](auto type) {
    using T = decltype(type);
    if constexpr (std::is_arithmetic_v<T>)
      map_contiguous(x.data<T>(), bytes.mutable_data<std::uint8_t>(), x.elements(), IsNotZero<T>{});
  });
  Tensor result = Tensor::empty(y.shape(), DType::u8, y.format());
  reduce(All ? Reduction::min : Reduction::max, bytes, mask, result_strides(y, x.rank(), mask),
         result);
  convert_dtype(result, y);
}

void link_truth(const Call& call, ChannelLinks& links) {
  link_reduced(links, axes_of(call, links.shape(in(0)).rank()),
               call.attributes.as<ReduceAttributes>().keepdim, false);
}

/// ReduceMax knows no bool before opset 20.
void emit_truth(const Call& call, OnnxEmitter& e, const char* op_type) {
  const auto& a = call.attributes.as<ReduceAttributes>();
  const auto cast = [&](const std::string& from, DType dtype, const std::string& to) {
    e.node("Cast", {from}, {to}).attribute("to", std::int64_t{traits(dtype).onnx});
  };
  std::string truth = e.input(0);
  if (e.input_dtype(0) != DType::boolean) {
    truth = e.temporary();
    cast(e.input(0), DType::boolean, truth);
  }
  const std::string number = e.temporary();
  const std::string result = e.temporary();
  cast(truth, DType::i32, number);
  emit_reduced(e, op_type, 18, number, result, a.axes, a.keepdim);
  // Not a cast: over no elements the largest is the smallest number there is.
  e.node("Greater", {result, e.constant(Tensor::scalar(0, DType::i32))}, {e.output(0)});
}

Attributes default_axes() { return Attributes::of(ReduceAttributes{}); }

}  // namespace

constinit const OpDef kAny = {
    .name = "any",
    .format = FormatRule::keep,
    .infer = infer_truth,
    .forward = forward_truth<false>,
    .defaults = default_axes,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_truth},
    .onnx = {.op_type = "ReduceMax",
             .emit = [](const Call& call, OnnxEmitter& e) { emit_truth(call, e, "ReduceMax"); }}};

constinit const OpDef kAll = {
    .name = "all",
    .format = FormatRule::keep,
    .infer = infer_truth,
    .forward = forward_truth<true>,
    .defaults = default_axes,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_truth},
    .onnx = {.op_type = "ReduceMin",
             .emit = [](const Call& call, OnnxEmitter& e) { emit_truth(call, e, "ReduceMin"); }}};

Tensor any(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return apply({&kAny, Attributes::of(ReduceAttributes{axes_along(x, axes, kAny.name), keepdim})},
               detail::Borrowed(x));
}
Tensor all(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return apply({&kAll, Attributes::of(ReduceAttributes{axes_along(x, axes, kAll.name), keepdim})},
               detail::Borrowed(x));
}

}  // namespace pare
