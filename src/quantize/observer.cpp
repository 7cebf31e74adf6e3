// Observers: their settings, the user's searches, and merging what observers have seen.
#include "pare/quantize/observer.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "core/check.h"
#include "core/histogram.h"
#include "core/value_range.h"
#include "quantize/ranges.h"

namespace pare::quantize {
namespace {

// The state of one observer after it has seen what two have.
Tensors merged_state(const Graph::Node& node, const Tensors& mine, const Tensors& theirs) {
  const std::string& name = node.name;
  const auto& a = node.call.attributes.as<ObserveAttributes>();
  PARE_CHECK(a.averaging == 0, unsupported, "merge_observers",
             "expected observers that do not depend on the order of batches, got the moving "
             "average '{}'",
             name);
  Tensors state;
  for (const Tensor& t : mine) state.push_back(t.clone());
  Tensor& range = state.back();
  const ValueRange old = read_range(mine.back()), other = read_range(theirs.back());
  ValueRange now = old;
  now.join(other);
  write_range(range, now);
  if (node.call.op == &kObserveMeanMinMax) add_range_sums(state[0], theirs[0]);
  if (node.call.op == &kObserveHistogram && !now.empty()) {
    std::fill_n(state[0].mutable_data<std::int64_t>(), state[0].elements(), 0);
    if (!old.empty()) add_counts(mine[0], old, state[0], now);
    if (!other.empty()) add_counts(theirs[0], other, state[0], now);
  }
  return state;
}

// The leaves that hold an observer's state; the range last.
std::vector<int> state_of(const Graph::Node& node) {
  std::vector<int> values;
  for (const StatePair& pair : node.call.op->state)
    values.push_back(node.inputs[static_cast<std::size_t>(pair.input)]);
  return values;
}

Tensors tensors(const Graph& graph, const std::vector<int>& values) {
  Tensors result;
  for (const int v : values) result.push_back(graph.value(v).tensor);
  return result;
}

}  // namespace

RangeSearch::~RangeSearch() = default;

Observer::Observer(Kind kind) : kind_(kind) {}
Observer::Observer(const Percentile& options) : kind_(Observer::percentile), percentile_(options) {}
Observer::Observer(const FixedQParams& options) : kind_(fixed), fixed_(options) {}

std::string Observer::to_string() const {
  switch (kind_) {
    case min_max:
      return "min_max";
    case moving_average:
      return "moving_average";
    case histogram:
      return "histogram";
    case percentile:
      return fmt::format("percentile {}", percentile_.percentile);
    case entropy:
      return "entropy";
    case mse:
      return "mse";
    case mean_min_max:
      return "mean_min_max";
    case fixed:
      return fmt::format("fixed {} {}", fixed_.scale, fixed_.zero_point);
    case none:
      return "none";
    case custom:
      return search_ ? search_->name() : "custom";
  }
  return "";
}

void merge_observers(Graph& prepared, const Graph& other) {
  const char* where = "merge_observers";
  std::map<std::string, const Graph::Node*> others;
  for (const Graph::Node& node : other.nodes())
    if (is_observer(node)) others.emplace(node.name, &node);
  std::map<int, Tensor> states;  // by leaf: some are shared
  std::size_t found = 0;
  for (const Graph::Node& node : prepared.nodes()) {
    if (!is_observer(node)) continue;
    const auto theirs = others.find(node.name);
    PARE_CHECK(theirs != others.end(), invalid_argument, where,
               "expected two copies of one prepared graph, got an observer '{}' in one only",
               node.name);
    ++found;
    const std::vector<int> mine = state_of(node), its = state_of(*theirs->second);
    const Tensors before = tensors(prepared, mine), added = tensors(other, its);
    const bool same = node.call.op == theirs->second->call.op &&
                      node.call.attributes == theirs->second->call.attributes &&
                      std::ranges::equal(before, added, [](const Tensor& x, const Tensor& y) {
                        return x.shape() == y.shape() && x.dtype() == y.dtype();
                      });
    PARE_CHECK(same, invalid_argument, where,
               "expected the same observers in both graphs, got others at '{}'", node.name);
    const Tensors now = merged_state(node, before, added);
    for (std::size_t i = 0; i < now.size(); ++i) states.emplace(mine[i], now[i]);
  }
  PARE_CHECK(found > 0, invalid_argument, where,
             "expected a graph from prepare, got one without observers");
  PARE_CHECK(found == others.size(), invalid_argument, where,
             "expected the same {} observers in both graphs, got {}", found, others.size());
  for (const auto& [value, state] : states)
    std::memcpy(prepared.edit_value(value).tensor.mutable_raw(), state.raw(), state.bytes());
}

}  // namespace pare::quantize
