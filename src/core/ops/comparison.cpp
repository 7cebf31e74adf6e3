// equal, not_equal, less, less_equal, greater and greater_equal: bool results, no gradient.
#include <cmath>
#include <type_traits>

#include "core/elementwise_op.h"
#include "core/row_loops.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

struct Equal {
  template <class T> PARE_INLINE bool operator()(T a, T b) const { return a == b; }
};
struct NotEqual {
  template <class T> PARE_INLINE bool operator()(T a, T b) const { return a != b; }
};
struct Less {
  template <class T> PARE_INLINE bool operator()(T a, T b) const { return a < b; }
};
struct LessEqual {
  template <class T> PARE_INLINE bool operator()(T a, T b) const { return a <= b; }
};

void infer_order(InferArgs& args) {
  infer_broadcast(args, DType::boolean);
  PARE_CHECK(is_arithmetic(args.dtype(0)), dtype_mismatch, args.call.op->name,
             "expected a number type, got {}", args.dtype(0));
}
void infer_equality(InferArgs& args) {
  infer_broadcast(args, DType::boolean);
  PARE_CHECK(is_arithmetic(args.dtype(0)) || args.dtype(0) == DType::boolean, dtype_mismatch,
             args.call.op->name, "expected a number type or bool, got {}", args.dtype(0));
}

/// a greater than b is b less than a: `swapped` saves the loops of two ops.
template <class F, bool swapped>
void forward_comparison(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context& context) {
  const DType dtype = inputs[0].dtype();
  if (is_half(dtype)) return forward_through_float(call, inputs, outputs, context);
  const Tensor& a = inputs[swapped ? 1 : 0];
  const Tensor& b = inputs[swapped ? 0 : 1];
  if (dtype == DType::boolean) return zip_rows(a, b, outputs[0], plain_row<bool, bool, F>);
  visit_arithmetic(dtype, call.op->name, [&](auto type) {
    using T = decltype(type);
    if constexpr (std::is_same_v<T, float>)
      zip_rows(a, b, outputs[0], fast_row<T, bool, F>);
    else
      zip_rows(a, b, outputs[0], plain_row<T, bool, F>);
  });
}

/// Whether `a` has integers, none of which is `b`: a fraction, one out of their range, or NaN. The
/// comparison is then one with an integer, which keeps traces free of the shape of `a`.
bool lacks(const Tensor& a, double b) {
  return a.defined() && is_arithmetic(a.dtype()) && !holds(a.dtype(), b);
}
Tensor lowest(const Tensor& a) { return Tensor::scalar(traits(a.dtype()).lowest, a.dtype()); }
Tensor highest(const Tensor& a) { return Tensor::scalar(traits(a.dtype()).highest, a.dtype()); }

/// Where `a` is less, or greater, than a number that it lacks.
Tensor below(const Tensor& a, double b) {
  const DTypeTraits& t = traits(a.dtype());
  if (!(b >= t.lowest)) return less(a, lowest(a));  // nowhere
  return less_equal(a, b > t.highest ? highest(a) : Tensor::scalar(std::floor(b), a.dtype()));
}
Tensor above(const Tensor& a, double b) {
  const DTypeTraits& t = traits(a.dtype());
  if (!(b <= t.highest)) return less(a, lowest(a));  // nowhere
  return greater_equal(a, b < t.lowest ? lowest(a) : Tensor::scalar(std::ceil(b), a.dtype()));
}

constexpr OpDef comparison(const char* name, void (*infer)(InferArgs&), ForwardFunction run,
                           OnnxForm onnx) {
  return {.name = name,
          .min_inputs = 2,
          .max_inputs = 2,
          .format = FormatRule::keep,
          .infer = infer,
          .forward = run,
          .channels = {.kind = ChannelFact::Kind::elementwise},
          .onnx = onnx};
}

}  // namespace

constinit const OpDef kEqual =
    comparison("equal", infer_equality, forward_comparison<Equal, false>, {.op_type = "Equal"});
constinit const OpDef kNotEqual =
    comparison("not_equal", infer_equality, forward_comparison<NotEqual, false>,
               {.op_type = "Not", .emit = [](const Call&, OnnxEmitter& e) {
                  const std::string same = e.temporary();
                  e.node("Equal", {e.input(0), e.input(1)}, {same});
                  e.node("Not", {same}, {e.output(0)});
                }});
constinit const OpDef kLess =
    comparison("less", infer_order, forward_comparison<Less, false>, {.op_type = "Less"});
constinit const OpDef kLessEqual =
    comparison("less_equal", infer_order, forward_comparison<LessEqual, false>,
               {.op_type = "LessOrEqual", .opset = 12});
constinit const OpDef kGreater =
    comparison("greater", infer_order, forward_comparison<Less, true>, {.op_type = "Greater"});
constinit const OpDef kGreaterEqual =
    comparison("greater_equal", infer_order, forward_comparison<LessEqual, true>,
               {.op_type = "GreaterOrEqual", .opset = 12});

Tensor equal(const Tensor& a, const Tensor& b) {
  return apply({&kEqual, {}}, detail::Borrowed(a, b));
}
Tensor not_equal(const Tensor& a, const Tensor& b) {
  return apply({&kNotEqual, {}}, detail::Borrowed(a, b));
}
Tensor less(const Tensor& a, const Tensor& b) {
  return apply({&kLess, {}}, detail::Borrowed(a, b));
}
Tensor less_equal(const Tensor& a, const Tensor& b) {
  return apply({&kLessEqual, {}}, detail::Borrowed(a, b));
}
Tensor greater(const Tensor& a, const Tensor& b) {
  return apply({&kGreater, {}}, detail::Borrowed(a, b));
}
Tensor greater_equal(const Tensor& a, const Tensor& b) {
  return apply({&kGreaterEqual, {}}, detail::Borrowed(a, b));
}
Tensor equal(const Tensor& a, double b) {
  return lacks(a, b) ? less(a, lowest(a)) : equal(a, number_like(a, b, "equal"));
}
Tensor not_equal(const Tensor& a, double b) {
  return lacks(a, b) ? greater_equal(a, lowest(a)) : not_equal(a, number_like(a, b, "not_equal"));
}
Tensor less(const Tensor& a, double b) {
  return lacks(a, b) ? below(a, b) : less(a, number_like(a, b, "less"));
}
Tensor less_equal(const Tensor& a, double b) {
  return lacks(a, b) ? below(a, b) : less_equal(a, number_like(a, b, "less_equal"));
}
Tensor greater(const Tensor& a, double b) {
  return lacks(a, b) ? above(a, b) : greater(a, number_like(a, b, "greater"));
}
Tensor greater_equal(const Tensor& a, double b) {
  return lacks(a, b) ? above(a, b) : greater_equal(a, number_like(a, b, "greater_equal"));
}

}  // namespace pare
