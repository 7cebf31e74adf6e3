// What placement and convert ask of single nodes: part of a layer, mover of codes, activation.
#pragma once

#include <cstddef>
#include <vector>

#include "graph/uses.h"
#include "pare/graph/graph.h"

namespace pare::quantize {

/// The node whose weighted sum a batch norm normalizes, where it alone reads that sum, so that the
/// two are quantized as one; −1 if `node` is no such batch norm.
int absorbed_into(const Graph& graph, const Uses& uses, const Graph::Node& node);

/// The batch norm that `absorbed_into` node n; −1: none.
int batch_norm_after(const Graph& graph, const Uses& uses, int n);

/// Whether the call's output holds nothing but elements of its inputs (and zeros), so that it has
/// their codes. Dropout counts: it is gone in inference.
bool selects(const Call& call);

/// Whether input i of a node is an activation (not its weight, bias or an index). The second factor
/// of a matrix product counts as a weight, whatever it is.
bool is_activation(const Graph& graph, const Graph::Node& node, std::size_t i);

/// Whether a value is computed from leaves and is a weight to somebody who reads it, or what is
/// computed from it and leaves alone: else it is an activation, if a constant one. `leaf` is
/// leaf_values(graph).
bool is_read_as_weight(const Graph& graph, const Uses& uses, const std::vector<bool>& leaf,
                       int value);

}  // namespace pare::quantize
