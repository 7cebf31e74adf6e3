// Uses: who reads the values of a graph.
#pragma once

#include <span>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// The reads of a graph as it is when this is made.
class Uses {
 public:
  explicit Uses(const Graph& graph);
  /// The nodes that read a value, ascending, one entry per read: of x + x the node twice.
  std::span<const int> reads(int value) const { return reads_[static_cast<std::size_t>(value)]; }
  bool is_output(int value) const { return is_output_[static_cast<std::size_t>(value)]; }
  /// The node that makes the only read; −1 where there are none or several, or the value leaves the
  /// graph.
  int only_reader(int value) const {
    return reads(value).size() == 1 && !is_output(value) ? reads(value).front() : -1;
  }

 private:
  std::vector<std::vector<int>> reads_;
  std::vector<bool> is_output_;
};

}  // namespace pare
