// Activations as layers.
#pragma once

#include <string>

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

struct LeakyReLUOptions {
  double negative_slope = 0.01;
};

/// x where x > 0, negative_slope · x elsewhere
struct PARE_API LeakyReLU : Module {
  explicit LeakyReLU(LeakyReLUOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

struct PReLUOptions {
  std::int64_t num_parameters = 1;  ///< 1, or one per channel (axis 1)
  double init = 0.25;
};

/// x where x > 0, weight · x elsewhere. Throws invalid_argument for num_parameters below 1.
struct PARE_API PReLU : Module {
  explicit PReLU(PReLUOptions options = {});
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  Parameter weight;  ///< [num_parameters]

 private:
  double init_;
};

/// Of ELU and CELU.
struct ELUOptions {
  double alpha = 1.0;
};

/// x where x > 0, alpha · (eˣ − 1) elsewhere
struct PARE_API ELU : Module {
  explicit ELU(ELUOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

struct PARE_API SELU : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

/// x where x > 0, alpha · (e^(x/alpha) − 1) elsewhere. Throws invalid_argument for alpha = 0.
struct PARE_API CELU : Module {
  explicit CELU(ELUOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

/// relu6(x + 3) / 6
struct PARE_API Hardsigmoid : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

/// x · relu6(x + 3) / 6
struct PARE_API Hardswish : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

struct HardtanhOptions {
  double min_val = -1.0;
  double max_val = 1.0;
};

/// min(max(x, min_val), max_val). Throws invalid_argument for min_val > max_val.
struct PARE_API Hardtanh : Module {
  explicit Hardtanh(HardtanhOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

struct SoftplusOptions {
  double beta = 1.0;
  double threshold = 20.0;  ///< where beta · x is above, the result is x
};

/// ln(1 + e^(beta·x)) / beta. Throws invalid_argument for beta = 0.
struct PARE_API Softplus : Module {
  explicit Softplus(SoftplusOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

/// x / (1 + |x|)
struct PARE_API Softsign : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

struct GELUOptions {
  std::string approximate = "none";  ///< or "tanh"
};

/// x · Φ(x). Throws invalid_argument for another approximation.
struct PARE_API GELU : Module {
  explicit GELU(GELUOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  Call call_;
};

/// x · sigmoid(x)
struct PARE_API SiLU : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

/// x · tanh(softplus(x))
struct PARE_API Mish : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

struct PARE_API LogSigmoid : Module {
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

struct GLUOptions {
  int axis = -1;  ///< negative counts from the end
};

/// The first half of the axis times the sigmoid of the second.
struct PARE_API GLU : Module {
  explicit GLU(GLUOptions options = {});
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

 private:
  int axis_;
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
