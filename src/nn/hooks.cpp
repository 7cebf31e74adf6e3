// Hooks by name, and where modules keep them.
#include "pare/nn/hooks.h"

#include <algorithm>

#include "core/check.h"
#include "nn/extras.h"

namespace pare::nn {
namespace internal {

ModuleExtras& Extras::get() {
  if (!extras_) extras_ = std::make_shared<ModuleExtras>();
  return *extras_;
}

void Extras::take_ties(const Extras& other) {
  if (other.extras_->ties.empty()) return;
  ModuleExtras& mine = get();
  if (!mine.ties.empty() && !mine.pending) return;
  mine.ties = other.extras_->ties;
  mine.pending = true;
}

HookHandle ParameterHooks::add(const std::shared_ptr<ParameterHooks>& self, GradientHook hook) {
  const int number = next++;
  hooks.emplace_back(number, std::move(hook));
  const std::weak_ptr<ParameterHooks> weak = self;
  return HookHandle([weak, number] {
    if (const auto holder = weak.lock())
      std::erase_if(holder->hooks, [number](const auto& entry) { return entry.first == number; });
  });
}

Tensor ParameterHooks::shown(Tensor gradient) const {
  const std::vector<std::pair<int, GradientHook>> present = hooks;
  for (const auto& entry : present)
    if (Tensor replacement = entry.second(gradient); replacement.defined())
      gradient = std::move(replacement);
  return gradient;
}

bool ModuleExtras::hooked(std::string_view value) const {
  return std::any_of(hooks.begin(), hooks.end(),
                     [&](const Hook& hook) { return hook.value == value; });
}

Tensor ModuleExtras::shown(std::string_view value, Tensor tensor) const {
  if (!hooked(value)) return tensor;
  // A hook may remove itself or others while it runs.
  const std::vector<Hook> present = hooks;
  for (const Hook& hook : present) {
    if (hook.value != value) continue;
    Tensor replacement = hook.run(hook.name, tensor);
    if (replacement.defined()) tensor = std::move(replacement);
  }
  return tensor;
}

}  // namespace internal

namespace {

struct Place {
  Module* module = nullptr;
  std::string value;  ///< inside the module; "": its output
};

// The part of that name, or what a part (a Graph) has under the rest of it.
Place find_place(Module& module, const std::string& name,
                 bool (Module::*has)(std::string_view) const) {
  Place place;
  module.for_each_module([&](const std::string& part, Module& candidate) {
    if (place.module) return;
    const std::size_t skip = part.empty() ? 0 : part.size() + 1;
    if (skip > 0 && (name.size() < skip || !name.starts_with(part) || name[skip - 1] != '.'))
      return;
    const std::string value = name.substr(skip);
    if ((candidate.*has)(value)) place = {&candidate, value};
  });
  return place;
}

void check_trained(bool trained, const std::string& name) {
  PARE_CHECK(trained, invalid_argument, "register_gradient_hook",
             "expected a parameter that is trained, got '{}', which is frozen", name);
}

// Names in messages the function that was called.
HookHandle add_output_hook(const char* where, Module& module, const std::string& name,
                           OutputHook hook) {
  PARE_CHECK(hook != nullptr, invalid_argument, where, "expected a function, got none");
  Place place;
  module.for_each_module([&](const std::string& part, Module& candidate) {
    if (part == name) place.module = &candidate;
  });
  if (!place.module) place = find_place(module, name, &Module::has_value);
  PARE_CHECK(place.module != nullptr, invalid_argument, where,
             "expected the name of a part, or of a value that a graph computes, got '{}'", name);
  internal::ModuleExtras& extras = place.module->extras().get();
  const int number = extras.next++;
  extras.hooks.push_back({number, place.value, name, std::move(hook)});
  const std::weak_ptr<internal::ModuleExtras> weak = place.module->extras().shared();
  return HookHandle([weak, number] {
    if (const auto holder = weak.lock())
      std::erase_if(holder->hooks, [number](const auto& h) { return h.number == number; });
  });
}

}  // namespace

HookHandle register_forward_hook(Module& module, const std::string& name, OutputHook hook) {
  return add_output_hook("register_forward_hook", module, name, std::move(hook));
}

HookHandle register_gradient_hook(Module& module, const std::string& name, GradientHook hook) {
  PARE_CHECK(hook != nullptr, invalid_argument, "register_gradient_hook",
             "expected a function, got none");
  Parameter* slot = nullptr;
  module.for_each_parameter([&](const std::string& candidate, Parameter& parameter) {
    if (candidate == name) slot = &parameter;
  });
  if (slot) {
    check_trained(slot->trainable(), name);
    return slot->hooks()->add(slot->hooks(), std::move(hook));
  }
  if (const Place leaf = find_place(module, name, &Module::has_leaf); leaf.module) {
    auto& hooks = leaf.module->extras().get().leaf_hooks[leaf.value];
    if (!hooks) hooks = std::make_shared<internal::ParameterHooks>();
    return hooks->add(hooks, std::move(hook));
  }
  return add_output_hook("register_gradient_hook", module, name,
                         [hook = std::move(hook)](const std::string&, const Tensor& output) {
                           if (context().grad && output.requires_grad())
                             register_hook(output, hook);
                           return Tensor();
                         });
}

}  // namespace pare::nn
