// Writing elements or blocks of a tensor at places, reduced with what is there; its gradient.
#pragma once

#include <string>

#include "core/ops/indexed.h"

namespace pare {

enum class ScatterReduction { none, add, mul, max, min };

/// Of ONNX's name; throws invalid_argument for another.
ScatterReduction reduction_of(const std::string& name, const char* where);

/// Updates, one block after another, in order; without reduction any dtype of whole bytes, else one
/// of numbers, not half.
void write_places(const Places& places, const Tensor& updates, Tensor& y,
                  ScatterReduction reduction);
void write_elements(const ElementPlaces& places, const Tensor& updates, Tensor& y,
                    ScatterReduction reduction);

/// The gradients of inputs 0 (x) and 2 (updates) of a scatter.
void backward_places(BackwardArgs& args, const Places& places, ScatterReduction reduction);

}  // namespace pare
