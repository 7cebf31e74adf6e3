// equalize: finds factors of channels that make the weights on both sides of a value equal in
// range, and puts them into the weights' expressions.
#include "pare/quantize/equalize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "quantize/channel_means.h"
#include "quantize/channel_paths.h"
#include "quantize/float_graph.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "equalize";

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class Equalizer {
 public:
  Equalizer(const Graph& graph, const EqualizeOptions& options)
      : options_(options),
        graph_(fold_batch_norm(graph.share()).graph),
        found_(find_channel_paths(graph_, options.relu6_as_relu)) {}

  EqualizationReport run() {
    for (const ChannelPath& path : found_.paths) {
      add_layer(path.first);
      add_layer(path.second);
    }
    for (const ChannelPath& path : found_.paths) add_pair(path);
    report_.left = found_.left;
    report_.converged = found_.paths.empty();
    while (!report_.converged && report_.rounds < options_.rounds) {
      double change = 0;
      for (std::size_t p = 0; p < found_.paths.size(); ++p)
        change = std::max(change, equalize_pair(p));
      ++report_.rounds;
      report_.converged = change <= options_.tolerance;
    }
    for (std::size_t p = 0; p < found_.paths.size(); ++p) finish_pair(p);
    for (auto& [node, layer] : layers_) put_factors(node, layer);
    graph_.compact();
    graph_.verify();
    return std::move(report_);
  }

  Graph take() { return std::move(graph_); }

  ChannelStatistics divided(ChannelStatistics statistics) const {
    for (const auto& [name, factors] : factors_) {
      const auto found = statistics.find(name);
      if (found == statistics.end()) continue;
      check_channels(found->second, static_cast<std::int64_t>(factors.size()), name);
      for (std::size_t c = 0; c < factors.size(); ++c) {
        found->second.mean[c] *= factors[c];
        found->second.deviation[c] *= factors[c];
      }
    }
    return statistics;
  }

 private:
  struct Layer {
    LayerChannels channels;
    std::vector<double> largest = {};  // of the taps of each pair of channels, by magnitude
    std::vector<double> of_outputs = {}, of_inputs = {};  // factors
    // What counts as the range of channels whose weights are next to nothing; 0 of others.
    std::vector<double> least_output = {}, least_input = {};
  };
  // The largest weights of each channel of the first layer, on both sides.
  struct Ranges {
    std::vector<double> first, second;
  };

  void add_layer(int n) {
    const Graph::Node& node = graph_.node(n);
    const int weight = node.inputs[1];
    Layer layer{layer_channels(node, graph_.value(weight).shape)};
    if (!layers_.emplace(n, layer).second) return;
    const LayerChannels& c = layer.channels;
    const std::vector<float> w = LeafEvaluator(graph_)(weight).to_vector<float>();
    Layer& added = layers_.at(n);
    added.of_outputs.assign(at(c.outputs), 1);
    added.of_inputs.assign(at(c.inputs), 1);
    added.least_output.assign(at(c.outputs), 0);
    added.least_input.assign(at(c.inputs), 0);
    added.largest.assign(at(c.rows() * c.columns()), 0);
    for (std::size_t i = 0; i < w.size(); ++i) {
      PARE_CHECK(std::isfinite(w[i]), invalid_argument, node.name,
                 "expected finite weights, got {} at element {}", w[i], i);
      double& largest = added.largest[i / at(c.taps)];
      largest = std::max(largest, static_cast<double>(std::fabs(w[i])));
    }
  }

  Ranges ranges_of(const ChannelPath& path) const {
    const Layer& first = layers_.at(path.first);
    const Layer& second = layers_.at(path.second);
    const auto size = [](const Layer& layer, std::int64_t o, std::int64_t i, std::int64_t k) {
      return layer.largest[at(k)] * layer.of_outputs[at(o)] * layer.of_inputs[at(i)];
    };
    Ranges ranges{first.least_output, std::vector<double>(at(first.channels.outputs), 0)};
    for (std::size_t o = 0; o < ranges.first.size(); ++o) ranges.first[o] *= first.of_outputs[o];
    first.channels.for_each_pair([&](std::int64_t o, std::int64_t i, std::int64_t k) {
      ranges.first[at(o)] = std::max(ranges.first[at(o)], size(first, o, i, k));
    });
    const auto widen = [&](std::int64_t i, double range) {
      if (path.channel[at(i)] < 0) return;
      double& known = ranges.second[at(path.channel[at(i)])];
      known = std::max(known, range);
    };
    for (std::int64_t i = 0; i < second.channels.inputs; ++i)
      widen(i, second.least_input[at(i)] * second.of_inputs[at(i)]);
    second.channels.for_each_pair(
        [&](std::int64_t o, std::int64_t i, std::int64_t k) { widen(i, size(second, o, i, k)); });
    return ranges;
  }

  double largest_ratio(std::size_t p) const {
    const Ranges ranges = ranges_of(found_.paths[p]);
    double largest = 1;
    for (const std::size_t c : channels_[p])
      largest = std::max(
          {largest, ranges.first[c] / ranges.second[c], ranges.second[c] / ranges.first[c]});
    return largest;
  }

  // Channels with weights that count on both sides. The others get a range: in the first layer that
  // of the bias, which is all that such a channel gives, and which a factor that made up for the
  // weights would blow up.
  std::vector<std::size_t> channels_with_weights(const ChannelPath& path) {
    const Ranges ranges = ranges_of(path);
    const auto least = [&](const std::vector<double>& side) {
      return options_.negligible * *std::max_element(side.begin(), side.end());
    };
    const double first = least(ranges.first), second = least(ranges.second);
    const Graph::Node& node = graph_.node(path.first);
    std::vector<float> bias(ranges.first.size(), 0);
    if (node.inputs.size() > 2 && node.inputs[2] >= 0)
      bias = LeafEvaluator(graph_)(node.inputs[2]).to_vector<float>();
    std::vector<std::size_t> channels;
    for (std::size_t c = 0; c < ranges.first.size(); ++c) {
      if (ranges.first[c] <= first)
        layers_.at(path.first).least_output[c] =
            std::max(first, static_cast<double>(std::fabs(bias[c])));
      if (ranges.first[c] > first && ranges.second[c] > second) channels.push_back(c);
    }
    std::vector<double>& least_input = layers_.at(path.second).least_input;
    for (std::size_t i = 0; i < least_input.size(); ++i)
      if (path.channel[i] >= 0 && ranges.second[at(path.channel[i])] <= second)
        least_input[i] = second;
    return channels;
  }

  void add_pair(const ChannelPath& path) {
    channels_.push_back(channels_with_weights(path));
    EqualizationReport::Pair pair{.first = graph_.node(path.first).name,
                                  .second = graph_.node(path.second).name,
                                  .channels = static_cast<std::int64_t>(channels_.back().size()),
                                  .before = largest_ratio(channels_.size() - 1)};
    for (const int n : path.clips) pair.replaced.push_back(graph_.node(n).name);
    report_.pairs.push_back(std::move(pair));
  }

  // Gives how far a factor changed.
  double equalize_pair(std::size_t p) {
    const ChannelPath& path = found_.paths[p];
    const Ranges ranges = ranges_of(path);
    std::vector<double> divisors(ranges.first.size(), 1);
    double change = 0;
    for (std::size_t c = 0; c < divisors.size(); ++c) {
      if (ranges.first[c] <= 0 || ranges.second[c] <= 0) continue;
      divisors[c] = std::sqrt(ranges.first[c] / ranges.second[c]);
      change = std::max(change, std::fabs(std::log(divisors[c])));
    }
    std::vector<double>& outputs = layers_.at(path.first).of_outputs;
    for (std::size_t c = 0; c < divisors.size(); ++c) outputs[c] /= divisors[c];
    std::vector<double>& inputs = layers_.at(path.second).of_inputs;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (path.channel[i] >= 0) inputs[i] *= divisors[at(path.channel[i])];
    return change;
  }

  void finish_pair(std::size_t p) {
    const ChannelPath& path = found_.paths[p];
    EqualizationReport::Pair& pair = report_.pairs[p];
    pair.after = largest_ratio(p);
    for (const double f : layers_.at(path.first).of_outputs) {
      pair.smallest = std::min(pair.smallest, 1 / f);
      pair.largest = std::max(pair.largest, 1 / f);
    }
    for (const int n : path.clips) graph_.edit_node(n).call = {&kRelu, {}};
  }

  static bool all_one(const std::vector<double>& factors) {
    return std::all_of(factors.begin(), factors.end(), [](double f) { return f == 1; });
  }

  int multiplied(const std::string& name, int value, Tensor factors) {
    const int leaf = graph_.add_leaf(Graph::Kind::constant, name + ".factor", std::move(factors));
    return graph_.node(graph_.add_node(name + ".equalized", {&kMul, {}}, {value, leaf})).outputs[0];
  }

  int multiplied_weight(int n, const Layer& layer, bool outputs) {
    const Graph::Node& node = graph_.node(n);
    const std::vector<double>& factors = outputs ? layer.of_outputs : layer.of_inputs;
    const int weight = node.inputs[1];
    if (all_one(factors)) return weight;
    return multiplied(
        node.name + ".weight", weight,
        channel_factors(layer.channels, factors, outputs, graph_.value(weight).shape.rank()));
  }

  void put_factors(int n, const Layer& layer) {
    factors_[graph_.node(n).name] = layer.of_outputs;
    for (const bool outputs : {true, false}) {
      const int weight = multiplied_weight(n, layer, outputs);
      graph_.edit_node(n).inputs[1] = weight;
    }
    const Graph::Node& node = graph_.node(n);
    if (node.inputs.size() < 3 || node.inputs[2] < 0 || all_one(layer.of_outputs)) return;
    const std::vector<float> factors(layer.of_outputs.begin(), layer.of_outputs.end());
    const int bias = multiplied(node.name + ".bias", node.inputs[2],
                                Tensor::from(factors, {layer.channels.outputs}));
    graph_.edit_node(n).inputs[2] = bias;
  }

  const EqualizeOptions& options_;
  Graph graph_;
  const ChannelPaths found_;
  std::vector<std::vector<std::size_t>> channels_ = {};  // by path: with weights on both sides
  std::map<int, Layer> layers_;                          // by node
  std::map<std::string, std::vector<double>> factors_;   // of the results, by layer
  EqualizationReport report_;
};

}  // namespace

