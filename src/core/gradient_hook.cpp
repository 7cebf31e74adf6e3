// Hooks on gradients.
#include "core/gradient_hook.h"

#include <algorithm>
#include <cstdint>

#include "core/autograd.h"
#include "core/check.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace detail {

Tensor GradientHooks::shown(Tensor gradient) const {
  // A hook may remove itself or others while it runs.
  const std::vector<std::pair<int, GradientHook>> present = hooks;
  for (const auto& entry : present) {
    Tensor replacement = entry.second(gradient);
    if (!replacement.defined()) continue;
    PARE_CHECK(replacement.shape() == gradient.shape(), shape_mismatch, "gradient hook",
               "expected a gradient {}, got {}", gradient.shape(), replacement.shape());
    PARE_CHECK(replacement.dtype() == gradient.dtype(), dtype_mismatch, "gradient hook",
               "expected a gradient of {}, got {}", gradient.dtype(), replacement.dtype());
    gradient = std::move(replacement);
  }
  return gradient;
}

namespace {

Ref<GradientHooks>& hooks_of(TensorImpl& impl) {
  for (auto& [output, hooks] : impl.producer->hooks)
    if (output == impl.output_index) return hooks;
  return impl.producer->hooks.emplace_back(impl.output_index, Ref<GradientHooks>()).second;
}

}  // namespace
}  // namespace detail

HookHandle register_hook(const Tensor& tensor, GradientHook hook) {
  constexpr const char* kPlace = "register_hook";
  PARE_CHECK(tensor.defined() && tensor.requires_grad(), invalid_argument, kPlace,
             "expected a tensor that requires a gradient, got {}",
             tensor.defined() ? "one that does not" : "an undefined one");
  PARE_CHECK(!tensor.is_leaf(), invalid_argument, kPlace,
             "expected a computed tensor, got a leaf of shape {}", tensor.shape());
  PARE_CHECK(hook != nullptr, invalid_argument, kPlace, "expected a function, got none");
  detail::Ref<detail::GradientHooks>& hooks = detail::hooks_of(*tensor.impl());
  if (!hooks) hooks = detail::Ref<detail::GradientHooks>(new detail::GradientHooks);
  const int number = hooks->next++;
  hooks->hooks.emplace_back(number, std::move(hook));
  return HookHandle([hooks, number] {
    std::erase_if(hooks->hooks, [number](const auto& entry) { return entry.first == number; });
  });
}

Tensor hooked(const Tensor& leaf, GradientHook hook) {
  std::vector<std::int64_t> shape;
  for (int axis = 0; axis < leaf.rank(); ++axis) shape.push_back(leaf.dim(axis));
  const Tensor view = reshape(leaf, shape);
  register_hook(view, std::move(hook));
  return view;
}

}  // namespace pare
