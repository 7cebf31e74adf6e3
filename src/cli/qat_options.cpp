// What pare finetune trains: floats, codes made numbers again, graphs from prepare_qat.
#include "cli/qat_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "cli/settings.h"
#include "pare/core/error.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/core/ops/dynamic_quantize.h"
#include "pare/core/ops/learned_steps.h"
#include "pare/core/ops/observe.h"
#include "pare/quantize/prepare.h"
#include "pare/quantize/to_fake_quantize.h"

namespace pare::cli {
namespace {

// Of a float model alone: in others these things are settled.
constexpr const char* kOfFloats[] = {"--method",     "--weight-bits", "--activation-bits",
                                     "--dynamic-op", "--config",      "--isa",
                                     "--exclude"};
constexpr const char* kFreezing[] = {"--freeze-observers", "--freeze-batch-norm"};

template <class... Ops> bool has_any(const Graph& graph, const Ops&... ops) {
  return std::ranges::any_of(
      graph.nodes(), [&](const Graph::Node& node) { return ((node.call.op == &ops) || ...); });
}

quantize::TrainingMethod method_of(const std::string& name) {
  using enum quantize::TrainingMethod;
  return name == "lsq"        ? lsq
         : name == "lsq-plus" ? lsq_plus
         : name == "pact"     ? pact
         : name == "tqt"      ? tqt
                              : moving_average;
}

Graph prepared(const Graph& graph, const QATOptions& options) {
  quantize::QConfig config = config_of(options.config);
  if (options.activation_bits > 0) config.activation_bits = options.activation_bits;
  if (options.weight_bits > 0 && options.weight_bits < 8) {
    set_weight_bits(config, options.weight_bits);
    config.full_weight_range = options.method != "moving-average";
  }
  return quantize::prepare_qat(
      graph, config, {.method = method_of(options.method), .dynamic_ops = options.dynamic_ops});
}

void check_float_options(const QATOptions& options, const char* kind) {
  for (const char* const name : kOfFloats)
    if (std::ranges::find(options.given, name) != options.given.end())
      throw UsageError(
          fmt::format("{}: expected a float model, got one that is {} already", name, kind));
}

// Whether a matrix or kernel learns: a gradient reaches it, which none does through rounding to
// codes. Biases, norms and what is added (positions) alone are not what training on is for.
bool has_trainable_weights(const Graph& graph) {
  std::vector<int> open = graph.outputs();
  std::set<int> met(open.begin(), open.end());
  while (!open.empty()) {
    const Graph::Value& value = graph.value(open.back());
    open.pop_back();
    if (value.kind == Graph::Kind::parameter && is_floating(value.dtype) && value.shape.rank() > 1)
      return true;
    if (value.producer < 0) continue;
    const Graph::Node& node = graph.node(value.producer);
    if (node.call.op == &kQuantizeLinear || node.call.op == &kDynamicQuantizeLinear) continue;
    for (const int input : node.inputs) {
      const bool term = node.call.op == &kAdd && input >= 0 && graph.value(input).is_leaf();
      if (input >= 0 && !term && met.insert(input).second) open.push_back(input);
    }
  }
  return false;
}

TrainedGraph from_codes(const Graph& graph, const QATOptions& options, const std::string& file) {
  check_float_options(options, "quantized");
  quantize::FakeQuantized fake = quantize::to_fake_quantize(graph, {.moving_ranges = options.qat});
  if (!has_trainable_weights(fake.graph))
    throw Error(ErrorCode::unsupported,
                fmt::format("{}: expected layers with weights that can be trained, got none: {}",
                            file, reasons_of(fake.report.left)));
  const bool converts = has_any(fake.graph, kFakeQuantize, kObserveFakeQuantize);
  return {std::move(fake.graph), converts, std::move(fake.report.left)};
}

}  // namespace

void add_qat_options(CLI::App* command, QATOptions& options) {
  command->add_flag("--qat", options.qat, "Trains with fake-quantization, writes the int8 model");
  command->add_option("--method", options.method, "With --qat: how ranges are found")
      ->capture_default_str()
      ->check(CLI::IsMember({"moving-average", "lsq", "lsq-plus", "pact", "tqt"}));
  command->add_option("--weight-bits", options.weight_bits, "With --qat; as --config has them")
      ->check(CLI::Range(2, 8));
  command->add_option("--activation-bits", options.activation_bits, "With --qat; 8 without")
      ->check(CLI::Range(2, 8));
  command
      ->add_option("--freeze-observers", options.freeze.observers,
                   "With --qat: epochs after which ranges stay as they are")
      ->check(CLI::Range(1, 1 << 20));
  command
      ->add_option("--freeze-batch-norm", options.freeze.batch_norm,
                   "With --qat: epochs after which batch norms' statistics stay")
      ->check(CLI::Range(1, 1 << 20));
  command
      ->add_option("--dynamic-op", options.dynamic_ops,
                   "With --qat: an op that trains for dynamic int8; given again for more")
      ->check(CLI::IsMember({"embedding", "gather", "gru", "lstm", "rnn"}))
      ->allow_extra_args(false);
  add_qconfig_options(command, options.config);
  // Ranges that train are moving averages, or learned.
  command->remove_option(command->get_option("--observer"));
}

std::string reasons_of(const std::vector<PassReport::Line>& left) {
  std::map<std::string, std::vector<std::string>> nodes;
  for (const PassReport::Line& line : left) nodes[line.text].push_back(line.node);
  std::string text;
  for (const auto& [reason, names] : nodes) {
    text += fmt::format("{}{} ('{}'", text.empty() ? "" : "; ", reason, names.front());
    text += names.size() > 1 ? fmt::format(" and {} more)", names.size() - 1) : ")";
  }
  return text;
}

std::vector<std::string> given_qat_options(const CLI::App& command) {
  std::vector<std::string> given;
  const auto is_given = [&](const char* name) { return command.count(name) > 0; };
  std::ranges::copy_if(kOfFloats, std::back_inserter(given), is_given);
  std::ranges::copy_if(kFreezing, std::back_inserter(given), is_given);
  return given;
}

void check_qat_options(const QATOptions& options, std::int64_t epochs) {
  if (!options.qat && !options.given.empty())
    throw UsageError(options.given.front() + ": expected --qat");
  const auto freezes = [&](const char* name, const std::optional<std::int64_t>& after) {
    if (after && *after >= epochs)
      throw UsageError(
          fmt::format("{}: expected fewer than the {} of --epochs, got {}", name, epochs, *after));
  };
  freezes(kFreezing[0], options.freeze.observers);
  freezes(kFreezing[1], options.freeze.batch_norm);
}

TrainedGraph graph_to_train(Graph graph, const QATOptions& options, const std::string& file) {
  if (has_any(graph, kObserveMinMax, kObserveMeanMinMax, kObserveHistogram))
    throw Error(ErrorCode::invalid_state,
                file +
                    ": expected a float model, one of integers or one from prepare_qat, got one "
                    "from prepare, whose observers are for calibration");
  TrainedGraph result;
  if (has_any(graph, kFakeQuantize, kFakeQuantizeLearned, kObserveFakeQuantize)) {
    check_float_options(options, "prepared");
    result = {std::move(graph), true};
  } else if (has_any(graph, kQuantizeLinear, kDequantizeLinear, kDequantizeWeight,
                     kDynamicQuantizeLinear)) {
    return from_codes(graph, options, file);
  } else if (options.qat) {
    result = {prepared(graph, options), true};
  } else {
    result.graph = std::move(graph);
  }
  if (result.graph.parameters().empty())
    throw Error(ErrorCode::unsupported,
                file + ": expected a model with weights to train, got one of constants");
  return result;
}

}  // namespace pare::cli
