// What elementwise ops share: their checks, the forward over one tensor, the way of a gradient.
#pragma once

#include <cmath>
#include <string>

#include "core/broadcast.h"
#include "core/dtype_switch.h"

namespace pare {

inline void infer_number(InferArgs& args) {
  PARE_CHECK(is_arithmetic(args.dtype(0)), dtype_mismatch, args.call.op->name,
             "expected a number type, got {}", args.dtype(0));
  args.output(0, args.shape(0), args.dtype(0));
}

inline void infer_floating(InferArgs& args) {
  PARE_CHECK(is_floating(args.dtype(0)), dtype_mismatch, args.call.op->name,
             "expected a floating type, got {}", args.dtype(0));
  args.output(0, args.shape(0), args.dtype(0));
}

/// Two inputs that broadcast give one of `dtype`.
inline void infer_broadcast(InferArgs& args, DType dtype) {
  const char* where = args.call.op->name;
  PARE_CHECK(args.dtype(0) == args.dtype(1), dtype_mismatch, where,
             "expected both inputs of one dtype, got {} and {}", args.dtype(0), args.dtype(1));
  if (args.shape(0) == args.shape(1))
    args.output(0, args.shape(0), dtype);
  else
    args.output(0, broadcast_shapes(args.shape(0), args.shape(1), where), dtype);
}

/// Two numbers give one of their type.
inline void infer_binary(InferArgs& args) {
  infer_broadcast(args, args.dtype(0));
  PARE_CHECK(is_arithmetic(args.dtype(0)), dtype_mismatch, args.call.op->name,
             "expected a number type, got {}", args.dtype(0));
}

/// y = make(T{})(x) for f32 and f64; f16 and bf16 go through f32.
template <class Make>
void map_floating(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context, Make make) {
  const DType dtype = inputs[0].dtype();
  if (is_half(dtype)) return forward_through_float(call, inputs, outputs, context);
  visit_float(dtype, call.op->name,
              [&](auto type) { map_tensor<decltype(type)>(inputs[0], outputs[0], make(type)); });
}

/// The forward of a stateless F that knows f32 and f64, and of one that knows every number type.
template <class F>
void forward_floating(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                      const Context& context) {
  map_floating(call, inputs, outputs, context, [](auto) { return F{}; });
}
template <class F>
void forward_number(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  const DType dtype = inputs[0].dtype();
  if (is_half(dtype)) return forward_through_float(call, inputs, outputs, context);
  visit_arithmetic(dtype, call.op->name,
                   [&](auto type) { map_tensor<decltype(type)>(inputs[0], outputs[0], F{}); });
}

/// Gives make(T{})(gradient, saved); f16 and bf16 are computed in f32.
template <class Make> void give_gradient(BackwardArgs& args, const Tensor& saved, Make make) {
  const DType dtype = is_half(saved.dtype()) ? DType::f32 : saved.dtype();
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), saved.format());
  const Tensor s = in_dtype(saved, dtype);
  Tensor out = Tensor::empty(s.shape(), dtype, s.format());
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    zip_contiguous(g.data<T>(), s.data<T>(), out.mutable_data<T>(), out.elements(), make(type));
  });
  args.set(0, in_dtype(out, saved.dtype()));
}
template <class F> void backward_from_input(BackwardArgs& args) {
  give_gradient(args, args.input(0), [](auto) { return F{}; });
}
template <class F> void backward_from_output(BackwardArgs& args) {
  give_gradient(args, args.output(0), [](auto) { return F{}; });
}

/// f16 and bf16 are computed, and summed, in f32.
inline Tensor widened(const Tensor& t) { return is_half(t.dtype()) ? in_dtype(t, DType::f32) : t; }

/// Gives input i a gradient of the output's shape.
inline void give_summed(BackwardArgs& args, int i, const Tensor& gradient) {
  args.set(i, in_dtype(sum_to_shape(gradient, args.input_shape(i)), args.input_dtype(i)));
}

/// Whether the type holds the number: an integer type exactly, a floating one rounds it.
inline bool holds(DType dtype, double number) {
  const DTypeTraits& t = traits(dtype);
  // The highest i64 rounds up to a number that it does not hold.
  return t.floating || (number >= t.lowest && number < t.highest + 1 &&
                        std::trunc(number) == number && (dtype != DType::i64 || number < 0x1p63));
}

/// A number beside a tensor: of rank 0, in the tensor's dtype, which must hold it.
inline Tensor number_like(const Tensor& a, double b, const char* where) {
  PARE_CHECK(a.defined(), invalid_argument, where, "expected a tensor, got an undefined one");
  PARE_CHECK(holds(a.dtype(), b), invalid_argument, where,
             "expected a number that {} holds, got {}", a.dtype(), b);
  return Tensor::scalar(b, a.dtype());
}

constexpr OpDef saving_input(OpDef op) {
  op.saves_inputs = 1;
  return op;
}
constexpr OpDef saving_output(OpDef op) {
  op.saves_outputs = 1;
  return op;
}

}  // namespace pare
