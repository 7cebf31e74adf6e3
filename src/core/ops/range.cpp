// range: evenly spaced numbers between known bounds.
#include <algorithm>
#include <cmath>

#include "core/dtype_switch.h"
#include "core/multiversion.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/arrange.h"

namespace pare {
namespace {

/// visit(T{}) for ONNX's types.
template <class Visitor> void visit_range(DType dtype, Visitor&& visit) {
  switch (dtype) {
    case DType::f32:
    case DType::f64:
    case DType::i64:
    case DType::i32:
    case DType::i16:
      return visit_arithmetic(dtype, "range", std::forward<Visitor>(visit));
    default:
      fail(ErrorCode::dtype_mismatch, "range", "expected f32, f64, i64, i32 or i16, got {}", dtype);
  }
}

/// Of whole numbers exactly, of others in double.
template <class T> std::int64_t count_of(T start, T limit, T delta) {
  PARE_CHECK(delta != T(0), invalid_argument, "range", "expected a step other than 0, got 0");
  if constexpr (std::is_integral_v<T>) {
    __extension__ using Wide = __int128;
    const Wide span = Wide{limit} - start;
    if (span == 0 || (span > 0) != (delta > 0)) return 0;
    const Wide steps = (span + delta - (delta > 0 ? 1 : -1)) / delta;
    constexpr Wide kMost = Wide{1} << 62;
    return static_cast<std::int64_t>(steps < kMost ? steps : kMost);
  } else {
    const double count = std::ceil((static_cast<double>(limit) - static_cast<double>(start)) /
                                   static_cast<double>(delta));
    PARE_CHECK(std::isfinite(count) && count < 0x1p62, invalid_argument, "range",
               "expected finite bounds of fewer than 2^62 steps, got {} to {} by {}", start, limit,
               delta);
    return count > 0 ? static_cast<std::int64_t>(count) : 0;
  }
}

/// Bounds that are sizes give a size; of others the data know how many steps there are.
void infer_computed(InferArgs& args) {
  Shape y;
  std::optional<SizeExpression> count;
  if (args.dtype(0) == DType::i64 || args.dtype(0) == DType::i32) {
    KnownSizes bounds;
    for (int i = 0; i < 3; ++i) bounds.push_back(known_sizes(args, i, "a bound").at(0));
    if (bounds[0] && bounds[1] && bounds[2] && bounds[2]->is_number() &&
        bounds[2]->constant() != 0) {
      const std::int64_t delta = bounds[2]->constant();
      const SizeExpression span = delta > 0 ? *bounds[1] - *bounds[0] : *bounds[0] - *bounds[1];
      count = span.divided_up(SizeExpression(std::abs(std::max(delta, -(std::int64_t{1} << 62)))));
      if (count->is_number() && count->constant() < 0) count = SizeExpression(0);
    }
  }
  if (count)
    count->append_to(y);
  else
    append_unknown(y);
  args.output(0, y, args.dtype(0));
}

void infer_range(InferArgs& args) {
  for (int i = 0; i < 3; ++i) {
    PARE_CHECK(args.dtype(i) == args.dtype(0), dtype_mismatch, "range",
               "expected start, limit and delta of one dtype, got {} and {}", args.dtype(0),
               args.dtype(i));
    PARE_CHECK(args.shape(i).symbolic() || args.shape(i).elements() == 1, shape_mismatch, "range",
               "expected start, limit and delta of one element, got {}", args.shape(i));
  }
  visit_range(args.dtype(0), [](auto) {});
  if (!args.value(0) || !args.value(1) || !args.value(2)) return infer_computed(args);
  visit_range(args.dtype(0), [&](auto type) {
    using T = decltype(type);
    const auto value = [&](int i) { return *args.value(i)->template data<T>(); };
    args.output(0, Shape{count_of<T>(value(0), value(1), value(2))}, args.dtype(0));
  });
}

void forward_range(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context&) {
  visit_range(outputs[0].dtype(), [&](auto type) {
    using T = decltype(type);
    T* y = outputs[0].mutable_data<T>();
    const std::int64_t count = outputs[0].elements();
    // In double even where the result is f32, as PyTorch; 64 bits as they are.
    using Exact = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;
    const auto start = static_cast<Exact>(*inputs[0].data<T>());
    const auto delta = static_cast<Exact>(*inputs[2].data<T>());
    constexpr std::int64_t kStretch = 4096;  // whose numbers fit 32 bits, for vector code
    for (std::int64_t first = 0; first < count; first += kStretch) {
      const auto length = static_cast<std::int32_t>(std::min(kStretch, count - first));
      T* out = y + first;
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
        for (std::int32_t i = 0; i < length; ++i)
          out[i] =
              static_cast<T>(start + (static_cast<Exact>(first) + static_cast<Exact>(i)) * delta);
      });
    }
  });
}

}  // namespace

constinit const OpDef kRange = {
    .name = "range",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_range,
    .forward = forward_range,
    .onnx = {.op_type = "Range", .opset = 11},
};

Tensor range(const Tensor& start, const Tensor& limit, const Tensor& delta) {
  return apply({&kRange, {}}, detail::Borrowed(start, limit, delta));
}

}  // namespace pare
