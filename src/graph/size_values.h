// The elements of small integer tensors that shape arithmetic computes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// What is known of the elements of a node's first output, of this shape and dtype: numbers and
/// expressions of symbols, "" for others; null where nothing is, or for more than 64 elements.
std::shared_ptr<const std::vector<std::string>> size_values(const Graph& graph,
                                                            const Graph::Node& node,
                                                            const Shape& shape, DType dtype);

}  // namespace pare
