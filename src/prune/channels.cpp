// Structured pruning: groups out of axis labels, ranking, removal.
#include "pare/prune/channels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "core/check.h"
#include "graph/labels.h"
#include "graph/leaf_evaluator.h"
#include "graph/names.h"
#include "graph/removal.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/ops/learned_steps.h"
#include "pare/core/ops/quantization.h"
#include "prune/statistics.h"

namespace pare::prune {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// The layer's weight and the axis of its output channels; −1 where the op has none, or where what
// stands in its place is a vector or is computed from the inputs (a product of two activations).
struct Weight {
  int value = -1;
  int axis = 0;
};
Weight weight_of(const Graph& graph, const Graph::Node& node, const std::vector<bool>& leaf) {
  const QuantizationFact& fact = node.call.op->quantization;
  if (fact.weight_input < 0 || at(fact.weight_input) >= node.inputs.size()) return {};
  const int value = node.inputs[at(fact.weight_input)];
  if (value < 0 || !leaf[at(value)]) return {};
  const int rank = graph.value(value).shape.rank();
  if (rank < 2 || (node.call.op == &kMatmul && rank != 2)) return {};
  return {value, fact.weight_axis};
}

// By class: the nodes that produce it.
std::vector<std::vector<int>> producers_by_class(const Graph& graph, const AxisLabels& labels) {
  const std::vector<bool> leaf = leaf_values(graph);
  std::vector<std::vector<int>> producers(at(labels.classes()));
  for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
    const Weight w = weight_of(graph, graph.node(n), leaf);
    if (w.value < 0) continue;
    for (std::int64_t k = 0; k < labels.shape(w.value)[w.axis]; ++k) {
      auto& list = producers[at(labels.class_of(w.value, w.axis, k))];
      if (list.empty() || list.back() != n) list.push_back(n);
    }
  }
  return producers;
}

// The weights as they are read: computed from parameters alone, of rank 2 and more, read by a node
// that computes something else from them.
std::vector<bool> weights_as_read(const Graph& graph) {
  const std::vector<bool> leaf = leaf_values(graph);
  std::vector<bool> trained(graph.values().size());
  for (std::size_t v = 0; v < trained.size(); ++v)
    trained[v] = graph.value(static_cast<int>(v)).kind == Graph::Kind::parameter;
  std::vector<bool> read(graph.values().size());
  for (const Graph::Node& node : graph.nodes()) {
    const bool computes = leaf[at(node.outputs.front())];
    for (const int v : node.inputs) {
      if (v < 0) continue;
      if (computes && trained[at(v)])
        for (const int out : node.outputs) trained[at(out)] = true;
      const Graph::Value& value = graph.value(v);
      if (!computes && leaf[at(v)] && trained[at(v)] && value.shape.rank() >= 2 &&
          is_floating(value.dtype))
        read[at(v)] = true;
    }
  }
  return read;
}

// By class: its slices of leaves and of weights as they are read, and the nodes that take
// statistics over it.
struct ClassSlices {
  std::vector<std::vector<Slice>> slices;
  std::vector<std::vector<Slice>> weights;
  std::vector<std::vector<int>> statistics;

  ClassSlices(const Graph& graph, const AxisLabels& labels)
      : slices(at(labels.classes())),
        weights(at(labels.classes())),
        statistics(at(labels.classes())) {
    const std::vector<bool> read = weights_as_read(graph);
    for (int v = 0; v < static_cast<int>(graph.values().size()); ++v) {
      if (graph.value(v).is_leaf()) collect(labels, v, slices);
      if (read[at(v)]) collect(labels, v, weights);
    }
    for (const Statistic& s : prune::statistics(graph, labels))
      for (std::int64_t k = 0; k < labels.shape(s.value)[s.axis]; ++k) {
        const int c = labels.class_of(s.value, s.axis, k);
        auto& list = statistics[at(c)];
        if (c != AxisLabels::kFixed && (list.empty() || list.back() != s.node))
          list.push_back(s.node);
      }
  }

