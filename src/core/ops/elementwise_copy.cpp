// cast, detach and to_format: the same values in another type, off the tape, in another order.
#include "core/broadcast.h"
#include "core/convert.h"
#include "core/dtype_switch.h"
#include "core/ops/layout.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

void infer_same(InferArgs& args) { args.output(0, args.shape(0), args.dtype(0)); }

void forward_copy(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context&) {
  convert_format(inputs[0], outputs[0]);
}

bool is_packed(DType d) { return traits(d).bits < 8; }

}  // namespace

constinit const OpDef kCast = {
    .name = "cast",
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          const DType to = args.call.attributes.as<CastAttributes>().to;
          PARE_CHECK(!is_packed(args.dtype(0)) && !is_packed(to), dtype_mismatch, "cast",
                     "expected unpacked dtypes, got {} to {}", args.dtype(0), to);
          args.output(0, args.shape(0), to);
        },
    .forward = [](const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context&) { convert_dtype(inputs[0], outputs[0]); },
    .backward =
        [](BackwardArgs& args) { args.set(0, in_dtype(args.grad_output(0), args.input_dtype(0))); },
    .defaults = [] { return Attributes::of(CastAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::elementwise},
    .onnx = {.op_type = "Cast", .emit = [](const Call& call, OnnxEmitter& e) {
               const DType to = call.attributes.as<CastAttributes>().to;
               e.node("Cast", {e.input(0)}, {e.output(0)})
                   .attribute("to", std::int64_t{traits(to).onnx});
             }}};

constinit const OpDef kDetach = {
    .name = "detach",
    .format = FormatRule::keep,
    .infer = infer_same,
    .forward = forward_copy,
    .view = [](const Call&, const Tensor& x,
               const Shape& shape) { return share_memory(x, shape, x.format()); },
    .channels = {.kind = ChannelFact::Kind::elementwise},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Identity"}};

constinit const OpDef kToFormat = {
    .name = "to_format",
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          const int rank = args.shape(0).rank();
          PARE_CHECK(!args.call.attributes.as<ToFormatAttributes>().channels_last ||
                         (rank >= 3 && rank <= 5),
                     shape_mismatch, "to_format", "expected rank 3 to 5 for channels-last, got {}",
                     args.shape(0));
          infer_same(args);
        },
    // Whoever allocated the output has chosen its order.
    .forward = forward_copy,
    .backward = [](BackwardArgs& args) { args.set(0, args.grad_output(0)); },
    .defaults = [] { return Attributes::of(ToFormatAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::elementwise},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Identity"}};

Tensor cast(const Tensor& x, DType to) {
  if (x.defined() && x.dtype() == to) return x;
  return apply({&kCast, Attributes::of(CastAttributes{to})}, detail::Borrowed(x));
}

}  // namespace pare
