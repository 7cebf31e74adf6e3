// Logic: and, or, xor, not of truth values (numbers by x ≠ 0) and of the bits of integers.
#include "core/elementwise_op.h"
#include "core/row_loops.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

struct And {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return static_cast<T>(a & b); }
};
struct Or {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return static_cast<T>(a | b); }
};
struct Xor {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return static_cast<T>(a ^ b); }
};
/// Of a byte of 0 or 1, which bool is: as bytes the loop becomes vector code.
struct LogicalNot {
  PARE_INLINE std::uint8_t operator()(std::uint8_t x) const {
    return static_cast<std::uint8_t>(x ^ 1U);
  }
};
struct BitwiseNot {
  template <class T> PARE_INLINE T operator()(T x) const { return static_cast<T>(~x); }
};

bool is_integer(DType d) { return is_arithmetic(d) && !is_floating(d); }

void check_logical(const InferArgs& args, int i) {
  PARE_CHECK(is_arithmetic(args.dtype(i)) || args.dtype(i) == DType::boolean, dtype_mismatch,
             args.call.op->name, "expected bool or a number type, got {}", args.dtype(i));
}
void check_bitwise(const InferArgs& args) {
  PARE_CHECK(is_integer(args.dtype(0)) || args.dtype(0) == DType::boolean, dtype_mismatch,
             args.call.op->name, "expected an integer type or bool, got {}", args.dtype(0));
}

void infer_logical(InferArgs& args) {
  check_logical(args, 0);
  check_logical(args, 1);
  args.output(0, broadcast_shapes(args.shape(0), args.shape(1), args.call.op->name),
              DType::boolean);
}
void infer_logical_not(InferArgs& args) {
  check_logical(args, 0);
  args.output(0, args.shape(0), DType::boolean);
}
void infer_bitwise(InferArgs& args) {
  infer_broadcast(args, args.dtype(0));
  check_bitwise(args);
}
void infer_bitwise_not(InferArgs& args) {
  check_bitwise(args);
  args.output(0, args.shape(0), args.dtype(0));
}

/// Bool is a byte of 0 or 1: its and, or and xor are those of the byte.
template <class F>
void forward_logical(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                     const Context&) {
  zip_rows(in_dtype(inputs[0], DType::boolean), in_dtype(inputs[1], DType::boolean), outputs[0],
           plain_row<std::uint8_t, std::uint8_t, F>);
}

/// visit(T{}) for an unsigned integer of the type's size.
template <class Visitor> void visit_bits(DType dtype, Visitor&& visit) {
  switch (traits(dtype).bits) {
    case 64:
      return visit(std::uint64_t{});
    case 32:
      return visit(std::uint32_t{});
    case 16:
      return visit(std::uint16_t{});
    default:
      return visit(std::uint8_t{});
  }
}

template <class F>
void forward_bitwise(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                     const Context&) {
  visit_bits(inputs[0].dtype(), [&](auto type) {
    using T = decltype(type);
    zip_rows(inputs[0], inputs[1], outputs[0], plain_row<T, T, F>);
  });
}

void forward_logical_not(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                         const Context&) {
  map_tensor<std::uint8_t>(in_dtype(inputs[0], DType::boolean), outputs[0], LogicalNot{});
}

void forward_bitwise_not(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                         const Context&) {
  if (inputs[0].dtype() == DType::boolean)
    return map_tensor<std::uint8_t>(inputs[0], outputs[0], LogicalNot{});
  visit_bits(inputs[0].dtype(),
             [&](auto type) { map_tensor<decltype(type)>(inputs[0], outputs[0], BitwiseNot{}); });
}

/// ONNX's logic takes bool only.
std::string truth_of(OnnxEmitter& e, int i) {
  if (e.input_dtype(i) == DType::boolean) return e.input(i);
  const std::string truth = e.temporary();
  e.node("Cast", {e.input(i)}, {truth}).attribute("to", std::int64_t{traits(DType::boolean).onnx});
  return truth;
}
void emit_logical(OnnxEmitter& e, const char* type) {
  const std::string a = truth_of(e, 0);
  const std::string b = truth_of(e, 1);
  e.node(type, {a, b}, {e.output(0)});
}
/// ONNX has the bits of integers only.
void emit_bitwise(OnnxEmitter& e, const char* of_bool, const char* of_integers) {
  e.node(e.input_dtype(0) == DType::boolean ? of_bool : of_integers, {e.input(0), e.input(1)},
         {e.output(0)});
}

