// Transforms: what the Loader does to an input on its way into the batch.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

namespace pare::data {

/// Cuts a size × size window at a random place out of the picture [C, H, W], which has first been
/// framed with `padding` zeros on every side (Krizhevsky, 2009; torchvision's RandomCrop).
struct RandomCrop {
  std::int64_t size = 0;  ///< 0: the picture's own height and width
  std::int64_t padding = 0;
};

/// Mirrors the picture [C, H, W] left to right (torchvision's RandomHorizontalFlip).
struct RandomHorizontalFlip {
  double probability = 0.5;
};

/// (x · scale − mean) / deviation, per channel, which is the input's first axis.
struct Normalize {
  std::vector<double> mean = {0};       ///< one value, or one per channel
  std::vector<double> deviation = {1};  ///< one value, or one per channel; not 0
  double scale = 0;                     ///< 0: 1/255 for u8 inputs, 1 for f32 inputs
};

/// Applied in their order; a Normalize stands last, so that padding means the value 0 of the
/// original picture. They take u8 and f32 inputs and give f32.
using Transform = std::variant<RandomCrop, RandomHorizontalFlip, Normalize>;
using Transforms = std::vector<Transform>;

}  // namespace pare::data
