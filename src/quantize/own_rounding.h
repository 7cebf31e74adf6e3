// A FakeQuantizer's operations as nodes of a graph.
#pragma once

#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/fake_quantizer.h"

namespace pare::quantize {

/// Values of the leaves that `own` keeps for a place, named after it.
std::vector<int> add_own_leaves(Graph& graph, const FakeQuantizer& own,
                                const FakeQuantizerPlace& place);

/// The node fake_quantize behind what `own` makes of the value x. For an activation the graph's
/// metadata say where the rounding begins (kOwnKey). Throws invalid_argument, naming the place, for
/// scales and zero points that do not fit it.
int add_own_rounding(Graph& graph, int x, const std::vector<int>& leaves, const FakeQuantizer& own,
                     const FakeQuantizerPlace& place);

/// The value that fake_quantize node n stands for the rounding of: its input, or the x of a
/// FakeQuantizer.
int rounded_by(const Graph& graph, int n);

}  // namespace pare::quantize
