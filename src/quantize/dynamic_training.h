// Training of what `dynamic` quantizes: tables that are looked up, recurrent layers.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/qat.h"
#include "pare/quantize/qconfig.h"
#include "quantize/prepare_weights.h"

namespace pare::quantize {

/// The inputs of a node that are weights with codes by rows: of recurrent layers all their weights,
/// of embedding and gather the table; empty for other ops.
std::vector<std::size_t> row_weights(const Graph::Node& node);

/// Throws invalid_argument for ops of QATConfig::dynamic_ops that have no such weights, or that the
/// graph has not, with the nearest.
void check_dynamic_ops(const Graph& graph, const QATConfig& qat);

/// Whether the QATConfig asks for node n; why it cannot be becomes `reason`.
bool trains_dynamically(const Graph& graph, int n, const QATConfig& qat, std::string& reason);

/// Fake-quantizes the weights of node n by rows, and has a recurrent layer round the rows that they
/// multiply.
void prepare_dynamic(Graph& graph, int n, const QConfig& config, const QATConfig& qat,
                     RoundedWeights& known);

}  // namespace pare::quantize
