// Linear: the fully connected layer.
#pragma once

#include "pare/nn/module.h"

namespace pare::nn {

struct LinearOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  bool bias = true;
};

/// x [..., in] → [..., out]. Throws invalid_argument for sizes below 1.
struct PARE_API Linear : Module {
  explicit Linear(LinearOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  Parameter weight;  ///< [out, in]
  Parameter bias;    ///< [out]
};

}  // namespace pare::nn
