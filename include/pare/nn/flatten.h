// Layers that only pass elements on.
#pragma once

#include <vector>

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

struct UnflattenOptions {
  int dim = 1;                           ///< the axis that becomes several
  std::vector<std::int64_t> sizes = {};  ///< theirs; one may be −1
};

/// One axis as several: pare::unflatten, which says what forward throws.
struct PARE_API Unflatten : Module {
  explicit Unflatten(UnflattenOptions options);
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  UnflattenOptions options_;
};

struct PARE_API Identity : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

}  // namespace pare::nn
