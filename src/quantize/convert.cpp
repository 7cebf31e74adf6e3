// convert: observers become quantize_linear and dequantize_linear, weights become integers.
#include "pare/quantize/convert.h"

#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "core/check.h"
#include "core/ops/convolution.h"
#include "core/ops/pooling.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "pare/core/ops/round_bias.h"
#include "pare/graph/passes.h"
#include "quantize/metadata.h"
#include "quantize/placement.h"
#include "quantize/ranges.h"
#include "quantize/report.h"
#include "quantize/weights.h"

namespace pare::quantize {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// A scale and zero point as constants of the graph, and the codes they belong to.
struct Parameters {
  ScaleAndZeroPoint number;
  std::int64_t qmin, qmax;
  int scale = -1;  // values
  int zero_point = -1;
  bool operator==(const Parameters& other) const {
    return number.scale == other.number.scale && number.zero_point == other.number.zero_point &&
           qmin == other.qmin && qmax == other.qmax;
  }
};

class Converter {
 public:
  Converter(const Graph& prepared, const ConvertOptions& options)
      : graph_(remove_identities(prepared).graph),
        before_(graph_.share()),
        uses_(before_),
        leaf_(leaf_values(before_)),
        evaluate_(before_),
        options_(options),
        report_(prepared) {}

  Converted run() {
    check_calibrated();
    find_parameters();
    find_wanted();
    for (int n = 0; n < nodes(); ++n)
      if (weight_quantizer(n) >= 0) convert_layer(n);
    for (int n = 0; n < nodes(); ++n) convert_activation(n);
    std::erase_if(graph_.metadata(), [](const auto& entry) {
      return entry.first.starts_with(kFloatKey) || entry.first.starts_with(kFoldedKey) ||
             entry.first.starts_with(kRangeKey);
    });
    graph_.compact();
    Graph result = fold_constants(graph_).graph;
    result.verify();
    Report report = report_.finish(result);
    return {std::move(result), std::move(report)};
  }

 private:
  int nodes() const { return static_cast<int>(before_.nodes().size()); }

  void check_calibrated() {
    bool any = false;
    std::string missing;
    for (const Graph::Node& node : before_.nodes()) {
      any = any || finds_range(node) || is_fixed(node);
      if (!finds_range(node)) continue;
      const Observed seen = observed(before_, node, options_.searches);
      const std::string name = activation_name(before_, node);
      if (seen.seen.empty()) {
        missing += fmt::format("{}'{}'", missing.empty() ? "" : ", ", name);
        continue;
      }
      observed_.emplace(node.outputs[0], seen);
      report_.add_activation(describe(name, seen, codes_of(node)));
    }
    PARE_CHECK(any, invalid_state, "convert",
               "expected a graph from prepare or prepare_qat, got one without observers");
    PARE_CHECK(
        missing.empty(), invalid_state, "convert",
        "expected calibrated observers (run the prepared graph on data first), got none that "
        "has seen anything at {}",
        missing);
  }

  // The fake_quantize node that gives node n its weight; −1: its weight stays float, or is an
  // activation.
  int weight_quantizer(int n) const {
    const Graph::Node& node = before_.node(n);
    const int weight = node.call.op->quantization.weight_input;
    if (weight < 0 || at(weight) >= node.inputs.size() || node.inputs[at(weight)] < 0 ||
        !leaf_[at(node.inputs[at(weight)])])
      return -1;
    const int producer = before_.value(node.inputs[at(weight)]).producer;
    if (producer < 0) return -1;
    if (quantizes_weights(producer)) return producer;
    // Of a weight that was quantized with its batch norm's factor the factor is taken back.
    if (before_.node(producer).call.op != &kDiv) return -1;
    const int below = before_.value(before_.node(producer).inputs[0]).producer;
    return below >= 0 && quantizes_weights(below) ? below : -1;
  }

  bool quantizes_weights(int n) const {
    return before_.node(n).call.op == &kFakeQuantize || is_learned(before_.node(n));
  }

  // Whether node n's quantized weight has its batch norm's factor already.
  bool is_folded(int n) const {
    const Graph::Node& node = before_.node(n);
    const int weight = node.inputs[at(node.call.op->quantization.weight_input)];
    return before_.node(before_.value(weight).producer).call.op == &kDiv;
  }

  // An observer of an activation, or its learned steps.
  bool finds_range(const Graph::Node& node) const {
    return is_observer(node) || (is_learned(node) && !leaf_[at(node.inputs[0])]);
  }

  // A matrix product of two activations that have codes.
  bool multiplies_codes(int n) const {
    const Graph::Node& node = before_.node(n);
    return node.call.op == &kMatmul && !leaf_[at(node.inputs[1])] &&
           before_.metadata().count(kFloatKey + node.name) == 0 &&
           parameters_.count(node.inputs[0]) != 0 && parameters_.count(node.inputs[1]) != 0;
  }

