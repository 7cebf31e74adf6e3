// Lowering: recurrent layers with dynamic_quantize whose weights are codes.
#include "core/check.h"
#include "core/ops/recurrent.h"
#include "graph/coded_matrix.h"
#include "pare/core/ops.h"
#include "runtime/lowering.h"
#include "runtime/recurrent_weight.h"

namespace pare::runtime {

bool Lowering::lower_recurrent(int n) {
  const Graph::Node& layer = node(n);
  if (!quantizes_dynamically(layer.call)) return false;
  std::vector<const Shape*> shapes;
  for (const int v : layer.inputs) shapes.push_back(v < 0 ? nullptr : &shape_of(v));
  std::map<int, std::vector<WeightBlock>> blocks;  // by weight
  for (const WeightBlock& block : recurrent_blocks(layer.call, shapes))
    blocks[block.input].push_back(block);
  std::vector<std::shared_ptr<Packed>> weights;
  std::int64_t elements = 0;
  for (auto& [input, own] : blocks) {
    std::string reason;
    const int value = layer.inputs[static_cast<std::size_t>(input)];
    const auto weight = coded_matrix(graph_, value, reason);
    if (weight && weight->codes.elements() == 0) reason = "a weight of it is empty";
    if (weight && weight->codes.dim(1) > ByteProduct::kMostInner)
      reason = "its sums could leave 32 bits";
    if (!reason.empty()) {
      left(n, fmt::format("multiplies rounded rows in f32: {}", reason));
      return false;
    }
    elements += weight->codes.elements();
    auto packed = std::make_shared<Packed>();
    packed->name = fmt::format("{}/{}", layer.name, input);
    packed->primitive =
        std::make_unique<RecurrentWeight>(weight->codes, weight->scales, std::move(own));
    if (weight->leaf >= 0 && uses_.only_reader(weight->leaf) == weight->reader)
      packed->leaves = {weight->leaf};
    weights.push_back(std::move(packed));
  }
  std::set<int> coded;
  for (const auto& [input, own] : blocks) coded.insert(input);
  const CallSlots slots = slots_of_call(n, coded);
  const std::int64_t rows = shape_of(layer.inputs[0]).elements(0, 2);
  Step& step = emit(recurrent_step(program_, layer.call, slots.from, slots.to, weights), layer.name,
                    rows * elements);
  for (const auto& packed : weights) step.info.bytes += packed->primitive->constant_bytes();
  packed_.insert(packed_.end(), weights.begin(), weights.end());
  return true;
}

}  // namespace pare::runtime
