// fold_batch_norm, of some batch norms alone.
#pragma once

#include <functional>
#include <string>

#include "pare/graph/passes.h"

namespace pare {

/// Why a batch norm is left as it is; empty: it need not be.
using ReasonToStay = std::function<std::string(const Graph::Node& norm)>;
/// fold_batch_norm of those that need not stay.
PassResult fold_batch_norm_unless(Graph graph, const ReasonToStay& reason);

}  // namespace pare
