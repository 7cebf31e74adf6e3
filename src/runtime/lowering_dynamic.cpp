// Lowering of products whose first factor is quantized as it comes.
#include "core/check.h"
#include "graph/integer_call.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dynamic_quantize.h"
#include "runtime/dynamic_dense.h"
#include "runtime/lowering.h"

namespace pare::runtime {

// Quantized once for all products that read it.
int Lowering::quantized_rows(int dynamic) {
  const auto known = quantized_rows_.find(dynamic);
  if (known != quantized_rows_.end()) return known->second;
  const Graph::Node& quantize = node(dynamic);
  const Shape& x = shape_of(quantize.inputs[0]);
  const std::int64_t columns = x[x.rank() - 1];
  const std::int64_t rows = x.elements(0, x.rank() - 1);
  const int from = slot_of(quantize.inputs[0], MemoryFormat::row_major, DType::f32);
  const auto bytes = static_cast<std::int64_t>(quantized_rows_bytes(rows, columns));
  const int to = program_.add_slot(Shape{bytes}, DType::u8, MemoryFormat::row_major);
  const bool per_row = quantize.call.attributes.as<DynamicQuantizeAttributes>().per_row;
  emit(quantize_rows_step(from, to, rows, columns, per_row), quantize.name);
  return quantized_rows_[dynamic] = to;
}

bool Lowering::lower_dynamic_dense(const Chain& chain) {
  if (!dynamic_operand(graph_, chain.op, 0).quantized()) return false;
  const auto integer = integer_call(graph_, chain.op);
  const Graph::Node& dense = node(chain.op);
  const bool has_bias = integer && integer->bias.value >= 0;
  if (!integer || (has_bias && !is_constant(integer->bias.value))) {
    left(chain.op, integer ? "runs in f32: its bias is no constant"
                           : "runs in f32: its weight is no constant matrix of i8 whose sums fit");
    return false;
  }
  DenseSpec spec;
  spec.weight = constant_of(integer->weight.codes);
  const bool transposed = dense.call.op == &kMatmul;
  if (transposed) spec.weight = transpose(spec.weight, {1, 0});
  if (spec.weight.elements() == 0) return false;
  spec.weight_scales = constant_of(integer->weight.scale).to_vector<float>();
  if (has_bias) spec.bias = constant_of(integer->bias.value);
  if (chain.bias >= 0) spec.bias = constant_of(chain.bias);
  const Shape& x = shape_of(dense.inputs[0]);
  spec.rows = x.elements(0, x.rank() - 1);
  spec.epilogue = epilogue_of(chain);
  spec.epilogue.residual = chain.add >= 0;
  const std::int64_t macs = spec.rows * spec.weight.elements();
  auto primitive = make_dynamic_dense(spec);
  constexpr MemoryFormat kFormat = MemoryFormat::row_major;
  const int from = quantized_rows(integer->x.dynamic);
  const int residual = chain.add >= 0 ? slot_of(chain.other, kFormat, DType::f32) : -1;
  Chain whole = chain;
  if (!primitive->activates()) whole.activation = -1;
  const int to = add_result(output_of(whole.last()), kFormat, DType::f32);
  emit_primitive(std::move(primitive), from, to, residual, name_of(whole), macs);
  note_leaf(integer->weight.codes, integer->weight.dequantize, transposed);
  if (whole.activation != chain.activation) lower_node(chain.activation);
  return true;
}

}  // namespace pare::runtime
