// observe_mean_min_max: passes a tensor on and sums up the range of each of its samples.
#include <algorithm>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/exact_sum.h"
#include "core/ops/observing.h"
#include "core/value_range.h"
#include "pare/core/ops/observers.h"

namespace pare {
namespace {

constexpr StatePair kState[] = {{1, 1}, {2, 2}};
static_assert(kRangeSums == 1 + 2 * kExactLimbs);

void check_sums_input(const InferArgs& args, int i) {
  PARE_CHECK(args.dtype(i) == DType::i64 && args.shape(i) == Shape{kRangeSums}, shape_mismatch,
             "observe_mean_min_max", "expected sums i64 [{}] as input {}, got {} {}", kRangeSums, i,
             args.dtype(i), args.shape(i));
}

void observe(std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  const Tensor& x = inputs[0];
  const ValueRange seen = value_range(x, "observe_mean_min_max");
  write_range(outputs[2], moved_range(read_range(inputs[2]), seen, 0));
  std::memcpy(outputs[1].mutable_raw(), inputs[1].raw(), inputs[1].bytes());
  if (seen.empty()) return;
  const std::int64_t samples = x.rank() == 0 ? 1 : x.dim(0);
  const std::int64_t each = x.elements() / samples;
  std::vector<ValueRange> ranges(static_cast<std::size_t>(samples));
  const float* data = x.data<float>();
  const std::int64_t grain = std::max<std::int64_t>(1, (1 << 16) / each);
  parallel_for(0, samples, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      ranges[static_cast<std::size_t>(i)] = range_of(data + i * each, each);
  });
  auto* sums = outputs[1].mutable_data<std::int64_t>();
  sums[0] += samples;
  for (const ValueRange& range : ranges) {
    add_exactly(ExactSum(sums + 1, kExactLimbs), range.min);
    add_exactly(ExactSum(sums + 1 + kExactLimbs, kExactLimbs), range.max);
  }
}

}  // namespace

Tensor empty_range_sums() { return Tensor::zeros({kRangeSums}, DType::i64); }

ValueRange mean_range(const Tensor& sums) {
  const auto* s = sums.data<std::int64_t>();
  if (s[0] == 0) return empty_value_range();
  const auto count = static_cast<double>(s[0]);
  using Sum = std::span<const std::int64_t, kExactLimbs>;
  return {static_cast<float>(rounded_sum(Sum(s + 1, kExactLimbs)) / count),
          static_cast<float>(rounded_sum(Sum(s + 1 + kExactLimbs, kExactLimbs)) / count)};
}

void add_range_sums(Tensor& sums, const Tensor& others) {
  auto* s = sums.mutable_data<std::int64_t>();
  const auto* o = others.data<std::int64_t>();
  using Sum = std::span<const std::int64_t, kExactLimbs>;
  s[0] += o[0];
  for (const std::int64_t from : {std::int64_t{1}, 1 + kExactLimbs})
    add_exactly(ExactSum(s + from, kExactLimbs), Sum(o + from, kExactLimbs));
}

constinit const OpDef kObserveMeanMinMax = {
    .name = "observe_mean_min_max",
    .min_inputs = 3,
    .max_inputs = -1,
    .state = kState,
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, "observe_mean_min_max",
                     "expected f32, got {}", args.dtype(0));
          check_range_input(args, 2);
          check_sums_input(args, 1);
          for (int i = 3; i < args.inputs(); ++i) check_sums_input(args, i);
          args.output(0, args.shape(0), DType::f32);
          if (!context().observing) return;
          args.output(1, args.shape(1), DType::i64);
          args.output(2, args.shape(2), DType::f32);
        },
    .forward =
        [](const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs, const Context&) {
          if (outputs[1].defined()) observe(inputs, outputs);
          pass_on(inputs[0], outputs[0]);
        },
    .backward = [](BackwardArgs& args) { args.set(0, args.grad_output(0)); },
    .defaults = [] { return Attributes::of(ObserveAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = tie_all_axes},
};

Tensor observe_mean_min_max(const Tensor& x, const Tensor& sums, const Tensor& range,
                            const ObserveAttributes& attributes) {
  return apply({&kObserveMeanMinMax, Attributes::of(attributes)}, detail::Borrowed(x, sums, range));
}

}  // namespace pare
