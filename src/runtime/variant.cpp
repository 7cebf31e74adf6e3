// Variant: runs a program in contexts that its callers take turns with.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>

#include "core/check.h"
#include "core/convert.h"
#include "core/strides.h"
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

Variant::Variant(Program program, std::vector<Shape> shapes)
    : program_(std::move(program)), shapes_(std::move(shapes)) {
  for (std::size_t i = 0; i < program_.slots.size(); ++i) {
    const int slot = static_cast<int>(i);
    const Slot& root = program_.slots[static_cast<std::size_t>(program_.root(slot))];
    const std::size_t shift = program_.shift(slot);
    if (root.place == Slot::Place::input) inputs_.push_back({slot, root.number, shift});
    if (root.place == Slot::Place::output) outputs_.push_back({slot, root.number, shift});
  }
  find_turned();
}

bool Variant::fits(std::span<const Tensor> inputs) const {
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (!(inputs[i].shape() == shapes_[i])) return false;
  return true;
}

void Variant::find_turned() {
  const auto& steps = program_.steps;
  reads_rows_.resize(shapes_.size());
  for (std::size_t s = 0; s < steps.size(); ++s) {
    if (const int input = steps[s]->turned_input; input >= 0) {
      const int root = program_.root(steps[s]->writes[0]);
      const auto writes_it = [&](const std::unique_ptr<Step>& step) {
        return std::ranges::any_of(step->writes, [&](int w) { return program_.root(w) == root; });
      };
      Turned turned{s, input, false, {}};
      turned.replaced =
          program_.slots[static_cast<std::size_t>(root)].place == Slot::Place::arena &&
          program_.fills_root(steps[s]->writes[0]) && std::ranges::count_if(steps, writes_it) == 1;
      for (std::size_t i = 0; i < program_.slots.size(); ++i) {
        const int slot = static_cast<int>(i);
        if (program_.root(slot) != root) continue;
        turned.slots.push_back({slot, 0, program_.shift(slot)});
      }
      turned_.push_back(std::move(turned));
      continue;
    }
    for (const int slot : steps[s]->reads) {
      const Slot& root = program_.slots[static_cast<std::size_t>(program_.root(slot))];
      if (root.place == Slot::Place::input)
        reads_rows_[static_cast<std::size_t>(root.number)] = true;
    }
  }
}

std::unique_ptr<RunContext> Variant::make() const {
  auto context = std::make_unique<RunContext>();
  context->memory = allocate_block(program_.arena + program_.scratch);
  context->frame.scratch = context->memory.get() + program_.arena;
  context->frame.address.resize(program_.slots.size());
  for (std::size_t i = 0; i < program_.slots.size(); ++i) {
    const int slot = static_cast<int>(i);
    const Slot& root = program_.slots[static_cast<std::size_t>(program_.root(slot))];
    if (root.place == Slot::Place::arena)
      context->frame.address[i] = context->memory.get() + root.offset + program_.shift(slot);
    else if (root.place == Slot::Place::constant)
      context->frame.address[i] =
          const_cast<std::byte*>(static_cast<const std::byte*>(root.constant.raw())) +
          program_.shift(slot);
  }
  for (const auto& step : program_.steps) context->states.push_back(step->bind(context->frame));
  context->skipped.resize(program_.steps.size());
  context->rows.resize(shapes_.size());
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

void Variant::bind_inputs(std::span<const Tensor> inputs, RunContext& context) const {
  const auto differs = [&](int input) {
    const Tensor& given = inputs[static_cast<std::size_t>(input)];
    return given.channels_last() && !one_order(given.shape());
  };
  auto& address = context.frame.address;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!reads_rows_[i] || !differs(static_cast<int>(i))) continue;
    if (!context.rows[i].defined())
      context.rows[i] = Tensor::empty(inputs[i].shape(), inputs[i].dtype());
    convert_format(inputs[i], context.rows[i]);
  }
  for (const External& e : inputs_) {
    const auto i = static_cast<std::size_t>(e.number);
    const Tensor& rows = reads_rows_[i] && differs(e.number) ? context.rows[i] : inputs[i];
    address[static_cast<std::size_t>(e.slot)] =
        const_cast<std::byte*>(static_cast<const std::byte*>(rows.raw())) + e.shift;
  }
  for (const Turned& turned : turned_) {
    const Tensor& given = inputs[static_cast<std::size_t>(turned.input)];
    const bool skipped = differs(turned.input);
    context.skipped[turned.step] = skipped;
    if (turned.replaced) {
      const Slot& root =
          program_.slots[static_cast<std::size_t>(program_.root(turned.slots[0].slot))];
      std::byte* memory = skipped
                              ? const_cast<std::byte*>(static_cast<const std::byte*>(given.raw()))
                              : context.memory.get() + root.offset;
      for (const External& e : turned.slots)
        address[static_cast<std::size_t>(e.slot)] = memory + e.shift;
    } else if (skipped) {
      const int slot = program_.steps[turned.step]->writes[0];
      std::memcpy(address[static_cast<std::size_t>(slot)], given.raw(), given.bytes());
    }
  }
}

void Variant::run(std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  std::span<double> seconds) {
  make_outputs(inputs, outputs);
  auto context = take();
  for (const External& e : outputs_)
    context->frame.address[static_cast<std::size_t>(e.slot)] =
        static_cast<std::byte*>(outputs[static_cast<std::size_t>(e.number)].mutable_raw()) +
        e.shift;
  bind_inputs(inputs, *context);
  using Clock = std::chrono::steady_clock;
  for (std::size_t s = 0; s < program_.steps.size(); ++s) {
    if (context->skipped[s]) {
      if (!seconds.empty()) seconds[s] = 0;
      continue;
    }
    const auto begin = seconds.empty() ? Clock::time_point() : Clock::now();
    program_.steps[s]->run(context->frame, context->states[s].get());
    if (!seconds.empty()) seconds[s] = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(context));
}

}  // namespace pare::runtime
