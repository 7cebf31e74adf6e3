// pare quantize: an int8 model from a float one and calibration data; or its weights alone.
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/dynamic.h"
#include "cli/measured_data.h"
#include "cli/mixed_precision.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/qconfig_options.h"
#include "cli/report_json.h"
#include "cli/tensors.h"
#include "cli/weight_only.h"
#include "pare/core/context.h"
#include "pare/quantize/absorb_biases.h"
#include "pare/quantize/channel_statistics.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/correct_biases.h"
#include "pare/quantize/equalize.h"
#include "pare/quantize/prepare.h"
#include "pare/quantize/rounding.h"
#include "pare/quantize/smooth.h"

namespace pare::cli {
namespace {

struct Options {
  std::string from, to;
  std::vector<std::string> calibration;
  QConfigOptions config;
  std::int64_t batch = 0;  // as many as batch_for says
  bool equalize = false, relu6_as_relu = false, absorb_biases = false;
  bool adaround = false, bias_correction = false, analytic = false;
  std::int64_t relaxation = 0;
  std::optional<double> smooth;
  std::int64_t smooth_steps = 0;
  bool smooth_convolutions = false;
  WeightOnlyFlags weight_only;
  DynamicFlags dynamic;
  MixedPrecisionFlags mixed;
  int activation_bits = 8, opset = 0;
};

void calibrate(Graph& prepared, const Inputs& inputs, const Settings& settings) {
  ContextScope scope;
  scope->grad = scope->training = false;
  scope->threads = settings.threads;
  Progress progress(settings, "calibrate", inputs.samples());
  for (std::int64_t b = 0; b < inputs.batches(); ++b) {
    prepared.run(inputs.get(b));
    progress.advance(inputs.samples_of(b));
  }
}

// With --smooth.
quantize::SmoothReport smooth(Graph& graph, const Inputs& inputs, const Options& options,
                              const Settings& settings) {
  if (!options.smooth) return {};
  ContextScope scope;
  scope->threads = settings.threads;
  Progress progress(settings, "smooth", inputs.samples());
  return quantize::smooth(graph, batches_of(inputs, progress),
                          {.alpha = *options.smooth,
                           .steps = options.smooth_steps,
                           .convolutions = options.smooth_convolutions});
}

// With --absorb-biases.
quantize::AbsorptionReport absorb(Graph& graph, const Inputs& inputs,
                                  quantize::ChannelStatistics& statistics, const Options& options,
                                  const Settings& settings) {
  if (!options.absorb_biases) return {};
  ContextScope scope;
  scope->threads = settings.threads;
  Progress progress(settings, "absorb biases", inputs.samples());
  return quantize::absorb_biases(graph,
                                 {.data = batches_of(inputs, progress), .statistics = &statistics});
}

// Layer by layer, with progress in layers.
quantize::Rounded fit(const Graph& prepared, const Inputs& inputs, const Options& options,
                      const Settings& settings) {
  ContextScope scope;
  scope->threads = settings.threads;
  quantize::RoundingOptions rounding;
  rounding.round_weights = options.adaround;
  rounding.correct_bias = options.bias_correction;
  if (options.relaxation > 0) {
    rounding.method = quantize::RoundingMethod::adaround;
    rounding.relaxation.iterations = options.relaxation;
  }
  rounding.seed = settings.seed;
  StagedProgress progress(settings);
  rounding.progress = [&](const quantize::LayerProgress& now) {
    return progress.show("fit layers", now.done, now.layers);
  };
  return quantize::round_weights(prepared, batches_of(inputs), rounding);
}

Json document_of(const quantize::Report& report, const FileSizes& files) {
  const Json left = left_of(report);
  Json layers = Json::array();
  for (const quantize::Report::Node& node : report.nodes)
    layers.push_back({{"name", node.name},
                      {"op", node.op},
                      {"quantized", node.quantized},
                      {"bytes_before", node.bytes_before},
                      {"bytes_after", node.bytes_after},
                      {"note", node.note}});
  Json ranges = Json::array();
  for (const quantize::ActivationRange& a : report.activations)
    ranges.push_back({{"value", a.value},
                      {"seen_min", a.seen_min},
                      {"seen_max", a.seen_max},
                      {"min", a.min},
                      {"max", a.max},
                      {"scale", a.scale},
                      {"zero_point", a.zero_point}});
  return {{"quantized", report.nodes.size() - left.size()},
          {"float", left},
          {"bytes_before", files.before},
          {"bytes_after", files.after},
          {"layers", layers},
          {"ranges", ranges},
          {"isa", report.isa}};
}

Json layers_of(const quantize::RoundingReport& report) {
  Json layers = Json::array();
  for (const quantize::RoundingReport::Layer& layer : report.layers)
    layers.push_back({{"name", layer.name},
                      {"op", layer.op},
                      {"fitted", layer.fitted},
                      {"sqnr_db_before", layer.before},
                      {"sqnr_db_after", layer.after},
                      {"weights", layer.weights},
                      {"changed", layer.changed},
                      {"relaxed", layer.relaxed},
                      {"largest_bias_shift", layer.largest_shift},
                      {"note", layer.note}});
  return layers;
}

Json layers_of(const quantize::BiasCorrectionReport& report) {
  Json layers = Json::array();
  for (const quantize::BiasCorrectionReport::Layer& layer : report.layers)
    layers.push_back({{"name", layer.name},
                      {"op", layer.op},
                      {"corrected", layer.corrected},
                      {"largest_bias_shift", layer.largest_shift},
                      {"note", layer.note}});
  return layers;
}

Json document_of(const quantize::EqualizationReport& report) {
  Json pairs = Json::array();
  for (const quantize::EqualizationReport::Pair& pair : report.pairs)
    pairs.push_back({{"first", pair.first},
                     {"second", pair.second},
                     {"channels", pair.channels},
                     {"smallest", pair.smallest},
                     {"largest", pair.largest},
                     {"ratio_before", pair.before},
                     {"ratio_after", pair.after},
                     {"became_relu", pair.replaced}});
  return {{"pairs", pairs},
          {"left", left_of(report.left)},
          {"rounds", report.rounds},
          {"converged", report.converged}};
}

Json document_of(const quantize::AbsorptionReport& report) {
  Json pairs = Json::array();
  for (const quantize::AbsorptionReport::Pair& pair : report.pairs)
    pairs.push_back({{"first", pair.first},
                     {"second", pair.second},
                     {"channels", pair.channels},
                     {"largest", pair.largest}});
  return {{"pairs", pairs}, {"left", left_of(report.left)}};
}

Json document_of(const quantize::SmoothReport& report) {
  Json places = Json::array();
  for (const quantize::SmoothReport::Place& place : report.places)
    places.push_back({{"producer", place.producer},
                      {"layers", place.layers},
                      {"alpha", place.alpha},
                      {"beta", place.beta},
                      {"smallest", place.smallest},
                      {"largest", place.largest},
                      {"spread_before", place.spread_before},
                      {"spread_after", place.spread_after}});
  return {{"places", places}, {"left", left_of(report.left)}};
}

void run(const Options& options, const Settings& settings) {
  check_opset(options.opset, options.to);
  if (options.dynamic.on)
    return run_dynamic(options.dynamic,
                       {.from = options.from,
                        .to = options.to,
                        .ops = options.weight_only.ops,
                        .layers = options.weight_only.layers,
                        .exclude = options.config.exclude,
                        .embedding_bits = options.weight_only.embedding_bits,
                        .weight_qmax = config_of(options.config).weight_qmax,
                        .opset = options.opset},
                       settings);
  if (options.weight_only.on)
    return run_weight_only(options.weight_only,
                           {.from = options.from,
                            .to = options.to,
                            .calibration = options.calibration,
                            .exclude = options.config.exclude,
                            .batch = options.batch,
                            .opset = options.opset},
                           settings);
  if (!options.weight_only.ops.empty() || !options.weight_only.layers.empty() ||
      options.weight_only.embedding_bits != 8)
    throw UsageError(
        "--op, --layer, --embedding-bits: expected --weight-only or --dynamic with it");
  if (options.calibration.empty())
    throw UsageError(
        "--calibration is required, but for --dynamic and for --weight-only without --gptq");
  quantize::QConfig config = config_of(options.config);
  check_flags(options.mixed);
  if (options.mixed.on() && options.weight_only.bits)
    throw UsageError("--bits: expected --weight-bits of a search, which chooses among them");
  set_weight_bits(config, options.weight_only.bits.value_or(8));
  config.activation_bits = options.activation_bits;
  if (options.relu6_as_relu && !options.equalize)
    throw UsageError("--relu6-as-relu: expected --equalize with it");
  if (options.relaxation > 0 && !options.adaround)
    throw UsageError("--adaround-steps: expected --adaround with it");
  if ((options.smooth_steps > 0 || options.smooth_convolutions) && !options.smooth)
    throw UsageError("--smooth-steps, --smooth-convolutions: expected --smooth with them");
  check_model_output(options.to);
  Graph graph = load_model(options.from);
  quantize::ChannelStatistics statistics = quantize::batch_norm_statistics(graph);
  quantize::EqualizationReport equalized;
  if (options.equalize)
    equalized = quantize::equalize(
        graph, {.relu6_as_relu = options.relu6_as_relu, .statistics = &statistics});
  const std::int64_t batch = options.batch ? options.batch : batch_for(graph);
  const Inputs inputs(graph, options.calibration, batch, "--calibration");
  const quantize::SmoothReport smoothed = smooth(graph, inputs, options, settings);
  const quantize::AbsorptionReport absorbed = absorb(graph, inputs, statistics, options, settings);
  std::optional<quantize::SearchReport> found;
  if (options.mixed.on()) {
    quantize::Searched searched = run_search(graph, inputs, config, options.mixed, batch, settings);
    config = std::move(searched.config);
    found = std::move(searched.report);
  }
  Graph prepared = quantize::prepare(graph, config);
  quantize::BiasCorrectionReport corrected;
  if (options.analytic) corrected = quantize::correct_biases(prepared, statistics);
  calibrate(prepared, inputs, settings);
  quantize::RoundingReport fitted;
  if (options.adaround || options.bias_correction) {
    quantize::Rounded rounded = fit(prepared, inputs, options, settings);
    prepared = std::move(rounded.graph);
    fitted = std::move(rounded.report);
  }
  const quantize::Converted converted = quantize::convert(prepared);
  const FileSizes files =
      replace_model(options.from, converted.graph, options.to, {.opset = options.opset});
  Json document = document_of(converted.report, files);
  std::string text;
  if (options.equalize) {
    document["equalization"] = document_of(equalized);
    text = quantize::to_string(equalized) + "\n";
  }
  if (options.smooth) {
    document["smoothing"] = document_of(smoothed);
    text += quantize::to_string(smoothed) + "\n";
  }
  if (options.absorb_biases) {
    document["absorption"] = document_of(absorbed);
    text += quantize::to_string(absorbed) + "\n";
  }
  if (found) {
    document["search"] = search_document(*found);
    text += quantize::to_string(*found) + "\n";
  }
  if (options.analytic) {
    document["bias_correction"] = layers_of(corrected);
    text += quantize::to_string(corrected) + "\n";
  }
  if (!fitted.layers.empty()) {
    document["rounding"] = layers_of(fitted);
    text += quantize::to_string(fitted) + "\n";
  }
  text += quantize::to_string(converted.report) + "\n" + to_string(files);
  print(settings, text, document);
}

}  // namespace

void add_quantize(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = add_command(
      app, settings, "quantize", "An int8 model, from the ranges that calibration data shows",
      "pare quantize resnet18.onnx -o resnet18.int8.onnx --calibration x.npy");
  command->add_option("MODEL", options->from, "A .onnx or .pare file of floats")->required();
  command->add_option("-o,--output", options->to, "The model to write, .onnx or .pare")->required();
  command
      ->add_option("--calibration", options->calibration,
                   "[name=]x.npy, for every input: samples like those that the model will see; "
                   "--weight-only can do without")
      ->allow_extra_args(false);
  add_opset_option(command, options->opset);
  add_qconfig_options(command, options->config);
  command->add_option("--activation-bits", options->activation_bits, "Of activations: 2 to 8")
      ->capture_default_str()
      ->check(CLI::Range(2, 8));
  command
      ->add_option("--batch", options->batch,
                   "Samples that run together; without, so many that their values take some 64 "
                   "MiB, at most 32")
      ->check(CLI::Range(1, 1 << 20));
  command->add_flag("--equalize", options->equalize,
                    "First trade factors of channels between layers that follow one another, so "
                    "that their weights are equal in range");
  command->add_flag("--relu6-as-relu", options->relu6_as_relu,
                    "With --equalize: make relu of relu6 between such layers, which changes what "
                    "the model computes");
  command
      ->add_option("--smooth", options->smooth,
                   "First move so much (0 to 1) of the size of activations' channels on the "
                   "calibration data into the weights that read them (SmoothQuant)")
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--smooth-steps", options->smooth_steps,
                   "With --smooth: try so many amounts for each layer and take the best")
      ->check(CLI::Range(1, 1000));
  command->add_flag("--smooth-convolutions", options->smooth_convolutions,
                    "With --smooth: before convolutions too");
  command->add_flag("--absorb-biases", options->absorb_biases,
                    "Then move what a channel always gives on the calibration data to the next "
                    "layer's bias");
  command->add_flag(
      "--bias-correction", options->bias_correction,
      "Biases that leave every layer's mean output on the calibration data as it was");
  command->add_flag("--analytic-bias-correction", options->analytic,
                    "The same for the errors of weights alone, from batch norms instead of data");
  command->add_flag("--adaround", options->adaround,
                    "Weights rounded up or down so that every layer's output on the calibration "
                    "data changes least, not each to the nearest code");
  command
      ->add_option("--adaround-steps", options->relaxation,
                   "With --adaround: so many steps of AdaRound's own relaxation in every layer "
                   "(1000 are usual), which takes minutes")
      ->check(CLI::Range(1, 1000000));
  std::vector<const char*> others = add_mixed_precision_options(command, options->mixed);
  others.insert(others.end(), {"--observer", "--config", "--isa", "--equalize", "--relu6-as-relu",
                               "--smooth", "--smooth-steps", "--smooth-convolutions",
                               "--absorb-biases", "--bias-correction", "--analytic-bias-correction",
                               "--adaround", "--adaround-steps", "--activation-bits"});
  add_weight_only_options(command, options->weight_only);
  add_dynamic_options(command, options->dynamic);
  for (const char* other : others)
    command->get_option("--weight-only")->excludes(command->get_option(other));
  for (const char* other : others)
    if (std::string_view(other) != "--config" && std::string_view(other) != "--isa")
      command->get_option("--dynamic")->excludes(command->get_option(other));
  for (const char* other : {"--weight-only", "--calibration", "--bits"})
    command->get_option("--dynamic")->excludes(command->get_option(other));
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
