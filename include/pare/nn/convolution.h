// Convolution layers over one and three axes, and transposed convolutions.
#pragma once

#include "pare/nn/module.h"
#include "pare/nn/pair.h"
#include "pare/nn/triple.h"

namespace pare::nn {

/// Of a convolution over one axis (Size = std::int64_t), two (Pair) or three (Triple).
template <class Size> struct ConvOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  Size kernel = 1;
  Size stride = 1;
  Size padding = 0;  ///< zeros on both sides of each axis
  Size dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};
template <class Size> struct ConvTransposeOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  Size kernel = 1;
  Size stride = 1;
  Size padding = 0;         ///< cut off on both sides of each axis
  Size output_padding = 0;  ///< added to the size at the end of each axis
  std::int64_t groups = 1;
  bool bias = true;
  Size dilation = 1;
};
using Conv1dOptions = ConvOptions<std::int64_t>;
using Conv3dOptions = ConvOptions<Triple>;
using ConvTranspose1dOptions = ConvTransposeOptions<std::int64_t>;
using ConvTranspose2dOptions = ConvTransposeOptions<Pair>;
using ConvTranspose3dOptions = ConvTransposeOptions<Triple>;

/// x [N, in, L] → [N, out, L']. Throws invalid_argument for sizes below 1, a negative padding, and
/// groups that do not divide in and out.
struct PARE_API Conv1d : Module {
  explicit Conv1d(Conv1dOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;
  /// Holds a Conv1dAttributes.
  const Attributes& attributes() const { return attributes_; }

  Parameter weight;  ///< [out, in / groups, kernel]
  Parameter bias;    ///< [out]

 private:
  Attributes attributes_;
};

/// As Conv1d: x [N, in, D, H, W] → [N, out, D', H', W'].
struct PARE_API Conv3d : Module {
  explicit Conv3d(Conv3dOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;
  /// Holds a Conv3dAttributes.
  const Attributes& attributes() const { return attributes_; }

  Parameter weight;  ///< [out, in / groups, kernel depth, height, width]
  Parameter bias;    ///< [out]

 private:
  Attributes attributes_;
};

/// x [N, in, L] → [N, out, L'] (conv_transpose1d). Throws as Conv1d, and for an output padding that
/// is below neither stride nor dilation.
struct PARE_API ConvTranspose1d : Module {
  explicit ConvTranspose1d(ConvTranspose1dOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;
  /// Holds a ConvTranspose1dAttributes.
  const Attributes& attributes() const { return attributes_; }

  Parameter weight;  ///< [in, out / groups, kernel]
  Parameter bias;    ///< [out]

 private:
  Attributes attributes_;
};

/// As ConvTranspose1d: x [N, in, H, W] → [N, out, H', W'].
struct PARE_API ConvTranspose2d : Module {
  explicit ConvTranspose2d(ConvTranspose2dOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;
  /// Holds a ConvTranspose2dAttributes.
  const Attributes& attributes() const { return attributes_; }

  Parameter weight;  ///< [in, out / groups, kernel height, kernel width]
  Parameter bias;    ///< [out]

 private:
  Attributes attributes_;
};

/// As ConvTranspose1d: x [N, in, D, H, W] → [N, out, D', H', W'].
struct PARE_API ConvTranspose3d : Module {
  explicit ConvTranspose3d(ConvTranspose3dOptions options);
  void members(Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;
  /// Holds a ConvTranspose3dAttributes.
  const Attributes& attributes() const { return attributes_; }

  Parameter weight;  ///< [in, out / groups, kernel depth, height, width]
  Parameter bias;    ///< [out]

 private:
  Attributes attributes_;
};

}  // namespace pare::nn
