// pare sensitivity: what quantizing each layer alone costs.
#include "pare/quantize/sensitivity.h"

#include <memory>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/measured_data.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/qconfig_options.h"
#include "cli/report_json.h"
#include "cli/scores.h"
#include "cli/tensors.h"
#include "pare/core/context.h"

namespace pare::cli {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> calibration, inputs;
  std::int64_t batch = 0;  // as many as batch_for says
  QConfigOptions config;
  LabelOptions labels;
};

Json document_of(const quantize::SensitivityReport& report) {
  Json layers = Json::array();
  for (const quantize::SensitivityReport::Layer& layer : report.layers)
    layers.push_back({{"name", layer.name},
                      {"op", layer.op},
                      {"sqnr_db", layer.sqnr_db},
                      {"top1", json_of(layer.metric)}});
  return {{"layers", layers},
          {"float", left_of(report.left)},
          {"all", {{"sqnr_db", report.all_sqnr_db}, {"top1", json_of(report.all_metric)}}},
          {"float_top1", json_of(report.float_metric)}};
}

void run(const Options& options, const Settings& settings) {
  const Graph graph = load_model(options.model);
  const std::int64_t batch = options.batch ? options.batch : batch_for(graph);
  const MeasuredData measured(graph, options.inputs, options.labels, batch);
  const Inputs calibration(graph, options.calibration, batch, "--calibration");
  quantize::SensitivityOptions sensitivity{
      .config = config_of(options.config), .data = measured.batches(), .metric = measured.metric()};
  StagedProgress progress(settings);
  sensitivity.progress = [&](const quantize::LayerProgress& now) {
    return progress.show("sensitivity", now.done, now.layers);
  };
  ContextScope scope;
  scope->grad = false;
  scope->threads = settings.threads;
  const quantize::SensitivityReport report =
      quantize::sensitivity(graph, batches_of(calibration), sensitivity);
  progress.end();
  print(settings, quantize::to_string(report), document_of(report));
}

}  // namespace

void add_sensitivity(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, settings, "sensitivity",
                  "What each layer costs when it alone is quantized, the worst first",
                  "pare sensitivity resnet18.onnx --calibration x.npy");
  command->add_option("MODEL", options->model, "A .onnx or .pare file of floats")->required();
  command
      ->add_option("--calibration", options->calibration,
                   "[name=]x.npy, for every input: samples like those that the model will see")
      ->required()
      ->allow_extra_args(false);
  command
      ->add_option("--input", options->inputs,
                   "[name=]x.npy, for every input: what outputs are compared on; the calibration "
                   "data without")
      ->allow_extra_args(false);
  add_label_options(command, options->labels)
      ->description("Classes [N] of --input, or per token [N, T]: top-1 decides the order");
  add_qconfig_options(command, options->config);
  command
      ->add_option("--batch", options->batch,
                   "Samples that run together; without, so many that their values take some 64 "
                   "MiB, at most 32")
      ->check(CLI::Range(1, 1 << 20));
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
