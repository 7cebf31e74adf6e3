// Layers that only pass elements on.
#pragma once

#include "pare/nn/module.h"

namespace pare::nn {

struct FlattenOptions {
  int start = 1;  ///< first axis that becomes part of the one
  int end = -1;   ///< the last
};

/// [N, C, H, W] → [N, C·H·W].
struct PARE_API Flatten : Module {
  explicit Flatten(FlattenOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  FlattenOptions options_;
  Call to_end_;  ///< a reshape, where `end` is the last axis
};

struct PARE_API Identity : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

}  // namespace pare::nn
