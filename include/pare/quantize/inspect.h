// Looking into prepared and quantized graphs: ranges, codes, scales, zero points.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pare/core/tensor.h"
#include "pare/graph/graph.h"
#include "pare/quantize/observer.h"

namespace pare::quantize {

struct ActivationRange {
  std::string value;   ///< name of the activation
  float seen_min = 0;  ///< what was seen (for a moving average: its present state)
  float seen_max = 0;
  float min = 0;  ///< what the smallest and the largest code stand for
  float max = 0;
  float scale = 0;
  std::int32_t zero_point = 0;
};
/// The ranges of all observers of a prepared graph that have seen something, in the graph's order.
/// `searches` are the user's own that it was prepared with; throws invalid_argument without them.
PARE_API std::vector<ActivationRange> observed_ranges(const Graph& prepared,
                                                      const RangeSearches& searches = {});

/// Of a quantized graph: the codes of a constant ("conv1.weight": i8, "conv1.bias": i32), its
/// scales (f32, rank 0 or [C]) and zero points (i32); the latter two also of an activation, by its
/// name in the prepared graph. Throw invalid_argument, with the nearest names, for one that is not
/// quantized.
PARE_API Tensor int_repr(const Graph& graph, std::string_view name);
PARE_API Tensor scale(const Graph& graph, std::string_view name);
PARE_API Tensor zero_point(const Graph& graph, std::string_view name);
/// The float values that the codes of a constant stand for.
PARE_API Tensor dequantized(const Graph& graph, std::string_view name);

}  // namespace pare::quantize
