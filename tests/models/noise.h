// Values by name for weights, which a script in Python computes too.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "golden_noise.h"
#include "pare/core/context.h"
#include "pare/core/ops/elementwise.h"
#include "pare/nn/module.h"

namespace pare::test {

/// FNV-1a of a name: which noise its tensor gets.
inline std::uint32_t number_of(std::string_view name) {
  std::uint32_t hash = 2166136261U;
  for (const char c : name) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619U;
  return hash;
}

/// What fill() in make_torchvision.py gives the tensor of this name: weights with the deviation
/// that keeps activations at their size, norms near the identity.
inline Tensor value_of(const std::string& name, const Shape& shape) {
  const Tensor values = noise(number_of(name), shape);
  if (shape.rank() > 1) {
    const auto fan = static_cast<double>(shape.elements() / shape[0]);
    return values * static_cast<double>(static_cast<float>(std::sqrt(24.0 / fan)));
  }
  if (name.ends_with("running_var") || name.ends_with("weight")) return values * 0.5 + 1.0;
  return values * 0.5;
}

/// Gives every parameter and buffer its value_of.
inline void fill_by_name(nn::Module& net) {
  const NoGrad scope;
  net.for_each_parameter([](const std::string& name, nn::Parameter& parameter) {
    parameter.set(value_of(name, parameter.shape()));
  });
  net.for_each_buffer([](const std::string& name, nn::Buffer& buffer) {
    buffer.value().copy_from(value_of(name, buffer.value().shape()));
  });
}

}  // namespace pare::test
