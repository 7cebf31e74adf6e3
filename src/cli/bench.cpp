// pare bench: how long a compiled model takes.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/runner.h"
#include "cli/tensors.h"
#include "pare/core/generator.h"
#include "pare/core/parallel.h"

namespace pare::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kFewest = 10;
constexpr std::size_t kMost = 1'000'000;

struct Options {
  std::string model;
  std::vector<std::string> shapes, inputs;
  double seconds = 5;
  bool steps = false;
  RunnerOptions runner;
};

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Normally distributed; whole numbers are 0, which every table has.
Tensors random_inputs(const Graph& graph, std::uint64_t seed) {
  Generator generator(seed);
  Tensors out;
  for (const int v : graph.inputs()) {
    const Graph::Value& value = graph.value(v);
    out.push_back(is_floating(value.dtype) ? generator.normal(value.shape).to(value.dtype)
                                           : Tensor::zeros(value.shape, value.dtype));
  }
  return out;
}

double quantile(const std::vector<double>& sorted, double share) {
  const auto i = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
  return sorted[i];
}

std::vector<double> measure(const Plan& plan, const Tensors& inputs, const Options& options,
                            const Settings& settings) {
  const auto warm = Clock::now();
  for (int i = 0; i < 3 || since(warm) < options.seconds / 20; ++i) {
    plan.run(inputs);
    check_interrupt();
  }
  std::vector<double> times;
  Progress progress(settings, "bench (ms)", static_cast<std::int64_t>(1e3 * options.seconds));
  const auto begin = Clock::now();
  std::int64_t told = 0;
  while (times.size() < kFewest || (since(begin) < options.seconds && times.size() < kMost)) {
    const auto start = Clock::now();
    plan.run(inputs);
    times.push_back(since(start));
    const auto passed = static_cast<std::int64_t>(1e3 * since(begin));
    progress.advance(passed - told);
    told = passed;
  }
  std::ranges::sort(times);
  return times;
}

void run(const Options& options, const Settings& settings) {
  auto begin = Clock::now();
  Graph model = load_model(options.model);
  const double loading = since(begin);
  auto symbols = symbols_of(model, parse_shapes(model, options.shapes));
  Tensors inputs;
  Graph graph;
  if (options.inputs.empty()) {
    graph = sized(model, symbols);
    inputs = random_inputs(graph, settings.seed);
  } else {
    // All samples of the files are one batch.
    inputs = Inputs(model, options.inputs, std::int64_t{1} << 40).get(0);
    graph = model.share();
    for (std::size_t i = 0; i < inputs.size(); ++i)
      graph.edit_value(graph.inputs()[i]).shape = inputs[i].shape();
    graph.infer_shapes();
  }
  model = Graph();
  begin = Clock::now();
  const Plan plan = compile_for(std::move(graph), options.runner, settings);
  const double compiling = since(begin);
  begin = Clock::now();
  plan.run(inputs);
  const double first = since(begin);
  const std::vector<double> times = measure(plan, inputs, options, settings);
  const double median = quantile(times, 0.5);
  const int runs =
      static_cast<int>(std::clamp(options.seconds / 4 / std::max(median, 1e-9), 3.0, 1000.0));
  const PlanProfile profile = plan.profile(inputs, runs);
  const PlanMemory memory = plan.memory();

  Json steps = Json::array();
  for (const PlanProfile::Row& row : profile.rows)
    steps.push_back({{"name", row.step.node},
                     {"kernel", row.step.kernel},
                     {"ms", 1e3 * row.seconds},
                     {"bytes", row.step.bytes},
                     {"macs", row.step.macs},
                     {"slow", row.step.slow}});
  std::string text = fmt::format(
      "median {:.4f} ms, min {:.4f}, 90 % within {:.4f} ({} runs, {} threads, {})\n"
      "load {:.1f} ms, compile {:.1f} ms, first run {:.1f} ms\n"
      "activations {} (and {} of scratch), packed weights {}, other constants "
      "{}\n",
      1e3 * median, 1e3 * times.front(), 1e3 * quantile(times, 0.9), times.size(), plan.threads(),
      to_string(isa_cap()), 1e3 * loading, 1e3 * compiling, 1e3 * first, bytes_text(memory.arena),
      bytes_text(memory.scratch), bytes_text(memory.weights), bytes_text(memory.constants));
  if (options.steps) text += "\n" + profile.to_string();
  print(settings, text,
        {{"median_ms", 1e3 * median},
         {"min_ms", 1e3 * times.front()},
         {"p90_ms", 1e3 * quantile(times, 0.9)},
         {"runs", times.size()},
         {"threads", plan.threads()},
         {"isa", to_string(isa_cap())},
         {"arena_bytes", memory.arena},
         {"weight_bytes", memory.weights},
         {"constant_bytes", memory.constants},
         {"scratch_bytes", memory.scratch},
         {"load_ms", 1e3 * loading},
         {"compile_ms", 1e3 * compiling},
         {"first_run_ms", 1e3 * first},
         {"steps", steps}});
}

}  // namespace

void add_bench(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = add_command(app, settings, "bench", "Latency and memory of a model",
                                        "pare bench resnet18.onnx --threads 1 --steps");
  command->add_option("MODEL", options->model, "A .onnx or .pare file")->required();
  CLI::Option* const shape =
      command
          ->add_option("--shape", options->shapes,
                       "Sizes of an input: [name=]1,3,224,224; symbols are 1 without")
          ->allow_extra_args(false);
  command
      ->add_option("--input", options->inputs,
                   "[name=]x.npy, instead of random numbers; all its samples are one batch")
      ->allow_extra_args(false)
      ->excludes(shape);
  command->add_option("--seconds", options->seconds, "How long to measure")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 86400.0));
  command->add_flag("--steps", options->steps, "The time of every step");
  add_precision_option(command, options->runner);
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
