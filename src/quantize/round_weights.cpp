// round_weights: layer by layer, the codes and biases that leave its output as it was.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "core/quantize_math.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/core/ops/observe.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/rounding.h"
#include "pare/runtime/compile.h"
#include "quantize/layer_moments.h"
#include "quantize/ranges.h"
#include "quantize/round_codes.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "round_weights";
// Moments of more columns take longer than they are worth: 4096² doubles are 128 MB.
constexpr std::int64_t kLargestColumns = 4096;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

double decibels(double signal, double noise) {
  constexpr double kTiny = 1e-30;
  return 10 * std::log10(std::max(signal, kTiny) / std::max(noise, kTiny));
}

void check_options(const Batches& data, const RoundingOptions& options) {
  PARE_CHECK(data.count > 0 && data.get, invalid_argument, kWhere,
             "expected at least one batch of calibration data, got none");
  PARE_CHECK(options.places > 0, invalid_argument, kWhere,
             "expected at least one place per sample, got {}", options.places);
  PARE_CHECK(options.damping > 0 && options.damping <= 1e6, invalid_argument, kWhere,
             "expected a damping above 0, got {}", options.damping);
}

void check_prepared(const Graph& prepared) {
  bool any = false;
  for (const Graph::Node& node : prepared.nodes()) {
    PARE_CHECK(node.call.op != &kObserveFakeQuantize, invalid_state, kWhere,
               "expected a graph from prepare, got one from prepare_qat (node '{}')", node.name);
    any = any || is_observer(node);
  }
  PARE_CHECK(any, invalid_state, kWhere,
             "expected a graph from prepare, got one without observers");
}

// The float network that was prepared: without observers and fake-quantization.
Graph float_form(const Graph& prepared) {
  Graph graph = prepared.share();
  const auto nodes = static_cast<int>(graph.nodes().size());
  for (int n = 0; n < nodes; ++n) {
    const Graph::Node& node = graph.node(n);
    if (is_observer(node) || node.call.op == &kFakeQuantize)
      graph.replace_uses(node.outputs[0], node.inputs[0]);
  }
  graph.compact();
  return graph;
}

// The part of a graph that gives what the layer reads.
Plan plan_before(const Graph& graph, const std::string& layer) {
  Graph part = graph.share();
  const int node = part.find_node(layer);
  PARE_ASSERT(node >= 0);
  part.set_outputs({part.node(node).inputs[0]});
  part.compact();
  return compile(std::move(part));
}

class Rounding {
 public:
  Rounding(const Graph& prepared, const Batches& data, const RoundingOptions& options)
      : data_(data), options_(options), float_(float_form(prepared)), graph_(prepared.copy()) {}

  Rounded run() {
    std::vector<std::string> names;
    for (const Graph::Node& node : graph_.nodes())
      if (quantizer_of(node) >= 0) names.push_back(node.name);
    RoundingProgress progress{"", 0, static_cast<std::int64_t>(names.size())};
    bool stopped = false;
    for (const std::string& name : names) {
      progress.layer = name;
      stopped = stopped || (options_.progress && !options_.progress(progress));
      const Graph::Node& node = graph_.node(graph_.find_node(name));
      report_.layers.push_back({.name = name, .op = node.call.op->name});
      if (stopped)
        report_.layers.back().note = "stopped before it";
      else
        fit(name, report_.layers.back());
      ++progress.done;
    }
    graph_.verify();
    return {std::move(graph_), std::move(report_)};
  }

 private:
  // The fake_quantize of a weight; −1: none.
  int quantizer_of(const Graph::Node& node) const {
    const int weight = node.call.op->quantization.weight_input;
    if (weight < 0 || at(weight) >= node.inputs.size() || node.inputs[at(weight)] < 0) return -1;
    const int producer = graph_.value(node.inputs[at(weight)]).producer;
    if (producer < 0 || graph_.node(producer).call.op != &kFakeQuantize) return -1;
    return leaf_values(graph_)[at(node.inputs[at(weight)])] ? producer : -1;
  }

  LayerMoments moments_of(const Graph::Node& node, const Tensor& weight) const {
    const Plan quantized = plan_before(convert(graph_).graph, node.name);
    const Plan reference = plan_before(float_, node.name);
    LayerMoments moments(node, weight, options_.places, options_.seed);
    for (std::int64_t b = 0; b < data_.count; ++b) {
      const Tensors inputs = data_.get(b);
      moments.add(quantized.run(inputs)[0], reference.run(inputs)[0]);
    }
    return moments;
  }

