// Lowering of ops between dequantization and quantization that run on the codes themselves.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "graph/moves.h"
#include "pare/core/ops.h"
#include "runtime/lowering.h"

namespace pare::runtime {
namespace {

bool same(const Encoding& a, const Encoding& b) {
  return a.dtype == b.dtype && a.scale == b.scale && a.zero_point == b.zero_point;
}

// All 256 codes of a dtype, in the order of their bits.
Tensor all_codes(DType dtype) {
  std::vector<std::uint8_t> codes(256);
  std::iota(codes.begin(), codes.end(), std::uint8_t{0});
  if (dtype == DType::u8) return Tensor::from(codes, {256});
  std::vector<std::int8_t> as_signed(codes.begin(), codes.end());
  return Tensor::from(as_signed, {256});
}

// What the graph's own calls make of every code: dequantize → the op, if any → quantize.
std::shared_ptr<const ByteTable> table_of(const Encoding& from, const Call* op,
                                          const Call* activation, const QuantizedResult& to) {
  const auto number = [](double v, DType dtype) { return Tensor::scalar(v, dtype); };
  Tensor x = dequantize_linear(all_codes(from.dtype), number(from.scale, DType::f32),
                               number(from.zero_point, DType::i32));
  for (const Call* call : {op, activation})
    if (call) x = pare::apply(*call, detail::Borrowed(x));
  const QuantizeAttributes attributes{to.encoding.dtype, -1, to.qmin, to.qmax};
  const Tensor q = quantize_linear(x, number(to.encoding.scale, DType::f32),
                                   number(to.encoding.zero_point, DType::i32), attributes);
  auto table = std::make_shared<ByteTable>();
  const auto* codes = static_cast<const std::uint8_t*>(q.raw());
  std::copy_n(codes, table->size(), table->begin());
  return table;
}

}  // namespace

bool Lowering::lower_other(const QuantizedGroup& group) {
  const OpDef* op = node(group.op).call.op;
  if (group.quantize < 0 || !result_of(group.quantize)) return false;
  for (const QuantizedOperand& operand : group.inputs)
    if (operand.quantized() && !encoding_of(operand)) return false;
  if (op == &kAdd) return lower_integer_add(group);
  if (is_pool(op)) return lower_integer_pool(group);
  if (acts_on_single_elements(*op) && group.inputs.size() == 1) return lower_table(group);
  return lower_integer_movement(group);
}

bool Lowering::lower_table(const QuantizedGroup& group) {
  const Graph::Node& op = node(group.op);
  const Encoding from = *encoding_of(group.inputs[0]);
  const Call* activation = group.activation >= 0 ? &node(group.activation).call : nullptr;
  const auto table = table_of(from, &op.call, activation, *result_of(group.quantize));
  const int codes = group.inputs[0].codes;
  const MemoryFormat format = format_of(codes);
  emit(table_step(slot_of(codes), add_result(group.result, format), shape_of(codes).elements(),
                  table),
       name_of(group));
  return true;
}

/// Codes that get another scale at once.
bool Lowering::lower_requantize(int n) {
  const QuantizedOperand x = quantized_operand(graph_, n, 0);
  const auto from = encoding_of(x);
  const auto to = result_of(n);
  if (!from || !to) return false;
  emit(table_step(slot_of(x.codes), add_result(output_of(n), format_of(x.codes)),
                  shape_of(x.codes).elements(), table_of(*from, nullptr, nullptr, *to)),
       node(n).name);
  return true;
}

bool Lowering::lower_integer_add(const QuantizedGroup& group) {
  if (group.inputs.size() != 2 || !group.inputs[0].quantized() || !group.inputs[1].quantized())
    return false;
  const int a = group.inputs[0].codes;
  const int b = group.inputs[1].codes;
  if (shape_of(a) != shape_of(b)) return false;
  const QuantizedResult to = *result_of(group.quantize);
  AddStepSpec spec;
  spec.a_encoding = *encoding_of(group.inputs[0]);
  spec.b_encoding = *encoding_of(group.inputs[1]);
  spec.to_encoding = to.encoding;
  if (spec.a_encoding.dtype != spec.b_encoding.dtype ||
      (spec.a_encoding.dtype == DType::u8 && spec.to_encoding.dtype == DType::i8))
    return false;
  const Epilogue epilogue = epilogue_of(chain_of(group));
  spec.low = static_cast<float>(epilogue.low);
  spec.high = static_cast<float>(epilogue.high);
  spec.qmin = to.qmin;
  spec.qmax = to.qmax;
  const MemoryFormat format =
      format_of(a) == MemoryFormat::channels_last || format_of(b) == MemoryFormat::channels_last
          ? MemoryFormat::channels_last
          : MemoryFormat::row_major;
  spec.a = slot_of(a, format);
  spec.b = slot_of(b, format);
  spec.to = add_result(group.result, format);
  spec.count = shape_of(a).elements();
  emit(add_step(spec), name_of(group));
  return true;
}

bool Lowering::lower_integer_pool(const QuantizedGroup& group) {
  const Graph::Node& pool = node(group.op);
  if (group.activation >= 0) return false;
  const auto sizes =
      pool_sizes_of(pool.call, shape_of(pool.inputs[0]), shape_of(output_of(group.op)));
  if (!sizes) return false;
  // Averages sum their codes, of at most 8 bits, in 32.
  if (!sizes->max && sizes->sizes.taps() > std::numeric_limits<std::int32_t>::max() / 256)
    return false;
  const QuantizedResult to = *result_of(group.quantize);
  PoolStepSpec spec{sizes->max, sizes->sizes, pool_kernel_name(pool.call)};
  spec.source = *encoding_of(group.inputs[0]);
  spec.destination = to.encoding;
  spec.qmin = to.qmin;
  spec.qmax = to.qmax;
  if (spec.max && !same(spec.source, spec.destination)) return false;
  spec.from = slot_of(group.inputs[0].codes, MemoryFormat::channels_last);
  spec.to = add_result(group.result, MemoryFormat::channels_last);
  emit(pool_step(spec), name_of(group));
  return true;
}

bool Lowering::lower_integer_movement(const QuantizedGroup& group) {
  if (group.activation >= 0) return false;
  // Shapes and bounds that are inputs are read when the plan runs.
  const Graph::Node& movement = node(group.op);
  if (movement.call.op->min_inputs == 1 && movement.inputs.size() > 1 &&
      movement.call.op->max_inputs > 1)
    return false;
  const QuantizedResult to = *result_of(group.quantize);
  Moved moved;
  moved.to = group.result;
  for (const QuantizedOperand& operand : group.inputs) {
    if (!operand.quantized()) continue;
    const Encoding from = *encoding_of(operand);
    moved.from.push_back(operand.codes);
    moved.tables.push_back(same(from, to.encoding) ? nullptr
                                                   : table_of(from, nullptr, nullptr, to));
  }
  if (moved.from.size() != group.inputs.size()) return false;
  const Call& call = node(group.op).call;
  if (moves_elements(call)) {
    if (moved.tables[0]) return false;
    const bool keeps = call.op->format == FormatRule::keep;
    const int from =
        keeps ? slot_of(moved.from[0]) : slot_of(moved.from[0], MemoryFormat::row_major);
    const bool same_rank = shape_of(moved.from[0]).rank() == shape_of(moved.to).rank();
    const MemoryFormat format = keeps && same_rank
                                    ? program_.slots[static_cast<std::size_t>(from)].format
                                    : MemoryFormat::row_major;
    emit(call_step(program_, call, {from}, {add_result(moved.to, format)}), name_of(group));
    return true;
  }
  if (call.op == &kPad) {
    const double value = call.attributes.as<PadAttributes>().value;
    const double whole = std::isnan(value) ? 0 : std::nearbyint(value / to.encoding.scale);
    moved.fill = std::clamp(whole + to.encoding.zero_point, static_cast<double>(to.qmin),
                            static_cast<double>(to.qmax));
  }
  return lower_movement(group.op, moved);
}

}  // namespace pare::runtime
