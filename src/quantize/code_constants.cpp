// Constants that hold codes: what convert adds to a graph for weights and biases.
#include "quantize/code_constants.h"

#include <cstring>

#include "core/check.h"
#include "pare/core/ops.h"

namespace pare::quantize {

int CodeConstants::constant(const std::string& name, const Tensor& value) {
  return graph_.add_leaf(Graph::Kind::constant, name, value);
}

int CodeConstants::shared(const std::string& name, const Tensor& value) {
  auto& known = shared_[name];
  for (const auto& [tensor, number] : known)
    if (tensor.dtype() == value.dtype() && tensor.shape() == value.shape() &&
        std::memcmp(tensor.raw(), value.raw(), value.bytes()) == 0)
      return number;
  const int number = constant(name, value);
  known.emplace_back(value, number);
  return number;
}

// Zero points of symmetric constants, one for each number of channels.
int CodeConstants::zeros(const Shape& shape) {
  const std::int64_t channels = shape.rank() == 0 ? 0 : shape[0];
  const auto [found, fresh] = zeros_.emplace(channels, -1);
  if (fresh)
    found->second =
        constant(shape.rank() == 0 ? "zero_point_of_one" : fmt::format("zero_points_{}", channels),
                 Tensor::zeros(shape, DType::i32));
  return found->second;
}

int CodeConstants::dequantize(const std::string& name, int codes, int scale, int zero_point,
                              std::int64_t axis) {
  const Call call{&kDequantizeLinear, Attributes::of(DequantizeAttributes{.axis = axis})};
  return graph_.node(graph_.add_node(name, call, {codes, scale, zero_point})).outputs[0];
}

int CodeConstants::add_weight(const std::string& name, const LayerCodes& codes, int axis) {
  const int q = shared(name + "_quantized", codes.weight);
  const int scale = shared(name + "_scale", codes.scale);
  const Shape& shape = codes.scale.shape();
  const int zero =
      codes.zero_point.defined() ? constant(name + "_zero_point", codes.zero_point) : zeros(shape);
  return dequantize(name + "_dequantize", q, scale, zero, shape.rank() == 0 ? -1 : axis);
}

int CodeConstants::add_stored(const std::string& name, const StoredWeight& stored,
                              const DequantizeWeightAttributes& attributes) {
  std::vector<int> inputs{shared(name + "_quantized", stored.codes),
                          shared(name + "_scale", stored.scale)};
  if (stored.zero_point.defined())
    inputs.push_back(constant(name + "_zero_point", stored.zero_point));
  const Call call{&kDequantizeWeight, Attributes::of(attributes)};
  return graph_.node(graph_.add_node(name + "_dequantize", call, inputs)).outputs[0];
}

int CodeConstants::add_bias(const std::string& name, const LayerCodes& codes) {
  const int q = constant(name + "_quantized", codes.bias);
  const int scale = constant(name + "_scale", codes.bias_scale);
  return dequantize(name + "_dequantize", q, scale, zeros(codes.bias_scale.shape()), 0);
}

}  // namespace pare::quantize
