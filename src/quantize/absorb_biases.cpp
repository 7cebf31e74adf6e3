// absorb_biases: statistics of layers' results, and constants that move from bias to bias.
#include "pare/quantize/absorb_biases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/check.h"
#include "core/ops/convolution.h"
#include "core/ops/pooling.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "quantize/channel_means.h"
#include "quantize/channel_paths.h"
#include "quantize/float_graph.h"
#include "quantize/measured_batch.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "absorb_biases";

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Sums over the elements of each channel.
struct Sums {
  std::vector<double> sum, square;
  double count = 0;

  void add(const Tensor& result, int axis, const std::string& layer) {
    const Tensor plain = result.to(MemoryFormat::row_major);
    if (axis < 0) axis += plain.rank();
    const std::int64_t channels = plain.dim(axis);
    const std::int64_t inner = plain.shape().elements(axis + 1, plain.rank());
    sum.resize(at(channels), 0);
    square.resize(at(channels), 0);
    const float* x = plain.data<float>();
    for (std::int64_t e = 0; e < plain.elements(); ++e) {
      const auto v = static_cast<double>(x[e]);
      sum[at(e / inner % channels)] += v;
      square[at(e / inner % channels)] += v * v;
    }
    count += static_cast<double>(plain.elements() / std::max<std::int64_t>(channels, 1));
    for (const double s : square)
      PARE_CHECK(std::isfinite(s), invalid_argument, layer,
                 "expected finite results on the data, got NaN or infinity");
  }
  ChannelDistribution distribution() const {
    ChannelDistribution d;
    for (std::size_t c = 0; c < sum.size(); ++c) {
      const double mean = sum[c] / count;
      d.mean.push_back(mean);
      d.deviation.push_back(std::sqrt(std::max(0.0, square[c] / count - mean * mean)));
    }
    return d;
  }
};

ChannelStatistics of_data(Graph graph, const std::vector<ChannelPath>& paths, const Batches& data) {
  std::map<int, Sums> sums;  // by the layer's result
  std::map<int, int> layers;
  for (const ChannelPath& path : paths) layers[graph.node(path.first).outputs[0]] = path.first;
  for (std::int64_t b = 0; b < data.count; ++b)
    graph.run_visiting(
        measured_batch(graph, data, b, kWhere), [&](int value, const Tensor& tensor) {
          const auto layer = layers.find(value);
          if (layer == layers.end()) return;
          const Graph::Node& node = graph.node(layer->second);
          const LayerChannels channels = layer_channels(node, graph.value(node.inputs[1]).shape);
          sums[value].add(tensor, channels.axis, node.name);
        });
  ChannelStatistics result;
  for (const auto& [value, all] : sums)
    if (all.count > 0) result[graph.node(layers.at(value)).name] = all.distribution();
  return result;
}

template <class Attributes> bool is_unpadded(const Attributes& a) {
  return std::all_of(a.padding.begin(), a.padding.end(), [](std::int64_t p) { return p == 0; });
}

bool keeps_shift_pooling(const Call& call) {
  const auto plain = [](const auto& a) { return is_unpadded(a) && a.divisor_override == 0; };
  if (call.op == &kAveragePool1d) return plain(call.attributes.as<Pool1dAttributes>());
  if (call.op == &kAveragePool2d) return plain(call.attributes.as<Pool2dAttributes>());
  if (call.op == &kAveragePool3d) return plain(call.attributes.as<Pool3dAttributes>());
  return is_pool(call.op);
}

bool bends(const OpDef* op) { return op == &kRelu || op == &kLeakyRelu || op == &kPrelu; }

// f(x + c) = f(x) + c for a constant c of each channel, for what bends where x ≥ 0.
bool keeps_shift(const Call& call) {
  if (is_pool(call.op)) return keeps_shift_pooling(call);
  for (const OpDef* op : {&kDropout, &kDetach, &kToFormat, &kMax, &kMin, &kMean, &kReshape,
                          &kTranspose, &kSlice, &kConcat, &kExpand})
    if (call.op == op) return true;
  return bends(call.op);
}

