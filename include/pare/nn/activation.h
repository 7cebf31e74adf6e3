// Activations as layers.
#pragma once

#include "pare/nn/module.h"

namespace pare::nn {

struct PARE_API ReLU : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

/// min(max(x, 0), 6)
struct PARE_API ReLU6 : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

struct PARE_API Sigmoid : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

struct PARE_API Tanh : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

struct SoftmaxOptions {
  std::int64_t axis = -1;  ///< negative counts from the end
};

struct PARE_API Softmax : Module {
  explicit Softmax(SoftmaxOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

struct PARE_API LogSoftmax : Module {
  explicit LogSoftmax(SoftmaxOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

}  // namespace pare::nn
