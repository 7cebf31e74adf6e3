// tril and triu: matrices with zeros on one side of a diagonal.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/ops/strided.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/arrange.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

void infer_trilu(InferArgs& args) {
  const Shape& x = args.shape(0);
  movable_bytes(args.dtype(0), "trilu");
  PARE_CHECK(x.rank() >= 2, shape_mismatch, "trilu", "expected x of at least 2 axes, got {}", x);
  args.output(0, x, args.dtype(0));
}

void keep_side(const TriluAttributes& attr, const Tensor& x, Tensor& y) {
  if (x.elements() == 0) return;
  const auto bytes = static_cast<std::int64_t>(movable_bytes(x.dtype(), "trilu"));
  const std::int64_t rows = x.dim(-2);
  const std::int64_t columns = x.dim(-1);
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(y.mutable_raw());
  // Beyond the matrix a diagonal is as good as at its edge.
  const std::int64_t diagonal = std::clamp(attr.diagonal, -rows, columns);
  const std::int64_t grain = std::max<std::int64_t>(1, 65536 / (columns * bytes));
  parallel_for(0, x.elements() / columns, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t edge = row % rows + diagonal + (attr.upper ? 0 : 1);
      const std::int64_t left = std::clamp<std::int64_t>(edge, 0, columns) * bytes;
      const auto head = static_cast<std::size_t>(left);
      const auto tail = static_cast<std::size_t>(columns * bytes - left);
      const std::byte* source = from + row * columns * bytes;
      std::byte* target = to + row * columns * bytes;
      if (attr.upper) {
        std::memset(target, 0, head);
        std::memcpy(target + left, source + left, tail);
      } else {
        std::memcpy(target, source, head);
        std::memset(target + left, 0, tail);
      }
    }
  });
}

void forward_trilu(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context&) {
  keep_side(call.attributes.as<TriluAttributes>(), inputs[0], outputs[0]);
}

void backward_trilu(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  Tensor gx = Tensor::empty(g.shape(), g.dtype());
  keep_side(args.call().attributes.as<TriluAttributes>(), g, gx);
  args.set(0, std::move(gx));
}

Attributes bind_trilu(const Call& call, const Shape&, const Values& values) {
  TriluAttributes attr = call.attributes.as<TriluAttributes>();
  attr.diagonal = values.integer(1, "trilu", "a diagonal");
  return Attributes::of(attr);
}

/// The matrices stay whole.
void link_trilu(const Call&, ChannelLinks& links) {
  if (has_value_inputs(links)) return;
  const Shape& x = links.shape(in(0));
  for (int a = 0; a < x.rank() - 2; ++a)
    if (!x.symbolic(a)) links.tie(in(0), a, out(0), a);
}

void emit_trilu(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<TriluAttributes>();
  const std::string diagonal =
      emitter.has_input(1)
          ? emitter.input(1)
          : emitter.constant(Tensor::from(std::vector<std::int64_t>{attr.diagonal}, {}));
  emitter.node("Trilu", {emitter.input(0), diagonal}, {emitter.output(0)})
      .attribute("upper", std::int64_t{attr.upper});
}

constexpr ValueForm kForm{bind_trilu, infer_trilu, infer_trilu, forward_trilu, backward_trilu};

}  // namespace

constinit const OpDef kTrilu = {
    .name = "trilu",
    .max_inputs = 2,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .backward = backward_values<kForm>,
    .saves_inputs = 0b10,
    .defaults = [] { return Attributes::of(TriluAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_trilu},
    .quantization = {.kind = QuantizationFact::Kind::own_range},
    .onnx = {.op_type = "Trilu", .opset = 14, .emit = emit_trilu},
};

Tensor tril(const Tensor& x, std::int64_t diagonal) {
  return apply({&kTrilu, Attributes::of(TriluAttributes{false, diagonal})}, detail::Borrowed(x));
}
Tensor triu(const Tensor& x, std::int64_t diagonal) {
  return apply({&kTrilu, Attributes::of(TriluAttributes{true, diagonal})}, detail::Borrowed(x));
}

}  // namespace pare
