// What a QConfig says of one node, and whether it says it of nodes that are there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/check.h"
#include "pare/graph/graph.h"
#include "pare/graph/passes.h"
#include "pare/quantize/qconfig.h"

namespace pare::quantize {

/// The overrides that hold for a node, the last one of each setting.
struct NodeSettings {
  std::string excluded;  ///< why it stays float; empty: it need not
  std::optional<Observer> observer = {};
  std::optional<int> activation_bits = {};
  std::optional<std::int64_t> weight_qmax = {};
  WeightObserver weight_observer;
  Granularity weight_granularity;
  std::int64_t weight_group_size;
  bool symmetric_weights;
};
NodeSettings settings_of(const QConfig& config, const Graph::Node& node);
/// Of an input of the graph, which overrides reach by name.
NodeSettings settings_of_input(const QConfig& config, const std::string& name);

/// The codes of an activation with so many bits.
Codes activation_codes(const QConfig& config, int bits);

/// Throws invalid_argument naming `where` for a pattern that matches none of the names, with the
/// nearest; `what` is what the name was given for.
void check_name(const std::string& pattern, const std::vector<std::string>& names, const char* what,
                const char* where);

/// Throws invalid_argument naming `where` for numbers out of range, for names and ops that match
/// nothing in the graph, with the nearest ones, and for overrides that state nothing, or nothing
/// that the nodes that they match have.
void check_config(const Graph& graph, const QConfig& config, const char* where);

/// Throws invalid_argument for settings of nodes of `graph` alone that are gone in `folded`, the
/// graph as it is quantized: nothing would follow from them. `done` says where they went.
void check_folded(const QConfig& config, const Graph& graph, const Graph& folded,
                  const PassReport& done, const char* where);

/// Throws invalid_argument for an observer of the activation `value` whose fixed zero point is no
/// code.
void check_zero_point(const Observer& observer, const Codes& codes, const std::string& value);

/// Throws invalid_argument naming `where` for an enumerator past the last.
template <class Enum> void check_enum(Enum value, Enum last, const char* what, const char* where) {
  PARE_CHECK(static_cast<int>(value) <= static_cast<int>(last), invalid_argument, where,
             "expected {} of 0 to {}, got {}", what, static_cast<int>(last),
             static_cast<int>(value));
}

}  // namespace pare::quantize
