// Lowering of dense layers and tables whose constant weight is kept as codes or in 16 bits.
#include "core/dtype_switch.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "runtime/code_dense.h"
#include "runtime/lowering.h"

namespace pare::runtime {

/// The node that makes floats of a stored weight [out, in], or of its transpose; −1 where `value`
/// is no such weight.
int Lowering::stored_weight(int value, bool& transposed) const {
  int producer = graph_.value(value).producer;
  if (producer >= 0 && node(producer).call.op == &kTranspose) {
    transposed = !transposed;
    value = node(producer).inputs[0];
    if (shape_of(value).rank() != 2 || shape_of(value)[0] != shape_of(output_of(producer))[1] ||
        node(producer).call.attributes.as<TransposeAttributes>().permutation[0] != 1)
      return -1;
    producer = graph_.value(value).producer;
  }
  if (producer < 0) return -1;
  const Graph::Node& made = node(producer);
  if (made.call.op == &kDequantizeWeight) return producer;
  const bool widens = made.call.op == &kCast &&
                      graph_.value(output_of(producer)).dtype == DType::f32 &&
                      is_half(graph_.value(made.inputs[0]).dtype);
  return widens ? producer : -1;
}

/// The tensors of the node that stored_weight found.
void Lowering::read_stored(int made, CodeMatrixSpec& spec) {
  const std::vector<int>& leaves = node(made).inputs;
  spec.weight = constant_of(leaves[0]);
  if (node(made).call.op != &kDequantizeWeight) return;
  spec.attributes = node(made).call.attributes.as<DequantizeWeightAttributes>();
  spec.scale = constant_of(leaves[1]);
  if (leaves.size() > 2 && leaves[2] >= 0) spec.zero_point = constant_of(leaves[2]);
}

/// Of the primitive emitted last: the leaves that it packs and nobody else reads.
void Lowering::note_stored(int made) {
  for (const int leaf : node(made).inputs) {
    const bool own = leaf >= 0 && graph_.value(leaf).is_leaf() && uses_.only_reader(leaf) == made;
    packed_.back()->leaves.push_back(own ? leaf : -1);
  }
}

bool Lowering::lower_stored_dense(const Chain& chain) {
  const Graph::Node& dense = node(chain.op);
  const Shape& x = shape_of(dense.inputs[0]);
  const int weight = dense.inputs[1];
  if (!is_constant(weight) || shape_of(weight).rank() != 2 || x.rank() < 2) return false;
  CodeMatrixSpec spec;
  spec.transposed = dense.call.op == &kMatmul;
  const int made = stored_weight(weight, spec.transposed);
  if (made < 0) return false;
  read_stored(made, spec);
  if (dense.call.op == &kLinear && dense.inputs.size() > 2 && dense.inputs[2] >= 0) {
    spec.bias = constant_of(dense.inputs[2]);
    if (!spec.bias.defined()) return false;
  }
  if (chain.bias >= 0) spec.bias = constant_of(chain.bias);
  Epilogue epilogue = epilogue_of(chain);
  epilogue.residual = chain.add >= 0;
  const std::int64_t rows = x.elements(0, x.rank() - 1);
  auto primitive = make_code_dense(spec, rows, epilogue);
  if (!primitive) return false;
  constexpr MemoryFormat kFormat = MemoryFormat::row_major;
  const int from = slot_of(dense.inputs[0], kFormat, DType::f32);
  const int residual = chain.add >= 0 ? slot_of(chain.other, kFormat, DType::f32) : -1;
  Chain whole = chain;
  if (!primitive->activates()) whole.activation = -1;
  const int to = add_result(output_of(whole.last()), kFormat, DType::f32);
  emit_primitive(std::move(primitive), from, to, residual, name_of(whole),
                 rows * shape_of(weight).elements());
  note_stored(made);
  if (whole.activation != chain.activation) lower_node(chain.activation);
  return true;
}

bool Lowering::lower_stored_table(int n) {
  const Graph::Node& lookup = node(n);
  const bool gather = lookup.call.op == &kGather;
  if (!gather && lookup.call.op != &kEmbedding) return false;
  if (gather && lookup.call.attributes.as<GatherAttributes>().axis != 0) return false;
  const int table = lookup.inputs[gather ? 0 : 1], numbers = lookup.inputs[gather ? 1 : 0];
  if (!is_constant(table) || shape_of(table).rank() != 2 || is_constant(numbers)) return false;
  CodeTableSpec spec;
  const int made = stored_weight(table, spec.table.transposed);
  if (made < 0) return false;
  read_stored(made, spec.table);
  spec.count = shape_of(numbers).elements();
  spec.numbers = graph_.value(numbers).dtype;
  spec.wraps = gather;
  spec.where = lookup.name;
  auto primitive = make_code_table(spec);
  if (!primitive) return false;
  const int from = slot_of(numbers, MemoryFormat::row_major);
  const int to = add_result(output_of(n), MemoryFormat::row_major);
  emit_primitive(std::move(primitive), from, to, -1, lookup.name, 0);
  note_stored(made);
  return true;
}

}  // namespace pare::runtime
