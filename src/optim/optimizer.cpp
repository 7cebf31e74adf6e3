// Optimizer: what every update rule shares.
#include "pare/optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "core/check.h"
#include "optim/slice_state.h"
#include "pare/core/context.h"

namespace pare::optim {

Optimizer::Optimizer(const char* kind, Tensors parameters, double learning_rate,
                     std::vector<const char*> state_names)
    : kind_(kind), state_names_(std::move(state_names)) {
  PARE_ASSERT(state_names_.size() <= kMostStates);
  PARE_CHECK(!parameters.empty(), invalid_argument, kind_,
             "expected parameters to train, got none");
  set_learning_rate(learning_rate);
  std::unordered_set<const void*> seen;
  for (Tensor& parameter : parameters) {
    check(parameter);
    PARE_CHECK(seen.insert(parameter.impl()).second, invalid_argument, kind_,
               "expected every parameter once, got one of shape {} twice", parameter.shape());
    slots_.push_back({.parameter = std::move(parameter), .state = {}});
  }
}

Optimizer::~Optimizer() = default;

void Optimizer::check(const Tensor& parameter) const {
  PARE_CHECK(parameter.defined(), invalid_argument, kind_,
             "expected a parameter, got an undefined tensor");
  PARE_CHECK(parameter.dtype() == DType::f32, dtype_mismatch, kind_,
             "expected f32 parameters, got one of {} {}", parameter.dtype(), parameter.shape());
  PARE_CHECK(parameter.is_leaf() && parameter.requires_grad(), invalid_argument, kind_,
             "expected leaves that require a gradient, got a tensor of shape {} that {}",
             parameter.shape(), parameter.is_leaf() ? "requires none" : "was computed");
}

void Optimizer::set_learning_rate(double rate) {
  PARE_CHECK(rate >= 0 && std::isfinite(rate), invalid_argument, kind_,
             "expected a learning rate of at least 0, got {}", rate);
  learning_rate_ = rate;
}

Tensors Optimizer::parameters() const {
  Tensors result;
  for (const Slot& slot : slots_) result.push_back(slot.parameter);
  return result;
}

void Optimizer::step() {
  for (const Slot& slot : slots_)
    PARE_CHECK(!slot.parameter.impl()->retired, invalid_state, kind_,
               "expected parameters that are in use, got one of shape {} that a structural edit "
               "has replaced; call optimizer.rebuild(replacements)",
               slot.parameter.shape());
  const NoGrad scope;
  for (Slot& slot : slots_)
    if (slot.parameter.impl()->gradient) advance(slot);
}

void Optimizer::advance(Slot& slot) {
  Tensor gradient(slot.parameter.impl()->gradient);
  PARE_CHECK(gradient.dtype() == DType::f32 && gradient.shape() == slot.parameter.shape(),
             shape_mismatch, kind_, "expected a gradient f32 {}, got {} {}", slot.parameter.shape(),
             gradient.dtype(), gradient.shape());
  const MemoryFormat format = slot.parameter.format();
  if (gradient.format() != format) gradient = gradient.to(format);
  Update u{.value = slot.parameter.mutable_data<float>(),
           .gradient = gradient.data<float>(),
           .state = {},
           .count = slot.parameter.elements(),
           .step = ++slot.step};
  for (std::size_t i = 0; i < state_names_.size(); ++i) {
    Tensor& state = slot.state[i];
    if (!state.defined()) {
      state = Tensor::zeros(slot.parameter.shape(), DType::f32, format);
    } else if (state.format() != format) {
      state = state.to(format);
    }
    u.state[i] = state.mutable_data<float>();
  }
  update(u);
}

void Optimizer::zero_grad() {
  for (Slot& slot : slots_) slot.parameter.zero_grad();
}

void Optimizer::rebuild(std::span<const Replacement> replacements) {
  std::vector<Slot> slots = slots_;
  for (const Replacement& r : replacements) {
    if (r.now.defined()) check(r.now);
    if (r.now.defined() && r.old.defined() && r.now.same_as(r.old)) continue;
    const auto held = [&](const Tensor& tensor) {
      return std::find_if(slots.begin(), slots.end(),
                          [&](const Slot& s) { return s.parameter.same_as(tensor); });
    };
    const auto slot = r.old.defined() ? held(r.old) : slots.end();
    if (slot == slots.end()) {
      if (!r.old.defined() && r.now.defined() && held(r.now) == slots.end())
        slots.push_back({.parameter = r.now, .state = {}});
      continue;
    }
    if (!r.now.defined() || held(r.now) != slots.end()) {
      slots.erase(slot);
      continue;
    }
    Slot changed{.parameter = r.now, .state = {}};
    const bool explained = shape_after(r.old.shape(), r.kept) == r.now.shape();
    if (explained) {
      changed.step = slot->step;
      for (std::size_t i = 0; i < changed.state.size(); ++i)
        if (slot->state[i].defined()) changed.state[i] = slice_state(slot->state[i], r.kept);
    }
    *slot = std::move(changed);
  }
  slots_ = std::move(slots);
}

NamedState Optimizer::state() const {
  NamedState result{{"learning_rate", Tensor::scalar(learning_rate_, DType::f64)}};
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.step == 0) continue;
    const std::string prefix = std::to_string(i) + ".";
    result.emplace_back(prefix + "step",
                        Tensor::scalar(static_cast<double>(slot.step), DType::i64));
    for (std::size_t k = 0; k < state_names_.size(); ++k)
      result.emplace_back(prefix + state_names_[k], slot.state[k].clone());
  }
  return result;
}

void Optimizer::load_state(const NamedState& state) {
  std::vector<Slot> slots;
  for (const Slot& slot : slots_) slots.push_back({.parameter = slot.parameter, .state = {}});
  double rate = learning_rate_;
  for (const auto& [name, tensor] : state) {
    if (name == "learning_rate") {
      rate = tensor.item();
      continue;
    }
    bool found = false;
    for (std::size_t i = 0; i < slots.size() && !found; ++i) {
      const std::string prefix = std::to_string(i) + ".";
      if (!name.starts_with(prefix)) continue;
      const std::string_view rest = std::string_view(name).substr(prefix.size());
      if (rest == "step") {
        slots[i].step = static_cast<std::int64_t>(tensor.item());
        found = true;
      }
      for (std::size_t k = 0; k < state_names_.size(); ++k) {
        if (rest != state_names_[k]) continue;
        const Tensor& parameter = slots[i].parameter;
        PARE_CHECK(tensor.shape() == parameter.shape(), shape_mismatch, name,
                   "expected shape {}, got {}", parameter.shape(), tensor.shape());
        slots[i].state[k] = Tensor::empty(parameter.shape(), DType::f32, parameter.format());
        slots[i].state[k].copy_from(tensor);
        found = true;
      }
    }
    PARE_CHECK(found, invalid_argument, kind_, "expected the state of {} parameters, got '{}'",
               slots.size(), name);
  }
  for (std::size_t i = 0; i < slots.size(); ++i)
    for (std::size_t k = 0; k < state_names_.size(); ++k)
      PARE_CHECK(slots[i].state[k].defined() == (slots[i].step > 0), invalid_argument, kind_,
                 "expected {}.step and {}.{} together, got one of them", i, i, state_names_[k]);
  set_learning_rate(rate);
  slots_ = std::move(slots);
}

}  // namespace pare::optim
