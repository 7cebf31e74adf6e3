// Structured pruning: groups out of axis labels, ranking, removal.
#include "pare/prune/channels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "core/check.h"
#include "graph/labels.h"
#include "graph/names.h"
#include "graph/removal.h"

namespace pare::prune {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// The layer's weight and the axis of its output channels; −1 where the op has none.
struct Weight {
  int value = -1;
  int axis = 0;
};
Weight weight_of(const Graph::Node& node) {
  const QuantizationFact& fact = node.call.op->quantization;
  if (fact.weight_input < 0 || at(fact.weight_input) >= node.inputs.size()) return {};
  return {node.inputs[at(fact.weight_input)], fact.weight_axis};
}

// By class: the nodes that produce it.
std::vector<std::vector<int>> producers_by_class(const Graph& graph, const AxisLabels& labels) {
  std::vector<std::vector<int>> producers(at(labels.classes()));
  for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
    const Weight w = weight_of(graph.node(n));
    if (w.value < 0) continue;
    for (std::int64_t k = 0; k < labels.shape(w.value)[w.axis]; ++k) {
      auto& list = producers[at(labels.class_of(w.value, w.axis, k))];
      if (list.empty() || list.back() != n) list.push_back(n);
    }
  }
  return producers;
}

// By class: its slices of leaves, and whether an op takes statistics over it.
struct ClassSlices {
  std::vector<std::vector<Slice>> slices;
  std::vector<bool> statistics;

  ClassSlices(const Graph& graph, const AxisLabels& labels)
      : slices(at(labels.classes())), statistics(at(labels.classes())) {
    for (int v = 0; v < static_cast<int>(graph.values().size()); ++v) {
      if (!graph.value(v).is_leaf()) continue;
      each(labels, v, [&](int c, int a, std::int64_t k) {
        auto& list = slices[at(c)];
        if (list.empty() || list.back().value != v || list.back().axis != a)
          list.push_back({v, a, {}});
        list.back().indices.push_back(k);
      });
    }
    for (const Graph::Node& node : graph.nodes())
      if (node.call.op->channels.statistics)
        each(labels, node.inputs.front(),
             [&](int c, int, std::int64_t) { statistics[at(c)] = true; });
  }

 private:
  template <class Visit> static void each(const AxisLabels& labels, int value, Visit visit) {
    const Shape& shape = labels.shape(value);
    for (int a = 0; a < shape.rank(); ++a)
      for (std::int64_t k = 0; k < shape[a]; ++k)
        if (const int c = labels.class_of(value, a, k); c != AxisLabels::kFixed) visit(c, a, k);
  }
};

std::vector<Group> find_groups(const Graph& graph, const AxisLabels& labels) {
  const auto producers = producers_by_class(graph, labels);
  const ClassSlices found(graph, labels);
  // Two channels are of one group if the same axes of the same leaves hold as many indices of each.
  using Signature = std::vector<std::array<std::int64_t, 3>>;
  std::map<Signature, std::size_t> numbers;
  std::vector<Group> groups;
  for (int c = AxisLabels::kFixed + 1; c < labels.classes(); ++c) {
    if (producers[at(c)].empty()) continue;
    Signature signature;
    for (const Slice& s : found.slices[at(c)])
      signature.push_back({s.value, s.axis, static_cast<std::int64_t>(s.indices.size())});
    const auto [place, fresh] = numbers.try_emplace(signature, groups.size());
    if (fresh) {
      Group g;
      for (const int n : producers[at(c)]) g.producers.push_back(graph.node(n).name);
      g.name = g.producers.front();
      groups.push_back(std::move(g));
    }
    Group& g = groups[place->second];
    g.channels.push_back({c, found.slices[at(c)]});
    g.statistics = g.statistics || found.statistics[at(c)];
  }
  return groups;
}

