// Uses: who reads the values of a graph.
#include "graph/uses.h"

namespace pare {

Uses::Uses(const Graph& graph) : reads_(graph.values().size()), is_output_(graph.values().size()) {
  for (std::size_t n = 0; n < graph.nodes().size(); ++n)
    for (const int v : graph.nodes()[n].inputs)
      if (v >= 0) reads_[static_cast<std::size_t>(v)].push_back(static_cast<int>(n));
  for (const int v : graph.outputs()) is_output_[static_cast<std::size_t>(v)] = true;
}

}  // namespace pare
