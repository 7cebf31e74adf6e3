// Every op on 10^5 elements and more against a plain loop, worst first; then the ops without a
// case. One thread. Other modes, for peers/ops.py, which lets pare and PyTorch take turns:
//   ops --list    a line per case: name, op, "training" or "-", inputs (* wants a gradient), by
//   tabs ops --serve   reads lines "forward|backward <runs> <case>", answers each with seconds per
//   run
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "ops/cases.h"

namespace {

using namespace pare;
using namespace pare::bench;
using Clock = std::chrono::steady_clock;

Cases all_cases() {
  Cases cases;
  add_elementwise_cases(cases);
  add_activation_cases(cases);
  add_reduction_cases(cases);
  add_movement_cases(cases);
  add_arrange_cases(cases);
  add_indexing_cases(cases);
  add_resample_cases(cases);
  add_contraction_cases(cases);
  add_layer_cases(cases);
  add_feature_norm_cases(cases);
  add_loss_cases(cases);
  add_sequence_cases(cases);
  add_quantization_cases(cases);
  add_spatial_cases(cases);
  return cases;
}

Tensor make(const Input& input, Generator& generator) {
  const std::size_t colon = input.kind.find(':');
  const std::string kind = input.kind.substr(0, colon);
  const double value = colon == std::string::npos ? 0 : std::stod(input.kind.substr(colon + 1));
  const Shape& shape = input.shape;
  if (kind == "none") return {};
  if (kind == "normal") return generator.normal(shape);
  if (kind == "uniform") return generator.uniform(shape);
  if (kind == "positive") return generator.uniform(shape, 0.1F, 2.1F);
  if (kind == "sign") return generator.bernoulli(shape, 0.5F) * 2.0 - 1.0;
  if (kind == "bool") return generator.bernoulli(shape, 0.5F).to(DType::boolean);
  if (kind == "int") return (generator.uniform(shape) * 1000.0).to(DType::i32);
  if (kind == "labels") return (generator.uniform(shape) * value).to(DType::i64);
  if (kind == "u8") return (generator.uniform(shape) * 256.0).to(DType::u8);
  if (kind == "i8") return (generator.uniform(shape) * 256.0 - 128.0).to(DType::i8);
  if (kind == "zeros") return Tensor::zeros(shape);
  if (kind == "ones") return Tensor::ones(shape);
  if (kind == "const") return Tensor::full(shape, value);
  if (kind == "i32") return Tensor::full(shape, value, DType::i32);
  if (kind == "counts") return Tensor::zeros(shape, DType::i64);
  if (kind == "range") return empty_range();
  throw Error(ErrorCode::invalid_argument, "ops: no inputs of kind " + kind);
}

bool wants_gradient(const Case& c, std::size_t input) {
  const std::string& kind = c.inputs[input].kind;
  if (c.wanted == std::vector<int>{-1})
    return c.call.op->backward && (kind == "normal" || kind == "uniform" || kind == "positive");
  return std::find(c.wanted.begin(), c.wanted.end(), static_cast<int>(input)) != c.wanted.end();
}

double seconds_of(const auto& run) {
  const auto start = Clock::now();
  run();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// apply chooses the format of a result by the inputs', so Tensor::to does not go through it.
Tensor result_of(const Case& c, const Tensors& inputs) {
  return c.call.op == &kToFormat ? inputs[0].to(MemoryFormat::channels_last)
                                 : pare::apply(c.call, inputs);
}

// A case with its inputs, ready to run again and again.
class Runner {
 public:
  explicit Runner(const Case& c) : case_(c), generator_(1) {
    Generator generator(7);
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      inputs_.push_back(make(c.inputs[i], generator));
      plain_.push_back(inputs_[i].defined() ? inputs_[i].clone() : Tensor());
      if (!wants_gradient(c, i)) continue;
      inputs_[i].set_requires_grad();
      differentiable_ = true;
    }
    const ContextScope scope;
    enter();
    result_ = result_of(c, plain_).clone();
    gradient_ = is_floating(result_.dtype()) && differentiable_ ? generator.normal(result_.shape())
                                                                : Tensor();
    if (gradient_.defined()) gradient_ = gradient_.to(result_.format());
  }
  bool differentiable() const { return differentiable_; }

  double forward() {
    const ContextScope scope;
    enter();
    scope->grad = false;
    return seconds_of([&] { result_of(case_, plain_); });
  }
  double backward() {
    const ContextScope scope;
    enter();
    const Tensor y = result_of(case_, inputs_);
    const double seconds = seconds_of([&] { y.backward(gradient_); });
    if (first_gradient_.defined() == false)
      for (const Tensor& input : inputs_)
        if (input.defined() && input.grad().defined()) {
          first_gradient_ = input.grad().clone();
          break;
        }
    for (Tensor& input : inputs_)
      if (input.defined()) input.zero_grad();
    return seconds;
  }
  double loop() {
    Tensor out = Tensor::empty(result_.shape(), result_.dtype(), result_.format());
    const double seconds = seconds_of([&] { case_.loop(plain_, out); });
    compare("the loop", out, result_);
    return seconds;
  }
  double backward_loop() {
    Tensors inputs{gradient_};
    inputs.insert(inputs.end(), plain_.begin(), plain_.end());
    Tensor out = Tensor::empty(plain_[0].shape());
    const double seconds = seconds_of([&] { case_.backward_loop(inputs, out); });
    compare("the backward loop", out, first_gradient_);
    return seconds;
  }

 private:
  void enter() {
    context().training = case_.training;
    context().generator = &generator_;
    generator_ = Generator(1);
  }
  // A loop that computes something else is no yardstick.
  void compare(const char* what, const Tensor& found, const Tensor& expected) const {
    const auto a = found.to(DType::f64).to_vector<double>();
    const auto b = expected.to(DType::f64).to_vector<double>();
    double largest = 0, worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      largest = std::max(largest, std::fabs(b[i]));
      worst = std::max(worst, std::fabs(a[i] - b[i]));
    }
    if (!(worst <= 1e-3 * largest + 1e-6))
      throw Error(ErrorCode::internal, "ops: " + case_.name + ": " + what + " is off by " +
                                           std::to_string(worst) + " of " +
                                           std::to_string(largest));
  }