  // A fake_quantize of an activation (a fixed range).
  bool is_fixed(const Graph::Node& node) const {
    return node.call.op == &kFakeQuantize && before_.value(node.inputs[1]).is_leaf() &&
           !leaf_[at(node.inputs[0])];
  }

  const Parameters& add_parameters(int value, const std::string& name, ScaleAndZeroPoint number,
                                   std::int64_t qmin, std::int64_t qmax) {
    Parameters p{number, qmin, qmax};
    p.scale = graph_.add_leaf(Graph::Kind::constant, name + "_scale", Tensor::scalar(number.scale));
    p.zero_point = graph_.add_leaf(Graph::Kind::constant, name + "_zero_point",
                                   Tensor::scalar(number.zero_point, DType::i32));
    return parameters_.emplace(value, p).first->second;
  }

  // What the values stand for: after observers, and after ops that pass codes on.
  void find_parameters() {
    for (const Graph::Node& node : before_.nodes()) {
      const std::string name = node.inputs[0] < 0 ? "" : activation_name(before_, node);
      const int out = node.outputs[0];
      if (finds_range(node)) {
        const Codes codes = codes_of(node);
        add_parameters(out, name, observed_.at(out).parameters, codes.qmin, codes.qmax);
      } else if (is_fixed(node)) {
        const auto& a = node.call.attributes.as<FakeQuantizeAttributes>();
        const ScaleAndZeroPoint number{static_cast<float>(evaluate_(node.inputs[1]).item()),
                                       static_cast<std::int32_t>(evaluate_(node.inputs[2]).item())};
        add_parameters(out, name, number, a.qmin, a.qmax);
      } else if (passes_codes(node)) {
        const Parameters p = parameters_.at(node.inputs[0]);
        parameters_.emplace(out, p);
      }
    }
  }

  bool passes_codes(const Graph::Node& node) const {
    const bool shares = node.call.op->quantization.kind == QuantizationFact::Kind::all_inputs_share;
    if (!shares && !(selects(node.call) &&
                     node.call.op->quantization.kind == QuantizationFact::Kind::same_as_input))
      return false;
    const auto first = parameters_.find(node.inputs[0]);
    if (first == parameters_.end()) return false;
    for (std::size_t i = 1; i < node.inputs.size(); ++i) {
      if (!is_activation(before_, node, i)) continue;
      const auto other = parameters_.find(node.inputs[i]);
      if (other == parameters_.end() || !(other->second == first->second)) return false;
    }
    return true;
  }

  // Which values somebody reads as codes: layers with integer weights, and what is quantized again.
  void find_wanted() {
    wanted_.assign(before_.values().size(), false);
    std::vector<bool> rounded(before_.values().size(), false);
    for (int n = nodes() - 1; n >= 0; --n) {
      const Graph::Node& node = before_.node(n);
      const int out = node.outputs[0];
      const bool again = parameters_.count(out) != 0 && is_quantizer(node);
      if (again) rounded[at(node.inputs[0])] = true;
      const bool passes = parameters_.count(out) != 0 && !is_quantizer(node);
      const bool fused =
          before_.node(n).call.op->quantization.kind == QuantizationFact::Kind::fused_activation;
      if (rounded[at(out)] && fused) rounded[at(node.inputs[0])] = true;
      if (weight_quantizer(n) >= 0 || multiplies_codes(n) || rounded[at(out)] ||
          (passes && wanted_[at(out)]))
        for (int v : node.inputs)
          if (v >= 0) wanted_[at(v)] = true;
    }
  }

  bool is_quantizer(const Graph::Node& node) const { return finds_range(node) || is_fixed(node); }

  int output_of(int node) const { return graph_.node(node).outputs[0]; }

  int dequantize(const std::string& name, int codes, int scale, int zero_point,
                 std::int64_t axis = -1) {
    return output_of(graph_.add_node(
        name, {&kDequantizeLinear, Attributes::of(DequantizeAttributes{.axis = axis})},
        {codes, scale, zero_point}));
  }

  // x → quantize → dequantize; gives the result.
  int add_round_trip(int x, const Parameters& p, const std::string& name) {
    const Call quantize{&kQuantizeLinear, Attributes::of(QuantizeAttributes{
                                              .dtype = p.qmin < 0 ? DType::i8 : DType::u8,
                                              .axis = -1,
                                              .qmin = p.qmin,
                                              .qmax = p.qmax})};
    const int q = graph_.add_node(name + "_quantize", quantize, {x, p.scale, p.zero_point});
    return dequantize(name + "_dequantize", output_of(q), p.scale, p.zero_point);
  }

