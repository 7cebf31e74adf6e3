// nonzero: the places of the elements that are not 0.
#include <algorithm>

#include "core/dtype_switch.h"
#include "core/ops/onnx_integers.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/value.h"

namespace pare {
namespace {

struct IsNonZero {
  template <class T> bool operator()(T v) const { return v != T(0); }
  bool operator()(Half v) const { return (v.bits & 0x7fffU) != 0; }
  bool operator()(BFloat16 v) const { return (v.bits & 0x7fffU) != 0; }
};

/// visit(i) for the row-major number of each.
template <class Visit> void for_each_nonzero(const Tensor& x, const Visit& visit) {
  visit_any(x.dtype(), "nonzero", [&](auto type) {
    using T = decltype(type);
    const T* data = x.data<T>();
    const std::int64_t count = x.elements();
    for (std::int64_t i = 0; i < count; ++i)
      if (IsNonZero{}(data[i])) visit(i);
  });
}

void infer_nonzero(InferArgs& args) {
  visit_any(args.dtype(0), "nonzero", [](auto) {});
  Shape y{std::max(1, args.shape(0).rank())};
  if (const Tensor* x = args.value(0)) {
    std::int64_t count = 0;
    for_each_nonzero(*x, [&](std::int64_t) { ++count; });
    y.append(count);
  } else {
    append_unknown(y);
  }
  args.output(0, y, DType::i64);
}

void forward_nonzero(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                     const Context&) {
  const Tensor& x = inputs[0];
  const std::int64_t count = outputs[0].dim(1);
  auto* places = outputs[0].mutable_data<std::int64_t>();
  std::int64_t k = 0;
  for_each_nonzero(x, [&](std::int64_t i) {
    if (x.rank() == 0) places[k] = 0;
    for (int a = x.rank() - 1; a >= 0; --a) {
      places[a * count + k] = i % x.dim(a);
      i /= x.dim(a);
    }
    ++k;
  });
}

void emit_nonzero(const Call&, OnnxEmitter& emitter) {
  std::string x = emitter.input(0);
  // A scalar has no axes of places in ONNX and one in pare.
  if (emitter.input_shape(0).rank() == 0) {
    const std::string line = emitter.temporary();
    emitter.node("Reshape", {x, onnx_integers(emitter, {1})}, {line});
    x = line;
  }
  emitter.node("NonZero", {x}, {emitter.output(0)});
}

}  // namespace

constinit const OpDef kNonZero = {
    .name = "nonzero",
    .infer = infer_nonzero,
    .forward = forward_nonzero,
    .onnx = {.op_type = "NonZero", .opset = 13, .emit = emit_nonzero},
};

Tensor nonzero(const Tensor& x) { return apply({&kNonZero, {}}, detail::Borrowed(x)); }

}  // namespace pare
