// Hooks on gradients: functions that see, and may replace, the gradient of a tensor.
#pragma once

#include <functional>

#include "pare/core/export.h"
#include "pare/core/tensor.h"

namespace pare {

/// What adding a hook returns. It may be dropped: the hook then stays as long as what it hangs on.
class PARE_API HookHandle {
 public:
  HookHandle() = default;
  explicit HookHandle(std::function<void()> remove) : remove_(std::move(remove)) {}
  /// Takes the hook away; a second call does nothing.
  void remove() {
    if (remove_) remove_();
    remove_ = nullptr;
  }

 private:
  std::function<void()> remove_;
};

/// Is shown a gradient; returns what takes its place (of the same shape and type) or an undefined
/// tensor to leave it.
using GradientHook = std::function<Tensor(const Tensor& gradient)>;

/// Calls `hook` in every backward pass with the whole gradient of `tensor`, a computed one, before
/// it goes on to what it was computed from. Several hooks run in the order they were added.
/// PyTorch's Tensor.register_hook; of parameters see nn::register_gradient_hook. Throws
/// invalid_argument for a leaf or a tensor that requires no gradient and for an empty function;
/// backward throws shape_mismatch or dtype_mismatch for a replacement that does not fit.
PARE_API HookHandle register_hook(const Tensor& tensor, GradientHook hook);

/// The same elements as a computed tensor, so that a hook can see the gradient of a leaf.
PARE_API Tensor hooked(const Tensor& leaf, GradientHook hook);

}  // namespace pare
