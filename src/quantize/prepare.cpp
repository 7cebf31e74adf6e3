// prepare and prepare_qat: fake-quantized weights and observers, put where placement says.
#include "pare/quantize/prepare.h"

#include <algorithm>
#include <map>

#include "core/check.h"
#include "graph/fold_batch_norm.h"
#include "graph/rewrites.h"
#include "pare/graph/passes.h"
#include "quantize/dynamic_training.h"
#include "quantize/float_graph.h"
#include "quantize/metadata.h"
#include "quantize/placement.h"
#include "quantize/prepare_activations.h"
#include "quantize/prepare_weights.h"
#include "quantize/rounded_biases.h"
#include "quantize/settings.h"

namespace pare::quantize {
namespace {

class Preparer {
 public:
  /// `qat` null: for quantization after training.
  Preparer(Graph& graph, const QConfig& config, const QATConfig* qat)
      : graph_(graph), config_(config), qat_(qat), placement_(place(graph, config)), uses_(graph) {}

  void run(const char* where) {
    const int nodes = static_cast<int>(graph_.nodes().size());
    bool any = false;
    for (int n = 0; n < nodes; ++n) {
      const Placement::NodeChoice& choice = placement_.nodes[static_cast<std::size_t>(n)];
      if (!choice.quantized) {
        any = prepared_dynamic(n, choice.reason) || any;
        continue;
      }
      any = any || choice.weighted || choice.product;
      if (!choice.weighted) continue;
      int norm = qat_ ? batch_norm_after(graph_, uses_, n) : -1;
      if (norm >= 0 && !placement_.nodes[static_cast<std::size_t>(norm)].quantized) norm = -1;
      norms_[n] = norm;
      const int input = graph_.node(n).call.op->quantization.weight_input;
      if (norm >= 0 && qat_->batch_norm == BatchNormForm::exact)
        measured_[n] = graph_.node(n).inputs[static_cast<std::size_t>(input)];
      prepare_weight(graph_, n, norm, config_, qat_, rounded_);
    }
    PARE_CHECK(any, unsupported, where,
               "expected a node with weights that can be quantized, got none: {}", why_not());
    const std::vector<int> outputs = graph_.outputs();
    for (const Placement::Range& range : placement_.ranges)
      prepare_activation(graph_, range, config_, qat_);
    give_back_unrounded(outputs);
    if (qat_) round_biases(graph_, norms_);
    for (const auto& [n, weight] : measured_) measure_unrounded(n, weight);
    graph_.metadata()[kIsaKey] = config_.isa;
    graph_.compact();
    graph_.verify();
  }

 private:
  // Notes why node n stays float, unless it trains for `dynamic`; gives whether it does.
  bool prepared_dynamic(int n, std::string reason) {
    const bool asked = reason.empty() || settings_of(config_, graph_.node(n)).excluded.empty();
    if (qat_ && asked && trains_dynamically(graph_, n, *qat_, reason)) {
      prepare_dynamic(graph_, n, config_, *qat_, rounded_);
      return true;
    }
    if (!reason.empty()) graph_.metadata()[kFloatKey + graph_.node(n).name] = reason;
    return false;
  }

  // What the graph gives back as it came is not rounded, though layers that read it round it.
  void give_back_unrounded(const std::vector<int>& before) {
    std::vector<int> outputs = graph_.outputs();
    for (std::size_t k = 0; k < outputs.size(); ++k)
      if (graph_.value(before[k]).producer < 0) outputs[k] = before[k];
    graph_.set_outputs(std::move(outputs));
  }

  // The batch norm behind layer n takes its statistics from the layer with the weight as it is.
  void measure_unrounded(int n, int weight) {
    const Graph::Node layer = graph_.node(n);
    std::vector<int> inputs = layer.inputs;
    inputs[static_cast<std::size_t>(layer.call.op->quantization.weight_input)] = weight;
    const int unrounded =
        graph_.add_node(layer.name + "_unrounded", Call(layer.call), std::move(inputs));
    const int value = graph_.node(unrounded).outputs[0];
    graph_.edit_node(norms_.at(n)).inputs.push_back(value);
  }

  std::string why_not() const {
    std::string text;
    for (std::size_t n = 0; n < placement_.nodes.size(); ++n)
      if (const std::string& reason = placement_.nodes[n].reason; !reason.empty())
        text += fmt::format("{}'{}' ({})", text.empty() ? "" : ", ",
                            graph_.node(static_cast<int>(n)).name, reason);
    return text.empty() ? "the graph has no nodes" : text;
  }

  Graph& graph_;
  const QConfig& config_;
  const QATConfig* const qat_;
  const Placement placement_;
  const Uses uses_;
  RoundedWeights rounded_;
  std::map<int, int> norms_;  // of layers whose weights are quantized, the batch norm behind; −1
  std::map<int, int> measured_;  // weights of layers whose batch norm measures them unrounded
};

}  // namespace

Graph prepare(const Graph& graph, const QConfig& config) {
  check_float(graph, "prepare");
  check_config(graph, config, "prepare");
  const PassResult folded = fold_batch_norm_unless(
      graph, [&](const Graph::Node& norm) { return settings_of(config, norm).excluded; });
  Graph result = remove_identities(folded.graph).graph;
  drop_notes(result);
  check_folded(config, graph, result, folded.report, "prepare");
  Preparer(result, config, nullptr).run("prepare");
  // What the pass says is closer to the cause than that the op has no quantized form.
  for (const PassReport::Line& line : folded.report.left)
    result.metadata()[kFloatKey + line.node] = line.text;
  for (const PassReport::Line& line : folded.report.done)
    result.metadata()[kFoldedKey + line.node] = line.text;
  return result;
}

Graph prepare_qat(const Graph& graph, const QConfig& config, const QATConfig& qat) {
  check_float(graph, "prepare_qat");
  check_config(graph, config, "prepare_qat");
  check_enum(qat.method, TrainingMethod::tqt, "a method", "prepare_qat");
  check_enum(qat.weight_method.value_or(qat.method), TrainingMethod::tqt, "a weight_method",
             "prepare_qat");
  check_enum(qat.start, StepStart::least_squares, "a start", "prepare_qat");
  check_enum(qat.batch_norm, BatchNormForm::exact, "a batch_norm", "prepare_qat");
  Graph result = graph.copy();
  drop_notes(result);
  // As `dynamic` has them: steps of an LSTM that an exporter wrote out.
  if (std::ranges::find(qat.dynamic_ops, "lstm") != qat.dynamic_ops.end()) {
    PassReport found;
    recognize_lstm_cells(result, found);
    if (!found.done.empty()) result.compact();
  }
  check_dynamic_ops(result, qat);
  Preparer(result, config, &qat).run("prepare_qat");
  return result;
}

}  // namespace pare::quantize
