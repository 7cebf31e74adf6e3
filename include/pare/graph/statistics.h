// Statistics: what a graph's nodes cost and hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// A node that depends on the graph's inputs. Its weights are what the leaves that it reads are
/// computed to (masked, dequantized, looked up in a codebook, …); weights that an earlier node
/// reads too are counted there alone.
struct NodeStatistics {
  std::string name;
  std::string op;
  Shape shape;                  ///< of its first output, with symbols
  std::int64_t parameters = 0;  ///< elements of its weights
  std::int64_t nonzero = 0;     ///< of them
  std::int64_t macs = -1;       ///< multiply-accumulates; −1 where sizes are not known
  std::size_t bytes = 0;        ///< of the leaves behind them, as they are stored
  DType stored = DType::f32;    ///< of the largest of those leaves
  bool quantized = false;       ///< weights are dequantized from integers
  bool shared = false;          ///< an earlier node reads some of its leaves too
};

struct GraphStatistics {
  std::vector<NodeStatistics> nodes;  ///< in the graph's order
  std::int64_t parameters = 0;
  std::int64_t nonzero = 0;
  std::int64_t macs = 0;
  std::size_t bytes = 0;  ///< of all leaves, each once
};

struct StatisticsOptions {
  /// Sizes of symbols, for the multiply-accumulates. The symbols of the inputs' first axes are 1
  /// where they are not here.
  std::map<std::string, std::int64_t> symbols = {};
};

/// Parameters are floating leaves that are of kind parameter, and integer codes; constants of
/// arithmetic and state are none. Counts products in convolutions, dense and recurrent layers,
/// matrix products and attention. Throws what infer throws for sizes that do not fit, naming the
/// node.
PARE_API GraphStatistics statistics(const Graph& graph, const StatisticsOptions& options = {});

}  // namespace pare
