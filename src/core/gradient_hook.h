// What hangs on a tensor or on a node of the tape to see gradients.
#pragma once

#include <utility>
#include <vector>

#include "pare/core/gradient_hook.h"

namespace pare::detail {

struct GradientHooks : RefCounted {
  std::vector<std::pair<int, GradientHook>> hooks;  ///< by number, ascending
  int next = 0;

  /// The gradient after all hooks.
  Tensor shown(Tensor gradient) const;
  static void destroy(GradientHooks* hooks) { delete hooks; }
};

}  // namespace pare::detail
