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
  int label;  ///< its class among the axis labels, for as long as the graph is not edited
  std::vector<Slice> slices;
  /// The same channel in the weights as the layers read them, behind masks and other calls: values
  /// of rank 2 and more that depend on parameters alone.
  std::vector<Slice> weights;
};

/// Channels that are coupled in the same way: the output channels of one or several layers, with
/// the norms behind them and the input channels of those that read them.
struct Group {
  std::string name;                    ///< the first node that produces the channels
  std::vector<std::string> producers;  ///< nodes whose output channels these are
  std::vector<Channel> channels;
  bool statistics = false;  ///< an op takes statistics over the axis: removed is not zeroed
  std::vector<std::string> statistics_nodes = {};  ///< which ones
};

/// The groups that can be cut; channels coupled to inputs or outputs of the graph, or to ops that
/// need all of theirs, are in none (Fang et al., "DepGraph: towards any structural pruning", 2023,
/// by labels on every index instead of rules on pairs of layers). Throws what the graph's inference
/// throws where its symbolic axes cannot have one element.
PARE_API std::vector<Group> groups(const Graph& graph);

/// Importance of every channel of a group, finite; the least important go first.
using Criterion = std::function<std::vector<double>(const Graph& graph, const Group& group)>;

/// Sum of |w| over a channel's slices of all weights (Channel::weights, so what is masked counts
/// nothing): of those that produce and of those that read it (Li et al., "Pruning filters for
/// efficient ConvNets", 2017).
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
    /// Nodes that take statistics over the channels: to measure, since removed is not zeroed there.
    std::vector<std::string> statistics = {};
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

/// Cuts channels out of `graph`, in place: at least one of every group stays. The tensors that it
/// replaces are retired, so on a graph straight from `trace` the module's own: the module cannot be
/// trained by an optimizer any more. Cut a copy (`trace(…).copy()`) to keep the module.
/// Throws invalid_argument for options out of range, for an exclusion that matches no node and,
/// naming the group, for a criterion that does not give a finite number per channel; unsupported,
/// naming the node, where attributes cannot follow the cut. The graph is untouched then.
PARE_API ChannelsReport channels(Graph& graph, const ChannelsOptions& options = {});

/// Sets the slices of the given channels to zero instead (scales and integers apart): what removal
/// must be equal to. Throws
/// invalid_argument for slices that the graph does not have.
PARE_API void zero_channels(Graph& graph, const std::vector<Channel>& channels);
/// Cuts exactly these channels, in place. Throws invalid_argument, the graph untouched, for
/// channels that are none of this graph's as it is now (`groups` before an edit), and where an axis
/// would lose all its indices; else as `channels`.
PARE_API std::vector<Replacement> remove_channels(Graph& graph,
                                                  const std::vector<Channel>& channels);

}  // namespace pare::prune
