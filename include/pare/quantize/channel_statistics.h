// How the channels of layers' results are distributed, without data: what batch norms say.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare::quantize {

/// Of the channels of a layer's result, its batch norm included.
struct ChannelDistribution {
  std::vector<double> mean;
  std::vector<double> deviation;
};
using ChannelStatistics = std::map<std::string, ChannelDistribution>;  ///< by the layer's node

/// Beta and |gamma| of the batch norms that alone read a layer's result. To be asked for before
/// anything folds them; equalize and absorb_biases keep what they are given true.
PARE_API ChannelStatistics batch_norm_statistics(const Graph& graph);

}  // namespace pare::quantize