// Calls visit(element) for every element of the slices of `leaf`.
template <class Visit> void each_element(const Shape& shape, const Slice& slice, Visit visit) {
  const std::int64_t outer = shape.elements(0, slice.axis);
  const std::int64_t size = shape[slice.axis];
  const std::int64_t inner = shape.elements(slice.axis + 1, shape.rank());
  for (const std::int64_t k : slice.indices)
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t i = 0; i < inner; ++i) visit(at((o * size + k) * inner + i));
}

std::int64_t parameter_count(const Graph& graph) {
  std::int64_t count = 0;
  for (const Graph::Value& v : graph.values())
    if (v.kind == Graph::Kind::parameter) count += v.tensor.elements();
  return count;
}

void check(const Graph& graph, const ChannelsOptions& options) {
  constexpr const char* where = "channels";
  PARE_CHECK(options.ratio >= 0 && options.ratio < 1, invalid_argument, where,
             "expected a ratio in [0, 1), got {}", options.ratio);
  PARE_CHECK(options.round_to >= 1, invalid_argument, where,
             "expected round_to of at least 1, got {}", options.round_to);
  PARE_CHECK(options.criterion != nullptr, invalid_argument, where,
             "expected a criterion, got none");
  for (const std::string& pattern : options.exclude) {
    std::string names;
    bool any = false;
    for (const Graph::Node& node : graph.nodes()) {
      any = any || matches(pattern, node.name);
      if (weight_of(node).value >= 0) names += (names.empty() ? "" : ", ") + node.name;
    }
    PARE_CHECK(any, invalid_argument, where,
               "expected an exclusion that matches a node (the layers are {}), got \"{}\"", names,
               pattern);
  }
}

bool excluded(const Group& group, const ChannelsOptions& options) {
  return std::any_of(options.exclude.begin(), options.exclude.end(), [&](const auto& pattern) {
    return std::any_of(group.producers.begin(), group.producers.end(),
                       [&](const auto& name) { return matches(pattern, name); });
  });
}

// How many of `size` channels stay when `goes` of them are to go.
std::int64_t staying(std::int64_t size, std::int64_t goes, std::int64_t round_to) {
  const std::int64_t stay = std::max<std::int64_t>(size - goes, 1);
  return std::min(size, (stay + round_to - 1) / round_to * round_to);
}

std::vector<std::size_t> ascending(const std::vector<double>& importance) {
  std::vector<std::size_t> order(importance.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return importance[a] < importance[b]; });
  return order;
}

// How many channels of each group are among the `ratio` least important of all.
std::vector<std::int64_t> global_counts(const std::vector<std::vector<double>>& importance,
                                        double ratio) {
  std::vector<std::pair<double, std::size_t>> all;
  for (std::size_t g = 0; g < importance.size(); ++g) {
    const auto& own = importance[g];
    const double mean =
        std::accumulate(own.begin(), own.end(), 0.0) / static_cast<double>(own.size());
    for (const double i : own) all.emplace_back(mean > 0 ? i / mean : i, g);
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::int64_t> counts(importance.size());
  const auto goes =
      static_cast<std::size_t>(std::nearbyint(ratio * static_cast<double>(all.size())));
  for (std::size_t k = 0; k < goes; ++k) ++counts[all[k].second];
  return counts;
}

void note_kept(const Graph& graph, const AxisLabels& labels, ChannelsReport& report) {
  for (const Graph::Node& node : graph.nodes()) {
    const Weight w = weight_of(node);
    if (w.value < 0) continue;
    const std::int64_t size = labels.shape(w.value)[w.axis];
    for (std::int64_t k = 0; k < size; ++k)
      if (labels.class_of(w.value, w.axis, k) == AxisLabels::kFixed) {
        report.kept.push_back({node.name, labels.why_fixed(graph, w.value, w.axis, k)});
        break;
      }
  }
}

}  // namespace

std::vector<Group> groups(const Graph& graph) { return find_groups(graph, AxisLabels(graph)); }

