// pare inspect: what a model consists of.
#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model_file.h"
#include "cli/tensors.h"
#include "pare/graph/statistics.h"

namespace pare::cli {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> shapes;
};

// Numbers, and the names of symbols.
Json shape_json(const Shape& shape) {
  Json out = Json::array();
  for (int a = 0; a < shape.rank(); ++a) {
    if (shape.symbolic(a))
      out.push_back(shape.symbol(a));
    else
      out.push_back(shape[a]);
  }
  return out;
}

std::vector<std::string> input_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const int v : graph.inputs()) names.push_back(graph.value(v).name);
  return names;
}

Json values_json(const Graph& graph, const std::vector<int>& values,
                 const std::vector<std::string>& names) {
  Json out = Json::array();
  for (std::size_t k = 0; k < values.size(); ++k) {
    const Graph::Value& value = graph.value(values[k]);
    out.push_back({{"name", names[k]},
                   {"shape", shape_json(value.shape)},
                   {"dtype", traits(value.dtype).name}});
  }
  return out;
}

std::string marks(const NodeStatistics& node) {
  std::string text;
  if (node.quantized) text += fmt::format(" {}", traits(node.stored).name);
  if (node.nonzero < node.parameters)
    text +=
        fmt::format(" {:.0f}% zero", 100.0 * static_cast<double>(node.parameters - node.nonzero) /
                                         static_cast<double>(node.parameters));
  if (node.shared) text += " shared";
  return text;
}

void run(const Options& options, const Settings& settings) {
  const Graph graph = load_model(options.model);
  const auto symbols = symbols_of(graph, parse_shapes(graph, options.shapes));
  const GraphStatistics all = statistics(graph, {.symbols = symbols});
  const auto count = [&](auto fact) {
    return static_cast<std::int64_t>(std::ranges::count_if(all.nodes, fact));
  };
  const auto quantized = count([](const NodeStatistics& n) { return n.quantized; });
  const auto shared = count([](const NodeStatistics& n) { return n.shared; });

  Json nodes = Json::array();
  std::size_t width = 4, op_width = 2;
  for (const NodeStatistics& node : all.nodes) {
    width = std::max(width, std::min<std::size_t>(node.name.size(), 48));
    op_width = std::max(op_width, node.op.size());
  }
  std::string text;
  for (const int v : graph.inputs())
    text += fmt::format("input  {}: {}{}\n", graph.value(v).name, traits(graph.value(v).dtype).name,
                        graph.value(v).shape.to_string());
  const std::vector<std::string> outputs = graph.output_names();
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const Graph::Value& value = graph.value(graph.outputs()[k]);
    text += fmt::format("output {}: {}{}\n", outputs[k], traits(value.dtype).name,
                        value.shape.to_string());
  }
  text += fmt::format("\n{:<{}}  {:<{}}  {:<24} {:>12} {:>14} {:>10}\n", "node", width, "op",
                      op_width, "shape", "parameters", "MACs", "bytes");
  for (const NodeStatistics& node : all.nodes) {
    text +=
        fmt::format("{:<{}}  {:<{}}  {:<24} {:>12} {:>14} {:>10}{}\n", node.name, width, node.op,
                    op_width, node.shape.to_string(), node.parameters,
                    node.macs < 0 ? "?" : fmt::format("{}", node.macs), node.bytes, marks(node));
    Json one{{"name", node.name},
             {"op", node.op},
             {"shape", shape_json(node.shape)},
             {"parameters", node.parameters},
             {"macs", node.macs < 0 ? Json() : Json(node.macs)},
             {"bytes", node.bytes},
             {"nonzero", node.nonzero},
             {"quantized", node.quantized},
             {"shared", node.shared}};
    nodes.push_back(std::move(one));
  }
  text += fmt::format(
      "\n{} nodes, {} parameters ({} not zero), {} MACs{}, {} of weights; {} nodes with "
      "integer weights, {} that share weights\n",
      all.nodes.size(), all.parameters, all.nonzero, all.macs,
      options.shapes.empty() ? " a sample" : "", bytes_text(all.bytes), quantized, shared);
  Json metadata = Json::object();
  for (const auto& [key, value] : graph.metadata()) {
    text += fmt::format("{}: {}\n", key, value);
    metadata[key] = value;
  }
  print(settings, text,
        {{"parameters", all.parameters},
         {"macs", all.macs},
         {"bytes", all.bytes},
         {"nonzero", all.nonzero},
         {"quantized", quantized},
         {"shared", shared},
         {"inputs", values_json(graph, graph.inputs(), input_names(graph))},
         {"outputs", values_json(graph, graph.outputs(), graph.output_names())},
         {"metadata", metadata},
         {"nodes", nodes}});
}

}  // namespace

void add_inspect(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, settings, "inspect", "Nodes, shapes, parameters, MACs and bytes of a model",
                  "pare inspect mobilenetv2.onnx");
  command->add_option("MODEL", options->model, "A .onnx or .pare file")->required();
  command
      ->add_option("--shape", options->shapes,
                   "Sizes of an input, for the MACs: [name=]1,3,224,224; first axes are 1 without")
      ->allow_extra_args(false);
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
