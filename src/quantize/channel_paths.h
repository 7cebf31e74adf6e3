// From layer to layer: where nothing but a factor per channel of the first one's result reaches
// the next one's input.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/uses.h"
#include "pare/graph/graph.h"
#include "pare/graph/passes.h"
#include "quantize/layer_channels.h"

namespace pare::quantize {

struct ChannelPath {
  int first = -1;  ///< the layers' nodes
  int second = -1;
  std::vector<int> between = {};  ///< the nodes on the way
  std::vector<int> clips = {};    ///< those of them that cut a ReLU off at a number
  /// Per input channel of the second layer the output channel of the first; −1: of none.
  std::vector<std::int64_t> channel = {};
};

struct ChannelPaths {
  std::vector<ChannelPath> paths;      ///< in the graph's order
  std::vector<PassReport::Line> left;  ///< layers that begin none, and why
};

/// The paths from a layer with constant weights (LayerChannels) to the next on which every value
/// has one reader, and every call f is positively homogeneous, f(s·x) = s·f(x) for factors s > 0
/// of channels: relu, leaky_relu, prelu, abs, neg, pooling, reductions that leave channels apart,
/// factors that are constant, and movement that keeps channels together. With `clipped`, also relu6
/// and other ReLU that are cut off, which are not: they are listed in the path. `graph` must be in
/// order.
ChannelPaths find_channel_paths(const Graph& graph, bool clipped);

}  // namespace pare::quantize
