// A number for each output channel, arranged as a factor of a layer's weight.
#pragma once

#include <string>

#include "pare/graph/graph.h"

namespace pare {

/// The value `factor` [output channels] such that node `layer`'s weight times it has every output
/// channel times its number: a reshape; of a transposed convolution of several groups, whose output
/// channels are no axis of the weight, repeated for each input of a group. Nodes are named after
/// `name`, the last one `name` itself.
int as_weight_factor(Graph& graph, int layer, int factor, const std::string& name);

}  // namespace pare
