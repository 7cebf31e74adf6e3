// pare evaluate: how well a classifier does on labelled samples.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/runner.h"
#include "cli/scores.h"
#include "cli/tensors.h"
#include "pare/core/context.h"

namespace pare::cli {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> inputs;
  std::int64_t batch = 32;
  LabelOptions labels;
  RunnerOptions runner;
};

void run(const Options& options, const Settings& settings) {
  const Graph graph = load_model(options.model);
  const Inputs inputs(graph, options.inputs, options.batch);
  const Labels labels(graph, options.labels, inputs.samples());
  ContextScope scope;
  scope->grad = false;
  Runner runner(graph, options.runner, settings);
  Score score;
  {
    Progress progress(settings, "evaluate", inputs.samples());
    for (std::int64_t b = 0; b < inputs.batches(); ++b) {
      labels.add(score, inputs, b, runner(inputs.get(b)));
      progress.advance(inputs.samples_of(b));
    }
  }
  const double top1 = score.share(static_cast<double>(score.top1)),
               top5 = score.share(static_cast<double>(score.top5)), loss = score.share(score.loss);
  const bool tokens = score.count != inputs.samples();
  print(
      settings,
      fmt::format("top-1 {:.4f}, top-5 {:.4f}, cross-entropy {:.4f}, {} samples{}\n", top1, top5,
                  loss, inputs.samples(), tokens ? fmt::format(" of {} labels", score.count) : ""),
      {{"top1", top1},
       {"top5", top5},
       {"loss", loss},
       {"samples", inputs.samples()},
       {"labels", score.count}});
}

}  // namespace

void add_evaluate(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, settings, "evaluate", "Top-1, top-5 and cross-entropy on labelled samples",
                  "pare evaluate mobilenetv2.onnx --input x.npy --labels y.npy --label-offset 1");
  command->add_option("MODEL", options->model, "A .onnx or .pare file")->required();
  command->add_option("--input", options->inputs, "[name=]x.npy, for every input")
      ->required()
      ->allow_extra_args(false);
  add_label_options(command, options->labels)->required();
  command->add_option("--batch", options->batch, "Samples that run together")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  add_runner_options(command, options->runner);
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
