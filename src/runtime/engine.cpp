// Engine: checks inputs, finds or compiles the program for their sizes.
#include "runtime/engine.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/check.h"
#include "core/large_blocks.h"
#include "core/threads.h"
#include "graph/smallest_sizes.h"
#include "pare/core/parallel.h"
#include "runtime/lowering.h"

namespace pare::runtime {
namespace {

// Programs that are kept for sizes of symbolic axes.
constexpr std::size_t kVariants = 8;

constexpr const char* kPlace = "plan";

// Nothing of the caller's training, tape or tracer reaches what compiles and runs.
struct QuietContext {
  explicit QuietContext(const EngineOptions& options) {
    context() = Context();
    scope->grad = false;
    scope->observing = false;
    scope->threads = options.threads;
    scope->precision = options.precision;
  }
  ContextScope scope;
};
struct Scope {
  explicit Scope(const EngineOptions& options) : context(options) {}
  QuietContext context;
  ThreadScope openmp;
};

/// Of what the steps read as it is and what the graph still has, each once.
std::size_t constant_bytes(const Program& program, const Graph& graph) {
  std::map<const void*, std::size_t> bytes;
  const auto add = [&](const Tensor& t) {
    if (t.defined()) bytes[t.raw()] = t.bytes();
  };
  for (const Slot& slot : program.slots) add(slot.constant);
  for (const Graph::Value& value : graph.values()) add(value.tensor);
  std::size_t sum = 0;
  for (const auto& [where, size] : bytes) sum += size;
  return sum;
}

}  // namespace

Engine::Engine(Graph graph, PassReport report, const EngineOptions& options)
    : graph_(std::move(graph)),
      outputs_(graph_.outputs().size()),
      options_(options),
      report_(std::move(report)) {
  for (const int v : graph_.inputs()) {
    const Graph::Value& value = graph_.value(v);
    inputs_.push_back({value.name, value.shape, value.dtype});
  }
  const bool fixed =
      std::ranges::none_of(inputs_, [](const Input& input) { return input.shape.symbolic(); });
  const std::optional<std::vector<Shape>> shapes = first_shapes();
  if (!shapes) return;
  const auto first =
      compile_for(fixed ? std::exchange(graph_, Graph()) : graph_.share(), *shapes, report_);
  variants_.push_back(first);
  const Program& program = first->program();
  for (const auto& step : program.steps) steps_.push_back(step->info);
  memory_ = {program.arena, program.live, program.scratch, weights_.bytes(),
             constant_bytes(program, graph_)};
}

/// The inputs' shapes for the program that is made before any run; none, and a line in the report,
/// where no sizes of symbolic axes were found that go together.
std::optional<std::vector<Shape>> Engine::first_shapes() {
  std::vector<Shape> shapes;
  for (const Input& input : inputs_) shapes.push_back(input.shape);
  if (std::ranges::none_of(shapes, [](const Shape& s) { return s.symbolic(); })) return shapes;
  try {
    const Graph sized = at_smallest_sizes(graph_);
    for (std::size_t i = 0; i < shapes.size(); ++i)
      shapes[i] = sized.value(sized.inputs()[i]).shape;
    return shapes;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::shape_mismatch) throw;
    report_.left.push_back({"sizes", "compiled when they are first seen: " + error.message()});
    return std::nullopt;
  }
}

std::shared_ptr<Variant> Engine::compile_for(Graph graph, const std::vector<Shape>& shapes,
                                             PassReport& report) {
  const Scope scope(options_);
  weights_.give_leaves(graph);
  for (std::size_t i = 0; i < shapes.size(); ++i)
    graph.edit_value(graph.inputs()[i]).shape = shapes[i];
  graph.infer_shapes();
  for (const Graph::Value& value : graph.values())
    PARE_CHECK(!value.shape.symbolic(), unsupported, "compile",
               "expected a shape that follows from the inputs' shapes, got {} of '{}'", value.shape,
               value.name);
  Program program =
      Lowering(std::move(graph), weights_, report, {options_.precision, options_.makers}).run();
  if (!graph_.values().empty()) weights_.take_leaves(graph_);
  detail::release_kept_blocks();
  return std::make_shared<Variant>(std::move(program), shapes);
}