std::vector<double> L1::operator()(const Graph& graph, const Group& group) const {
  std::map<int, std::vector<float>> weights;
  std::vector<double> importance;
  for (const Channel& channel : group.channels) {
    double sum = 0;
    for (const Slice& slice : channel.slices) {
      const Graph::Value& value = graph.value(slice.value);
      if (value.kind != Graph::Kind::parameter || value.tensor.rank() < 2) continue;
      auto& w = weights[slice.value];
      if (w.empty()) w = value.tensor.detach().to(DType::f32).to_vector<float>();
      each_element(value.tensor.shape(), slice,
                   [&](std::size_t e) { sum += std::fabs(static_cast<double>(w[e])); });
    }
    importance.push_back(sum);
  }
  return importance;
}

ChannelsReport channels(Graph& graph, const ChannelsOptions& options) {
  check(graph, options);
  const AxisLabels labels(graph);
  ChannelsReport report;
  report.parameters_before = parameter_count(graph);
  note_kept(graph, labels, report);

  std::vector<Group> chosen;
  std::vector<std::vector<double>> importance;
  for (Group& group : find_groups(graph, labels)) {
    if (excluded(group, options)) {
      report.kept.push_back({group.name, "it is excluded"});
      continue;
    }
    importance.push_back(options.criterion(graph, group));
    PARE_CHECK(importance.back().size() == group.channels.size(), invalid_argument, "channels",
               "expected a criterion that gives {} values for {}, got {}", group.channels.size(),
               group.name, importance.back().size());
    chosen.push_back(std::move(group));
  }
  const auto global = options.global ? global_counts(importance, options.ratio)
                                     : std::vector<std::int64_t>(chosen.size());
  std::vector<bool> cut(at(labels.classes()));
  for (std::size_t g = 0; g < chosen.size(); ++g) {
    const auto size = static_cast<std::int64_t>(chosen[g].channels.size());
    const auto local =
        static_cast<std::int64_t>(std::nearbyint(options.ratio * static_cast<double>(size)));
    const std::int64_t stay = staying(size, options.global ? global[g] : local, options.round_to);
    const auto order = ascending(importance[g]);
    for (std::int64_t k = 0; k < size - stay; ++k)
      cut[at(chosen[g].channels[order[at(k)]].label)] = true;
    report.groups.push_back({chosen[g].name, chosen[g].producers, size, stay});
  }
  report.replacements = remove_classes(graph, labels, cut);
  report.parameters_after = parameter_count(graph);
  return report;
}

void zero_channels(Graph& graph, const std::vector<Channel>& channels) {
  for (const Channel& channel : channels)
    for (const Slice& slice : channel.slices) {
      Tensor& tensor = graph.edit_value(slice.value).tensor;
      if (tensor.dtype() != DType::f32) continue;
      auto values = tensor.to_vector<float>();
      each_element(tensor.shape(), slice, [&](std::size_t e) { values[e] = 0; });
      tensor.copy_from(Tensor::from(values, tensor.shape()));
    }
}

std::vector<Replacement> remove_channels(Graph& graph, const std::vector<Channel>& channels) {
  const AxisLabels labels(graph);
  std::vector<bool> cut(at(labels.classes()));
  for (const Channel& channel : channels) {
    PARE_CHECK(channel.label > AxisLabels::kFixed && channel.label < labels.classes(),
               invalid_argument, "remove_channels",
               "expected a channel of this graph's groups, got label {}", channel.label);
    cut[at(channel.label)] = true;
  }
  return remove_classes(graph, labels, cut);
}

std::string ChannelsReport::to_string() const {
  std::string text = fmt::format("parameters {} → {}\n", parameters_before, parameters_after);
  for (const GroupLine& g : groups)
    text +=
        fmt::format("  {}: {} → {} channels\n", fmt::join(g.producers, ", "), g.before, g.after);
  for (const KeptLine& k : kept) text += fmt::format("  {}: kept, {}\n", k.name, k.reason);
  return text;
}

}  // namespace pare::prune
