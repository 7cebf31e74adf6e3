// Parts of the documents that several commands print of what they did to a model.
#include "cli/report_json.h"

namespace pare::cli {

Json json_of(const std::optional<double>& number) { return number ? Json(*number) : Json(nullptr); }

Json left_of(const std::vector<PassReport::Line>& lines) {
  Json left = Json::array();
  for (const PassReport::Line& line : lines)
    left.push_back({{"name", line.node}, {"reason", line.text}});
  return left;
}

Json left_of(const std::vector<PassReport::Line>& lines, const Graph& graph) {
  Json left = Json::array();
  for (const PassReport::Line& line : lines) {
    const int node = graph.find_node(line.node);
    left.push_back({{"name", line.node},
                    {"op", node >= 0 ? graph.node(node).call.op->name : ""},
                    {"reason", line.text}});
  }
  return left;
}

Json left_of(const quantize::Report& report) {
  Json left = Json::array();
  for (const quantize::Report::Node& node : report.nodes)
    if (!node.quantized)
      left.push_back({{"name", node.name}, {"op", node.op}, {"reason", node.note}});
  return left;
}

}  // namespace pare::cli
