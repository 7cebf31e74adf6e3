// pare compare: how far one model is from another, value by value.
#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/tensors.h"
#include "pare/core/context.h"
#include "pare/graph/compare.h"

namespace pare::cli {
namespace {

struct Options {
  std::string reference, other;
  std::vector<std::string> inputs;
  std::int64_t batch = 0;  // as many as batch_for says
};

// An SQNR without noise is infinite, for which JSON has null.
Json json_of(const std::vector<ValueDifference>& all) {
  Json out = Json::array();
  for (const ValueDifference& d : all)
    out.push_back(
        {{"name", d.name}, {"sqnr_db", d.sqnr_db}, {"cosine", d.cosine}, {"max_abs", d.max_abs}});
  return out;
}

std::string table(const char* title, const std::vector<ValueDifference>& all) {
  std::string text =
      fmt::format("{:>9} {:>10} {:>12}  {}\n", "SQNR dB", "cosine", "max |a-b|", title);
  for (const ValueDifference& d : all)
    text +=
        fmt::format("{:>9.2f} {:>10.6f} {:>12.5g}  {}\n", d.sqnr_db, d.cosine, d.max_abs, d.name);
  return text;
}

void run(const Options& options, const Settings& settings) {
  const Graph reference = load_model(options.reference), other = load_model(options.other);
  GraphComparison comparison(reference, other);
  const Inputs inputs(reference, options.inputs,
                      options.batch ? options.batch : batch_for(reference));
  ContextScope scope;
  scope->threads = settings.threads;
  {
    Progress progress(settings, "compare", inputs.samples());
    for (std::int64_t b = 0; b < inputs.batches(); ++b) {
      comparison.add(inputs.get(b));
      progress.advance(inputs.samples_of(b));
    }
  }
  const GraphDifference all = comparison.result();
  print(settings, table("value", all.layers) + "\n" + table("output", all.outputs),
        {{"outputs", json_of(all.outputs)}, {"layers", json_of(all.layers)}});
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
                   "Samples that run together; their values are in memory")
      ->check(CLI::Range(1, 1 << 20));
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
