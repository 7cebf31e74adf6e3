// Expected values of activations: clipped normal distributions, then means and sums of them.
#include "quantize/channel_means.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/check.h"
#include "core/ops/pooling.h"
#include "pare/core/ops.h"
#include "quantize/clips.h"

namespace pare::quantize {
namespace {

using Means = std::optional<std::vector<double>>;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

double density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }
double below(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

class Propagation {
 public:
  Propagation(const Graph& graph, const ChannelStatistics& statistics)
      : graph_(graph), statistics_(statistics), means_(graph.values().size()) {}

  std::vector<Means> run() {
    for (const Graph::Node& node : graph_.nodes())
      if (node.outputs.size() == 1) means_[at(node.outputs[0])] = means_of(node);
    return std::move(means_);
  }

 private:
  const Shape& shape(int value) const { return graph_.value(value).shape; }

  // The distribution of a value that is a layer's result; null for others.
  const ChannelDistribution* distribution_of(int value) const {
    const int producer = graph_.value(value).producer;
    if (producer < 0) return nullptr;
    const auto found = statistics_.find(graph_.node(producer).name);
    return found == statistics_.end() ? nullptr : &found->second;
  }

  Means means_of(const Graph::Node& node) const {
    const OpDef* op = node.call.op;
    if (const ChannelDistribution* own = distribution_of(node.outputs[0])) {
      const Shape& result = shape(node.outputs[0]);
      if (result.rank() < 2 || result.symbolic(1)) return std::nullopt;
      check_channels(*own, result[1], node.name);
      return own->mean;
    }
    if (const auto bounds = clip_bounds(node.call)) return clipped(node, *bounds);
    if (op == &kAdd) return sum(node);
    if (op == &kConcat && node.call.attributes.as<ConcatAttributes>().axis == 1)
      return joined(node);
    if (node.inputs.empty() || node.inputs[0] < 0) return std::nullopt;
    const Means& first = means_[at(node.inputs[0])];
    if (!first) return std::nullopt;
    if (op == &kDropout || op == &kDetach || op == &kToFormat) return first;
    if (is_pool(op) && op != &kAdaptiveMaxPool && !is_max_pool(op)) return first;
    if (op == &kMean) return behind_mean(node, first);
    if (op == &kReshape) return spread(node, *first);
    return std::nullopt;
  }

  Means clipped(const Graph::Node& node, const Bounds& bounds) const {
    const ChannelDistribution* from = distribution_of(node.inputs[0]);
    if (!from) return std::nullopt;
    std::vector<double> means;
    for (std::size_t c = 0; c < from->mean.size(); ++c)
      means.push_back(clipped_mean(from->mean[c], from->deviation[c], bounds.low, bounds.high));
    return means;
  }

  Means sum(const Graph::Node& node) const {
    const Means &a = means_[at(node.inputs[0])], &b = means_[at(node.inputs[1])];
    if (!a || !b || !(shape(node.inputs[0]) == shape(node.inputs[1]))) return std::nullopt;
    std::vector<double> means = *a;
    for (std::size_t c = 0; c < means.size(); ++c) means[c] += (*b)[c];
    return means;
  }

  Means joined(const Graph::Node& node) const {
    std::vector<double> means;
    for (const int v : node.inputs) {
      const Means& part = means_[at(v)];
      if (!part) return std::nullopt;
      means.insert(means.end(), part->begin(), part->end());
    }
    return means;
  }

  // Over axes behind the channels.
  Means behind_mean(const Graph::Node& node, const Means& first) const {
    const auto& axes = node.call.attributes.as<ReduceAttributes>().axes;
    const int rank = shape(node.inputs[0]).rank();
    const bool behind = std::all_of(axes.begin(), axes.end(),
                                    [&](std::int64_t a) { return (a < 0 ? a + rank : a) > 1; });
    return behind && !axes.empty() && node.inputs.size() == 1 ? first : std::nullopt;
  }

  // [N, C, …] → [N, C·…]
  Means spread(const Graph::Node& node, const std::vector<double>& first) const {
    const Shape &from = shape(node.inputs[0]), &to = shape(node.outputs[0]);
    if (to.rank() != 2 || !from.same_axis(0, to, 0) || to.symbolic(1)) return std::nullopt;
    const std::int64_t each = to[1] / static_cast<std::int64_t>(first.size());
    if (each * static_cast<std::int64_t>(first.size()) != to[1]) return std::nullopt;
    std::vector<double> means;
    for (const double m : first) means.insert(means.end(), at(each), m);
    return means;
  }

  const Graph& graph_;
  const ChannelStatistics& statistics_;
  std::vector<Means> means_;
};

}  // namespace

void check_channels(const ChannelDistribution& distribution, std::int64_t channels,
                    const std::string& layer) {
  const auto size = static_cast<std::size_t>(channels);
  PARE_CHECK(distribution.mean.size() == size && distribution.deviation.size() == size,
             invalid_argument, layer,
             "expected statistics of {} channels, got {} means and {} deviations", channels,
             distribution.mean.size(), distribution.deviation.size());
  for (std::size_t c = 0; c < size; ++c)
    PARE_CHECK(std::isfinite(distribution.mean[c]) && std::isfinite(distribution.deviation[c]) &&
                   distribution.deviation[c] >= 0,
               invalid_argument, layer,
               "expected finite means, and deviations from 0, got {} and {} of channel {}",
               distribution.mean[c], distribution.deviation[c], c);
}

double clipped_mean(double mean, double deviation, double low, double high) {
  if (deviation <= 0) return std::min(std::max(mean, low), high);
  const double a = (low - mean) / deviation, b = (high - mean) / deviation;
  double result = mean * (below(b) - below(a));
  if (std::isfinite(low)) result += low * below(a) + deviation * density(a);
  if (std::isfinite(high)) result += high * below(-b) - deviation * density(b);
  return result;
}

std::vector<Means> channel_means(const Graph& graph, const ChannelStatistics& statistics) {
  return Propagation(graph, statistics).run();
}

}  // namespace pare::quantize
