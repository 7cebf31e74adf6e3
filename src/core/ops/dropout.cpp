// dropout: zeroes at random in training (Srivastava et al., "Dropout", 2014).
#include "core/ops/dropout.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "core/ops/layout.h"
#include "core/strides.h"
#include "pare/core/generator.h"
#include "pare/core/ops/normalization.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements for one thread

}  // namespace

void draw_mask(Generator& generator, float probability, Tensor& keep) {
  const Generator::State start = generator.state();
  const std::int64_t count = keep.elements();
  std::uint8_t* mask = keep.mutable_data<std::uint8_t>();
  const bool last = keep.channels_last();
  const std::int64_t channels = last ? keep.dim(1) : 1;
  const std::int64_t pixels = last ? keep.shape().elements(2, keep.rank()) : 1;
  // A picture at a time where its order differs from the draws'.
  const std::int64_t unit = last ? channels * pixels : std::min<std::int64_t>(4096, count);
  const std::int64_t units = unit == 0 ? 0 : (count + unit - 1) / unit;
  parallel_for(0, units, std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, unit)),
               [&](std::int64_t begin, std::int64_t end) {
                 ContextScope scope;
                 scope->threads = 1;
                 std::vector<float> draws(static_cast<std::size_t>(unit));
                 for (std::int64_t u = begin; u < end; ++u) {
                   const std::int64_t size = std::min(unit, count - u * unit);
                   Generator own(start.seed);
                   own.set_state({start.seed, start.stream,
                                  start.position + static_cast<std::uint64_t>(u * unit)});
                   own.fill_uniform(draws.data(), size);
                   std::uint8_t* to = mask + u * unit;
                   if (!last) {
                     for (std::int64_t i = 0; i < size; ++i)
                       to[i] = draws[static_cast<std::size_t>(i)] >= probability;
                     continue;
                   }
                   for (std::int64_t c = 0; c < channels; ++c)
                     for (std::int64_t p = 0; p < pixels; ++p)
                       to[p * channels + c] =
                           draws[static_cast<std::size_t>(c * pixels + p)] >= probability;
                 }
               });
  generator.set_state(
      {start.seed, start.stream, start.position + static_cast<std::uint64_t>(count)});
}

namespace {

bool drops(const DropoutAttributes& attr, bool training) {
  return training && !attr.frozen && attr.probability > 0;
}

void infer_dropout(InferArgs& args) {
  const auto& attr = args.call.attributes.as<DropoutAttributes>();
  PARE_CHECK(attr.probability >= 0 && attr.probability <= 1, invalid_argument, "dropout",
             "expected a probability from 0 to 1, got {}", attr.probability);
  PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, "dropout", "expected f32, got {}",
             args.dtype(0));
  args.output(0, args.shape(0), DType::f32);
  if (drops(attr, args.training)) args.output(1, args.shape(0), DType::u8);
}

/// Without anything to drop the result is the input itself.
Tensor view_dropout(const Call& call, const Tensor& x, const Shape& shape) {
  if (drops(call.attributes.as<DropoutAttributes>(), context().training)) return {};
  return share_memory(x, shape, x.format());
}

/// out = in · scale where the mask keeps, else 0.
void apply_mask(const float* in, const std::uint8_t* mask, float scale, float* out,
                std::int64_t count) {
  parallel_for(0, count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    multiversion([=]() PARE_INLINE_LAMBDA {
      float* __restrict to = out;
      for (std::int64_t i = begin; i < end; ++i) {
        const float scaled = in[i] * scale;
        to[i] = mask[i] != 0 ? scaled : 0.0F;
      }
    });
  });
}

float scale_of(double probability) {
  return probability < 1 ? static_cast<float>(1 / (1 - probability)) : 0.0F;
}

void forward_dropout(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                     const Context& context) {
  const auto& attr = call.attributes.as<DropoutAttributes>();
  const Tensor& x = inputs[0];
  Tensor& y = outputs[0];
  if (!drops(attr, context.training)) {
    y.copy_from(x);
    return;
  }
  PARE_CHECK(context.generator, invalid_state, "dropout",
             "expected a generator in the context (scope->generator = &generator) for training, "
             "got none");
  draw_mask(*context.generator, static_cast<float>(attr.probability), outputs[1]);
  apply_mask(x.data<float>(), outputs[1].data<std::uint8_t>(), scale_of(attr.probability),
             y.mutable_data<float>(), x.elements());
}

void backward_dropout(BackwardArgs& args) {
  const auto& attr = args.call().attributes.as<DropoutAttributes>();
  if (!drops(attr, args.training())) {
    args.set(0, args.grad_output(0));
    return;
  }
  const Tensor& mask = args.output(1);
  const Tensor g = in_format(args.grad_output(0), mask.format());
  Tensor gx = Tensor::empty(g.shape(), DType::f32, g.format());
  apply_mask(g.data<float>(), mask.data<std::uint8_t>(), scale_of(attr.probability),
             gx.mutable_data<float>(), g.elements());
  args.set(0, std::move(gx));
}

void emit_dropout(const Call& call, OnnxEmitter& emitter) {
  const double ratio = call.attributes.as<DropoutAttributes>().probability;
  emitter.node("Dropout", {emitter.input(0), emitter.constant(Tensor::scalar(ratio))},
               {emitter.output(0)});
}

}  // namespace

constinit const OpDef kDropout = {
    .name = "dropout",
    .hidden_outputs = 1,
    .format = FormatRule::keep,
    .infer = infer_dropout,
    .forward = forward_dropout,
    .view = view_dropout,
    .backward = backward_dropout,
    .saves_outputs = 0b10,
    .defaults = [] { return Attributes::of(DropoutAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::elementwise},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Dropout", .opset = 12, .emit = emit_dropout},
};

Tensor dropout(const Tensor& x, const Attributes& attributes) {
  return apply({&kDropout, attributes}, detail::Borrowed(x));
}

}  // namespace pare
