// Statistics over cut axes: where an index that is zero in the weights still counts in a sum.
#pragma once

#include <vector>

#include "graph/labels.h"

namespace pare::prune {

/// A node whose result depends on an index of an axis also where that index is zeroed in all
/// weights: softmax, and a sum (or a product's sum) over what is not zero there, such as exp(conv).
struct Statistic {
  int node;
  int value;
  int axis;
};

std::vector<Statistic> statistics(const Graph& graph, const AxisLabels& labels);

}  // namespace pare::prune