  // The same, for the readers of `value`.
  void round_trip(int value, int x, const Parameters& p, const std::string& name) {
    const int result = add_round_trip(x, p, name);
    const int dequantizer = graph_.value(result).producer;
    const int quantizer = graph_.value(graph_.node(dequantizer).inputs[0]).producer;
    graph_.replace_uses(value, result, quantizer);
  }

  // An activation observed behind max pooling: the layer before that gives its codes already.
  void quantize_before_pooling(int observed_value, const Parameters& p) {
    for (int v = observed_value; before_.value(v).producer >= 0;) {
      const int pool = before_.value(v).producer;
      const Graph::Node& node = before_.node(pool);
      if (!is_max_pool(node.call.op) || before_.metadata().count(kFloatKey + node.name) != 0 ||
          parameters_.count(node.inputs[0]) != 0)
        return;
      v = node.inputs[0];
      const int x = graph_.node(pool).inputs[0];
      const int result = add_round_trip(x, p, before_.value(v).name);
      graph_.edit_node(pool).inputs[0] = result;
    }
  }

  void convert_activation(int n) {
    const Graph::Node& node = before_.node(n);
    const int out = node.outputs[0];
    const auto found = parameters_.find(out);
    if (found == parameters_.end()) return;
    if (is_quantizer(node)) {
      const std::string name = activation_name(before_, node);
      int x = graph_.node(n).inputs[0];
      if (has_relu(node)) x = output_of(graph_.add_node(name, {&kRelu, {}}, {x}));
      round_trip(out, x, found->second, name);
      if (!has_relu(node)) quantize_before_pooling(node.inputs[0], found->second);
    } else if (wanted_[at(out)]) {
      round_trip(out, out, found->second, node.name);
    }
  }

  // Of the batch norm after node n that it is quantized with, −1: none.
  int batch_norm_after(int n) const {
    const int reader = uses_.only_reader(before_.node(n).outputs[0]);
    return reader >= 0 && absorbed_into(before_, uses_, before_.node(reader)) == n ? reader : -1;
  }

  std::vector<double> doubles(int value) {
    const std::vector<float> v = evaluate_(value).to_vector<float>();
    return {v.begin(), v.end()};
  }

