// A plan's dense layers on oneDNN's matmul with a fixed number of rows, in f32, bf16 and int8.
#include <utility>

#include "core/check.h"
#include "core/threads.h"
#include "onednn/makers.h"
#include "onednn/primitive.h"

namespace pare::onednn {

std::unique_ptr<runtime::Primitive> make_dense(const runtime::DenseSpec& spec) try {
  if (spec.weight.elements() == 0) return nullptr;
  const std::int64_t out = spec.weight.dim(0);
  const std::int64_t in = spec.weight.dim(1);
  const bool int8 = spec.weight.dtype() == DType::i8;
  if (int8 && saturates() && !within_seven_bits(spec.weight)) return nullptr;
  if (int8 && !right_in_int8()) return nullptr;

  const Type given = int8 ? Type::s8 : Type::f32;
  const Type source = type_of(spec.source.dtype);
  const Type weights = source == Type::bf16 ? source : given;
  Step step;
  auto attr = user_scratchpad();
  if (int8) {
    auto form = int8_form({.weight = spec.weight,
                           .bias = spec.bias,
                           .weight_scales = spec.weight_scales,
                           .source = spec.source,
                           .destination = spec.destination});
    form.requantization.weight_mask = 1 << 1;
    set_requantization(attr, form.requantization);
    step.requantization = std::move(form.requantization);
    step.bias_values = std::move(form.bias);
  } else if (spec.bias.defined()) {
    const auto* b = spec.bias.data<float>();
    step.bias_values.assign(b, b + spec.bias.elements());
  }
  set_epilogue(attr, spec.epilogue, spec.destination);
  if (!step.bias_values.empty()) step.bias = Desc({1, out}, Type::f32, Tag::ab);
  step.source = Desc({spec.rows, in}, source, Tag::ab);
  step.destination = Desc({spec.rows, out}, type_of(spec.destination.dtype), Tag::ab);
  {
    const ThreadScope threads;
    const auto desc =
        matmul(step.source, Desc({in, out}, weights, Tag::any), step.bias, step.destination, attr);
    step.primitive = dnnl::matmul(desc);
    step.name = desc.impl_info_str();
    step.weights = desc.weights_desc();
    step.scratchpad = desc.scratchpad_desc();
  }
  step.weights_given = Desc({in, out}, given, Tag::ba);
  step.weight = spec.weight;
  return make_primitive(std::move(step));
} catch (const dnnl::error& error) {
  PARE_CHECK(error.status == dnnl_unimplemented, internal, "oneDNN", "matmul failed with {}",
             error.message);
  return nullptr;
}

}  // namespace pare::onednn