std::string to_string(const EqualizationReport& report) {
  std::string text =
      fmt::format("{:<32} {:<32} {:>8} {:>11} {:>11} {:>10} {:>8}  {}\n", "layer", "next",
                  "channels", "smallest S", "largest S", "ratio", "now", "became relu");
  for (const EqualizationReport::Pair& pair : report.pairs)
    text += fmt::format("{:<32} {:<32} {:>8} {:>11.4g} {:>11.4g} {:>10.4g} {:>8.4g}  {}\n",
                        pair.first, pair.second, pair.channels, pair.smallest, pair.largest,
                        pair.before, pair.after, listed(pair.replaced));
  for (const PassReport::Line& line : report.left)
    text += fmt::format("{:<32} left: {}\n", line.node, line.text);
  if (!report.converged)
    text += fmt::format("stopped after {} rounds, before factors were steady\n", report.rounds);
  return text;
}

EqualizationReport equalize(Graph& graph, const EqualizeOptions& options) {
  PARE_CHECK(options.tolerance > 0 && options.tolerance < 1, invalid_argument, kWhere,
             "expected a tolerance between 0 and 1, got {}", options.tolerance);
  PARE_CHECK(options.negligible >= 0 && options.negligible < 1, invalid_argument, kWhere,
             "expected a part from 0 to 1 that is negligible, got {}", options.negligible);
  PARE_CHECK(options.rounds > 0, invalid_argument, kWhere, "expected at least one round, got {}",
             options.rounds);
  check_float(graph, kWhere);
  ContextScope scope;
  scope->grad = false;
  Equalizer equalizer(graph, options);
  EqualizationReport report = equalizer.run();
  if (options.statistics) *options.statistics = equalizer.divided(*options.statistics);
  graph = equalizer.take();
  return report;
}

}  // namespace pare::quantize
