// What the fake-quantizer of a layer's weight says: values, scales, and the batch norm behind.
#include "quantize/weight_reader.h"

#include <charconv>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/ops/convolution.h"
#include "pare/core/ops.h"
#include "pare/core/ops/learned_steps.h"
#include "quantize/batch_norm_factor.h"
#include "quantize/metadata.h"
#include "quantize/placement.h"
#include "quantize/ranges.h"
#include "quantize/weight_groups.h"

namespace pare::quantize {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

FakeQuantizeAttributes attributes_of(const Graph::Node& quantizer) {
  if (!is_learned(quantizer)) return quantizer.call.attributes.as<FakeQuantizeAttributes>();
  const auto& a = quantizer.call.attributes.as<FakeQuantizeLearnedAttributes>();
  return {.qmin = a.qmin, .qmax = a.qmax, .axis = a.axis};
}

void check_finite(const Tensor& tensor, const std::string& layer, const char* what,
                  const std::string& name) {
  for (const float v : tensor.to_vector<float>())
    PARE_CHECK(std::isfinite(v), invalid_argument, layer, "expected finite {}, got {} in '{}'",
               what, v, name);
}

}  // namespace

int WeightReader::quantizer(int n) const {
  const Graph::Node& node = graph_.node(n);
  const int weight = node.call.op->quantization.weight_input;
  if (weight < 0 || at(weight) >= node.inputs.size() || node.inputs[at(weight)] < 0 ||
      !leaf_[at(node.inputs[at(weight)])])
    return -1;
  const int value = node.inputs[at(weight)];
  // Of a weight that was quantized with its batch norm's factor the factor is taken back.
  const int with_factor = quantized_with_factor(graph_, value);
  return rounder_of(with_factor >= 0 ? with_factor : value);
}

int WeightReader::rounder_of(int weight) const {
  const int producer = graph_.value(weight).producer;
  if (producer < 0 || quantizes_weights(producer)) return producer;
  const int rows = graph_.value(rounded_rows(graph_, weight)).producer;
  return rows >= 0 && quantizes_weights(rows) && group_size_at(rows) > 0 ? rows : -1;
}

std::int64_t WeightReader::group_size(int n) const {
  const int rounds = quantizer(n);
  return rounds < 0 ? 0 : group_size_at(rounds);
}

std::int64_t WeightReader::group_size_at(int quantizer) const {
  const auto found = graph_.metadata().find(kGroupKey + graph_.node(quantizer).name);
  if (found == graph_.metadata().end()) return 0;
  const std::string& text = found->second;
  std::int64_t size = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), size);
  PARE_CHECK(failed == std::errc() && end == text.data() + text.size() && size > 0, invalid_state,
             "convert", "expected the size of the groups of '{}', got '{}'",
             graph_.node(quantizer).name, text);
  return size;
}

bool WeightReader::quantizes_weights(int n) const {
  return graph_.node(n).call.op == &kFakeQuantize || is_learned(graph_.node(n));
}

bool WeightReader::is_folded(int n) const {
  const Graph::Node& node = graph_.node(n);
  const int weight = node.inputs[at(node.call.op->quantization.weight_input)];
  return quantized_with_factor(graph_, weight) >= 0;
}

std::vector<double> WeightReader::doubles(int value) {
  const std::vector<float> v = evaluate_(value).to_vector<float>();
  return {v.begin(), v.end()};
}

void WeightReader::fold(const Graph::Node& norm, LayerWeights& layer) {
  const auto epsilon = norm.call.attributes.as<BatchNormAttributes>().epsilon;
  const auto gamma = doubles(norm.inputs[1]), beta = doubles(norm.inputs[2]);
  const auto mean = doubles(norm.inputs[3]), variance = doubles(norm.inputs[4]);
  layer.bias.resize(gamma.size(), 0);
  layer.factor.resize(gamma.size());
  for (std::size_t c = 0; c < gamma.size(); ++c) {
    layer.factor[c] = gamma[c] / std::sqrt(variance[c] + epsilon);
    layer.bias[c] = (layer.bias[c] - mean[c]) * layer.factor[c] + beta[c];
  }
}

