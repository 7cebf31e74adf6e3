// A FakeQuantizer's operations as nodes of a graph.
#pragma once

#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/fake_quantizer.h"
#include "pare/quantize/inspect.h"

namespace pare::quantize {

/// Values of the leaves that `own` keeps for a place, named after it.
std::vector<int> add_own_leaves(Graph& graph, const FakeQuantizer& own,
                                const FakeQuantizerPlace& place);

/// The node fake_quantize behind what `own` makes of the value x. For an activation the graph's
/// metadata say where the rounding begins (kOwnKey). Throws invalid_argument, naming the place, for
/// scales and zero points that do not fit it.
int add_own_rounding(Graph& graph, int x, const std::vector<int>& leaves, const FakeQuantizer& own,
                     const FakeQuantizerPlace& place);

/// A graph over the same tensors in which fake_quantize rounds activations themselves, without what
/// FakeQuantizers do before it. Throws invalid_state where the metadata are not add_own_rounding's.
Graph without_own_rounding(const Graph& prepared);

/// The ranges of activations that FakeQuantizers round, by their leaves as they are.
std::vector<ActivationRange> own_ranges(const Graph& prepared);

/// Stops the learning of what FakeQuantizers keep, or lets it go on.
void freeze_own_leaves(Graph& prepared, bool on);

}  // namespace pare::quantize