 private:
  static void collect(const AxisLabels& labels, int value,
                      std::vector<std::vector<Slice>>& by_class) {
    const Shape& shape = labels.shape(value);
    for (int a = 0; a < shape.rank(); ++a)
      for (std::int64_t k = 0; k < shape[a]; ++k) {
        const int c = labels.class_of(value, a, k);
        if (c == AxisLabels::kFixed) continue;
        auto& list = by_class[at(c)];
        if (list.empty() || list.back().value != value || list.back().axis != a)
          list.push_back({value, a, {}});
        list.back().indices.push_back(k);
      }
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
    g.channels.push_back({c, found.slices[at(c)], found.weights[at(c)]});
    for (const int n : found.statistics[at(c)]) {
      const std::string& name = graph.node(n).name;
      g.statistics = true;
      if (std::find(g.statistics_nodes.begin(), g.statistics_nodes.end(), name) ==
          g.statistics_nodes.end())
        g.statistics_nodes.push_back(name);
    }
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

void check_slice(const Graph& graph, const Slice& slice, const char* where) {
  const auto values = static_cast<int>(graph.values().size());
  const bool known = slice.value >= 0 && slice.value < values && graph.value(slice.value).is_leaf();
  const Shape shape = known ? graph.value(slice.value).shape : Shape();
  bool fits = known && slice.axis >= 0 && slice.axis < shape.rank();
  for (const std::int64_t k : slice.indices) fits = fits && k >= 0 && k < shape[slice.axis];
  PARE_CHECK(fits, invalid_argument, where,
             "expected slices of leaves of this graph, got some of axis {} of value {}", slice.axis,
             slice.value);
}

bool same(const std::vector<Slice>& a, const std::vector<Slice>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Slice& x, const Slice& y) {
    return x.value == y.value && x.axis == y.axis && x.indices == y.indices;
  });
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
  const std::vector<bool> leaf = leaf_values(graph);
  for (const std::string& pattern : options.exclude) {
    std::string names;
    bool any = false;
    for (const Graph::Node& node : graph.nodes()) {
      any = any || matches(pattern, node.name);
      if (weight_of(graph, node, leaf).value >= 0) names += (names.empty() ? "" : ", ") + node.name;
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
  const std::vector<bool> leaf = leaf_values(graph);
  for (const Graph::Node& node : graph.nodes()) {
    const Weight w = weight_of(graph, node, leaf);
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
  LeafEvaluator evaluate(graph);
  std::map<int, std::vector<float>> weights;
  std::vector<double> importance;
  for (const Channel& channel : group.channels) {
    double sum = 0;
    for (const Slice& slice : channel.weights) {
      auto& w = weights[slice.value];
      const Shape& shape = graph.value(slice.value).shape;
      if (w.empty()) w = evaluate(slice.value).detach().to(DType::f32).to_vector<float>();
      each_element(shape, slice,
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
    for (const double i : importance.back())
      PARE_CHECK(std::isfinite(i), invalid_argument, "channels",
                 "expected a criterion that gives finite values for {}, got {}", group.name, i);
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
    report.groups.push_back(
        {chosen[g].name, chosen[g].producers, size, stay,
         stay < size ? chosen[g].statistics_nodes : std::vector<std::string>()});
  }
  report.replacements = remove_classes(graph, labels, cut);
  report.parameters_after = parameter_count(graph);
  return report;
}

namespace {

/// Codes times zero are no scale: quantized zeros are zero under any.
bool is_scale(const Graph& graph, int value) {
  for (const int reader : graph.readers(value)) {
    const Graph::Node& node = graph.node(reader);
    const OpDef* op = node.call.op;
    if ((op == &kFakeQuantize || op == &kFakeQuantizeLearned || op == &kQuantizeLinear ||
         op == &kDequantizeLinear) &&
        node.inputs[1] == value)
      return true;
  }
  return false;
}

}  // namespace

void zero_channels(Graph& graph, const std::vector<Channel>& channels) {
  for (const Channel& channel : channels)
    for (const Slice& slice : channel.slices) check_slice(graph, slice, "zero_channels");
  for (const Channel& channel : channels)
    for (const Slice& slice : channel.slices) {
      Tensor& tensor = graph.edit_value(slice.value).tensor;
      if (tensor.dtype() != DType::f32 || is_scale(graph, slice.value)) continue;
      auto values = tensor.to_vector<float>();
      each_element(tensor.shape(), slice, [&](std::size_t e) { values[e] = 0; });
      tensor.copy_from(Tensor::from(values, tensor.shape()));
    }
}

std::vector<Replacement> remove_channels(Graph& graph, const std::vector<Channel>& channels) {
  const AxisLabels labels(graph);
  const ClassSlices now(graph, labels);
  std::vector<bool> cut(at(labels.classes()));
  for (const Channel& channel : channels) {
    constexpr const char* where = "remove_channels";
    for (const Slice& slice : channel.slices) check_slice(graph, slice, where);
    // Labels are numbered anew with every edit; the slices say which one is meant.
    const bool any = !channel.slices.empty() && !channel.slices.front().indices.empty();
    const Slice* first = any ? &channel.slices.front() : nullptr;
    const int label = any ? labels.class_of(first->value, first->axis, first->indices.front())
                          : AxisLabels::kFixed;
    PARE_CHECK(label != AxisLabels::kFixed && same(now.slices[at(label)], channel.slices),
               invalid_argument, where,
               "expected a channel of this graph's groups as they are now, got one {}",
               any ? fmt::format("of axis {} of {} that is coupled otherwise", first->axis,
                                 graph.value(first->value).name)
                   : "without slices");
    cut[at(label)] = true;
  }
  return remove_classes(graph, labels, cut);
}

std::string ChannelsReport::to_string() const {
  std::string text = fmt::format("parameters {} → {}\n", parameters_before, parameters_after);
  for (const GroupLine& g : groups)
    text += fmt::format("  {}: {} → {} channels{}\n", listed(g.producers), g.before, g.after,
                        g.statistics.empty()
                            ? ""
                            : fmt::format("; {} takes statistics over them", listed(g.statistics)));
  for (const KeptLine& k : kept) text += fmt::format("  {}: kept, {}\n", k.name, k.reason);
  return text;
}

}  // namespace pare::prune
