// Variant: runs a program in contexts that its callers take turns with.
#include <chrono>
#include <functional>

#include "core/check.h"
#include "runtime/engine.h"

namespace pare::runtime {
namespace {

bool overlap(const Tensor& a, const Tensor& b) {
  const auto* x = static_cast<const std::byte*>(a.raw());
  const auto* y = static_cast<const std::byte*>(b.raw());
  const std::less<const std::byte*> before;
  return before(x, y + b.bytes()) && before(y, x + a.bytes());
}

}  // namespace

Variant::Variant(Program program, std::vector<Shape> shapes, std::vector<MemoryFormat> formats)
    : program_(std::move(program)), shapes_(std::move(shapes)), formats_(std::move(formats)) {
  for (std::size_t i = 0; i < program_.slots.size(); ++i) {
    const int slot = static_cast<int>(i);
    const Slot& root = program_.slots[static_cast<std::size_t>(program_.root(slot))];
    if (root.place == Slot::Place::input) inputs_.push_back({slot, root.number});
    if (root.place == Slot::Place::output) outputs_.push_back({slot, root.number});
  }
}

bool Variant::fits(std::span<const Tensor> inputs) const {
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].format() != formats_[i] || !(inputs[i].shape() == shapes_[i])) return false;
  return true;
}

std::unique_ptr<RunContext> Variant::make() const {
  auto context = std::make_unique<RunContext>();
  context->memory = allocate_block(program_.arena + program_.scratch);
  context->frame.scratch = context->memory.get() + program_.arena;
  context->frame.address.resize(program_.slots.size());
  for (std::size_t i = 0; i < program_.slots.size(); ++i) {
    const Slot& root = program_.slots[static_cast<std::size_t>(program_.root(static_cast<int>(i)))];
    if (root.place == Slot::Place::arena)
      context->frame.address[i] = context->memory.get() + root.offset;
    else if (root.place == Slot::Place::constant)
      context->frame.address[i] =
          const_cast<std::byte*>(static_cast<const std::byte*>(root.constant.raw()));
  }
  for (const auto& step : program_.steps) context->states.push_back(step->bind(context->frame));
  return context;
}

std::unique_ptr<RunContext> Variant::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto context = std::move(idle_.back());
      idle_.pop_back();
      return context;
    }
  }
  return make();
}

void Variant::make_outputs(std::span<const Tensor> inputs, std::span<Tensor> outputs) const {
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const Slot& s = program_.slots[static_cast<std::size_t>(program_.outputs[k])];
    const Tensor& given = outputs[k];
    if (!given.defined()) continue;
    PARE_CHECK(given.dtype() == s.dtype, dtype_mismatch, "plan",
               "expected {} {} as output {}, got {}", s.dtype, s.shape, k, given.dtype());
    PARE_CHECK(given.shape() == s.shape, shape_mismatch, "plan",
               "expected {} {} as output {}, got {}", s.dtype, s.shape, k, given.shape());
    PARE_CHECK(!given.channels_last(), invalid_argument, "plan",
               "expected a row-major tensor as output {}, got a channels-last one", k);
    for (const Tensor& input : inputs)
      PARE_CHECK(!overlap(given, input), invalid_argument, "plan",
                 "expected output {} in memory of its own, got an input's", k);
    for (std::size_t j = 0; j < k; ++j)
      PARE_CHECK(!outputs[j].defined() || !overlap(given, outputs[j]), invalid_argument, "plan",
                 "expected output {} in memory of its own, got that of output {}", k, j);
  }
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const Slot& s = program_.slots[static_cast<std::size_t>(program_.outputs[k])];
    if (!outputs[k].defined()) outputs[k] = Tensor::empty(s.shape, s.dtype);
  }
}

void Variant::run(std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  std::span<double> seconds) {
  make_outputs(inputs, outputs);
  auto context = take();
  auto& address = context->frame.address;
  for (const External& e : inputs_)
    address[static_cast<std::size_t>(e.slot)] = const_cast<std::byte*>(
        static_cast<const std::byte*>(inputs[static_cast<std::size_t>(e.number)].raw()));
  for (const External& e : outputs_)
    address[static_cast<std::size_t>(e.slot)] =
        static_cast<std::byte*>(outputs[static_cast<std::size_t>(e.number)].mutable_raw());
  using Clock = std::chrono::steady_clock;
  for (std::size_t s = 0; s < program_.steps.size(); ++s) {
    const auto begin = seconds.empty() ? Clock::time_point() : Clock::now();
    program_.steps[s]->run(context->frame, context->states[s].get());
    if (!seconds.empty()) seconds[s] = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(context));
}

}  // namespace pare::runtime
