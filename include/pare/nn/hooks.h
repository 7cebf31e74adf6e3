// Hooks by name: functions that see, and may replace, what parts of a network put out.
#pragma once

#include <functional>
#include <string>

#include "pare/core/export.h"
#include "pare/core/gradient_hook.h"
#include "pare/nn/module.h"

namespace pare::nn {

/// Is shown an output under the name the hook was put on; returns what takes its place, or an
/// undefined tensor to leave it.
using OutputHook = std::function<Tensor(const std::string& name, const Tensor& output)>;

/// Calls `hook` whenever the part `name` of the module is called as a function (`part(x)`), ""
/// being the module itself; in a Graph `name` is a node's or a value's. It stays with this module:
/// copies do not have it, a trace has what it returns. Several hooks run in the order they were
/// added. PyTorch's register_forward_hook. Throws invalid_argument for a name that the module does
/// not have, a graph's leaf or an empty function.
PARE_API HookHandle register_forward_hook(Module& module, const std::string& name, OutputHook hook);

/// Calls `hook` in every backward pass with the gradient of `name`: the output of a part or of a
/// graph's value, or a parameter ("conv1.weight"; of one that is computed from leaves its value),
/// where it is called once for each use of the parameter in a module, once in all in a Graph.
/// Throws as register_forward_hook, and invalid_argument for a parameter that is frozen.
PARE_API HookHandle register_gradient_hook(Module& module, const std::string& name,
                                           GradientHook hook);

}  // namespace pare::nn
