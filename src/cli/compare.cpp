// pare compare: how far one model is from another, value by value.
#include <optional>
#include <utility>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/measured_data.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/tensors.h"
#include "pare/core/context.h"
#include "pare/quantize/compare.h"

namespace pare::cli {
namespace {

struct Options {
  std::string reference, other;
  std::vector<std::string> inputs;
  std::int64_t batch = 0;  // as many as batch_for says
  bool isolated = false;
  std::int64_t histograms = 0;
};

// An SQNR without noise is infinite, for which JSON has null.
Json json_of(const ValueDifference& d) {
  return {{"name", d.name}, {"sqnr_db", d.sqnr_db}, {"cosine", d.cosine}, {"max_abs", d.max_abs}};
}

Json json_of(const quantize::ValueHistogram& histogram) {
  return {{"edges", histogram.edges}, {"a", histogram.reference}, {"b", histogram.other}};
}

Json document_of(const quantize::Comparison& all) {
  Json outputs = Json::array(), layers = Json::array(), weights = Json::array();
  for (const ValueDifference& output : all.outputs) outputs.push_back(json_of(output));
  for (const quantize::Comparison::Value& value : all.values) {
    Json line = json_of(value.accumulated);
    line["op"] = value.op;
    if (value.isolated) {
      line["isolated"] = json_of(*value.isolated);
      line["isolated"].erase("name");
    }
    if (value.histogram) line["histogram"] = json_of(*value.histogram);
    layers.push_back(std::move(line));
  }
  for (const quantize::Comparison::Weight& weight : all.weights) {
    Json line = json_of(weight.difference);
    line["op"] = weight.op;
    if (weight.histogram) line["histogram"] = json_of(*weight.histogram);
    weights.push_back(std::move(line));
  }
  return {
      {"outputs", outputs}, {"layers", layers}, {"weights", weights}, {"unmatched", all.unmatched}};
}

void run(const Options& options, const Settings& settings) {
  const Graph reference = load_model(options.reference), other = load_model(options.other);
  const Inputs inputs(reference, options.inputs,
                      options.batch ? options.batch : batch_for(reference));
  ContextScope scope;
  scope->threads = settings.threads;
  std::optional<Progress> progress;
  progress.emplace(settings, "compare", inputs.samples() * (options.histograms > 0 ? 2 : 1));
  const quantize::Comparison all =
      quantize::compare(reference, other, batches_of(inputs, *progress),
                        {.isolated = options.isolated, .histogram_bins = options.histograms});
  progress.reset();
  print(settings, quantize::to_string(all), document_of(all));
}

}  // namespace

void add_compare(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, settings, "compare", "SQNR, cosine and largest difference of two models",
                  "pare compare resnet18.onnx resnet18.int8.onnx --input pictures.npy");
  command->add_option("A", options->reference, "The reference, .onnx or .pare")->required();
  command->add_option("B", options->other, "The other model")->required();
  command->add_option("--input", options->inputs, "[name=]x.npy, for every input of A")
      ->required()
      ->allow_extra_args(false);
  command
      ->add_option("--batch", options->batch,
                   "Samples that run together; their values are in memory: without, some 64 MiB, "
                   "at most 32 samples")
      ->check(CLI::Range(1, 1 << 20));
  command->add_flag("--isolated", options->isolated,
                    "Also each value of B computed from A's values alone: the error of one step");
  command
      ->add_option("--histograms", options->histograms,
                   "How values and weights of both are distributed, in so many bins, with --json")
      ->check(CLI::Range(1, 1 << 16));
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
