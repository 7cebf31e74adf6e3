// dynamic: which layers get 8-bit weights and inputs quantized as they come, and the report of it.
#include "pare/quantize/dynamic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "graph/names.h"
#include "graph/rewrites.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dynamic_quantize.h"
#include "quantize/dynamic_layers.h"
#include "quantize/float_graph.h"
#include "quantize/round_codes.h"
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
  PARE_CHECK(options.weight_observer != WeightObserver::moving_average, invalid_argument, kWhere,
             "expected the weight observer min_max or mse, got moving_average");
  PARE_CHECK(options.weight_qmax >= 1 && options.weight_qmax <= 127, invalid_argument, kWhere,
             "expected a weight_qmax of 1 to 127, got {}", options.weight_qmax);
  const int bits = options.embedding_bits;
  PARE_CHECK(bits == 0 || (bits >= 2 && bits <= 8), invalid_argument, kWhere,
             "expected 2 to 8 embedding_bits, or 0, got {}", bits);
  std::vector<std::string> names;
  std::set<std::string> ops;
  for (const Graph::Node& node : graph.nodes()) {
    names.push_back(node.name);
    if (form_of(node)) ops.insert(node.call.op->name);
  }
  for (const std::string& op : options.ops)
    PARE_CHECK(ops.contains(op), invalid_argument, kWhere,
               "expected an op of the graph that can be quantized, got '{}'; there are {}", op,
               ops.empty() ? "none" : fmt::format("'{}'", fmt::join(ops, "', '")));
  for (const std::string& name : options.names) check_name(name, names, "quantize", kWhere);
  for (const std::string& name : options.exclude) check_name(name, names, "exclude", kWhere);
}

bool reads_weights(const DynamicEdit& edit, const Graph::Node& node) {
  return std::ranges::any_of(node.inputs, [&](int v) {
    return v >= 0 && edit.of_leaves(v) && is_floating(edit.graph().value(v).dtype) &&
           edit.graph().value(v).shape.rank() >= 2;
  });
}

// Empty: nothing is against it.
std::string why_not(const DynamicEdit& edit, const Graph::Node& node, const DynamicForm* form) {
  const DynamicOptions& options = edit.options();
  const std::string op = node.call.op->name;
  if (!form) return fmt::format("{} has no form that is quantized as it runs", op);
  if (!options.ops.empty() && std::ranges::find(options.ops, op) == options.ops.end())
    return fmt::format("{} is not among the ops", op);
  const auto matched = [&](const std::string& pattern) { return matches(pattern, node.name); };
  if (!options.names.empty() && std::ranges::none_of(options.names, matched))
    return "not chosen by name";
  const auto excluded = std::ranges::find_if(options.exclude, matched);
  if (excluded != options.exclude.end()) return fmt::format("excluded by name ('{}')", *excluded);
  return form->why_not(edit, node);
}

// A copy in which the steps of LSTMs that exporters wrote out are `lstm`: the graph's own nodes
// where the options name one that would go.
Graph with_layers(const Graph& graph, const DynamicOptions& options) {
  Graph found = graph.copy();
  PassReport report;
  recognize_lstm_cells(found, report);
  if (report.done.empty()) return found;
  found.compact();
  const auto is_named = [&](const std::string& name) {
    const auto matched = [&](const std::string& pattern) { return matches(pattern, name); };
    return std::ranges::any_of(options.names, matched) ||
           std::ranges::any_of(options.exclude, matched);
  };
  for (const Graph::Node& node : graph.nodes())
    if (found.find_node(node.name) < 0 && is_named(node.name)) return graph.copy();
  return found;
}

// Whether the report says why it stays float: layers with weights, and products of activations.
bool worth_a_line(const DynamicEdit& edit, const Graph::Node& node, const DynamicForm* form) {
  if (node.call.op == &kMatmul || node.call.op == &kScaledDotProductAttention) return true;
  return (form || node.call.op->quantization.weight_input >= 0) && reads_weights(edit, node);
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

RowCodes DynamicEdit::codes(const Graph::Node& node, const std::vector<double>& rows,
                            const ScaleLayout& layout, const CodeRange& range) const {
  PARE_CHECK(std::ranges::all_of(rows, [](double w) { return std::isfinite(w); }), invalid_argument,
             node.name, "expected finite weights, got NaN or infinity");
  return nearest_codes(rows, layout, range, options_.weight_observer);
}

int DynamicEdit::constant(int value, const char* suffix, const Tensor& tensor) {
  return graph_.add_leaf(Graph::Kind::constant, graph_.value(value).name + suffix, tensor);
}

void DynamicEdit::describe(DynamicReport::Layer& line, const std::vector<double>& rows,
                           const ScaleLayout& layout, const RowCodes& codes, std::int64_t scales,
                           std::size_t bytes) {
  double signal = 0, noise = 0;
  for (std::int64_t r = 0; r < layout.rows; ++r)
    for (std::int64_t c = 0; c < layout.columns; ++c) {
      const double w = rows[static_cast<std::size_t>(r * layout.columns + c)];
      const double error = codes.value(layout, r, c) - w;
      signal += w * w;
      noise += error * error;
    }
  line.weight_sqnr_db = decibels(signal, noise);
  line.weights += static_cast<std::int64_t>(rows.size());
  line.scales += scales;
  line.bytes_before += rows.size() * sizeof(float);
  line.bytes_after += bytes;
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
  for (const PassReport::Line& line : report.left)
    text += fmt::format("{:<40} stays float: {}\n", line.node, line.text);
  return text;
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
  PARE_CHECK(!chosen.empty(), unsupported, kWhere,
             "expected a layer that can be quantized, got none{}{}",
             edit.report().left.empty() ? "" : ": ",
             edit.report().left.empty() ? "" : PassReport{{}, edit.report().left}.to_string());
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
