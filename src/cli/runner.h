// Runner: a model as a command runs it: compiled, or by the reference kernels.
#pragma once

#include <optional>
#include <string>

#include "cli/settings.h"
#include "pare/core/precision.h"
#include "pare/graph/graph.h"
#include "pare/runtime/plan.h"

namespace CLI {
class App;
}

namespace pare::cli {

struct RunnerOptions {
  bool reference = false;
  std::string precision = "f32";
};

/// Options --reference and --precision.
void add_runner_options(CLI::App* command, RunnerOptions& options);
/// Option --precision alone.
void add_precision_option(CLI::App* command, RunnerOptions& options);

/// Compiles with the options' precision, or says on stderr that it runs f32.
Plan compile_for(Graph graph, const RunnerOptions& options, const Settings& settings);

class Runner {
 public:
  Runner(const Graph& graph, const RunnerOptions& options, const Settings& settings);
  Tensors operator()(const Tensors& inputs);

 private:
  Graph graph_;  // over the caller's tensors
  int threads_;
  std::optional<Plan> plan_;
};

}  // namespace pare::cli
