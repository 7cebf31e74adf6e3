// What a QConfig says of one node, and whether it says it of nodes that are there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
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

/// Throws invalid_argument naming `where` for numbers out of range, and for names and ops that
/// match nothing in the graph, with the nearest ones.
void check_config(const Graph& graph, const QConfig& config, const char* where);

}  // namespace pare::quantize
