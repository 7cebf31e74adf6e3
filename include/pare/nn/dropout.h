// Dropout.
#pragma once

#include "pare/nn/module.h"

namespace pare::nn {

struct DropoutOptions {
  double p = 0.5;  ///< probability of an element to be zeroed
};

/// In training zeroes elements and scales the rest by 1 / (1 − p); else (and frozen, `eval()`)
/// passes through. Throws invalid_argument for p outside [0, 1]. Srivastava et al., 2014.
struct PARE_API Dropout : Module {
  explicit Dropout(DropoutOptions options = {});
  Tensor forward(const Tensor& x) override;
  void set_mode(bool train) override;
  std::string kind() const override;

 private:
  Attributes attributes_;
};

}  // namespace pare::nn
