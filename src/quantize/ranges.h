// What an observer's state says: range, scale, zero point.
#pragma once

#include <string>
#include <string_view>

#include "core/value_range.h"
#include "pare/core/ops/observe.h"
#include "pare/graph/graph.h"
#include "pare/quantize/observer.h"

namespace pare::quantize {

/// Whether the node is an observer of activations.
bool is_observer(const Graph::Node& node);

/// Whether the node fake-quantizes by learned steps (an activation or a weight).
bool is_learned(const Graph::Node& node);

/// The codes of an observer or of learned steps.
Codes codes_of(const Graph::Node& node);

/// The name of the activation that an observer (or a fake_quantize) stands behind.
std::string activation_name(const Graph& graph, const Graph::Node& node);
inline constexpr std::string_view kObserverSuffix = "_observer";

/// Whether a ReLU has become part of the observer: its activation is relu(input).
bool has_relu(const Graph::Node& node);

struct Observed {
  ValueRange seen;  ///< empty: nothing yet
  ValueRange chosen;
  ScaleAndZeroPoint parameters;
};
/// What observer `node` has seen, and the scale that follows; `searches` are the user's own. Of
/// learned steps what the codes stand for.
Observed observed(const Graph& graph, const Graph::Node& node, const RangeSearches& searches = {});

}  // namespace pare::quantize
