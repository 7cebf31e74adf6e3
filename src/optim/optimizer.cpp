// Optimizer: what every update rule shares.
#include "pare/optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "core/check.h"
#include "optim/slice_state.h"
#include "pare/core/context.h"

namespace pare::optim {

Optimizer::Optimizer(const char* kind, std::vector<Tensors> parameters, std::vector<Group> groups)
    : kind_(kind), groups_(std::move(groups)) {
  PARE_ASSERT(parameters.size() == groups_.size());
  PARE_CHECK(!groups_.empty(), invalid_argument, kind_, "expected parameters to train, got none");
  std::unordered_set<const void*> seen;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    PARE_ASSERT(groups_[g].state_names.size() <= kMostStates);
    check_rate(groups_[g].learning_rate);
    PARE_CHECK(!parameters[g].empty(), invalid_argument, kind_,
               "expected parameters to train, got none{}",
               groups_.size() > 1 ? fmt::format(" in group {}", g) : "");
    for (Tensor& parameter : parameters[g]) {
      check(parameter);
      PARE_CHECK(seen.insert(parameter.impl()).second, invalid_argument, kind_,
                 "expected every parameter once, got one of shape {} twice", parameter.shape());
      slots_.push_back({.parameter = std::move(parameter), .state = {}, .group = g});
    }
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

void Optimizer::check_rate(double rate) const {
  PARE_CHECK(rate >= 0 && std::isfinite(rate), invalid_argument, kind_,
             "expected a learning rate of at least 0, got {}", rate);
}

std::size_t Optimizer::checked(int group) const {
  PARE_CHECK(group >= 0 && group < groups(), out_of_range, kind_,
             "expected a group from 0 to {}, got {}", groups() - 1, group);
  return static_cast<std::size_t>(group);
}

void Optimizer::set_learning_rate(double rate) {
  check_rate(rate);
  for (Group& group : groups_) group.learning_rate = rate;
}

void Optimizer::set_learning_rate(double rate, int group) {
  check_rate(rate);
  groups_[checked(group)].learning_rate = rate;
}

Tensors Optimizer::parameters() const {
  Tensors result;
  for (const Slot& slot : slots_) result.push_back(slot.parameter);
  return result;
}

Tensors Optimizer::parameters(int group) const {
  const std::size_t wanted = checked(group);
  Tensors result;
  for (const Slot& slot : slots_)
    if (slot.group == wanted) result.push_back(slot.parameter);
  return result;
}

void Optimizer::step(const StepOptions& options) {
  PARE_CHECK(std::isfinite(options.gradient_scale), invalid_argument, kind_,
             "expected a finite gradient_scale, got {}", options.gradient_scale);
  for (const Slot& slot : slots_)
    PARE_CHECK(!slot.parameter.impl()->retired, invalid_state, kind_,
               "expected parameters that are in use, got one of shape {} that a structural edit "
               "has replaced; call optimizer.rebuild(replacements)",
               slot.parameter.shape());
  const NoGrad scope;
  for (Slot& slot : slots_)
    if (slot.parameter.impl()->gradient) advance(slot, static_cast<float>(options.gradient_scale));
}

void Optimizer::advance(Slot& slot, float gradient_scale) {
  Tensor gradient(slot.parameter.impl()->gradient);
  PARE_CHECK(gradient.dtype() == DType::f32 && gradient.shape() == slot.parameter.shape(),
             shape_mismatch, kind_, "expected a gradient f32 {}, got {} {}", slot.parameter.shape(),
             gradient.dtype(), gradient.shape());
  const MemoryFormat format = slot.parameter.format();
  if (gradient.format() != format) gradient = gradient.to(format);
  const Group& group = groups_[slot.group];
  Update u{.value = slot.parameter.mutable_data<float>(),
           .gradient = gradient.data<float>(),
           .state = {},
           .count = slot.parameter.elements(),
           .step = ++slot.step,
           .group = slot.group,
           .learning_rate = group.learning_rate,
           .gradient_scale = gradient_scale};
  for (std::size_t i = 0; i < group.state_names.size(); ++i) {
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
    Slot changed{.parameter = r.now, .state = {}, .group = slot->group, .name = slot->name};
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

void Optimizer::set_names(const NamedState& names) {
  std::unordered_map<const void*, const std::string*> by_tensor;
  std::unordered_set<std::string_view> seen;
  for (const auto& [name, tensor] : names) {
    PARE_CHECK(!name.empty() && seen.insert(name).second, invalid_argument, kind_,
               "expected names that differ, got '{}'", name);
    by_tensor.try_emplace(tensor.impl(), &name);
  }
  for (Slot& slot : slots_) {
    const auto found = by_tensor.find(slot.parameter.impl());
    if (found != by_tensor.end()) slot.name = *found->second;
  }
}

std::string Optimizer::prefix(std::size_t slot) const {
  const std::string& name = slots_[slot].name;
  return (name.empty() ? std::to_string(slot) : name) + ".";
}

namespace {

std::string rate_name(std::size_t group) {
  return group == 0 ? "learning_rate" : "learning_rate." + std::to_string(group);
}

}  // namespace

NamedState Optimizer::state() const {
  NamedState result;
  for (std::size_t g = 0; g < groups_.size(); ++g)
    result.emplace_back(rate_name(g), Tensor::scalar(groups_[g].learning_rate, DType::f64));
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.step == 0) continue;
    result.emplace_back(prefix(i) + "step",
                        Tensor::scalar(static_cast<double>(slot.step), DType::i64));
    const auto& names = groups_[slot.group].state_names;
    for (std::size_t k = 0; k < names.size(); ++k)
      result.emplace_back(prefix(i) + names[k], slot.state[k].clone());
  }
  return result;
}

// Whether the name is one of a slot's, which then has the tensor.
bool Optimizer::take(std::vector<Slot>& slots, const std::string& name,
                     const Tensor& tensor) const {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::string start = prefix(i);
    if (!name.starts_with(start)) continue;
    const std::string_view rest = std::string_view(name).substr(start.size());
    if (rest == "step") {
      const double step = tensor.item();
      PARE_CHECK(step >= 1, invalid_argument, name, "expected a step of at least 1, got {}", step);
      slots[i].step = static_cast<std::int64_t>(step);
      return true;
    }
    const auto& names = groups_[slots[i].group].state_names;
    for (std::size_t k = 0; k < names.size(); ++k) {
      if (rest != names[k]) continue;
      const Tensor& parameter = slots[i].parameter;
      PARE_CHECK(tensor.shape() == parameter.shape(), shape_mismatch, name,
                 "expected shape {}, got {}", parameter.shape(), tensor.shape());
      slots[i].state[k] = Tensor::empty(parameter.shape(), DType::f32, parameter.format());
      slots[i].state[k].copy_from(tensor);
      return true;
    }
  }
  return false;
}

void Optimizer::load_state(const NamedState& state) {
  std::vector<Slot> slots = slots_;
  for (Slot& slot : slots) {
    slot.state = {};
    slot.step = 0;
  }
  std::vector<Group> groups = groups_;
  for (const auto& [name, tensor] : state) {
    bool found = false;
    for (std::size_t g = 0; g < groups.size() && !found; ++g) {
      if (name != rate_name(g)) continue;
      groups[g].learning_rate = tensor.item();
      check_rate(groups[g].learning_rate);
      found = true;
    }
    PARE_CHECK(found || take(slots, name, tensor), invalid_argument, kind_,
               "expected the state of {} parameters, got '{}'", slots.size(), name);
  }
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto& names = groups_[slots[i].group].state_names;
    for (std::size_t k = 0; k < names.size(); ++k)
      PARE_CHECK(slots[i].state[k].defined() == (slots[i].step > 0), invalid_argument, kind_,
                 "expected {}step and {}{} together, got one of them", prefix(i), prefix(i),
                 names[k]);
  }
  groups_ = std::move(groups);
  slots_ = std::move(slots);
}

}  // namespace pare::optim