void WeightReader::read_weight(int channel_axis, const Graph::Node& quantizer,
                               LayerWeights& layer) {
  const FakeQuantizeAttributes a = attributes_of(quantizer);
  const Shape& weight = graph_.value(quantizer.inputs[0]).shape;
  const Shape& scale = graph_.value(quantizer.inputs[1]).shape;
  const int axis = normalize_axis(channel_axis, weight.rank(), "convert");
  layer.one_scale = scale.rank() == 0;
  const bool per_channel = a.axis == axis && scale.rank() == 1 && scale[0] == weight[axis];
  PARE_CHECK((layer.one_scale || per_channel) && a.qmin >= -128 && a.qmax <= 127, unsupported,
             layer.name,
             "expected a weight in codes that i8 holds, with one scale or one for each output "
             "channel, got codes {} to {}{}",
             a.qmin, a.qmax, layer.one_scale || per_channel ? "" : " with other scales");
  layer.weight = evaluate_(quantizer.inputs[0]);
  // Before the scales, which would refuse them without the layer's name.
  check_finite(layer.weight, layer.name, "weights", graph_.value(quantizer.inputs[0]).name);
  layer.axis = axis;
  layer.qmin = a.qmin;
  layer.qmax = a.qmax;
  const auto channels = at(static_cast<int>(weight[axis]));
  const bool has_zero = quantizer.inputs.size() > 2 && quantizer.inputs[2] >= 0;
  if (is_learned(quantizer)) {
    for (std::size_t i = 1; i < quantizer.inputs.size(); ++i)
      if (quantizer.inputs[i] >= 0)
        check_finite(evaluate_(quantizer.inputs[i]), layer.name, "learned steps",
                     graph_.value(quantizer.inputs[i]).name);
    for (const ScaleAndZeroPoint& p : learned_parameters(
             evaluate_(quantizer.inputs[1]), has_zero ? evaluate_(quantizer.inputs[2]) : Tensor(),
             quantizer.call.attributes.as<FakeQuantizeLearnedAttributes>())) {
      layer.scales.push_back(p.scale);
      layer.zero_points.push_back(p.zero_point);
    }
  } else {
    layer.scales = evaluate_(quantizer.inputs[1]).to_vector<float>();
    layer.zero_points.assign(layer.scales.size(), 0);
  }
  if (has_zero && !is_learned(quantizer))
    layer.zero_points = evaluate_(quantizer.inputs[2]).to(DType::i32).to_vector<std::int32_t>();
  if (layer.one_scale) {
    layer.scales.assign(channels, layer.scales[0]);
    layer.zero_points.assign(channels, layer.zero_points[0]);
  }
}

std::string WeightReader::name(int n) const { return name_of(graph_.node(quantizer(n)).inputs[0]); }

std::string WeightReader::name_of(int value) const {
  int above = -1;
  while (graph_.value(value).producer >= 0) {
    above = graph_.value(value).producer;
    value = graph_.node(above).inputs[0];
  }
  const std::string& leaf = graph_.value(value).name;
  if (above < 0) return leaf;
  // trace names a step of a parameter's expression after the parameter and the op, and the leaf
  // after the parameter and a suffix of the method's: "conv1.weight.mul", "conv1.weight_orig".
  const Graph::Node& step = graph_.node(above);
  const std::size_t end = step.name.rfind(std::string(".") + step.call.op->name);
  if (end == std::string::npos) return leaf;
  const std::string parameter = step.name.substr(0, end);
  return leaf.starts_with(parameter) ? parameter : leaf;
}

int WeightReader::rows_quantizer(int weight) const {
  const int producer = graph_.value(weight).producer;
  return producer >= 0 && leaf_[at(weight)] && quantizes_weights(producer) ? producer : -1;
}

LayerWeights WeightReader::read_rows(const std::string& layer, int quantizer) {
  LayerWeights rows;
  rows.name = layer;
  read_weight(0, graph_.node(quantizer), rows);
  return rows;
}

void WeightReader::check_leaves(const Graph::Node& node) {
  for (const int v : node.inputs)
    if (v >= 0 && graph_.value(v).is_leaf() && graph_.value(v).dtype == DType::f32)
      check_finite(graph_.value(v).tensor, node.name, "biases and states", graph_.value(v).name);
}

LayerWeights WeightReader::read(int n, int norm, float source_scale) {
  const Graph::Node& node = graph_.node(n);
  LayerWeights layer;
  layer.name = node.name;
  layer.source_scale = source_scale;
  layer.group_size = group_size(n);
  const int axis = layer.group_size > 0 ? 0 : node.call.op->quantization.weight_axis;
  read_weight(axis, graph_.node(quantizer(n)), layer);
  if (is_conv_transpose(node.call.op)) layer.groups = groups_of(node.call);
  const int bias = bias_of(node);
  if (bias >= 0) layer.bias = doubles(bias);
  if (norm >= 0) fold(graph_.node(norm), layer);
  if (norm >= 0 && is_folded(n)) layer.factor.clear();
  if (layer.group_size == 0) return layer;
  // The rows of a channel follow one another.
  std::vector<double> by_row;
  for (std::size_t r = 0; !layer.factor.empty() && r < layer.scales.size(); ++r)
    by_row.push_back(layer.factor[r * layer.factor.size() / layer.scales.size()]);
  layer.factor = std::move(by_row);
  layer.float_bias = std::move(layer.bias);
  layer.bias.clear();
  return layer;
}

int WeightReader::bias_of(const Graph::Node& node) {
  const int input = node.call.op->quantization.bias_input;
  return input >= 0 && at(input) < node.inputs.size() ? node.inputs[at(input)] : -1;
}

}  // namespace pare::quantize