constexpr OpDef logic(const char* name, int inputs, void (*infer)(InferArgs&), ForwardFunction run,
                      OnnxForm onnx) {
  return {.name = name,
          .min_inputs = inputs,
          .max_inputs = inputs,
          .format = FormatRule::keep,
          .infer = infer,
          .forward = run,
          .channels = {.kind = ChannelFact::Kind::elementwise},
          .onnx = onnx};
}

}  // namespace

constinit const OpDef kLogicalAnd =
    logic("logical_and", 2, infer_logical, forward_logical<And>,
          {.op_type = "And", .emit = [](const Call&, OnnxEmitter& e) { emit_logical(e, "And"); }});
constinit const OpDef kLogicalOr =
    logic("logical_or", 2, infer_logical, forward_logical<Or>,
          {.op_type = "Or", .emit = [](const Call&, OnnxEmitter& e) { emit_logical(e, "Or"); }});
constinit const OpDef kLogicalXor =
    logic("logical_xor", 2, infer_logical, forward_logical<Xor>,
          {.op_type = "Xor", .emit = [](const Call&, OnnxEmitter& e) { emit_logical(e, "Xor"); }});
constinit const OpDef kLogicalNot =
    logic("logical_not", 1, infer_logical_not, forward_logical_not,
          {.op_type = "Not", .emit = [](const Call&, OnnxEmitter& e) {
             const std::string truth = truth_of(e, 0);
             e.node("Not", {truth}, {e.output(0)});
           }});
constinit const OpDef kBitwiseAnd =
    logic("bitwise_and", 2, infer_bitwise, forward_bitwise<And>,
          {.op_type = "BitwiseAnd", .opset = 18, .emit = [](const Call&, OnnxEmitter& e) {
             emit_bitwise(e, "And", "BitwiseAnd");
           }});
constinit const OpDef kBitwiseOr =
    logic("bitwise_or", 2, infer_bitwise, forward_bitwise<Or>,
          {.op_type = "BitwiseOr", .opset = 18, .emit = [](const Call&, OnnxEmitter& e) {
             emit_bitwise(e, "Or", "BitwiseOr");
           }});
constinit const OpDef kBitwiseXor =
    logic("bitwise_xor", 2, infer_bitwise, forward_bitwise<Xor>,
          {.op_type = "BitwiseXor", .opset = 18, .emit = [](const Call&, OnnxEmitter& e) {
             emit_bitwise(e, "Xor", "BitwiseXor");
           }});
constinit const OpDef kBitwiseNot =
    logic("bitwise_not", 1, infer_bitwise_not, forward_bitwise_not,
          {.op_type = "BitwiseNot", .opset = 18, .emit = [](const Call&, OnnxEmitter& e) {
             e.node(e.input_dtype(0) == DType::boolean ? "Not" : "BitwiseNot", {e.input(0)},
                    {e.output(0)});
           }});

Tensor logical_and(const Tensor& a, const Tensor& b) {
  return apply({&kLogicalAnd, {}}, detail::Borrowed(a, b));
}
Tensor logical_or(const Tensor& a, const Tensor& b) {
  return apply({&kLogicalOr, {}}, detail::Borrowed(a, b));
}
Tensor logical_xor(const Tensor& a, const Tensor& b) {
  return apply({&kLogicalXor, {}}, detail::Borrowed(a, b));
}
Tensor logical_not(const Tensor& x) { return apply({&kLogicalNot, {}}, detail::Borrowed(x)); }
Tensor bitwise_and(const Tensor& a, const Tensor& b) {
  return apply({&kBitwiseAnd, {}}, detail::Borrowed(a, b));
}
Tensor bitwise_or(const Tensor& a, const Tensor& b) {
  return apply({&kBitwiseOr, {}}, detail::Borrowed(a, b));
}
Tensor bitwise_xor(const Tensor& a, const Tensor& b) {
  return apply({&kBitwiseXor, {}}, detail::Borrowed(a, b));
}
Tensor bitwise_not(const Tensor& x) { return apply({&kBitwiseNot, {}}, detail::Borrowed(x)); }

}  // namespace pare