  void fit(const std::string& name, RoundingReport::Layer& line) {
    const int n = graph_.find_node(name);
    const Graph::Node node = graph_.node(n);
    const Graph::Node quantizer = graph_.node(quantizer_of(node));
    LeafEvaluator evaluate(graph_);
    const Tensor weight = evaluate(quantizer.inputs[0]);
    const auto& a = quantizer.call.attributes.as<FakeQuantizeAttributes>();
    const LayerForm form = layer_form(node, weight.shape());
    if (form.columns == 0 || form.columns > kLargestColumns) {
      line.note = form.columns == 0 ? fmt::format("{} is not fitted", node.call.op->name)
                                    : fmt::format("{} columns are too many", form.columns);
      return;
    }
    const LayerMoments moments = moments_of(node, weight);
    PARE_CHECK(moments.places() > 0, invalid_argument, kWhere,
               "expected calibration data with samples, got none at '{}'", name);

    const std::vector<double> w = weight_rows(node, weight);
    const std::vector<float> scales = evaluate(quantizer.inputs[1]).to_vector<float>();
    const int bias_input = node.call.op->quantization.bias_input;
    const bool has_bias =
        bias_input >= 0 && at(bias_input) < node.inputs.size() && node.inputs[at(bias_input)] >= 0;
    std::vector<float> bias(scales.size(), 0);
    if (has_bias) bias = evaluate(node.inputs[at(bias_input)]).to_vector<float>();
    const bool correct = options_.correct_bias && bias_input >= 0;

    std::vector<float> rows(w.size()), chosen(scales.size());
    for (std::int64_t g = 0; g < form.groups; ++g)
      fit_group({moments.group(g), form, g, a.qmax, correct}, w, scales, rows, chosen, bias, line);
    line.before = decibels(signal_, noise_before_);
    line.after = decibels(signal_, noise_after_);
    line.weights = static_cast<std::int64_t>(w.size());
    line.fitted = true;
    signal_ = noise_before_ = noise_after_ = 0;
    set_layer(n, weight_from_rows(node, weight.shape(), rows), chosen,
              correct ? Tensor::from(bias, {static_cast<std::int64_t>(bias.size())}) : Tensor());
  }

  struct GroupOf {
    LayerMoments::Group moments;
    LayerForm form;
    std::int64_t index;
    std::int64_t qmax;
    bool correct;
  };

  void fit_group(GroupOf group, const std::vector<double>& w, const std::vector<float>& scales,
                 std::vector<float>& rows, std::vector<float>& chosen, std::vector<float>& bias,
                 RoundingReport::Layer& line) {
    const std::int64_t k = group.form.columns;
    const std::int64_t first = group.index * group.form.rows;
    LayerMoments::Group& m = group.moments;
    // The errors' means apart, which the bias takes.
    SquareMatrix own = m.own, cross = m.cross;
    for (std::int64_t i = 0; i < k; ++i)
      for (std::int64_t j = 0; j < k; ++j) {
        const double mean = group.correct ? m.mean[at(i)] : 0;
        own.row(i)[j] -= mean * m.mean[at(j)];
        cross.row(i)[j] -= mean * m.wanted[at(j)];
      }
    SquareMatrix difference = cross;
    for (std::size_t i = 0; i < own.data.size(); ++i) difference.data[i] -= own.data[i];
    SquareMatrix damped = own;
    double trace = 0;
    for (std::int64_t i = 0; i < k; ++i) trace += own.row(i)[i];
    const double damping = trace > 0 ? options_.damping * trace / static_cast<double>(k) : 1.0;
    for (std::int64_t i = 0; i < k; ++i) damped.row(i)[i] += damping;

    const std::vector<double> weights(w.begin() + first * k,
                                      w.begin() + (first + group.form.rows) * k);
    const std::vector<float> given(scales.begin() + first,
                                   scales.begin() + first + group.form.rows);
    RoundedRows result{std::vector<double>(weights.size()), given};
    const auto limit = static_cast<float>(group.qmax);
    std::vector<double> nearest(weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i)
      nearest[i] = static_cast<double>(
          centred_code(static_cast<float>(weights[i]), given[i / at(k)], -limit, limit));
    result.codes = nearest;
    if (options_.round_weights)
      result = round_rows({damped, group.qmax, options_.search_scales},
                          shifted_targets(damped, difference, weights), given);

    for (std::int64_t r = 0; r < group.form.rows; ++r) {
      const double* wr = weights.data() + r * k;
      std::vector<double> before(at(k)), after(at(k));
      double shift = 0;
      for (std::int64_t i = 0; i < k; ++i) {
        const std::size_t e = at(r * k + i);
        before[at(i)] = static_cast<double>(given[at(r)]) * nearest[e];
        rows[at(first * k) + e] = result.scales[at(r)] * static_cast<float>(result.codes[e]);
        after[at(i)] = static_cast<double>(rows[at(first * k) + e]);
        line.changed += nearest[e] == result.codes[e] ? 0 : 1;
        shift += wr[i] * m.wanted[at(i)] - after[at(i)] * m.mean[at(i)];
      }
      chosen[at(first + r)] = result.scales[at(r)];
      double mean = 0;
      for (std::int64_t i = 0; i < k; ++i) mean += wr[i] * m.wanted[at(i)];
      const auto error = [&](const std::vector<double>& q) {
        double mixed = 0;
        for (std::int64_t i = 0; i < k; ++i)
          mixed += q[at(i)] * std::inner_product(wr, wr + k, m.cross.row(i), 0.0);
        return std::max(0.0, m.power[at(r)] - 2 * mixed + quadratic(m.own, q.data()));
      };
      signal_ += m.power[at(r)] - mean * mean;
      noise_before_ += error(before);
      noise_after_ += error(after) - (group.correct ? shift * shift : 0);
      if (!group.correct) continue;
      bias[at(first + r)] += static_cast<float>(shift);
      line.largest_shift = std::max(line.largest_shift, std::fabs(shift));
    }
  }

