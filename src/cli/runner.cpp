// Compiles and runs models.
#include "cli/runner.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "pare/core/context.h"
#include "pare/runtime/compile.h"

namespace pare::cli {

void add_precision_option(CLI::App* command, RunnerOptions& options) {
  command->add_option("--precision", options.precision, "Of what is not quantized: f32 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16"}));
}

void add_runner_options(CLI::App* command, RunnerOptions& options) {
  command->add_flag("--reference", options.reference, "Run the reference kernels");
  add_precision_option(command, options);
}

Plan compile_for(Graph graph, const RunnerOptions& options, const Settings& settings) {
  CompileOptions compiling{.threads = settings.threads};
  if (options.precision == "bf16") compiling.precision = Precision::bf16;
  if (compiling.precision == Precision::bf16 && !has_bf16())
    note(settings, "expected a CPU with bf16 instructions, got one without: runs in f32");
  return compile(std::move(graph), compiling);
}

Runner::Runner(const Graph& graph, const RunnerOptions& options, const Settings& settings)
    : graph_(graph.share()), threads_(settings.threads) {
  // The command changes no weights: the plan may share them.
  if (!options.reference) plan_ = compile_for(graph.share(), options, settings);
}

Tensors Runner::operator()(const Tensors& inputs) {
  if (plan_) return plan_->run(inputs);
  ContextScope scope;
  scope->grad = scope->training = scope->observing = false;
  scope->threads = threads_;
  return graph_.run(inputs);
}

}  // namespace pare::cli