class Absorber {
 public:
  Absorber(const Graph& graph, const AbsorptionOptions& options)
      : options_(options),
        graph_(fold_batch_norm(graph.share()).graph),
        found_(find_channel_paths(graph_, false)),
        known_(options.data         ? of_data(graph_.share(), found_.paths, *options.data)
               : options.statistics ? *options.statistics
                                    : batch_norm_statistics(graph)) {}

  AbsorptionReport run() {
    report_.left = found_.left;
    for (const ChannelPath& path : found_.paths) {
      const std::string& name = graph_.node(path.first).name;
      if (const std::string why = obstacle(path); !why.empty())
        report_.left.push_back({name, why});
      else
        absorb(path, known_.at(name));
    }
    graph_.compact();
    graph_.verify();
    return std::move(report_);
  }

  Graph take() { return std::move(graph_); }

  ChannelStatistics shifted(ChannelStatistics statistics) const {
    for (const auto& [name, given] : given_)
      if (const auto found = statistics.find(name); found != statistics.end()) {
        check_channels(found->second, static_cast<std::int64_t>(given.size()), name);
        for (std::size_t c = 0; c < given.size(); ++c) found->second.mean[c] -= given[c];
      }
    return statistics;
  }

 private:
  static bool has_padding(const Call& call) {
    if (is_conv_transpose(call.op)) return true;  // its borders get fewer products
    if (call.op == &kConv1d) return !is_unpadded(call.attributes.as<Conv1dAttributes>());
    if (call.op == &kConv2d) return !is_unpadded(call.attributes.as<Conv2dAttributes>());
    return call.op == &kConv3d && !is_unpadded(call.attributes.as<Conv3dAttributes>());
  }

  std::string obstacle(const ChannelPath& path) const {
    const Graph::Node& second = graph_.node(path.second);
    for (const int layer : {path.first, path.second})
      if (graph_.node(layer).call.op->quantization.bias_input < 0)
        return fmt::format("'{}' ({}) has no bias", graph_.node(layer).name,
                           graph_.node(layer).call.op->name);
    if (has_padding(second.call))
      return fmt::format("the padding of '{}' would not be shifted", second.name);
    for (const int n : path.between)
      if (!keeps_shift(graph_.node(n).call))
        return fmt::format("'{}' ({}) does not keep shifts of channels", graph_.node(n).name,
                           graph_.node(n).call.op->name);
    if (known_.count(graph_.node(path.first).name) == 0) return "no batch norm is behind it";
    return "";
  }

  // Of the layer's weight and bias, which all that it gives and takes goes through.
  void check_finite(int n) const {
    const Graph::Node& node = graph_.node(n);
    const auto bias = static_cast<std::size_t>(node.call.op->quantization.bias_input);
    for (const std::size_t input : {std::size_t{1}, bias}) {
      if (input >= node.inputs.size() || node.inputs[input] < 0) continue;
      const int value = node.inputs[input];
      if (!leaf_values(graph_)[at(value)]) continue;
      for (const float v : LeafEvaluator(graph_)(value).to_vector<float>())
        PARE_CHECK(std::isfinite(v), invalid_argument, node.name,
                   "expected finite weights and biases, got {} in '{}'", v,
                   graph_.value(value).name);
    }
  }