  const Case& case_;
  Generator generator_;
  Tensors inputs_, plain_;
  Tensor result_, gradient_, first_gradient_;
  bool differentiable_ = false;
};

void list(const Cases& cases) {
  for (const Case& c : cases) {
    std::printf("%s\t%s\t%s", c.name.c_str(), c.call.op->name, c.training ? "training" : "-");
    for (std::size_t i = 0; i < c.inputs.size(); ++i)
      std::printf("\t%s%s %s", c.inputs[i].kind.c_str(), wants_gradient(c, i) ? "*" : "",
                  c.inputs[i].shape.to_string().c_str());
    std::printf("\n");
  }
}

std::vector<std::string> without_case(const Cases& cases) {
  std::set<const OpDef*> seen;
  for (const Case& c : cases) seen.insert(c.call.op);
  std::vector<std::string> names;
  for (const OpDef* const op : all_ops())
    if (!seen.contains(op)) names.emplace_back(op->name);
  return names;
}

int serve(const Cases& cases) {
  std::string which, name;
  int runs = 0;
  std::map<std::string, Runner> runners;
  while (std::cin >> which >> runs && std::getline(std::cin >> std::ws, name)) {
    const auto found =
        std::find_if(cases.begin(), cases.end(), [&](const Case& c) { return c.name == name; });
    if (found == cases.end()) throw Error(ErrorCode::invalid_argument, "ops: no case " + name);
    runners.erase(runners.begin(), runners.lower_bound(name));  // one at a time: memory
    Runner& runner = runners.try_emplace(name, *found).first->second;
    for (int i = 0; i < runs; ++i)
      std::printf("%.9f ", which == "forward" ? runner.forward() : runner.backward());
    std::printf("\n");
    std::fflush(stdout);
  }
  return 0;
}

// The best of some runs within a twentieth of a second, in microseconds.
double best_of(const auto& run) {
  double best = std::numeric_limits<double>::infinity(), total = 0;
  for (int i = 0; i < 200 && (i < 3 || total < 0.05); ++i) {
    const double seconds = run();
    best = std::min(best, seconds);
    total += seconds;
  }
  return best * 1e6;
}

int table(const Cases& cases, const std::set<std::string>& chosen) {
  struct Row {
    std::string name;
    double ours, loop;
  };
  std::vector<Row> rows;
  for (const Case& c : cases) {
    if (!chosen.empty() && !chosen.contains(c.call.op->name)) continue;
    Runner runner(c);
    rows.push_back({c.name, best_of([&] { return runner.forward(); }),
                    best_of([&] { return runner.loop(); })});
    if (!runner.differentiable()) continue;
    const double backward = best_of([&] { return runner.backward(); });
    rows.push_back({c.name + ", backward", backward,
                    c.backward_loop ? best_of([&] { return runner.backward_loop(); }) : 0});
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    const auto ratio = [](const Row& r) { return r.loop > 0 ? r.ours / r.loop : 0; };
    return ratio(a) > ratio(b);
  });
  std::printf("%-36s %10s %10s %6s   microseconds, best run, one thread\n", "case", "pare", "loop",
              "ratio");
  for (const Row& r : rows)
    if (r.loop > 0)
      std::printf("%-36s %10.1f %10.1f %6.2f\n", r.name.c_str(), r.ours, r.loop, r.ours / r.loop);
    else
      std::printf("%-36s %10.1f %10s %6s\n", r.name.c_str(), r.ours, "-", "-");
  for (const std::string& name : without_case(cases)) std::printf("%-36s no case\n", name.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  context().threads = 1;
  const Cases cases = all_cases();
  const std::string mode = argc > 1 ? argv[1] : "";
  try {
    if (mode == "--serve") return serve(cases);
    if (mode != "--list") return table(cases, {argv + 1, argv + argc});
    list(cases);
    for (const std::string& name : without_case(cases)) std::printf("\t%s\n", name.c_str());
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
