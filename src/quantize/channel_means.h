// Expected values of activations, channel by channel, from the distributions of layers' results.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/channel_statistics.h"

namespace pare::quantize {

/// Throws invalid_argument, naming the layer, for numbers of another number of channels, and for
/// those that are not finite.
void check_channels(const ChannelDistribution& distribution, std::int64_t channels,
                    const std::string& layer);

/// The mean of a normal distribution that is clipped to low … high, either of which may be
/// infinite.
double clipped_mean(double mean, double deviation, double low, double high);

/// Per value of a float graph E of each index of its axis 1, where it is known. Throws
/// invalid_argument, naming the layer, for statistics of another number of channels.
std::vector<std::optional<std::vector<double>>> channel_means(const Graph& graph,
                                                              const ChannelStatistics& statistics);

}  // namespace pare::quantize