  void absorb(const ChannelPath& path, const ChannelDistribution& known) {
    check_finite(path.first);
    check_finite(path.second);
    const bool bent = std::any_of(path.between.begin(), path.between.end(),
                                  [&](int n) { return bends(graph_.node(n).call.op); });
    const Graph::Node& layer = graph_.node(path.first);
    check_channels(known, layer_channels(layer, graph_.value(layer.inputs[1]).shape).outputs,
                   layer.name);
    AbsorptionReport::Pair pair{graph_.node(path.first).name, graph_.node(path.second).name};
    std::vector<double> given(known.mean.size(), 0);
    // What nobody reads is left alone.
    for (const std::int64_t c : path.channel)
      if (c >= 0)
        given[at(c)] =
            bent ? std::max(0.0, known.mean[at(c)] - options_.deviations * known.deviation[at(c)])
                 : known.mean[at(c)];
    for (const double c : given) {
      pair.channels += c != 0 ? 1 : 0;
      pair.largest = std::max(pair.largest, std::fabs(c));
    }
    report_.pairs.push_back(pair);
    if (pair.channels == 0) return;
    given_[pair.first] = given;
    std::vector<float> taken;
    for (const double c : given) taken.push_back(static_cast<float>(-c));
    const auto size = static_cast<std::int64_t>(taken.size());
    add_to_bias(path.first, graph_.add_leaf(Graph::Kind::constant, pair.first + ".bias.absorbed",
                                            Tensor::from(taken, {size})));
    std::vector<double> received(path.channel.size(), 0);
    for (std::size_t i = 0; i < received.size(); ++i)
      if (path.channel[i] >= 0) received[i] = given[at(path.channel[i])];
    add_to_bias(path.second, result_of_constants(path.second, received));
  }

  // Per output channel what the layer makes of a constant for each input channel.
  int result_of_constants(int n, const std::vector<double>& constants) {
    const Graph::Node node = graph_.node(n);
    const Shape shape = graph_.value(node.inputs[1]).shape;
    const LayerChannels layer = layer_channels(node, shape);
    const int leaf = graph_.add_leaf(Graph::Kind::constant, node.name + ".bias.given",
                                     channel_factors(layer, constants, false, shape.rank()));
    const int products =
        output_of(graph_.add_node(node.name + ".bias.shifts", {&kMul, {}}, {node.inputs[1], leaf}));
    ReduceAttributes all_inputs;
    for (int a = 1; a < shape.rank(); ++a) all_inputs.axes.push_back(a);
    return output_of(graph_.add_node(node.name + ".bias.shift", {&kSum, Attributes::of(all_inputs)},
                                     {products}));
  }

  void add_to_bias(int n, int value) {
    quantize::add_to_bias(graph_, n, value, graph_.node(n).name + ".bias.sum");
  }

  int output_of(int node) const { return graph_.node(node).outputs[0]; }

  const AbsorptionOptions& options_;
  Graph graph_;
  const ChannelPaths found_;
  const ChannelStatistics known_;
  std::map<std::string, std::vector<double>> given_;  // by layer: what its channels gave away
  AbsorptionReport report_;
};

}  // namespace

std::string to_string(const AbsorptionReport& report) {
  std::string text =
      fmt::format("{:<32} {:<32} {:>8} {:>11}\n", "layer", "next", "channels", "largest");
  for (const AbsorptionReport::Pair& pair : report.pairs)
    text += fmt::format("{:<32} {:<32} {:>8} {:>11.4g}\n", pair.first, pair.second, pair.channels,
                        pair.largest);
  for (const PassReport::Line& line : report.left)
    text += fmt::format("{:<32} left: {}\n", line.node, line.text);
  return text;
}

AbsorptionReport absorb_biases(Graph& graph, const AbsorptionOptions& options) {
  PARE_CHECK(options.deviations >= 0 && std::isfinite(options.deviations), invalid_argument, kWhere,
             "expected deviations from 0, got {}", options.deviations);
  PARE_CHECK(!options.data || (options.data->count > 0 && options.data->get), invalid_argument,
             kWhere, "expected at least one batch of data, got none");
  check_float(graph, kWhere);
  ContextScope scope;
  scope->grad = scope->training = scope->observing = false;
  Absorber absorber(graph, options);
  AbsorptionReport report = absorber.run();
  if (options.statistics) *options.statistics = absorber.shifted(*options.statistics);
  graph = absorber.take();
  return report;
}

}  // namespace pare::quantize
