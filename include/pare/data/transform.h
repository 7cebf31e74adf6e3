// Transforms: what the Loader does to an input on its way into the batch.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <variant>
#include <vector>

#include "pare/core/generator.h"
#include "pare/core/tensor.h"

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

/// Cuts a window out of the middle, framed with zeros where the picture is smaller (torchvision's
/// CenterCrop).
struct CenterCrop {
  std::int64_t height = 0;
  std::int64_t width = 0;  ///< 0: as the height
};

/// Resizes, bilinear: the shorter side to `size`, or to `height` and `width` (torchvision's
/// Resize).
struct Resize {
  std::int64_t size = 0;
  std::int64_t height = 0, width = 0;
  bool antialias = true;  ///< see ResizeOptions
};

/// Cuts a window of random area and shape, and resizes it to height × width (Szegedy et al.,
/// "Going deeper with convolutions", 2015; torchvision's RandomResizedCrop).
struct RandomResizedCrop {
  std::int64_t height = 0;
  std::int64_t width = 0;                            ///< 0: as the height
  std::array<double, 2> scale = {0.08, 1};           ///< share of the picture's area
  std::array<double, 2> ratio = {3.0 / 4, 4.0 / 3};  ///< width / height, on a logarithmic scale
  bool antialias = true;
};

/// Changes brightness, contrast and saturation by factors of [max(0, 1 − x), 1 + x] and turns the
/// hue by [−x, x] circles, in a random order (torchvision's ColorJitter).
struct ColorJitter {
  double brightness = 0, contrast = 0, saturation = 0;
  double hue = 0;  ///< at most 0.5
};

/// Luma in `channels` (1 or 3) equal channels; with a probability below 1, which needs as many
/// channels as there are, torchvision's RandomGrayscale.
struct Grayscale {
  std::int64_t channels = 1;
  double probability = 1;
};

/// Overwrites a rectangle of random area and shape (Zhong et al., "Random erasing data
/// augmentation", 2017; torchvision's RandomErasing).
struct RandomErasing {
  double probability = 0.5;
  std::array<double, 2> scale = {0.02, 0.33};
  std::array<double, 2> ratio = {0.3, 3.3};
  /// In the picture's own units, one or one per channel; a Normalize's mean (times 255 for u8)
  /// becomes 0.
  std::vector<double> value = {0};
};

/// Overwrites a size × size square whose middle lies anywhere in the picture (DeVries and Taylor,
/// "Improved regularization of convolutional neural networks with cutout", 2017).
struct Cutout {
  std::int64_t size = 0;
  std::vector<double> value = {0};  ///< as RandomErasing's
};

/// One of the user's own: gives a tensor for the input, which it must not write to, drawing from a
/// generator of this example and epoch (Loader::example has a fixed one). Called by several threads
/// at once; what it throws reaches whoever iterates. Only its kind takes what is not u8 or f32.
using Custom = std::function<Tensor(const Tensor& input, Generator& generator)>;

/// (x · scale − mean) / deviation, per channel, which is the input's first axis.
struct Normalize {
  std::vector<double> mean = {0};       ///< one value, or one per channel
  std::vector<double> deviation = {1};  ///< one value, or one per channel; not 0
  double scale = 0;                     ///< 0: 1/255 for u8 inputs, 1 for f32 inputs
};

/// Applied in their order; a Normalize stands last, so that padding means the value 0 of the
/// original picture. They take u8 and f32 inputs and the batch is f32. Examples may be of different
/// sizes where the transforms make them equal.
using Transform =
    std::variant<RandomCrop, RandomHorizontalFlip, Normalize, CenterCrop, Resize, RandomResizedCrop,
                 ColorJitter, Grayscale, RandomErasing, Cutout, Custom>;
using Transforms = std::vector<Transform>;

}  // namespace pare::data
