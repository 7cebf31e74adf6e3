// Numbers for the symbolic axes of a graph's inputs.
#include "graph/smallest_sizes.h"

#include "pare/core/error.h"

namespace pare {
namespace {

Graph at_sizes(const Graph& graph, std::int64_t size) {
  Graph copy = graph.share();
  for (const int input : copy.inputs()) {
    Shape& shape = copy.edit_value(input).shape;
    for (int a = 0; a < shape.rank(); ++a)
      if (shape.symbolic(a)) shape.set(a, a == 0 ? 1 : size);
  }
  copy.infer_shapes();
  return copy;
}

}  // namespace

Graph at_smallest_sizes(const Graph& graph) {
  for (const std::int64_t size : {1, 8, 64}) {
    try {
      return at_sizes(graph, size);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::shape_mismatch) throw;
    }
  }
  return at_sizes(graph, 256);
}

}  // namespace pare
