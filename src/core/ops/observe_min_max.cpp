// observe_min_max: passes a tensor on and follows the range of its values.

#include "core/check.h"
#include "core/ops/observing.h"
#include "core/value_range.h"
#include "pare/core/ops/observe.h"

namespace pare {
namespace {

constexpr StatePair kState[] = {{1, 1}};

Attributes defaults() { return Attributes::of(ObserveAttributes{}); }

}  // namespace

Tensor empty_range() {
  Tensor range = Tensor::empty({2});
  write_range(range, empty_value_range());
  return range;
}

constinit const OpDef kObserveMinMax = {
    .name = "observe_min_max",
    .min_inputs = 2,
    .max_inputs = -1,
    .state = kState,
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, "observe_min_max",
                     "expected f32, got {}", args.dtype(0));
          for (int i = 1; i < args.inputs(); ++i) check_range_input(args, i);
          args.output(0, args.shape(0), DType::f32);
          if (context().observing) args.output(1, args.shape(1), DType::f32);
        },
    .forward =
        [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
           const Context&) {
          const Tensor& x = inputs[0];
          if (outputs[1].defined()) {
            const ValueRange seen = value_range(x, "observe_min_max");
            write_range(outputs[1], moved_range(read_range(inputs[1]), seen,
                                                call.attributes.as<ObserveAttributes>().averaging));
          }
          pass_on(x, outputs[0]);
        },
    .backward = [](BackwardArgs& args) { args.set(0, args.grad_output(0)); },
    .defaults = defaults,
    .channels = {.kind = ChannelFact::Kind::rule, .rule = tie_all_axes},
};

Tensor observe_min_max(const Tensor& x, const Tensor& range, const ObserveAttributes& attributes) {
  return apply({&kObserveMinMax, Attributes::of(attributes)}, detail::Borrowed(x, range));
}

}  // namespace pare
