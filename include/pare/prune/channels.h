// Structured pruning: channels that really go, with everything that is coupled to them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pare/core/replacement.h"
#include "pare/graph/graph.h"

namespace pare::prune {

/// Some indices of one axis of a leaf.
struct Slice {
  int value;  ///< number in the graph
  int axis;
  std::vector<std::int64_t> indices;
};

/// One channel: all slices that must be kept or cut together.
struct Channel {
  int label;  ///< its class among the axis labels
  std::vector<Slice> slices;
};

/// Channels that are coupled in the same way: the output channels of one or several layers, with
/// the norms behind them and the input channels of those that read them.
struct Group {
  std::string name;                    ///< the first node that produces the channels
  std::vector<std::string> producers;  ///< nodes whose output channels these are
  std::vector<Channel> channels;
  bool statistics = false;  ///< an op takes statistics over the axis: removed is not zeroed
};

/// The groups that can be cut; channels coupled to inputs or outputs of the graph, or to ops that
/// need all of theirs, are in none (Fang et al., "DepGraph: towards any structural pruning", 2023,
/// by labels on every index instead of rules on pairs of layers).
PARE_API std::vector<Group> groups(const Graph& graph);

/// Importance of every channel of a group; the least important go first.
using Criterion = std::function<std::vector<double>(const Graph& graph, const Group& group)>;

/// Sum of |w| over a channel's slices of all weights (leaves of rank 2 and more): of those that
/// produce and of those that read it (Li et al., "Pruning filters for efficient ConvNets", 2017).
struct PARE_API L1 {
  std::vector<double> operator()(const Graph& graph, const Group& group) const;
};

struct ChannelsOptions {
  double ratio = 0.5;  ///< share of the channels that goes, in [0, 1)
  Criterion criterion = L1{};
  bool global = false;        ///< rank the channels of all groups together, each group by its mean
  std::int64_t round_to = 1;  ///< what stays of a group is a multiple of it (or all)
  std::vector<std::string> exclude = {};  ///< nodes to leave alone; * and ? as in a shell
};

/// What was done, and what not and why.
struct PARE_API ChannelsReport {
  struct GroupLine {
    std::string name;
    std::vector<std::string> producers;
    std::int64_t before;
    std::int64_t after;
  };
  struct KeptLine {
    std::string name;
    std::string reason;
  };
  std::vector<GroupLine> groups;
  std::vector<KeptLine> kept;  ///< layers whose output channels all stayed
  std::int64_t parameters_before = 0;
  std::int64_t parameters_after = 0;
  std::vector<Replacement> replacements;  ///< for optimizer.rebuild
  std::string to_string() const;
};

/// Cuts channels out of `graph`, in place: at least one of every group stays. Throws
/// invalid_argument for options out of range and for an exclusion that matches no node; the graph
/// is untouched then.
PARE_API ChannelsReport channels(Graph& graph, const ChannelsOptions& options = {});

/// Sets the slices of the given channels to zero instead: what removal must be equal to.
PARE_API void zero_channels(Graph& graph, const std::vector<Channel>& channels);
/// Cuts exactly these channels, in place.
PARE_API std::vector<Replacement> remove_channels(Graph& graph,
                                                  const std::vector<Channel>& channels);

}  // namespace pare::prune
