// compress: the elements or slices of a tensor for which a condition holds.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/ops/strided.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/value.h"

namespace pare {
namespace {

/// A tensor as outer × length × inner, of which slices along the middle are taken.
struct Slices {
  Slices(const Call& call, const Shape& x) {
    const auto& attr = call.attributes.as<CompressAttributes>();
    if (attr.flat) {
      length = x.elements();
      return;
    }
    const int axis = normalize_axis(attr.axis, x.rank(), "compress");
    outer = x.elements(0, axis);
    length = x[axis];
    inner = x.elements(axis + 1, x.rank());
  }
  std::int64_t outer = 1, length = 1, inner = 1;
};

std::vector<std::int64_t> taken(const Tensor& condition) {
  const bool* on = condition.data<bool>();
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < condition.elements(); ++i)
    if (on[i]) places.push_back(i);
  return places;
}

void infer_compress(InferArgs& args) {
  const Shape& x = args.shape(0);
  const Shape& condition = args.shape(1);
  movable_bytes(args.dtype(0), "compress");
  PARE_CHECK(args.dtype(1) == DType::boolean, dtype_mismatch, "compress",
             "expected a condition of bool, got {}", args.dtype(1));
  PARE_CHECK(condition.rank() == 1, shape_mismatch, "compress",
             "expected a condition of one axis, got {}", condition);
  const auto& attr = args.call.attributes.as<CompressAttributes>();
  Shape y = attr.flat ? Shape{1} : x;
  const int axis = attr.flat ? 0 : normalize_axis(attr.axis, x.rank(), "compress");
  const SizeExpression length =
      attr.flat ? SizeExpression::product_of(x) : SizeExpression::of(x, axis);
  PARE_CHECK(!length.is_number() || condition.symbolic() || condition[0] <= length.constant(),
             shape_mismatch, "compress", "expected a condition of at most {} elements, got {}",
             length.to_string(), condition);
  const Tensor* value = args.value(1);
  if (value)
    y.set(axis, static_cast<std::int64_t>(taken(*value).size()));
  else
    set_unknown(y, axis);
  args.output(0, y, args.dtype(0));
}

/// Calls copy(first byte in x, first byte in y) for every run of elements that is taken.
template <class Copy>
void for_each_piece(const Call& call, const Shape& x, const Tensor& condition, std::size_t bytes,
                    const Copy& copy) {
  const Slices s(call, x);
  const std::vector<std::int64_t> places = taken(condition);
  const std::size_t piece = static_cast<std::size_t>(s.inner) * bytes;
  std::size_t at = 0;
  for (std::int64_t o = 0; o < s.outer; ++o)
    for (const std::int64_t place : places) {
      copy(static_cast<std::size_t>(o * s.length + place) * piece, at, piece);
      at += piece;
    }
}

void forward_compress(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                      const Context&) {
  if (outputs[0].bytes() == 0) return;
  const auto* from = static_cast<const std::byte*>(inputs[0].raw());
  auto* to = static_cast<std::byte*>(outputs[0].mutable_raw());
  for_each_piece(call, inputs[0].shape(), inputs[1], movable_bytes(inputs[0].dtype(), "compress"),
                 [&](std::size_t x, std::size_t y, std::size_t bytes) {
                   std::memcpy(to + y, from + x, bytes);
                 });
}

void backward_compress(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  Tensor gx = Tensor::zeros(args.input_shape(0), g.dtype());
  if (g.bytes() > 0) {
    const auto* from = static_cast<const std::byte*>(g.raw());
    auto* to = static_cast<std::byte*>(gx.mutable_raw());
    for_each_piece(args.call(), gx.shape(), args.input(1), movable_bytes(g.dtype(), "compress"),
                   [&](std::size_t x, std::size_t y, std::size_t bytes) {
                     std::memcpy(to + x, from + y, bytes);
                   });
  }
  args.set(0, std::move(gx));
}

}  // namespace

constinit const OpDef kCompress = {
    .name = "compress",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_compress,
    .forward = forward_compress,
    .backward = backward_compress,
    .saves_inputs = 0b10,
    .defaults = [] { return Attributes::of(CompressAttributes{}); },
    .onnx = {.op_type = "Compress", .opset = 11, .emit = [](const Call& call, OnnxEmitter& e) {
               const auto& attr = call.attributes.as<CompressAttributes>();
               auto& node = e.node("Compress", {e.input(0), e.input(1)}, {e.output(0)});
               if (!attr.flat) node.attribute("axis", attr.axis);
             }}};

Tensor compress(const Tensor& x, const Tensor& condition, const CompressAttributes& attributes) {
  return apply({&kCompress, Attributes::of(attributes)}, detail::Borrowed(x, condition));
}

}  // namespace pare
