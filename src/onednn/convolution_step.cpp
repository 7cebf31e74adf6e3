// A plan's convolutions on oneDNN, in f32, bf16 and int8.
#include <utility>

#include "core/check.h"
#include "core/threads.h"
#include "onednn/convolution_bounds.h"
#include "onednn/makers.h"
#include "onednn/primitive.h"

namespace pare::onednn {
namespace {

Desc weights_desc(const Shape& s, std::int64_t groups, Type type, bool any) {
  if (groups == 1) return Desc({s[0], s[1], s[2], s[3]}, type, any ? Tag::any : Tag::oihw);
  return Desc({groups, s[0] / groups, s[1], s[2], s[3]}, type, any ? Tag::any : Tag::goihw);
}

}  // namespace

std::unique_ptr<runtime::Primitive> make_convolution(const runtime::ConvolutionSpec& spec) try {
  if (spec.weight.elements() == 0) return nullptr;
  const Shape& ws = spec.weight.shape();
  const auto& a = spec.attributes;
  const bool int8 = spec.weight.dtype() == DType::i8;
  const bool padded = a.padding != std::array<std::int64_t, 4>{};
  const bool depthwise = a.groups > 1 && ws[0] == a.groups && ws[1] == 1;
  const auto out = [&](std::size_t axis, std::int64_t size, std::int64_t kernel) {
    return (size + a.padding[axis] + a.padding[axis + 2] - a.dilation[axis] * (kernel - 1) - 1) /
               a.stride[axis] +
           1;
  };
  if (!settings_fit(a)) return nullptr;
  // Full-range weights saturate on such CPUs, except depthwise ones on u8.
  if (int8 && saturates() && !(depthwise && spec.source.dtype == DType::u8) &&
      !within_seven_bits(spec.weight))
    return nullptr;
  if (int8 && !right_in_int8()) return nullptr;

  const Type source = type_of(spec.source.dtype);
  const Type given = int8 ? Type::s8 : Type::f32;
  const Type weights = source == Type::bf16 ? source : given;
  const Type destination = type_of(spec.destination.dtype);
  ConvolutionProblem p{
      .source = Desc({spec.batch, ws[1] * a.groups, spec.height, spec.width}, source, Tag::nhwc),
      .weights = weights_desc(ws, a.groups, weights, true),
      .bias = Desc(),
      .destination =
          Desc({spec.batch, ws[0], out(0, spec.height, ws[2]), out(1, spec.width, ws[3])},
               destination, Tag::nhwc),
      .stride = {a.stride[0], a.stride[1]},
      .dilation = {a.dilation[0] - 1, a.dilation[1] - 1},
      .padding_low = {a.padding[0], a.padding[1]},
      .padding_high = {a.padding[2], a.padding[3]}};
  Step step;
  auto attr = user_scratchpad();
  if (int8) {
    auto form = int8_form({.weight = spec.weight,
                           .bias = spec.bias,
                           .weight_scales = spec.weight_scales,
                           .source = spec.source,
                           .destination = spec.destination,
                           .padded = padded,
                           .halved = spec.source.dtype == DType::i8 && saturates()});
    form.requantization.weight_mask = a.groups > 1 ? 3 : 1;
    set_requantization(attr, form.requantization);
    step.requantization = std::move(form.requantization);
    step.bias_values = std::move(form.bias);
    step.weight_factor = form.weight_factor;
  } else if (spec.bias.defined()) {
    const auto* b = spec.bias.data<float>();
    step.bias_values.assign(b, b + spec.bias.elements());
  }
  set_epilogue(attr, spec.epilogue, spec.destination);
  if (!step.bias_values.empty()) p.bias = Desc({ws[0]}, Type::f32, Tag::a);
  {
    const ThreadScope threads;
    const auto desc = convolution_forward(p, false, attr);
    step.primitive = dnnl::convolution_forward(desc);
    step.name = desc.impl_info_str();
    step.source = desc.src_desc();
    step.weights = desc.weights_desc();
    step.destination = desc.dst_desc();
    step.scratchpad = desc.scratchpad_desc();
  }
  step.bias = p.bias;
  step.weights_given = weights_desc(ws, a.groups, given, false);
  step.weight = spec.weight.to(MemoryFormat::row_major);
  return make_primitive(std::move(step));
} catch (const dnnl::error& error) {
  PARE_CHECK(error.status == dnnl_unimplemented, internal, "oneDNN", "convolution failed with {}",
             error.message);
  return nullptr;
}

}  // namespace pare::onednn
