// Where the channels of a value can be divided: what layers read, and what gives it.
#include "quantize/smooth_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "graph/names.h"
#include "pare/core/ops.h"
#include "pare/core/ops/feature_norm.h"
#include "quantize/settings.h"

namespace pare::quantize {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class Finder {
 public:
  Finder(const Graph& graph, const std::vector<ChannelPath>& paths, const SmoothOptions& options)
      : graph_(graph), paths_(paths), options_(options), leaf_(leaf_values(graph)) {}

  SmoothPlaces run() {
    find_places();
    return std::move(found_);
  }

 private:
  LayerChannels channels_of(int n) const {
    const Graph::Node& node = graph_.node(n);
    if (node.call.op->quantization.weight_input != 1 || node.inputs.size() < 2 ||
        node.inputs[1] < 0 || !leaf_[at(node.inputs[1])] || leaf_[at(node.outputs[0])])
      return {};
    return smoothed_layer(graph_, n);
  }

  bool excluded(const std::string& name) const {
    return std::any_of(options_.exclude.begin(), options_.exclude.end(),
                       [&](const std::string& pattern) { return matches(pattern, name); });
  }

  void find_places() {
    std::vector<int> values;  // in the graph's order
    std::map<int, std::vector<int>> layers;
    std::vector<std::string> names;
    for (int n = 0; n < static_cast<int>(graph_.nodes().size()); ++n) {
      const LayerChannels channels = channels_of(n);
      if (channels.outputs == 0) continue;
      const std::string& name = graph_.node(n).name;
      names.push_back(name);
      if (excluded(name)) {
        found_.left.push_back({name, "excluded by name"});
      } else if (channels.axis != -1 && !options_.convolutions) {
        found_.left.push_back({name, "convolutions are left unless they are asked for"});
      } else {
        const int value = graph_.node(n).inputs[0];
        if (layers[value].empty()) values.push_back(value);
        layers[value].push_back(n);
      }
    }
    for (const std::string& pattern : options_.exclude)
      check_name(pattern, names, "exclude", "smooth");
    for (const int value : values) {
      SmoothPlace place{.value = value, .layers = layers.at(value)};
      if (const std::string why = find_producer(place); why.empty())
        found_.places.push_back(std::move(place));
      else
        for (const int n : place.layers) found_.left.push_back({graph_.node(n).name, why});
    }
  }

  // Why the value cannot be divided; empty if it can.
  std::string find_producer(SmoothPlace& place) const {
    if (graph_.is_output(place.value)) return "its input is an output of the graph";
    for (const int reader : graph_.readers(place.value)) {
      const Graph::Node& node = graph_.node(reader);
      const bool layer =
          std::find(place.layers.begin(), place.layers.end(), reader) != place.layers.end();
      if (!layer || std::count(node.inputs.begin(), node.inputs.end(), place.value) != 1)
        return fmt::format("'{}' ({}) reads its input too", node.name, node.call.op->name);
    }
    for (std::size_t p = 0; p < paths_.size() && place.layers.size() == 1; ++p)
      if (paths_[p].second == place.layers[0]) {
        place.path = static_cast<int>(p);
        place.producer = paths_[p].first;
        return "";
      }
    place.producer = graph_.value(place.value).producer;
    if (place.producer < 0) return "its input is the graph's";
    const Graph::Node& node = graph_.node(place.producer);
    const std::int64_t channels = channels_of(place.layers[0]).inputs;
    const bool last = channels_of(place.layers[0]).axis == -1;
    if (last && is_norm_over_last_axis(node)) {
      for (std::size_t i = 1; i < node.inputs.size(); ++i)
        if (node.inputs[i] >= 0) place.scaled.push_back(i);
      if (place.scaled.empty() || place.scaled[0] != 1)
        return fmt::format("'{}' ({}) has no weight", node.name, node.call.op->name);
    } else if (last && node.call.op == &kMul) {
      for (std::size_t i = 0; i < 2 && place.scaled.empty(); ++i) {
        const Graph::Value& factor = graph_.value(node.inputs[i]);
        const int rank = factor.shape.rank();
        if (leaf_[at(node.inputs[i])] && rank > 0 && factor.shape.elements() == channels &&
            factor.shape[rank - 1] == channels)
          place.scaled = {i};
      }
    }
    if (place.scaled.empty())
      return fmt::format("'{}' ({}) before it takes no factors of channels", node.name,
                         node.call.op->name);
    for (const std::size_t i : place.scaled)
      if (!leaf_[at(node.inputs[i])])
        return fmt::format("what '{}' multiplies by is computed from the inputs", node.name);
    return "";
  }

  bool is_norm_over_last_axis(const Graph::Node& node) const {
    const int rank = graph_.value(node.outputs[0]).shape.rank();
    std::int64_t axis = 0;
    if (node.call.op == &kLayerNorm)
      axis = node.call.attributes.as<LayerNormAttributes>().axis;
    else if (node.call.op == &kRmsNorm)
      axis = node.call.attributes.as<RmsNormAttributes>().axis;
    else
      return false;
    return axis == -1 || axis == rank - 1;
  }

  const Graph& graph_;
  const std::vector<ChannelPath>& paths_;
  const SmoothOptions& options_;
  const std::vector<bool> leaf_;  // by value
  SmoothPlaces found_ = {};
};

}  // namespace

SmoothPlaces find_smooth_places(const Graph& graph, const std::vector<ChannelPath>& paths,
                                const SmoothOptions& options) {
  return Finder(graph, paths, options).run();
}

LayerChannels smoothed_layer(const Graph& graph, int node) {
  const Graph::Node& layer = graph.node(node);
  return layer_channels(layer, graph.value(layer.inputs[1]).shape);
}

}  // namespace pare::quantize