  // Puts a new leaf in the place of an input; it takes over the name of what nobody reads then.
  void replace_input(int node, std::size_t input, const Tensor& tensor, const std::string& name) {
    const int leaf = graph_.add_leaf(Graph::Kind::constant, name + "_rounded", tensor);
    std::vector<int>& inputs = graph_.edit_node(node).inputs;
    if (inputs.size() <= input) inputs.resize(input + 1, -1);
    inputs[input] = leaf;
  }

  const std::string& input_name(int node, int input) const {
    return graph_.value(graph_.node(node).inputs[at(input)]).name;
  }

  void set_layer(int n, const Tensor& weight, const std::vector<float>& scales,
                 const Tensor& bias) {
    const int q = quantizer_of(graph_.node(n));
    const int bias_input = graph_.node(n).call.op->quantization.bias_input;
    std::vector<std::string> wished{input_name(q, 0), input_name(q, 1)};
    replace_input(q, 0, weight, wished[0]);
    replace_input(q, 1, Tensor::from(scales, {static_cast<std::int64_t>(scales.size())}),
                  wished[1]);
    if (bias.defined()) {
      const std::vector<int>& inputs = graph_.node(n).inputs;
      const bool own = at(bias_input) < inputs.size() && inputs[at(bias_input)] >= 0 &&
                       graph_.value(inputs[at(bias_input)]).is_leaf();
      wished.push_back(own ? input_name(n, bias_input) : graph_.node(n).name + ".bias");
      replace_input(n, at(bias_input), bias, wished[2]);
    }
    graph_.compact();
    for (const std::string& name : wished)
      if (const int leaf = graph_.find_value(name + "_rounded");
          leaf >= 0 && graph_.find_value(name) < 0)
        graph_.edit_value(leaf).name = name;
  }

  const Batches& data_;
  const RoundingOptions& options_;
  Graph float_;
  Graph graph_;
  RoundingReport report_;
  double signal_ = 0, noise_before_ = 0, noise_after_ = 0;
};

}  // namespace

std::string to_string(const RoundingReport& report) {
  std::string text = fmt::format("{:<40} {:>12} {:>10} {:>10} {:>10}  {}\n", "layer", "op",
                                 "before", "after", "changed", "note");
  for (const RoundingReport::Layer& line : report.layers) {
    if (!line.fitted) {
      text += fmt::format("{:<40} {:>12} {:>10} {:>10} {:>10}  {}\n", line.name, line.op, "", "",
                          "", line.note);
      continue;
    }
    const double share = static_cast<double>(line.changed) / static_cast<double>(line.weights);
    text += fmt::format("{:<40} {:>12} {:>7.2f} dB {:>7.2f} dB {:>9.1f}%  {}\n", line.name, line.op,
                        line.before, line.after, 100 * share, line.note);
  }
  return text;
}

Rounded round_weights(const Graph& prepared, const Batches& data, const RoundingOptions& options) {
  check_options(data, options);
  check_prepared(prepared);
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  return Rounding(prepared, data, options).run();
}

}  // namespace pare::quantize
