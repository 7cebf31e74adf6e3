// prelu: x where x > 0, slope · x elsewhere; the slope broadcasts to x and is learned.
#include "core/defined.h"
#include "core/elementwise_op.h"
#include "core/row_loops.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

struct Prelu {
  template <class T> PARE_INLINE T operator()(T x, T slope) const {
    return x > T(0) ? x : x * slope;
  }
};
/// The slope at x.
struct Slope {
  template <class T> PARE_INLINE T operator()(T x, T slope) const {
    return x > T(0) ? T(1) : slope;
  }
};
struct SlopeGradient {
  template <class T> PARE_INLINE T operator()(T g, T x) const { return x > T(0) ? T(0) : g * x; }
};
struct Multiply {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a * b; }
};

void infer_prelu(InferArgs& args) {
  PARE_CHECK(is_floating(args.dtype(0)), dtype_mismatch, "prelu",
             "expected a floating type, got {}", args.dtype(0));
  infer_broadcast(args, args.dtype(0));
  PARE_CHECK(broadcast_shapes(args.shape(0), args.shape(1), "prelu") == args.shape(0),
             shape_mismatch, "prelu", "expected a slope that broadcasts to {}, got {}",
             args.shape(0), args.shape(1));
}

void forward_prelu(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context& context) {
  const DType dtype = inputs[0].dtype();
  if (is_half(dtype)) return forward_through_float(call, inputs, outputs, context);
  zip_rows(inputs[0], inputs[1], outputs[0],
           dtype == DType::f32 ? fast_row<float, float, Prelu> : plain_row<double, double, Prelu>);
}

void backward_prelu(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  const Tensor x = widened(args.input(0));
  if (args.needs(0)) {
    const Tensor slope = combine_rows<Slope>(x, widened(args.input(1)), g.shape());
    give_summed(args, 0, combine_rows<Multiply>(g, slope, g.shape()));
  }
  if (args.needs(1)) give_summed(args, 1, combine_rows<SlopeGradient>(g, x, g.shape()));
}

}  // namespace

constinit const OpDef kPrelu = {.name = "prelu",
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .format = FormatRule::keep,
                                .infer = infer_prelu,
                                .forward = forward_prelu,
                                .backward = backward_prelu,
                                .saves_inputs = 3,
                                .channels = {.kind = ChannelFact::Kind::elementwise},
                                .onnx = {.op_type = "PRelu", .opset = 9}};

Tensor prelu(const Tensor& x, const Tensor& weight) {
  require_defined(x, "prelu");
  require_defined(weight, "prelu");
  const Call call{&kPrelu, {}};
  if (weight.elements() == 1 || x.rank() <= 2) return apply(call, detail::Borrowed(x, weight));
  PARE_CHECK(weight.rank() == 1, shape_mismatch, "prelu", "expected a weight of rank 1, got {}",
             weight.shape());
  // Axis 1 of x is aligned with the weight's only one.
  std::vector<std::int64_t> aligned(static_cast<std::size_t>(x.rank() - 1), 1);
  aligned[0] = -1;
  const Tensor slope = reshape(weight, aligned);
  return apply(call, detail::Borrowed(x, slope));
}

}  // namespace pare
