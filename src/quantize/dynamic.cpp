// dynamic: which layers get 8-bit weights and inputs quantized as they come, and the report of it.
#include "pare/quantize/dynamic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "graph/rewrites.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dynamic_quantize.h"
#include "quantize/dynamic_layers.h"
#include "quantize/float_graph.h"
#include "quantize/layer_choice.h"
#include "quantize/settings.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "dynamic";

// Every op that can be quantized so. In this order: a table that is a layer's weight too gets the
// layer's codes.
const DynamicForm kForms[] = {
    {&kLinear, why_no_product, quantize_product},   {&kMatmul, why_no_product, quantize_product},
    {&kEmbedding, why_no_table, quantize_table},    {&kGather, why_no_table, quantize_table},
    {&kLstm, why_no_recurrent, quantize_recurrent}, {&kGru, why_no_recurrent, quantize_recurrent},
    {&kRnn, why_no_recurrent, quantize_recurrent},
};

const DynamicForm* form_of(const Graph::Node& node) {
  for (const DynamicForm& form : kForms)
    if (form.op == node.call.op) return &form;
  return nullptr;
}

void check_options(const Graph& graph, const DynamicOptions& options) {
  check_enum(options.granularity, Granularity::per_group, "a granularity", kWhere);
  check_enum(options.weight_observer, WeightObserver::mse, "a weight_observer", kWhere);
  PARE_CHECK(options.granularity != Granularity::per_group, invalid_argument, kWhere,
             "expected the granularity per_channel or per_tensor, got per_group");
  PARE_CHECK(options.weight_observer != WeightObserver::moving_average, invalid_argument, kWhere,
             "expected the weight observer min_max or mse, got moving_average");
  PARE_CHECK(options.weight_qmax >= 1 && options.weight_qmax <= 127, invalid_argument, kWhere,
             "expected a weight_qmax of 1 to 127, got {}", options.weight_qmax);
  const int bits = options.embedding_bits;
  PARE_CHECK(bits == 0 || (bits >= 2 && bits <= 8), invalid_argument, kWhere,
             "expected 2 to 8 embedding_bits, or 0, got {}", bits);
  LayerChoice(options).check(
      graph, [](const Graph::Node& node) { return form_of(node) != nullptr; },
      "that can be quantized", kWhere);
}

// Empty: nothing is against it.
std::string why_not(const DynamicEdit& edit, const Graph::Node& node, const DynamicForm* form) {
  if (!form) return fmt::format("{} has no form that is quantized as it runs", node.call.op->name);
  const std::string reason = LayerChoice(edit.options()).why_not(node);
  return reason.empty() ? form->why_not(edit, node) : reason;
}

// A copy in which the steps of LSTMs that exporters wrote out are `lstm`: the graph's own nodes
// where the options name one that would go.
Graph with_layers(const Graph& graph, const DynamicOptions& options) {
  Graph found = graph.copy();
  PassReport report;
  recognize_lstm_cells(found, report);
  if (report.done.empty()) return found;
  found.compact();
  const LayerChoice choice(options);
  for (const Graph::Node& node : graph.nodes())
    if (found.find_node(node.name) < 0 && choice.is_named(node.name)) return graph.copy();
  return found;
}

// Whether the report says why it stays float: layers with weights, and products of activations.
bool worth_a_line(const DynamicEdit& edit, const Graph::Node& node, const DynamicForm* form) {
  if (node.call.op == &kMatmul || node.call.op == &kScaledDotProductAttention) return true;
  return (form || node.call.op->quantization.weight_input >= 0) && edit.reads_weights(node);
}

void choose(DynamicEdit& edit, std::vector<std::string>& chosen) {
  for (const Graph::Node& node : edit.graph().nodes()) {
    if (edit.of_leaves(node.outputs[0])) continue;
    const DynamicForm* form = form_of(node);
    const std::string reason = why_not(edit, node, form);
    if (reason.empty())
      chosen.push_back(node.name);
    else if (worth_a_line(edit, node, form))
      edit.report().left.push_back({node.name, reason});
  }
}

}  // namespace

DynamicEdit::DynamicEdit(Graph graph, const DynamicOptions& options)
    : options_(options), graph_(std::move(graph)), of_leaves_(leaf_values(graph_)) {
  report_.bytes_before = graph_.bytes();
}

bool DynamicEdit::reads_weights(const Graph::Node& node) const {
  return quantize::reads_weights(graph_, node, of_leaves_);
}

