// Codes of weights that fit in 4 or 2 bits, on export: packed where the opset has the type.
#include "io/onnx/pack_codes.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/packed_codes.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"

namespace pare::onnx {
namespace {

constexpr int kFourBitOpset = 21;
constexpr int kTwoBitOpset = 25;

bool is_one_byte(DType dtype) { return dtype == DType::i8 || dtype == DType::u8; }

int zero_point_of(const Graph::Node& node) { return node.inputs.size() > 2 ? node.inputs[2] : -1; }

class Packer {
 public:
  Packer(Graph& graph, int opset) : graph_(graph), opset_(opset) {}

  void pack(int codes) {
    const std::vector<int> readers = graph_.readers(codes);
    const auto dtype = packed_type(codes, readers);
    if (!dtype) return;
    Graph::Value& value = graph_.edit_value(codes);
    value.tensor = codes_of(code_values(value.tensor), value.shape, *dtype);
    value.dtype = *dtype;
    for (const int n : readers) {
      const int zero = zero_point_of(graph_.node(n));
      const int packed = zero < 0 ? -1 : packed_zeros(zero, *dtype);
      Graph::Node& node = graph_.edit_node(n);
      const auto axis = node.call.attributes.as<DequantizeAttributes>().axis;
      node.call = {&kDequantizeWeight, Attributes::of(DequantizeWeightAttributes{.axis = axis})};
      if (packed >= 0) node.inputs[2] = packed;
    }
  }

 private:
  /// Nothing where something else reads them, or they need a byte.
  std::optional<DType> packed_type(int codes, const std::vector<int>& readers) const {
    const Graph::Value& value = graph_.value(codes);
    if (value.shape.rank() < 2 || value.tensor.elements() == 0 || graph_.is_output(codes))
      return std::nullopt;
    std::vector<std::int32_t> all = code_values(value.tensor);
    for (const int n : readers) {
      const Graph::Node& node = graph_.node(n);
      if (node.call.op != &kDequantizeLinear || graph_.value(node.inputs[1]).shape.rank() > 1)
        return std::nullopt;
      const int zero = zero_point_of(node);
      if (zero < 0) continue;
      if (!graph_.value(zero).is_leaf()) return std::nullopt;
      std::ranges::copy(code_values(graph_.value(zero).tensor), std::back_inserter(all));
    }
    const auto [least, most] = std::ranges::minmax(all);
    const bool is_signed = value.dtype == DType::i8;
    for (const DType dtype : {is_signed ? DType::i2 : DType::u2, is_signed ? DType::i4 : DType::u4})
      if (opset_ >= (traits(dtype).bits < 4 ? kTwoBitOpset : kFourBitOpset) &&
          least >= traits(dtype).lowest && most <= traits(dtype).highest)
        return dtype;
    return std::nullopt;
  }

  /// DequantizeLinear's zero point has the type of its codes.
  int packed_zeros(int zero, DType dtype) {
    const auto [found, fresh] = zeros_.emplace(std::pair{zero, dtype}, -1);
    if (fresh) {
      const Tensor& given = graph_.value(zero).tensor;
      const Tensor packed = codes_of(code_values(given), given.shape(), dtype);
      const std::string name = graph_.value(zero).name + "_packed";
      found->second = graph_.add_leaf(Graph::Kind::constant, name, packed);
    }
    return found->second;
  }

  Graph& graph_;
  const int opset_;
  std::map<std::pair<int, DType>, int> zeros_;
};

}  // namespace

void pack_codes(Graph& graph, int opset) {
  if (opset < kFourBitOpset) return;
  std::set<int> weights;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.call.op != &kDequantizeLinear) continue;
    const Graph::Value& codes = graph.value(node.inputs[0]);
    if (codes.is_leaf() && is_one_byte(codes.dtype)) weights.insert(node.inputs[0]);
  }
  Packer packer(graph, opset);
  for (const int codes : weights) packer.pack(codes);
}

}  // namespace pare::onnx