  void fold(const Graph::Node& norm, LayerWeights& layer) {
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

  static FakeQuantizeAttributes attributes_of(const Graph::Node& quantizer) {
    if (!is_learned(quantizer)) return quantizer.call.attributes.as<FakeQuantizeAttributes>();
    const auto& a = quantizer.call.attributes.as<FakeQuantizeLearnedAttributes>();
    return {.qmin = a.qmin, .qmax = a.qmax, .axis = a.axis};
  }

  // Scales and zero points of a weight, one for each channel of its axis.
  void read_weight(const Graph::Node& node, const Graph::Node& quantizer, LayerWeights& layer) {
    const FakeQuantizeAttributes a = attributes_of(quantizer);
    const Shape& weight = before_.value(quantizer.inputs[0]).shape;
    const Shape& scale = before_.value(quantizer.inputs[1]).shape;
    const int axis =
        normalize_axis(node.call.op->quantization.weight_axis, weight.rank(), "convert");
    layer.one_scale = scale.rank() == 0;
    const bool per_channel = a.axis == axis && scale.rank() == 1 && scale[0] == weight[axis];
    PARE_CHECK((layer.one_scale || per_channel) && a.qmin >= -128 && a.qmax <= 127, unsupported,
               layer.name,
               "expected a weight in codes that i8 holds, with one scale or one for each output "
               "channel, got codes {} to {}{}",
               a.qmin, a.qmax, layer.one_scale || per_channel ? "" : " with other scales");
    layer.weight = evaluate_(quantizer.inputs[0]);
    layer.axis = axis;
    layer.qmin = a.qmin;
    layer.qmax = a.qmax;
    const auto channels = at(static_cast<int>(weight[axis]));
    const bool has_zero = quantizer.inputs.size() > 2 && quantizer.inputs[2] >= 0;
    if (is_learned(quantizer)) {
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

  // The name of the parameter that a weight comes from, however many calls (a mask, a batch norm's
  // factor) stand in between: "conv1.weight".
  std::string weight_name(int value) const {
    int above = -1;
    while (before_.value(value).producer >= 0) {
      above = before_.value(value).producer;
      value = before_.node(above).inputs[0];
    }
    const std::string& leaf = before_.value(value).name;
    if (above < 0) return leaf;
    // trace names a step of a parameter's expression after the parameter and the op, and the leaf
    // after the parameter and a suffix of the method's: "conv1.weight.mul", "conv1.weight_orig".
    const Graph::Node& step = before_.node(above);
    const std::size_t end = step.name.rfind(std::string(".") + step.call.op->name);
    if (end == std::string::npos) return leaf;
    const std::string parameter = step.name.substr(0, end);
    return leaf.starts_with(parameter) ? parameter : leaf;
  }

  void convert_layer(int n) {
    const Graph::Node& node = before_.node(n);
    const QuantizationFact& fact = node.call.op->quantization;
    const Graph::Node& quantizer = before_.node(weight_quantizer(n));
    const auto source = parameters_.find(node.inputs[0]);
    PARE_CHECK(source != parameters_.end(), invalid_state, "convert",
               "expected an observed input of '{}', got '{}'", node.name,
               before_.value(node.inputs[0]).name);
    LayerWeights layer;
    layer.name = node.name;
    read_weight(node, quantizer, layer);
    if (is_conv_transpose(node.call.op)) layer.groups = groups_of(node.call);
    layer.source_scale = source->second.number.scale;
    const bool has_bias = fact.bias_input >= 0 && at(fact.bias_input) < node.inputs.size() &&
                          node.inputs[at(fact.bias_input)] >= 0;
    if (has_bias) layer.bias = doubles(node.inputs[at(fact.bias_input)]);
    const int norm = batch_norm_after(n);
    if (norm >= 0) {
      fold(before_.node(norm), layer);
      if (is_folded(n)) layer.factor.clear();
      graph_.replace_uses(before_.node(norm).outputs[0], node.outputs[0]);
      report_.add_folded(before_.node(norm).name, node.name);
    }
    const LayerCodes codes = code_layer(layer);
    set_weight(n, weight_name(quantizer.inputs[0]), codes, layer.axis);
    if (codes.bias.defined()) {
      int bias = has_bias ? node.inputs[at(fact.bias_input)] : -1;
      if (bias >= 0 && !before_.value(bias).is_leaf() &&
          before_.node(before_.value(bias).producer).call.op == &kRoundBias)
        bias = before_.node(before_.value(bias).producer).inputs[0];
      const bool own = bias >= 0 && before_.value(bias).is_leaf();
      set_bias(n, own ? before_.value(bias).name : node.name + ".bias", codes);
    }
    report_.add_layer(node.name, layer, has_bias, codes);
  }

  int constant(const std::string& name, const Tensor& value) {
    return graph_.add_leaf(Graph::Kind::constant, name, value);
  }

  // Zero points of symmetric constants, one for each number of channels.
  int zeros(const Shape& shape) {
    const std::int64_t channels = shape.rank() == 0 ? 0 : shape[0];
    const auto [found, fresh] = zeros_.emplace(channels, -1);
    if (fresh)
      found->second = constant(
          shape.rank() == 0 ? "zero_point_of_one" : fmt::format("zero_points_{}", channels),
          Tensor::zeros(shape, DType::i32));
    return found->second;
  }

  void set_weight(int n, const std::string& name, const LayerCodes& codes, int axis) {
    const int q = constant(name + "_quantized", codes.weight);
    const int scale = constant(name + "_scale", codes.scale);
    const Shape& shape = codes.scale.shape();
    const int zero = codes.zero_point.defined() ? constant(name + "_zero_point", codes.zero_point)
                                                : zeros(shape);
    const int result =
        dequantize(name + "_dequantize", q, scale, zero, shape.rank() == 0 ? -1 : axis);
    const int weight = before_.node(n).call.op->quantization.weight_input;
    graph_.edit_node(n).inputs[at(weight)] = result;
  }

  void set_bias(int n, const std::string& name, const LayerCodes& codes) {
    const int q = constant(name + "_quantized", codes.bias);
    const int scale = constant(name + "_scale", codes.bias_scale);
    const int result =
        dequantize(name + "_dequantize", q, scale, zeros(codes.bias_scale.shape()), 0);
    const std::size_t bias = at(before_.node(n).call.op->quantization.bias_input);
    std::vector<int>& inputs = graph_.edit_node(n).inputs;
    if (inputs.size() <= bias) inputs.resize(bias + 1, -1);
    inputs[bias] = result;
  }

  Graph graph_;
  const Graph before_;
  const Uses uses_;
  const std::vector<bool> leaf_;  // per value
  LeafEvaluator evaluate_;
  const ConvertOptions& options_;
  ReportBuilder report_;
  std::map<int, Observed> observed_;      // by the observer's output
  std::map<int, Parameters> parameters_;  // by value
  std::vector<bool> wanted_;              // per value
  std::map<std::int64_t, int> zeros_;
};

}  // namespace

Converted convert(const Graph& prepared, const ConvertOptions& options) {
  return Converter(prepared, options).run();
}

}  // namespace pare::quantize
