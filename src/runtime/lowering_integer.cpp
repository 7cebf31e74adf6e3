// Lowering of quantized groups: contractions on codes, and what stands around them.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/check.h"
#include "core/ops/convolution.h"
#include "core/tensor_bytes.h"
#include "graph/integer_call.h"
#include "pare/core/ops.h"
#include "runtime/lowering.h"
#include "runtime/pictures.h"

namespace pare::runtime {
namespace {

bool is_code(DType dtype) { return dtype == DType::u8 || dtype == DType::i8; }

// One dtype's range.
int lowest(DType dtype) { return dtype == DType::u8 ? 0 : -128; }
int highest(DType dtype) { return dtype == DType::u8 ? 255 : 127; }

// The bias as whole numbers in units of source scale · weight scale; undefined where one does not
// fit.
Tensor whole_bias(const Tensor& bias, double source_scale, const std::vector<float>& scales) {
  const std::vector<float> values = bias.to_vector<float>();
  std::vector<std::int32_t> whole(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double unit = source_scale * static_cast<double>(scales[scales.size() == 1 ? 0 : i]);
    const double q = std::nearbyint(static_cast<double>(values[i]) / unit);
    if (!(std::abs(q) < 2147483648.0)) return {};
    whole[i] = static_cast<std::int32_t>(q);
  }
  return Tensor::from(whole, {static_cast<std::int64_t>(whole.size())});
}

// Whether no codes of the source make a sum, its bias included, that leaves 32 bits: where one
// could, the interpreter refuses to run, and a primitive would wrap around without a word. The
// weight's channels are its first axis, or, of a matrix product's factor, its last.
bool sums_fit(const Encoding& source, const Tensor& weight, bool channels_last_axis,
              const Tensor& bias) {
  const std::int64_t most =
      std::max(highest(source.dtype) - source.zero_point, source.zero_point - lowest(source.dtype));
  const auto codes = weight.to_vector<std::int8_t>();
  const std::int64_t channels = weight.dim(channels_last_axis ? -1 : 0);
  if (channels == 0) return true;
  const std::int64_t per_channel = weight.elements() / channels;
  std::vector<std::int64_t> sums(static_cast<std::size_t>(channels));
  const std::int64_t next = channels_last_axis ? channels : 1;  // from a channel's code to the next
  for (std::int64_t c = 0; c < channels; ++c) {
    const std::int8_t* code = codes.data() + (channels_last_axis ? c : c * per_channel);
    for (std::int64_t i = 0; i < per_channel; ++i)
      sums[static_cast<std::size_t>(c)] += std::abs(static_cast<int>(code[i * next]));
  }
  const auto biases = bias.defined() ? bias.to_vector<std::int32_t>() : std::vector<std::int32_t>();
  for (std::size_t c = 0; c < sums.size(); ++c) {
    const std::int64_t added =
        biases.empty() ? 0 : std::abs(std::int64_t{biases[biases.size() == 1 ? 0 : c]});
    if (sums[c] * most + added > std::numeric_limits<std::int32_t>::max()) return false;
  }
  return true;
}

constexpr const char* kNoKernel = "no exact int8 kernel for it on this CPU";
constexpr const char* kOverflow = "its sums could leave 32 bits";

}  // namespace

std::optional<Encoding> Lowering::encoding_of(const QuantizedOperand& operand) {
  if (!operand.quantized()) return std::nullopt;
  const Tensor scale = constant_of(operand.scale);
  const Tensor zero = operand.zero_point >= 0 ? constant_of(operand.zero_point) : Tensor();
  const DType dtype = graph_.value(operand.codes).dtype;
  if (!scale.defined() || scale.elements() != 1 || !is_code(dtype) ||
      (operand.zero_point >= 0 && (!zero.defined() || zero.elements() != 1)))
    return std::nullopt;
  return Encoding{dtype, scale.item(), zero.defined() ? static_cast<int>(zero.item()) : 0};
}

std::optional<QuantizedResult> Lowering::result_of(int quantize) {
  const Graph::Node& q = node(quantize);
  const auto& attributes = q.call.attributes.as<QuantizeAttributes>();
  const Tensor scale = constant_of(q.inputs[1]);
  const bool has_zero = q.inputs.size() > 2 && q.inputs[2] >= 0;
  const Tensor zero = has_zero ? constant_of(q.inputs[2]) : Tensor();
  if (!scale.defined() || scale.elements() != 1 || !is_code(attributes.dtype) ||
      (has_zero && (!zero.defined() || zero.elements() != 1)))
    return std::nullopt;
  return QuantizedResult{
      {attributes.dtype, scale.item(), zero.defined() ? static_cast<int>(zero.item()) : 0},
      static_cast<int>(attributes.qmin),
      static_cast<int>(attributes.qmax)};
}

Chain Lowering::chain_of(const QuantizedGroup& group) const {
  Chain chain{.op = group.op, .add = group.add, .activation = group.activation};
  if (group.add >= 0) chain.other = group.residual.value;
  return chain;
}

std::string Lowering::name_of(const QuantizedGroup& group) const {
  std::string name = name_of(chain_of(group));
  return group.quantize >= 0 ? name + " + " + node(group.quantize).name : name;
}

void Lowering::lower_group(const QuantizedGroup& group) {
  switch (group.kind) {
    case QuantizedGroup::Kind::convolution:
    case QuantizedGroup::Kind::conv_transpose:
      if (lower_integer_convolution(group)) return;
      break;
    case QuantizedGroup::Kind::linear:
    case QuantizedGroup::Kind::matmul:
      if (lower_integer_dense(group)) return;
      break;
    case QuantizedGroup::Kind::other:
      if (lower_other(group)) return;
      break;
  }
  lower_pieces(group);
}

void Lowering::lower_pieces(const QuantizedGroup& group) {
  const Chain chain = chain_of(group);
  if (group.kind != QuantizedGroup::Kind::other || node(group.op).call.op == &kAdd) {
    lower_chain(chain);
  } else {
    lower_node(group.op);
    if (group.activation >= 0) lower_node(group.activation);
  }
  if (group.quantize >= 0) lower_node(group.quantize);
}

const char* Lowering::read_contraction(const QuantizedGroup& group, Encoding& source,
                                       Tensor& weight, std::vector<float>& scales, Tensor& bias) {
  const QuantizedOperand& w = group.inputs[1];
  const auto x = encoding_of(group.inputs[0]);
  if (!x) return "its input is not in 8 bits with one constant scale";
  source = *x;
  weight = w.quantized() ? constant_of(w.codes) : Tensor();
  const Tensor scale = w.quantized() ? constant_of(w.scale) : Tensor();
  if (!weight.defined() || weight.dtype() != DType::i8 || !scale.defined())
    return "its weight is no constant in i8";
  if (const Tensor zero = w.zero_point >= 0 ? constant_of(w.zero_point) : Tensor();
      zero.defined()) {
    const auto zeros = zero.to(DType::i32).to_vector<std::int32_t>();
    if (std::any_of(zeros.begin(), zeros.end(), [](int z) { return z != 0; }))
      return "its weight has a zero point";
  }
  scales = scale.to_vector<float>();
  if (group.kind == QuantizedGroup::Kind::conv_transpose) {
    const std::int64_t groups = groups_of(node(group.op).call);
    weight = outputs_first(weight, groups);
    if (scales.size() > 1) {
      const std::vector<float> of_group = scales;
      for (std::int64_t g = 1; g < groups; ++g)
        scales.insert(scales.end(), of_group.begin(), of_group.end());
    }
  }
  const bool columns = group.kind == QuantizedGroup::Kind::matmul;
  if (group.inputs.size() > 2 && group.inputs[2].value >= 0) {
    const QuantizedOperand& b = group.inputs[2];
    bias = constant_of(b.quantized() ? b.codes : b.value);
    if (!bias.defined()) return "its bias is no constant";
    if (!b.quantized()) {
      bias = whole_bias(bias, source.scale, scales);
      if (!bias.defined()) return "its bias does not fit 32 bits in units of its sums";
    }
    if (bias.dtype() != DType::i32) return "its bias is not in i32";
  }
  return sums_fit(source, weight, columns, bias) ? nullptr : kOverflow;
}

const char* Lowering::read_epilogue(const QuantizedGroup& group, Encoding& destination,
                                    Epilogue& epilogue) {
  epilogue = epilogue_of(chain_of(group));
  if (group.add >= 0) {
    const auto residual = encoding_of(group.residual);
    if (!residual) return "what is added to it is not in 8 bits with one constant scale";
    epilogue.residual = true;
    epilogue.residual_encoding = *residual;
  }
  if (group.quantize < 0) return nullptr;
  const auto result = result_of(group.quantize);
  if (!result) return "its result is not in 8 bits with one constant scale";
  destination = result->encoding;
  const auto real = [&](int q) { return (q - destination.zero_point) * destination.scale; };
  if (result->qmin > lowest(destination.dtype))
    epilogue.low = std::max(epilogue.low, real(result->qmin));
  if (result->qmax < highest(destination.dtype))
    epilogue.high = std::min(epilogue.high, real(result->qmax));
  // Where the codes end anyway there is nothing to clip.
  if (epilogue.low <= real(lowest(destination.dtype)))
    epilogue.low = -std::numeric_limits<double>::infinity();
  if (epilogue.high >= real(highest(destination.dtype)))
    epilogue.high = std::numeric_limits<double>::infinity();
  return nullptr;
}

// The slot of the residual as the destination needs it; −1 where it was written there already.
int Lowering::residual_for(const QuantizedGroup& group, int to, Epilogue& epilogue) {
  if (group.add < 0) return -1;
  const Slot destination = program_.slots[static_cast<std::size_t>(to)];
  const int slot = slot_of(group.residual.codes, destination.format);
  if (program_.slot_bytes(slot) == program_.slot_bytes(to)) return slot;
  emit(dequantize_step(slot, to, destination.shape.elements(), epilogue.residual_encoding),
       node(group.add).name);
  epilogue.residual_encoding = {};
  return -1;
}

bool Lowering::lower_integer_convolution(const QuantizedGroup& group) {
  ConvolutionSpec spec;
  const char* reason =
      read_contraction(group, spec.source, spec.weight, spec.weight_scales, spec.bias);
  if (!reason) reason = read_epilogue(group, spec.destination, spec.epilogue);
  const Graph::Node& conv = node(group.op);
  const Shape& x = shape_of(conv.inputs[0]);
  const Shape& y = shape_of(group.result);
  Interleaving between;
  if (!reason) reason = as_pictures(conv.call, x, y, spec, between);
  if (!reason && !between.empty() && group.add >= 0)
    reason = "what is added to it comes after its pixels are brought together";
  if (reason) return lower_integer_call(group, reason);
  const bool widened = spec.epilogue.residual && spec.destination.dtype == DType::f32;
  const Encoding residual_encoding = spec.epilogue.residual_encoding;
  if (widened) spec.epilogue.residual_encoding = {};
  const std::int64_t macs = convolution_macs(conv.call, x, y, shape_of(conv.inputs[1]));
  auto primitive = make(spec);
  if (!primitive) return lower_integer_call(group, kNoKernel);
  note_float_bias(group);
  const int from = slot_of(group.inputs[0].codes, MemoryFormat::channels_last);
  if (!between.empty()) {
    const int apart = program_.add_slot(between.shape, graph_.value(group.result).dtype,
                                        MemoryFormat::channels_last);
    emit_primitive(std::move(primitive), from, apart, -1, name_of(group), macs);
    interleave(group, between, apart);
    return true;
  }
  const int to = add_result(group.result, MemoryFormat::channels_last);
  spec.epilogue.residual_encoding = residual_encoding;
  const int residual = residual_for(group, to, spec.epilogue);
  emit_primitive(std::move(primitive), from, to, residual, name_of(group), macs);
  if (group.kind == QuantizedGroup::Kind::convolution)
    note_leaf(group.inputs[1].codes, group.inputs[1].dequantize);
  if (widened) program_.steps.back()->reads.push_back(to);
  return true;
}

// The pixels that a transposed convolution's phases gave, each where it belongs.
void Lowering::interleave(const QuantizedGroup& group, const Interleaving& between, int from) {
  const Shape& y = shape_of(group.result);
  Rearrangement what;
  what.to = add_result(group.result, MemoryFormat::channels_last);
  what.element_bytes = tensor_bytes({1}, graph_.value(group.result).dtype);
  what.bytes = program_.slot_bytes(what.to);
  what.pieces = between.pieces(from, y);
  emit(rearrange_step(std::move(what)), name_of(group));
}

bool Lowering::lower_integer_dense(const QuantizedGroup& group) {
  DenseSpec spec;
  const Shape& x = shape_of(group.inputs[0].value);
  const char* reason = x.rank() < 2                          ? "its input is a vector"
                       : !is_constant(group.inputs[1].value) ? "both its factors are activations"
                                                             : nullptr;
  if (!reason)
    reason = read_contraction(group, spec.source, spec.weight, spec.weight_scales, spec.bias);
  if (!reason) reason = read_epilogue(group, spec.destination, spec.epilogue);
  if (!reason && spec.weight.rank() != 2) reason = "its weight is no matrix";
  if (reason) return lower_integer_call(group, reason);
  if (group.kind == QuantizedGroup::Kind::matmul) spec.weight = transpose(spec.weight, {1, 0});
  spec.rows = x.elements(0, x.rank() - 1);
  const bool widened = spec.epilogue.residual && spec.destination.dtype == DType::f32;
  const Encoding residual_encoding = spec.epilogue.residual_encoding;
  if (widened) spec.epilogue.residual_encoding = {};
  const std::int64_t macs = spec.rows * spec.weight.elements();
  auto primitive = make(spec);
  if (!primitive) return lower_integer_call(group, kNoKernel);
  note_float_bias(group);
  const int from = slot_of(group.inputs[0].codes, MemoryFormat::row_major);
  const int to = add_result(group.result, MemoryFormat::row_major);
  spec.epilogue.residual_encoding = residual_encoding;
  const int residual = residual_for(group, to, spec.epilogue);
  emit_primitive(std::move(primitive), from, to, residual, name_of(group), macs);
  note_leaf(group.inputs[1].codes, group.inputs[1].dequantize,
            group.kind == QuantizedGroup::Kind::matmul);
  if (widened) program_.steps.back()->reads.push_back(to);
  return true;
}

// Layers with codes on both sides that are no product of integers (graph/integer_call.h).
void Lowering::note_float_layers() {
  std::vector<bool> integer(graph_.nodes().size(), false);
  for (const QuantizedGroup& group : groups_)
    if (group.kind != QuantizedGroup::Kind::other)
      integer[static_cast<std::size_t>(group.op)] = true;
  for (std::size_t i = 0; i < integer.size(); ++i) {
    const int n = static_cast<int>(i);
    const int input = node(n).call.op->quantization.weight_input;
    if (integer[i] || input < 1 || static_cast<std::size_t>(input) >= node(n).inputs.size())
      continue;
    const QuantizedOperand x = quantized_operand(graph_, n, 0);
    const QuantizedOperand weight = quantized_operand(graph_, n, input);
    if (!x.quantized() || !weight.quantized()) continue;
    const Tensor zero = constant_of(weight.zero_point);
    const auto zeros = zero.to(DType::i32).to_vector<std::int32_t>();
    const char* reason = "its weight's scales are none for each output channel";
    if (!is_code(graph_.value(x.codes).dtype))
      reason = "its input is not in 8 bits with one constant scale";
    else if (!std::ranges::all_of(zeros, [](std::int32_t z) { return z == 0; }))
      reason = "its weight has a zero point";
    else if (graph_.value(weight.codes).dtype != DType::i8)
      reason = "its weight is no constant in i8";
    left(n, fmt::format("runs in f32: {}", reason));
  }
}

void Lowering::note_float_bias(const QuantizedGroup& group) {
  if (group.inputs.size() > 2 && group.inputs[2].value >= 0 && !group.inputs[2].quantized())
    left(group.op, "its float bias is rounded to the unit of its sums");
}

// Without a primitive: f32 where that has one, since that is the faster, else whole numbers in the
// reference.
bool Lowering::lower_integer_call(const QuantizedGroup& group, const char* reason) {
  if (options_.makers.dense || reason == kOverflow) {
    left(group.op, fmt::format("runs in f32: {}", reason));
    return false;
  }
  const auto integer = integer_call(graph_, group.op);
  if (!integer) return false;
  std::vector<int> from;
  for (const int value : integer->reads()) from.push_back(slot_of(value));
  const int out = output_of(group.op);
  const MemoryFormat format = MemoryFormat::row_major;
  const int to = add_result(out, format);
  emit(integer_step(program_, *integer, node(group.op).call, from, to), node(group.op).name);
  if (group.add >= 0)
    lower_chain({.op = group.add, .activation = group.activation});
  else if (group.activation >= 0)
    lower_node(group.activation);
  if (group.quantize >= 0) lower_node(group.quantize);
  return true;
}

}  // namespace pare::runtime
