// Lowering of what runs in f32.
#include <algorithm>
#include <optional>

#include "core/ops/line_as_picture.h"
#include "pare/core/ops.h"
#include "runtime/lowering.h"

namespace pare::runtime {
namespace {

bool is_clip(const OpDef* op) { return op == &kRelu || op == &kRelu6 || op == &kClamp; }

}  // namespace

std::optional<Epilogue> activation_of(const Call& call) {
  Epilogue e;
  const OpDef* const op = call.op;
  const auto function = [&](Activation activation, double alpha = 0) {
    e.activation = activation;
    e.alpha = alpha;
    return e;
  };
  if (is_clip(op)) {
    e.low = 0;
    if (op == &kRelu6) e.high = 6;
    if (op == &kClamp) {
      const auto& clamp = call.attributes.as<ClampAttributes>();
      e.low = clamp.min;
      e.high = clamp.max;
    }
    return e;
  }
  if (op == &kSigmoid) return function(Activation::sigmoid);
  if (op == &kTanh) return function(Activation::tanh);
  if (op == &kSilu) return function(Activation::silu, 1);
  if (op == &kHardswish) return function(Activation::hardswish);
  if (op == &kGelu)
    return function(call.attributes.as<GeluAttributes>().approximate == "tanh"
                        ? Activation::gelu_tanh
                        : Activation::gelu);
  if (op == &kLeakyRelu)
    return function(Activation::leaky_relu, call.attributes.as<LeakyReluAttributes>().slope);
  if (op == &kElu) return function(Activation::elu, call.attributes.as<EluAttributes>().alpha);
  return std::nullopt;
}

Epilogue Lowering::epilogue_of(const Chain& chain) const {
  return chain.activation >= 0 ? *activation_of(node(chain.activation).call) : Epilogue{};
}

void Lowering::lower_chain(const Chain& chain) {
  const OpDef* op = node(chain.op).call.op;
  if (is_picture_convolution(op) && lower_convolution(chain)) return;
  if ((op == &kLinear || op == &kMatmul) &&
      (lower_dynamic_dense(chain) || lower_stored_dense(chain) || lower_dense(chain)))
    return;
  if (op == &kAdd) {
    if (lower_add(chain)) return;
    lower_call(chain.op);
    if (chain.activation >= 0) lower_node(chain.activation);
    return;
  }
  lower_call(chain.op);
  if (chain.add_bias >= 0) lower_node(chain.add_bias);
  if (chain.add >= 0) {
    lower_chain({.op = chain.add, .activation = chain.activation});
    return;
  }
  if (chain.activation >= 0) lower_node(chain.activation);
}

void Lowering::emit_primitive(std::unique_ptr<Primitive> primitive, int from, int to, int residual,
                              const std::string& name, std::int64_t macs) {
  auto packed = std::make_shared<Packed>();
  packed->name = name;
  packed->primitive = std::move(primitive);
  packed_.push_back(packed);
  Step& step = emit(primitive_step(from, to, packed), name, macs);
  step.residual = residual;
  step.info.bytes += packed->primitive->constant_bytes();
  if (residual >= 0) step.info.bytes += program_.slot_bytes(residual);
}

/// Of the primitive emitted last: what it packs, where that is a leaf which only `reader` reads.
void Lowering::note_leaf(int weight, int reader, bool transposed) {
  if (!graph_.value(weight).is_leaf() || uses_.only_reader(weight) != reader) return;
  packed_.back()->leaves = {weight};
  packed_.back()->transposed = transposed;
}

/// In bf16 where that is asked for and somebody has a kernel for it, else in f32; the spec is as it
/// was made.
template <class Spec>
std::unique_ptr<Primitive> Lowering::make_in_precision(Spec& spec, int out) const {
  if (options_.precision == Precision::bf16) {
    spec.source.dtype = DType::bf16;
    spec.destination.dtype = spec.epilogue.residual_encoding.dtype = result_dtype(out);
    if (auto primitive = make(spec); primitive && !primitive->slow()) return primitive;
    spec.source.dtype = DType::f32;
    spec.destination.dtype = spec.epilogue.residual_encoding.dtype = DType::f32;
  }
  return make(spec);
}

bool Lowering::lower_convolution(const Chain& chain) {
  const Graph::Node& conv = node(chain.op);
  const Shape x = with_height(shape_of(conv.inputs[0]));
  const int out = output_of(chain.last());
  const bool has_bias = conv.inputs.size() > 2 && conv.inputs[2] >= 0;
  ConvolutionSpec spec;
  spec.weight = constant_of(conv.inputs[1]);
  if (has_bias) spec.bias = constant_of(conv.inputs[2]);
  if (!spec.weight.defined() || (has_bias && !spec.bias.defined())) return false;
  spec.weight = with_height(spec.weight);
  spec.batch = x[0];
  spec.height = x[2];
  spec.width = x[3];
  spec.attributes = picture_attributes(conv.call);
  spec.epilogue = epilogue_of(chain);
  spec.epilogue.residual = chain.add >= 0;
  auto primitive = make_in_precision(spec, out);
  if (!primitive) return false;
  constexpr MemoryFormat kFormat = MemoryFormat::channels_last;
  const int from = slot_of(conv.inputs[0], kFormat, spec.source.dtype);
  const int residual = chain.add >= 0 ? slot_of(chain.other, kFormat, spec.destination.dtype) : -1;
  const std::int64_t macs = shape_of(out).elements() * spec.weight.elements() /
                            std::max<std::int64_t>(1, shape_of(out)[1]);
  emit_primitive(std::move(primitive), from, add_result(out, kFormat, spec.destination.dtype),
                 residual, name_of(chain), macs);
  note_leaf(conv.inputs[1], chain.op);
  return true;
}

bool Lowering::lower_dense(const Chain& chain) {
  const Graph::Node& dense = node(chain.op);
  const Shape& x = shape_of(dense.inputs[0]);
  DenseSpec spec;
  const Tensor weight = constant_of(dense.inputs[1]);
  if (!weight.defined() || weight.rank() != 2 || x.rank() < 2) return false;
  if (dense.call.op == &kMatmul) {
    spec.weight = transpose(weight, {1, 0});
  } else {
    spec.weight = weight;
    if (dense.inputs.size() > 2 && dense.inputs[2] >= 0) {
      spec.bias = constant_of(dense.inputs[2]);
      if (!spec.bias.defined()) return false;
    }
  }
  if (chain.bias >= 0) spec.bias = constant_of(chain.bias);
  spec.rows = x.elements(0, x.rank() - 1);
  spec.epilogue = epilogue_of(chain);
  spec.epilogue.residual = chain.add >= 0;
  const std::int64_t macs = spec.rows * spec.weight.elements();
  auto primitive = make_in_precision(spec, output_of(chain.last()));
  if (!primitive) return false;
  constexpr MemoryFormat kFormat = MemoryFormat::row_major;
  const int from = slot_of(dense.inputs[0], kFormat, spec.source.dtype);
  const int residual = chain.add >= 0 ? slot_of(chain.other, kFormat, spec.destination.dtype) : -1;
  Chain whole = chain;
  if (!primitive->activates()) whole.activation = -1;
  const int to = add_result(output_of(whole.last()), kFormat, spec.destination.dtype);
  emit_primitive(std::move(primitive), from, to, residual, name_of(whole), macs);
  note_leaf(dense.inputs[1], chain.op, dense.call.op == &kMatmul);
  if (whole.activation != chain.activation) lower_node(chain.activation);
  return true;
}

bool Lowering::lower_add(const Chain& chain) {
  const Graph::Node& sum = node(chain.op);
  const int a = sum.inputs[0];
  const int b = sum.inputs[1];
  const Epilogue epilogue = epilogue_of(chain);
  if (shape_of(a) != shape_of(b) || epilogue.activation != Activation::none) return false;
  const MemoryFormat format =
      format_of(a) == MemoryFormat::channels_last || format_of(b) == MemoryFormat::channels_last
          ? MemoryFormat::channels_last
          : MemoryFormat::row_major;
  AddStepSpec spec;
  spec.a = slot_of(a, format);
  spec.b = slot_of(b, format);
  spec.to = add_result(output_of(chain.last()), format);
  spec.count = shape_of(a).elements();
  spec.low = static_cast<float>(epilogue.low);
  spec.high = static_cast<float>(epilogue.high);
  emit(add_step(spec), name_of(chain));
  return true;
}

void Lowering::lower_node(int n) {
  const OpDef* op = node(n).call.op;
  if (op == &kAdd && graph_.value(output_of(n)).dtype == DType::f32 && lower_add({.op = n})) return;
  if (is_clip(op) && lower_clip(n)) return;
  if (op == &kQuantizeLinear && (lower_requantize(n) || lower_quantize(n))) return;
  if (op == &kDequantizeLinear && lower_dequantize(n)) return;
  if (lower_stored_table(n) || lower_movement(n) || lower_pool(n) || lower_recurrent(n)) return;
  lower_call(n);
}

bool Lowering::lower_clip(int n) {
  const int x = node(n).inputs[0];
  if (graph_.value(x).dtype != DType::f32) return false;
  const Epilogue range = *activation_of(node(n).call);
  const MemoryFormat format = format_of(x);
  emit(clip_step(slot_of(x), add_result(output_of(n), format), shape_of(x).elements(),
                 static_cast<float>(range.low), static_cast<float>(range.high)),
       node(n).name);
  return true;
}

bool Lowering::lower_pool(int n) {
  const Graph::Node& pool = node(n);
  const int x = pool.inputs.empty() ? -1 : pool.inputs[0];
  if (x < 0 || graph_.value(x).dtype != DType::f32) return false;
  const auto sizes = pool_sizes_of(pool.call, shape_of(x), shape_of(output_of(n)));
  if (!sizes) return false;
  PoolStepSpec spec{sizes->max, sizes->sizes, pool_kernel_name(pool.call)};
  spec.from = slot_of(x, MemoryFormat::channels_last);
  spec.to = add_result(output_of(n), MemoryFormat::channels_last);
  emit(pool_step(spec), pool.name);
  return true;
}

bool Lowering::lower_quantize(int n) {
  const auto result = result_of(n);
  const int x = node(n).inputs[0];
  if (!result || graph_.value(x).dtype != DType::f32) return false;
  const Shape& shape = shape_of(x);
  const MemoryFormat format = format_of(x);
  QuantizeStepSpec spec;
  spec.encoding = result->encoding;
  spec.qmin = result->qmin;
  spec.qmax = result->qmax;
  spec.from = slot_of(x);
  const bool picture = shape.rank() == 4 && format == MemoryFormat::row_major;
  spec.batch = picture ? shape[0] : 1;
  spec.channels = picture ? shape[1] : 1;
  spec.pixels = picture ? shape[2] * shape[3] : shape.elements();
  spec.to_channels_last = picture && spec.channels > 1 && spec.pixels > 1;
  spec.to = add_result(output_of(n), picture ? MemoryFormat::channels_last : format);
  emit(quantize_step(spec), node(n).name);
  return true;
}

bool Lowering::lower_dequantize(int n) {
  const Graph::Node& dequantize = node(n);
  const QuantizedOperand operand{-1,
                                 n,
                                 dequantize.inputs[0],
                                 dequantize.inputs[1],
                                 dequantize.inputs.size() > 2 ? dequantize.inputs[2] : -1,
                                 dequantize.call.attributes.as<DequantizeAttributes>().axis};
  const auto encoding = encoding_of(operand);
  if (!encoding) return false;
  const int from = slot_of(operand.codes);
  const int to = add_result(output_of(n), format_of(operand.codes));
  emit(dequantize_step(from, to, shape_of(operand.codes).elements(), *encoding), dequantize.name);
  return true;
}

Lowering::CallSlots Lowering::slots_of_call(int n, const std::set<int>& passed_over) {
  const Graph::Node& call = node(n);
  const OpDef& op = *call.call.op;
  std::vector<InferArgs::Input> known;
  Tensors constants;
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const int v = call.inputs[i];
    const bool wanted = v >= 0 && !passed_over.count(static_cast<int>(i));
    constants.push_back(wanted ? constant_of(v) : Tensor());
  }
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const int v = call.inputs[i];
    if (v < 0)
      known.push_back({nullptr, DType::f32, nullptr});
    else
      known.push_back(
          {&shape_of(v), graph_.value(v).dtype, constants[i].defined() ? &constants[i] : nullptr});
  }
  const auto outputs = infer(call.call, known);
  CallSlots slots;
  int channels_last_rank = -1;
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const int v = call.inputs[i];
    if (v < 0 || passed_over.count(static_cast<int>(i))) {
      slots.from.push_back(-1);
      continue;
    }
    slots.from.push_back(op.format == FormatRule::keep ? slot_of(v)
                                                       : slot_of(v, MemoryFormat::row_major));
    const Slot& slot = program_.slots[static_cast<std::size_t>(slots.from.back())];
    if (slot.format == MemoryFormat::channels_last) channels_last_rank = slot.shape.rank();
  }
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (!outputs[k].produced) {
      slots.to.push_back(-1);
      continue;
    }
    const MemoryFormat format = outputs[k].shape.rank() == channels_last_rank
                                    ? MemoryFormat::channels_last
                                    : MemoryFormat::row_major;
    slots.to.push_back(k < call.outputs.size()
                           ? add_result(call.outputs[k], format)
                           : program_.add_slot(outputs[k].shape, outputs[k].dtype, format));
  }
  return slots;
}

void Lowering::lower_call(int n) {
  const Graph::Node& call = node(n);
  const CallSlots slots = slots_of_call(n);
  Step& step = emit(call_step(program_, call.call, slots.from, slots.to), call.name);
  if (step.info.slow) step.info.kernel = std::string(call.call.op->name) + " " + step.info.kernel;
}

}  // namespace pare::runtime
