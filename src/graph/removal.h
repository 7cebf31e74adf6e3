// Removal: cuts classes of axis labels out of a graph.
#pragma once

#include <vector>

#include "graph/labels.h"
#include "pare/core/replacement.h"

namespace pare {

/// Edits `graph` in place: of every value whose indices belong to classes with `cut` true, those
/// indices go: leaves are sliced, attributes follow (OpDef's resize; an irregular slice becomes a
/// gather), shapes are inferred anew and the graph verified. The tensors that it replaces are
/// retired. Throws invalid_argument where an axis would lose all its indices, unsupported, naming
/// the node, where attributes cannot follow; the graph is untouched then. `labels` are the graph's.
std::vector<Replacement> remove_classes(Graph& graph, const AxisLabels& labels,
                                        const std::vector<bool>& cut);

}  // namespace pare