void Engine::check(std::span<const Tensor> inputs) const {
  PARE_CHECK(inputs.size() == inputs_.size(), invalid_argument, kPlace,
             "expected {} inputs, got {}", inputs_.size(), inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& given = inputs[i];
    const Input& wanted = inputs_[i];
    PARE_CHECK(given.defined(), invalid_argument, kPlace, "expected a tensor for '{}', got none",
               wanted.name);
    PARE_CHECK(given.dtype() == wanted.dtype, dtype_mismatch, kPlace,
               "expected {} {} for '{}', got {}", wanted.dtype, wanted.shape, wanted.name,
               given.dtype());
    PARE_CHECK(fits(inputs, i), shape_mismatch, kPlace, "expected {} {} for '{}', got {}",
               wanted.dtype, wanted.shape, wanted.name, given.shape());
  }
}

// A symbol stands for the size that it has where it comes first.
bool Engine::fits(std::span<const Tensor> inputs, std::size_t i) const {
  const Shape& shape = inputs_[i].shape;
  if (inputs[i].rank() != shape.rank()) return false;
  for (int a = 0; a < shape.rank(); ++a) {
    const std::int64_t size = inputs[i].dim(a);
    if (!shape.symbolic(a)) {
      if (size != shape[a]) return false;
      continue;
    }
    if (size < 1) return false;
    for (std::size_t j = 0; j <= i; ++j)
      for (int b = 0; b < inputs[j].rank(); ++b)
        if (inputs_[j].shape.same_axis(b, shape, a) && inputs[j].dim(b) != size) return false;
  }
  return true;
}

std::shared_ptr<Variant> Engine::find(std::span<const Tensor> inputs) {
  const std::lock_guard lock(mutex_);
  for (auto it = variants_.begin(); it != variants_.end(); ++it) {
    if (!(*it)->fits(inputs)) continue;
    if (it != variants_.begin()) variants_.splice(variants_.begin(), variants_, it);
    return variants_.front();
  }
  return nullptr;
}

std::shared_ptr<Variant> Engine::variant_for(std::span<const Tensor> inputs) {
  if (auto known = find(inputs)) return known;
  // Runs of known sizes go on while this one's program is made.
  const std::lock_guard compiling(compiling_);
  if (auto known = find(inputs)) return known;
  std::vector<Shape> shapes;
  for (const Tensor& t : inputs) shapes.push_back(t.shape());
  PassReport same_again;
  auto made = compile_for(graph_.share(), shapes, same_again);
  const std::lock_guard lock(mutex_);
  variants_.push_front(made);
  if (variants_.size() > kVariants) variants_.pop_back();
  return made;
}

void Engine::run(std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  check(inputs);
  const Scope scope(options_);
  variant_for(inputs)->run(inputs, outputs);
}

PlanProfile Engine::profile(std::span<const Tensor> inputs, int runs) {
  check(inputs);
  PARE_CHECK(runs >= 1, invalid_argument, kPlace, "expected at least one run, got {}", runs);
  const Scope scope(options_);
  const std::shared_ptr<Variant> variant = variant_for(inputs);
  const auto& steps = variant->program().steps;
  std::vector<std::vector<double>> times(steps.size());
  std::vector<double> seconds(steps.size());
  Tensors out(outputs());
  for (int r = -1; r < runs; ++r) {
    variant->run(inputs, out, seconds);
    for (std::size_t s = 0; r >= 0 && s < steps.size(); ++s) times[s].push_back(seconds[s]);
  }
  PlanProfile profile;
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const auto middle = times[s].begin() + static_cast<std::ptrdiff_t>(times[s].size() / 2);
    std::nth_element(times[s].begin(), middle, times[s].end());
    profile.rows.push_back({steps[s]->info, *middle});
    profile.seconds += *middle;
  }
  return profile;
}

}  // namespace pare::runtime
