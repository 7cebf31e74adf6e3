// What a module has besides its members: hooks on outputs and ties between parameters.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pare/nn/hooks.h"

namespace pare::nn::internal {

/// Hooks on the gradient of a parameter.
struct ParameterHooks {
  std::vector<std::pair<int, GradientHook>> hooks;  ///< by number, in the order they were added
  int next = 0;

  HookHandle add(const std::shared_ptr<ParameterHooks>& self, GradientHook hook);
  /// The gradient after all of them.
  Tensor shown(Tensor gradient) const;
};

struct ModuleExtras {
  struct Hook {
    int number;
    std::string value;  ///< of the values inside; "": the module's own output
    std::string name;   ///< what the hook is told
    OutputHook run;
  };
  std::vector<Hook> hooks;  ///< in the order they were added
  /// By the names of leaves without a slot.
  std::map<std::string, std::shared_ptr<ParameterHooks>, std::less<>> leaf_hooks;
  int next = 0;
  std::vector<std::pair<std::string, std::string>> ties;
  bool pending = false;  ///< the ties do not hold yet

  bool hooked(std::string_view value) const;
  /// The tensor after the hooks on `value`.
  Tensor shown(std::string_view value, Tensor tensor) const;
  void settle(Module& owner);
};

}  // namespace pare::nn::internal
