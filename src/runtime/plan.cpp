// Plan: the handle, and its table for people.
#include "pare/runtime/plan.h"

#include <algorithm>

#include "core/check.h"
#include "runtime/engine.h"

namespace pare {

Plan::Plan(std::shared_ptr<runtime::Engine> engine) : engine_(std::move(engine)) {}

Tensors Plan::run(const Tensors& inputs) const {
  Tensors outputs(engine_->outputs());
  engine_->run(inputs, outputs);
  return outputs;
}

void Plan::run(std::span<const Tensor> inputs, std::span<Tensor> outputs) const {
  PARE_CHECK(outputs.size() == engine_->outputs(), invalid_argument, "plan",
             "expected {} outputs, got {}", engine_->outputs(), outputs.size());
  engine_->run(inputs, outputs);
}

Tensor Plan::run(const Tensor& input) const {
  PARE_CHECK(engine_->outputs() == 1, invalid_argument, "plan", "expected one output, got {}",
             engine_->outputs());
  Tensor output;
  engine_->run({&input, 1}, {&output, 1});
  return output;
}

PlanProfile Plan::profile(const Tensors& inputs, int runs) const {
  return engine_->profile(inputs, runs);
}

std::string PlanProfile::to_string() const {
  std::string text =
      fmt::format("{:>9} {:>7}  {:<26} {:<11} node\n", "ms", "share", "kernel", "types");
  for (const Row& row : rows)
    text += fmt::format(
        "{:>9.4f} {:>6.1f}%  {:<26} {:<11} {}{}\n", 1e3 * row.seconds,
        seconds > 0 ? 100 * row.seconds / seconds : 0, row.step.kernel,
        fmt::format("{} → {}", traits(row.step.source).name, traits(row.step.destination).name),
        row.step.node, row.step.slow ? "  slow" : "");
  return text + fmt::format("{:>9.4f} 100.0%  all steps\n", 1e3 * seconds);
}

int Plan::threads() const { return engine_->threads(); }
Precision Plan::precision() const { return engine_->precision(); }
std::span<const PlanStep> Plan::steps() const { return engine_->steps(); }
PlanMemory Plan::memory() const { return engine_->memory(); }
const PassReport& Plan::report() const { return engine_->report(); }

std::string Plan::to_string() const {
  std::size_t width = 4;
  for (const PlanStep& step : steps()) width = std::max(width, step.node.size());
  width = std::min<std::size_t>(width, 60);
  std::string text = fmt::format("{:<{}}  {:<26} {:<11} {:>10} {:>12}\n", "node", width, "kernel",
                                 "types", "bytes", "MACs");
  for (const PlanStep& step : steps())
    text += fmt::format(
        "{:<{}}  {:<26} {:<11} {:>10} {:>12}{}\n", step.node, width, step.kernel,
        fmt::format("{} → {}", traits(step.source).name, traits(step.destination).name), step.bytes,
        step.macs ? std::to_string(step.macs) : "", step.slow ? "  slow" : "");
  const PlanMemory m = memory();
  text += fmt::format(
      "{} threads; {} bytes of packed weights, {} of other constants; per run {} bytes of "
      "activations (alive at once: {}), {} of scratch\n",
      threads(), m.weights, m.constants, m.arena, m.live, m.scratch);
  for (const PassReport::Line& line : report().left)
    text += fmt::format("{}: {}\n", line.node, line.text);
  return text;
}

}  // namespace pare
