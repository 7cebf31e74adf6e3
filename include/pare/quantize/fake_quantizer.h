// FakeQuantizer: a rounding of your own for quantization-aware training.
#pragma once

#include <cstdint>
#include <string>

#include "pare/core/tensor.h"

namespace pare::quantize {

/// What a fake-quantizer is asked to round.
struct FakeQuantizerPlace {
  std::string name;  ///< of the activation or the weight
  std::int64_t qmin = 0;
  std::int64_t qmax = 255;
  int axis = -1;       ///< the channel axis of its scales; −1: one scale
  Tensor weight = {};  ///< f32, as it is before training; undefined: an activation
};

/// What QATConfig takes in place of the ways that TrainingMethod lists. prepare_qat calls it for
/// every activation (range) and weight and puts the operations that `round` applied into the graph,
/// which then trains, is saved and converted without this class.
class PARE_API FakeQuantizer {
 public:
  FakeQuantizer() = default;
  FakeQuantizer(const FakeQuantizer&) = delete;
  FakeQuantizer& operator=(const FakeQuantizer&) = delete;
  virtual ~FakeQuantizer();

  /// The first values of what it keeps for a place: parameters that training learns where they
  /// require a gradient, else state. None by default. Activations that share a range share them.
  virtual Tensors leaves(const FakeQuantizerPlace& place) const;

  struct Rounded {
    Tensor value;       ///< scale · (codes − zero point), shaped as x
    Tensor scale;       ///< f32, of rank 0, or [C] along the place's axis
    Tensor zero_point;  ///< i32, as the scale; undefined: 0
  };
  /// x (f32) rounded, by operations with the gradients that training shall have; what is not on the
  /// grid of scale and zero point is rounded to it after that. Scale and zero point may depend on
  /// the leaves only. Of an activation the integers are the nearest codes of x itself, so the value
  /// has to be what fake_quantize would give of x; of a weight they are those of the value.
  virtual Rounded round(const Tensor& x, const Tensors& leaves,
                        const FakeQuantizerPlace& place) const = 0;
};

}  // namespace pare::quantize
