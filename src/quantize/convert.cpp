// convert: observers become quantize_linear and dequantize_linear, weights become integers.
#include "pare/quantize/convert.h"

#include <map>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/ops/pooling.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "pare/core/ops/round_bias.h"
#include "pare/graph/passes.h"
#include "quantize/code_constants.h"
#include "quantize/dynamic_layers.h"
#include "quantize/dynamic_training.h"
#include "quantize/metadata.h"
#include "quantize/own_rounding.h"
#include "quantize/placement.h"
#include "quantize/ranges.h"
#include "quantize/report.h"
#include "quantize/weight_groups.h"
#include "quantize/weight_reader.h"
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
      : prepared_(without_own_rounding(prepared)),
        graph_(remove_identities(prepared_).graph),
        before_(graph_.share()),
        uses_(before_),
        leaf_(leaf_values(before_)),
        evaluate_(before_),
        weights_(before_, evaluate_),
        options_(options),
        report_(prepared_) {
    for (ActivationRange& range : own_ranges(prepared)) report_.add_activation(std::move(range));
  }

  Converted run() {
    check_calibrated();
    find_parameters();
    find_wanted();
    for (int n = 0; n < nodes(); ++n)
      if (has_codes(n)) convert_layer(n);
    for (int n = 0; n < nodes(); ++n) convert_rows(n);
    for (int n = 0; n < nodes(); ++n) convert_activation(n);
    drop_notes(graph_);
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
      any = any || finds_range(node) || node.call.op == &kFakeQuantize || is_learned(node);
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

  // A layer that multiplies codes by codes.
  bool has_codes(int n) const {
    return before_.node(n).call.op->quantization.kind != QuantizationFact::Kind::none &&
           weights_.quantizer(n) >= 0;
  }

  // An observer of an activation, or its learned steps.
  bool finds_range(const Graph::Node& node) const {
    return is_observer(node) ||
           (is_learned(node) && !is_read_as_weight(before_, uses_, leaf_, node.outputs[0]));
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
    return node.call.op == &kFakeQuantize && leaf_[at(node.inputs[1])] &&
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
      if (has_codes(n) || multiplies_codes(n) || rounded[at(out)] || (passes && wanted_[at(out)]))
        for (int v : node.inputs)
          if (v >= 0) wanted_[at(v)] = true;
    }
  }

  bool is_quantizer(const Graph::Node& node) const { return finds_range(node) || is_fixed(node); }

  int output_of(int node) const { return graph_.node(node).outputs[0]; }

  // x → quantize → dequantize; gives the result.
  int add_round_trip(int x, const Parameters& p, const std::string& name) {
    const Call quantize{&kQuantizeLinear, Attributes::of(QuantizeAttributes{
                                              .dtype = p.qmin < 0 ? DType::i8 : DType::u8,
                                              .axis = -1,
                                              .qmin = p.qmin,
                                              .qmax = p.qmax})};
    const int q = graph_.add_node(name + "_quantize", quantize, {x, p.scale, p.zero_point});
    return constants_.dequantize(name + "_dequantize", output_of(q), p.scale, p.zero_point);
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

  void convert_layer(int n) {
    const Graph::Node& node = before_.node(n);
    const auto source = parameters_.find(node.inputs[0]);
    PARE_CHECK(source != parameters_.end(), invalid_state, "convert",
               "expected an observed input of '{}', got '{}'", node.name,
               before_.value(node.inputs[0]).name);
    int norm = batch_norm_after(before_, uses_, n);
    if (norm >= 0 && before_.metadata().count(kFloatKey + before_.node(norm).name) != 0) norm = -1;
    const LayerWeights layer = weights_.read(n, norm, source->second.number.scale);
    if (norm >= 0) {
      graph_.replace_uses(before_.node(norm).outputs[0], node.outputs[0]);
      report_.add_folded(before_.node(norm).name, node.name);
    }
    if (layer.group_size > 0) return convert_groups(n, layer);
    const LayerCodes codes = code_layer(layer);
    const auto weight = at(node.call.op->quantization.weight_input);
    graph_.edit_node(n).inputs[weight] = constants_.add_weight(weights_.name(n), codes, layer.axis);
    if (codes.bias.defined())
      set_input(n, at(node.call.op->quantization.bias_input),
                constants_.add_bias(bias_name(node), codes));
    report_.add_layer(node.name, layer, WeightReader::bias_of(node) >= 0, codes);
  }

  // What a layer's bias is called: the name of its own, behind its rounding too.
  std::string bias_name(const Graph::Node& node) const {
    int bias = WeightReader::bias_of(node);
    if (bias >= 0 && !before_.value(bias).is_leaf() &&
        before_.node(before_.value(bias).producer).call.op == &kRoundBias)
      bias = before_.node(before_.value(bias).producer).inputs[0];
    const bool own = bias >= 0 && before_.value(bias).is_leaf();
    return own ? before_.value(bias).name : node.name + ".bias";
  }

  // Codes with a scale for each group, which no integers are multiplied with.
  void convert_groups(int n, const LayerWeights& layer) {
    const Graph::Node& node = before_.node(n);
    const auto input = at(node.call.op->quantization.weight_input);
    const Shape& weight = before_.value(node.inputs[input]).shape;
    const WeightGroups groups(node, weight, layer.group_size);
    const StoredWeight stored = stored_groups(groups, layer, code_layer(layer));
    if (!layer.float_bias.empty()) {
      const std::vector<float> values(layer.float_bias.begin(), layer.float_bias.end());
      set_input(n, at(node.call.op->quantization.bias_input),
                graph_.add_leaf(Graph::Kind::constant, bias_name(node),
                                Tensor::from(values, {static_cast<std::int64_t>(values.size())})));
    }
    set_input(n, input, constants_.add_stored(weights_.name(n), stored, groups.attributes()));
    report_.add_groups(node.name, layer, weight, stored,
                       "computed in float: its weights have a scale for each group");
  }

  // Weights of recurrent layers and tables that trained for `dynamic`.
  void convert_rows(int n) {
    const Graph::Node& node = before_.node(n);
    for (const std::size_t input : row_weights(node)) {
      const int quantizer = weights_.rows_quantizer(node.inputs[input]);
      if (quantizer < 0) continue;
      if (!is_table(node)) weights_.check_leaves(node);
      auto [found, fresh] = rows_.emplace(std::pair{quantizer, is_table(node)}, -1);
      if (fresh) {
        const LayerWeights layer = weights_.read_rows(node.name, quantizer);
        const LayerCodes codes = code_layer(layer);
        const std::string name = weights_.name_of(before_.node(quantizer).inputs[0]);
        found->second =
            is_table(node) ? add_table(name, codes) : constants_.add_weight(name, codes, 0);
        report_.add_rows(node.name, layer, codes);
      }
      graph_.edit_node(n).inputs[input] = found->second;
    }
  }

  int add_table(const std::string& name, const LayerCodes& codes) {
    return constants_.add_stored(name, {codes.weight, codes.scale, codes.zero_point},
                                 {.axis = codes.scale.rank() == 0 ? -1 : 0});
  }

  void set_input(int n, std::size_t input, int value) {
    std::vector<int>& inputs = graph_.edit_node(n).inputs;
    if (inputs.size() <= input) inputs.resize(input + 1, -1);
    inputs[input] = value;
  }

  const Graph prepared_;
  Graph graph_;
  const Graph before_;
  const Uses uses_;
  const std::vector<bool> leaf_;  // per value
  LeafEvaluator evaluate_;
  WeightReader weights_;
  const ConvertOptions& options_;
  CodeConstants constants_{graph_};
  ReportBuilder report_;
  std::map<int, Observed> observed_;          // by the observer's output
  std::map<int, Parameters> parameters_;      // by value
  std::vector<bool> wanted_;                  // per value
  std::map<std::pair<int, bool>, int> rows_;  // by quantizer, for tables and for others
};

}  // namespace

Converted convert(const Graph& prepared, const ConvertOptions& options) {
  return Converter(prepared, options).run();
}

}  // namespace pare::quantize
