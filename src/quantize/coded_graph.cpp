// CodedGraph: a graph of integers, and beside it the one for training that is made of it.
#include "quantize/coded_graph.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "graph/rewrites.h"
#include "pare/core/ops.h"
#include "quantize/clips.h"
#include "quantize/placement.h"

namespace pare::quantize {
namespace {

/// ONNX has codes of fewer bits as those of the type and a Clip: of both one quantize_linear.
void join_clipped_codes(Graph& graph) {
  const auto nodes = static_cast<int>(graph.nodes().size());
  for (int n = 0; n < nodes; ++n) {
    const auto bounds = clip_bounds(graph.node(n).call);
    const int producer = bounds ? graph.value(graph.node(n).inputs[0]).producer : -1;
    if (producer < 0 || graph.node(producer).call.op != &kQuantizeLinear) continue;
    const Graph::Node quantize = graph.node(producer);
    auto codes = quantize.call.attributes.as<QuantizeAttributes>();
    const double low = std::max(std::ceil(bounds->low), static_cast<double>(codes.qmin));
    const double high = std::min(std::floor(bounds->high), static_cast<double>(codes.qmax));
    if (!(low <= high)) continue;
    codes.qmin = static_cast<std::int64_t>(low);
    codes.qmax = static_cast<std::int64_t>(high);
    Graph::Node& clip = graph.edit_node(n);
    clip.call = {&kQuantizeLinear, Attributes::of(codes)};
    clip.inputs = quantize.inputs;
  }
}

Graph with_whole_layers(const Graph& quantized) {
  Graph graph = quantized.copy();
  PassReport found;
  recognize_linear(graph, found);
  // ONNX files spell out the rows that are quantized as they come.
  recognize_dynamic_products(graph, found);
  join_clipped_codes(graph);
  graph.compact();
  return graph;
}

bool same(const CodeParameters& a, const CodeParameters& b) {
  return a.scale.shape() == b.scale.shape() &&
         a.scale.to_vector<float>() == b.scale.to_vector<float>() &&
         a.zero.to_vector<std::int32_t>() == b.zero.to_vector<std::int32_t>();
}

}  // namespace

bool is_byte(DType dtype) { return dtype == DType::u8 || dtype == DType::i8; }

CodedGraph::CodedGraph(const Graph& quantized, const ToFakeQuantizeOptions& options)
    : graph(with_whole_layers(quantized)),
      options_(options),
      before_(graph.share()),
      leaf_(leaf_values(before_)),
      float_of_(before_.values().size(), -1) {}

std::optional<CodeParameters> CodedGraph::parameters_of(const Graph::Node& node) const {
  const int zero = node.inputs.size() > 2 ? node.inputs[2] : -1;
  if (!is_constant(node.inputs[1]) || (zero >= 0 && !is_constant(zero))) return std::nullopt;
  LeafEvaluator evaluate(before_);
  CodeParameters by{evaluate(node.inputs[1]).clone(), {}};
  for (const float scale : by.scale.to_vector<float>())
    PARE_CHECK(std::isfinite(scale) && scale > 0, invalid_argument, node.name,
               "expected finite scales above 0, got {}", scale);
  by.zero = zero >= 0 ? evaluate(zero).to(DType::i32).clone()
                      : Tensor::zeros(by.scale.shape(), DType::i32);
  return by;
}

std::string CodedGraph::obstacle(int codes, const CodeParameters& by) const {
  if (!options_.real_outputs && before_.is_output(codes)) return "its codes leave the graph";
  for (const int r : before_.readers(codes)) {
    const Graph::Node& reader = node(r);
    if (reader.call.op == &kDequantizeLinear) {
      const auto other = parameters_of(reader);
      if (!other || !same(*other, by)) return "its codes are read with another scale";
      continue;
    }
    if (!selects(reader.call) || reader.inputs[0] != codes || reader.outputs.size() != 1 ||
        reader.call.op->quantization.kind != QuantizationFact::Kind::same_as_input)
      return fmt::format("its codes are read by '{}' ({})", reader.name, reader.call.op->name);
    if (std::string why = obstacle(reader.outputs[0], by); !why.empty()) return why;
  }
  return "";
}

int CodedGraph::constant(const std::string& name, const Tensor& value) {
  return graph.add_leaf(Graph::Kind::constant, name, value);
}

int CodedGraph::parameter(const std::string& name, Tensor value) {
  value.set_requires_grad(true);
  return graph.add_leaf(Graph::Kind::parameter, name, std::move(value), true);
}

}  // namespace pare::quantize
