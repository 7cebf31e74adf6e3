// What a QConfig says of one node, and whether it says it of nodes that are there.
#include "quantize/settings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "graph/names.h"
#include "quantize/dynamic_training.h"
#include "quantize/range_search.h"

namespace pare::quantize {
namespace {

// `op` is empty for an input of the graph.
bool holds_for(const OpOverride& o, const std::string& op, const std::string& name) {
  return (o.op.empty() || o.op == op) && (o.name.empty() || matches(o.name, name));
}

template <class T, class U> void take(T& setting, const std::optional<U>& stated) {
  if (stated) setting = *stated;
}

NodeSettings settings_for(const QConfig& config, const std::string& op, const std::string& name) {
  NodeSettings s{.excluded = "",
                 .weight_observer = config.weight_observer,
                 .weight_granularity = config.weight_granularity,
                 .weight_group_size = config.weight_group_size,
                 .symmetric_weights = config.symmetric_weights};
  for (const OpOverride& o : config.overrides) {
    if (!holds_for(o, op, name)) continue;
    if (o.quantize)
      s.excluded = *o.quantize      ? ""
                   : o.name.empty() ? fmt::format("excluded by op ('{}')", o.op)
                                    : fmt::format("excluded by name ('{}')", o.name);
    if (o.observer) s.observer = o.observer;
    if (o.activation_bits) s.activation_bits = o.activation_bits;
    if (o.weight_qmax) s.weight_qmax = o.weight_qmax;
    take(s.weight_observer, o.weight_observer);
    take(s.weight_granularity, o.weight_granularity);
    take(s.weight_group_size, o.weight_group_size);
    take(s.symmetric_weights, o.symmetric_weights);
  }
  for (const std::string& pattern : config.exclude)
    if (!op.empty() && matches(pattern, name))
      s.excluded = fmt::format("excluded by name ('{}')", pattern);
  return s;
}

void check_qmax(std::int64_t qmax, const char* where) {
  PARE_CHECK(qmax >= 1 && qmax <= 127, invalid_argument, where,
             "expected a weight_qmax of 1 to 127, got {}", qmax);
}

void check_group(std::int64_t size, const char* where) {
  PARE_CHECK(size >= 1, invalid_argument, where,
             "expected a weight_group_size of 1 or more, got {}", size);
}

void check_bits(int bits, const char* where) {
  PARE_CHECK(bits >= 2 && bits <= 8, invalid_argument, where,
             "expected activation_bits of 2 to 8, got {}", bits);
}

void check_weights(const std::optional<WeightObserver>& observer,
                   const std::optional<Granularity>& granularity, const char* where) {
  if (observer) check_enum(*observer, WeightObserver::mse, "a weight_observer", where);
  if (granularity) check_enum(*granularity, Granularity::per_group, "a weight_granularity", where);
}

void check_isa(const std::string& isa, const char* where) {
  if (!isa.empty()) return;
  std::string known = "portable, fbgemm, qnnpack, onednn";
  for (int i = 0; i <= static_cast<int>(Isa::avx512_amx); ++i)
    known += std::string(", ") + to_string(static_cast<Isa>(i));
  fail(ErrorCode::invalid_argument, where,
       "expected what the integers are made for as isa, got ''; QConfig::x86() and the other "
       "presets "
       "say it; known are {}",
       known);
}

void check_observer(const QConfig& config, const Observer& observer, int bits, const char* where) {
  check_enum(static_cast<Observer::Kind>(observer), Observer::custom, "an observer", where);
  PARE_CHECK(observer != Observer::percentile || (observer.share() > 0 && observer.share() <= 100),
             invalid_argument, where, "expected a percentile above 0 and up to 100, got {}",
             observer.share());
  if (observer == Observer::fixed) {
    const FixedQParams& p = observer.fixed_parameters();
    const auto scale = static_cast<float>(p.scale);
    PARE_CHECK(std::isfinite(scale) && scale >= std::numeric_limits<float>::min(), invalid_argument,
               where, "expected a fixed scale that is finite and above 0, got {}", p.scale);
    check_zero_point(observer, activation_codes(config, bits), where);
  }
  if (observer == Observer::custom) {
    PARE_CHECK(observer.search() != nullptr, invalid_argument, where,
               "expected a range search for a custom observer, got none");
    const std::string name = observer.search()->name();
    const bool word = !name.empty() && name.find_first_of(" \t\n") == std::string::npos;
    PARE_CHECK(word && !is_built_in_search(name), invalid_argument, where,
               "expected a word of its own as the name of a range search, got '{}'", name);
  }
}

bool about_weights(const OpOverride& o) {
  return o.weight_qmax || o.weight_observer || o.weight_granularity || o.weight_group_size ||
         o.symmetric_weights;
}

std::string named(const OpOverride& o) { return o.name.empty() ? o.op : o.name; }

bool has_weights(const Graph::Node& node) {
  return node.call.op->quantization.weight_input >= 0 || !row_weights(node).empty();
}

// An override that says something to nobody is a mistake.
void check_effect(const Graph& graph, const QConfig& config, const OpOverride& o,
                  const char* where) {
  const bool any = o.quantize || o.observer || o.activation_bits || about_weights(o);
  PARE_CHECK(any, invalid_argument, where, "expected a setting in the override of '{}', got none",
             named(o));
  const auto meets = [&](auto&& holds) {
    return std::ranges::any_of(graph.nodes(), [&](const Graph::Node& node) {
      return holds_for(o, node.call.op->name, node.name) && holds(node);
    });
  };
  PARE_CHECK(!o.quantize || meets([](const Graph::Node&) { return true; }), invalid_argument, where,
             "expected a node to quantize or not, got the input '{}' of the graph: an observer of "
             "none leaves it float",
             named(o));
  PARE_CHECK(!about_weights(o) || meets(has_weights), invalid_argument, where,
             "expected a node with weights for the settings of weights of '{}', got none",
             named(o));
  PARE_CHECK(!o.weight_group_size || meets([&](const Graph::Node& node) {
    return settings_for(config, node.call.op->name, node.name).weight_granularity ==
           Granularity::per_group;
  }),
             invalid_argument, where,
             "expected a weight_granularity of per_group for the weight_group_size of '{}', got "
             "another",
             named(o));
}

void check_override(const QConfig& config, const OpOverride& o, const char* where) {
  if (o.weight_qmax) check_qmax(*o.weight_qmax, where);
  if (o.weight_group_size) check_group(*o.weight_group_size, where);
  if (o.activation_bits) check_bits(*o.activation_bits, where);
  check_weights(o.weight_observer, o.weight_granularity, where);
  const int bits = o.activation_bits.value_or(config.activation_bits);
  if (o.observer) check_observer(config, *o.observer, bits, where);
}

// Two searches of one name could not be told apart when the graph is converted.
void check_searches(const QConfig& config, const char* where) {
  std::map<std::string, const RangeSearch*> known;
  const auto check = [&](const Observer& observer) {
    if (observer != Observer::custom) return;
    const auto [found, fresh] = known.emplace(observer.search()->name(), observer.search().get());
    PARE_CHECK(fresh || found->second == observer.search().get(), invalid_argument, where,
               "expected range searches with names of their own, got two named '{}'", found->first);
  };
  check(config.observer);
  for (const OpOverride& o : config.overrides)
    if (o.observer) check(*o.observer);
}

}  // namespace

void check_zero_point(const Observer& observer, const Codes& codes, const std::string& value) {
  if (observer != Observer::fixed) return;
  const std::int32_t zero_point = observer.fixed_parameters().zero_point;
  PARE_CHECK(zero_point >= codes.qmin && zero_point <= codes.qmax, invalid_argument, value,
             "expected a fixed zero point of {} to {}, got {}", codes.qmin, codes.qmax, zero_point);
}

void check_folded(const QConfig& config, const Graph& graph, const Graph& folded,
                  const PassReport& done, const char* where) {
  for (const OpOverride& o : config.overrides) {
    const auto meets = [&](const Graph::Node& node) {
      return holds_for(o, node.call.op->name, node.name);
    };
    const auto first = std::ranges::find_if(graph.nodes(), meets);
    const bool input = std::ranges::any_of(
        graph.inputs(), [&](int v) { return holds_for(o, "", graph.value(v).name); });
    const bool only_quantizes = !o.observer && !o.activation_bits && !about_weights(o);
    if (only_quantizes || input || first == graph.nodes().end() ||
        std::ranges::any_of(folded.nodes(), meets))
      continue;
    const auto line = std::ranges::find(done.done, first->name, &PassReport::Line::node);
    fail(ErrorCode::invalid_argument, where,
         "expected an override of a node that is there when the graph is quantized, got one of "
         "'{}', which is {}",
         first->name, line == done.done.end() ? "gone by then" : line->text);
  }
}

NodeSettings settings_of(const QConfig& config, const Graph::Node& node) {
  return settings_for(config, node.call.op->name, node.name);
}

NodeSettings settings_of_input(const QConfig& config, const std::string& name) {
  return settings_for(config, "", name);
}

Codes activation_codes(const QConfig& config, int bits) {
  const std::int64_t count = std::int64_t{1} << bits;
  const bool is_signed = config.activation_dtype == DType::i8;
  return {.qmin = is_signed ? -count / 2 : 0,
          .qmax = is_signed ? count / 2 - 1 : count - 1,
          .even_zero_point = config.even_zero_points,
          .symmetric = config.symmetric_activations};
}

void check_name(const std::string& pattern, const std::vector<std::string>& names, const char* what,
                const char* where) {
  const bool found = std::any_of(names.begin(), names.end(),
                                 [&](const std::string& name) { return matches(pattern, name); });
  PARE_CHECK(found, invalid_argument, where,
             "expected the name of a node to {}, got '{}'; the nearest are {}", what, pattern,
             nearest_names(pattern, names));
}

void check_config(const Graph& graph, const QConfig& config, const char* where) {
  check_isa(config.isa, where);
  check_weights(config.weight_observer, config.weight_granularity, where);
  PARE_CHECK(config.histogram_bins >= 256 && config.histogram_bins <= 1 << 20, invalid_argument,
             where, "expected 256 to 1048576 histogram bins, got {}", config.histogram_bins);
  PARE_CHECK(config.averaging > 0 && config.averaging <= 1, invalid_argument, where,
             "expected an averaging constant in (0, 1], got {}", config.averaging);
  PARE_CHECK(config.activation_dtype == DType::u8 || config.activation_dtype == DType::i8,
             invalid_argument, where, "expected activations in u8 or i8, got {}",
             traits(config.activation_dtype).name);
  check_bits(config.activation_bits, where);
  check_qmax(config.weight_qmax, where);
  check_qmax(config.depthwise_weight_qmax, where);
  check_group(config.weight_group_size, where);
  check_observer(config, config.observer, config.activation_bits, where);

  std::vector<std::string> names;
  std::set<std::string> ops;
  for (const Graph::Node& node : graph.nodes()) {
    names.push_back(node.name);
    ops.insert(node.call.op->name);
  }
  for (const std::string& pattern : config.exclude) check_name(pattern, names, "exclude", where);
  for (const int input : graph.inputs()) names.push_back(graph.value(input).name);
  for (const OpOverride& o : config.overrides) {
    PARE_CHECK(!o.op.empty() || !o.name.empty(), invalid_argument, where,
               "expected an op or a name in every override, got neither");
    PARE_CHECK(o.op.empty() || ops.count(o.op) != 0, invalid_argument, where,
               "expected an op of the graph to override, got '{}'; the nearest are {}", o.op,
               nearest_names(o.op, {ops.begin(), ops.end()}));
    if (!o.name.empty()) check_name(o.name, names, "override", where);
    check_override(config, o, where);
    const bool both = !o.op.empty() && !o.name.empty();
    PARE_CHECK(!both || std::ranges::any_of(graph.nodes(),
                                            [&](const Graph::Node& node) {
                                              return holds_for(o, node.call.op->name, node.name);
                                            }),
               invalid_argument, where, "expected a node '{}' of the op '{}' to override, got none",
               o.name, o.op);
    check_effect(graph, config, o, where);
  }
  check_searches(config, where);
}

}  // namespace pare::quantize