int DynamicEdit::quantized_input(int x) {
  if (const auto known = inputs_.find(x); known != inputs_.end()) return known->second;
  const std::string name = graph_.value(x).name;
  const Call quantize{&kDynamicQuantizeLinear,
                      Attributes::of(DynamicQuantizeAttributes{options_.per_row})};
  const int quantized = graph_.add_node(name + "_quantize", quantize, {x});
  const std::vector<int> outputs = graph_.node(quantized).outputs;
  const int back = graph_.add_node(
      name + "_dequantize", {&kDequantizeLinear, Attributes::of(DequantizeAttributes{})}, outputs);
  return inputs_[x] = graph_.node(back).outputs[0];
}

CodeRange DynamicEdit::product_range() const {
  return {DType::i8, -options_.weight_qmax, options_.weight_qmax};
}

const DynamicEdit::Coded& DynamicEdit::coded(const Graph::Node& node, const WeightPlace& place,
                                             int value, const CodeRange& range,
                                             const OpDef& dequantize, DynamicReport::Layer& line) {
  const auto [known, is_new] = coded_.try_emplace({value, place.channel_axis});
  Coded& result = known->second;
  if (!is_new) return result;
  const Tensor weight = LeafEvaluator(graph_)(value);
  const ScaleLayout layout = scale_layout(node, place, weight.shape(),
                                          {.group_size = 0, .granularity = options_.granularity});
  const std::vector<double> rows = weight_rows(node, weight);
  PARE_CHECK(std::ranges::all_of(rows, [](double w) { return std::isfinite(w); }), invalid_argument,
             node.name, "expected finite weights, got NaN or infinity");
  const RowCodes codes = nearest_codes(rows, layout, range, options_.weight_observer);
  StoredWeight tensors = stored(node, weight.shape(), codes, layout, range);
  Attributes attributes = Attributes::of(layout.attributes);
  if (&dequantize == &kDequantizeLinear) {
    const int axis = layout.one ? -1 : place.channel_axis;
    attributes = Attributes::of(DequantizeAttributes{.axis = axis});
    tensors.zero_point = Tensor::zeros(tensors.scale.shape(), DType::i8);
  }
  const double sqnr = weight_sqnr(rows, layout, codes);
  line.weight_sqnr_db = line.weights > 0 ? std::min(line.weight_sqnr_db, sqnr) : sqnr;
  line.weights += weight.elements();
  line.scales += tensors.scale.elements();
  line.bytes_before += rows.size() * sizeof(float);
  line.bytes_after += tensors.bytes();
  result = {add_stored(graph_, value, tensors, {&dequantize, std::move(attributes)}), node.name};
  return result;
}

std::string to_string(const DynamicReport& report) {
  std::string text = fmt::format("{:<40} {:>10} {:>4} {:>10} {:>10} {:>10}  {}\n", "layer", "op",
                                 "bits", "bytes", "were", "weight", "note");
  for (const DynamicReport::Layer& line : report.layers) {
    const bool own = line.bytes_before > 0;
    text += fmt::format("{:<40} {:>10} {:>4} {:>10} {:>10} {:>10}  {}\n", line.name, line.op,
                        own ? std::to_string(line.bits) : "", line.bytes_after, line.bytes_before,
                        own ? fmt::format("{:.2f} dB", line.weight_sqnr_db) : "", line.note);
  }
  text += fmt::format("{:<40} {:>10} {:>4} {:>10} {:>10}\n", "all", "", "", report.bytes_after,
                      report.bytes_before);
  return text + float_lines(report.left);
}

Dynamic dynamic(const Graph& graph, const DynamicOptions& options) {
  check_float(graph, kWhere);
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  Graph layers = with_layers(graph, options);
  check_options(layers, options);
  DynamicEdit edit(std::move(layers), options);
  std::vector<std::string> chosen;
  choose(edit, chosen);
  check_any(chosen, edit.report().left, "a layer that can be quantized", kWhere);
  for (const DynamicForm& form : kForms)
    for (const std::string& name : chosen) {
      const int n = edit.graph().find_node(name);
      if (edit.graph().node(n).call.op == form.op) form.quantize(edit, n);
    }
  std::ranges::sort(edit.report().layers, {}, [&](const DynamicReport::Layer& line) {
    return std::ranges::find(chosen, line.name) - chosen.begin();
  });
  Graph result = std::move(edit.graph());
  result.compact();
  result.verify();
  edit.report().bytes_after = result.bytes();
  return {std::move(result), std::move(edit.report())};
}

}  // namespace pare::quantize
