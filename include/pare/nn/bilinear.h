// Bilinear: a layer that multiplies two inputs.
#pragma once

#include "pare/nn/module.h"

namespace pare::nn {

struct BilinearOptions {
  std::int64_t in1 = 0;
  std::int64_t in2 = 0;
  std::int64_t out = 0;
  bool bias = true;
};

/// x1 [..., in1], x2 [..., in2] → [..., out]: x1ᵀ·W·x2 + b for each output (pare::bilinear). Throws
/// invalid_argument for sizes below 1.
struct PARE_API Bilinear : Module {
  explicit Bilinear(BilinearOptions options);
  void members(Members& m) override;
  using Module::forward;
  Tensor forward(const Tensor& x1, const Tensor& x2);
  /// Two inputs.
  Tensors run(const Tensors& inputs) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  Parameter weight;  ///< [out, in1, in2]
  Parameter bias;    ///< [out]
};

}  // namespace pare::nn
