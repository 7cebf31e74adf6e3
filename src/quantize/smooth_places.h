// Where the channels of a value can be divided: what layers read, and what gives it.
#pragma once

#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/smooth.h"
#include "quantize/channel_paths.h"

namespace pare::quantize {

/// A value that layers read, and what is divided to divide it.
struct SmoothPlace {
  int value = -1;
  std::vector<int> layers = {};          ///< nodes
  int producer = -1;                     ///< node
  int path = -1;                         ///< of the graph's: the producer is a layer
  std::vector<std::size_t> scaled = {};  ///< inputs of another producer that are divided
  /// By channel of the value: the least (0 at most) and the largest (0 at least), and the sum of
  /// squares of so many values.
  std::vector<double> low = {}, high = {}, square = {};
  double count = 0;
};

struct SmoothPlaces {
  std::vector<SmoothPlace> places;  ///< in the graph's order
  std::vector<PassReport::Line> left;
};
/// Throws invalid_argument for names to exclude that match no layer.
SmoothPlaces find_smooth_places(const Graph& graph, const std::vector<ChannelPath>& paths,
                                const SmoothOptions& options);

/// Of a node with a constant weight at input 1; no outputs: it is none.
LayerChannels smoothed_layer(const Graph& graph, int node);

}  // namespace pare::quantize
