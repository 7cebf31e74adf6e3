// What a QConfig says of one node, and whether it says it of nodes that are there.
#include "quantize/settings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "core/check.h"
#include "graph/names.h"
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

template <class Enum> void check_enum(Enum value, Enum last, const char* what, const char* where) {
  PARE_CHECK(static_cast<int>(value) <= static_cast<int>(last), invalid_argument, where,
             "expected a {} of 0 to {}, got {}", what, static_cast<int>(last),
             static_cast<int>(value));
}

void check_weights(const std::optional<WeightObserver>& observer,
                   const std::optional<Granularity>& granularity, const char* where) {
  if (observer) check_enum(*observer, WeightObserver::mse, "weight_observer", where);
  if (granularity) check_enum(*granularity, Granularity::per_group, "weight_granularity", where);
}

void check_isa(const std::string& isa, const char* where) {
  if (!isa.empty()) return;
  std::string known = "portable, fbgemm, qnnpack, onednn";
  for (int i = 0; i <= static_cast<int>(Isa::avx512_amx); ++i)
    known += std::string(", ") + to_string(static_cast<Isa>(i));
  fail(ErrorCode::invalid_argument, where,
       "expected what the integers are made for as isa, got ''; known are {}", known);
}

void check_observer(const QConfig& config, const Observer& observer, int bits, const char* where) {
  check_enum(static_cast<Observer::Kind>(observer), Observer::custom, "observer", where);
  PARE_CHECK(observer != Observer::percentile || (observer.share() > 0 && observer.share() <= 100),
             invalid_argument, where, "expected a percentile above 0 and up to 100, got {}",
             observer.share());
  if (observer == Observer::fixed) {
    const FixedQParams& p = observer.fixed_parameters();
    const Codes codes = activation_codes(config, bits);
    const auto scale = static_cast<float>(p.scale);
    PARE_CHECK(std::isfinite(scale) && scale >= std::numeric_limits<float>::min(), invalid_argument,
               where, "expected a fixed scale that is finite and above 0, got {}", p.scale);
    PARE_CHECK(p.zero_point >= codes.qmin && p.zero_point <= codes.qmax, invalid_argument, where,
               "expected a fixed zero point of {} to {}, got {}", codes.qmin, codes.qmax,
               p.zero_point);
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

void check_override(const QConfig& config, const OpOverride& o, const char* where) {
  if (o.weight_qmax) check_qmax(*o.weight_qmax, where);
  if (o.weight_group_size) check_group(*o.weight_group_size, where);
  if (o.activation_bits) check_bits(*o.activation_bits, where);
  check_weights(o.weight_observer, o.weight_granularity, where);
  const int bits = o.activation_bits.value_or(config.activation_bits);
  if (o.observer) check_observer(config, *o.observer, bits, where);
}

}  // namespace

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
  }
}

}  // namespace pare::quantize
