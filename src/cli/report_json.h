// Parts of the documents that several commands print of what they did to a model.
#pragma once

#include <optional>
#include <vector>

#include "cli/command.h"
#include "cli/model_file.h"
#include "pare/graph/graph.h"
#include "pare/graph/passes.h"
#include "pare/quantize/convert.h"

namespace pare::cli {

/// None is null.
Json json_of(const std::optional<double>& number);

/// Nodes that were left as they are, and why.
Json left_of(const std::vector<PassReport::Line>& lines);
/// With their ops; `graph`: before.
Json left_of(const std::vector<PassReport::Line>& lines, const Graph& graph);
/// Nodes that stay float.
Json left_of(const quantize::Report& report);

/// A layer whose weight has become codes: of the report of `dynamic` or `weight_only`.
template <class Layer> Json coded_layer(const Layer& layer) {
  const bool own = layer.bytes_before > 0;
  return {{"name", layer.name},
          {"op", layer.op},
          {"bits", layer.bits},
          {"weights", layer.weights},
          {"scales", layer.scales},
          {"bytes_before", layer.bytes_before},
          {"bytes_after", layer.bytes_after},
          {"weight_sqnr_db", own ? Json(layer.weight_sqnr_db) : Json(nullptr)}};
}
/// A document about them: how many there are, nodes that stay float, the files' bytes.
template <class Report>
Json coded_document(const Report& report, const Graph& graph, const FileSizes& files) {
  return {{"quantized", report.layers.size()},
          {"float", left_of(report.left, graph)},
          {"bytes_before", files.before},
          {"bytes_after", files.after}};
}

}  // namespace pare::cli
