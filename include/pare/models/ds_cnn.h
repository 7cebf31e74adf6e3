// DS-CNN: depthwise separable convolutions for keyword spotting.
#pragma once

#include <cstdint>
#include <string>

#include "pare/nn/container.h"
#include "pare/nn/conv.h"
#include "pare/nn/dropout.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/nn/pooling.h"

namespace pare::models {

struct DsCnnOptions {
  std::int64_t classes = 12;
  std::int64_t in = 1;
  std::int64_t channels = 64;  ///< of every layer
  int blocks = 4;              ///< depthwise 3x3 and pointwise convolution each
  double dropout = 0.2;        ///< after the first convolution
  double last_dropout = 0.4;   ///< before the pooling
};

/// x [N, in, 49, 10] (frames × cepstral coefficients; other sizes too) → logits [N, classes]: the
/// keyword spotting net of MLPerf Tiny v1.0 (Banbury et al., "MLPerf Tiny benchmark", 2021), after
/// Zhang et al., "Hello edge: keyword spotting on microcontrollers", 2017. The first convolution,
/// 10x4 with stride 2, pads as TensorFlow's "same" does at 49x10: 4 before and 5 after, 1 and 1.
/// Throws invalid_argument for options out of range.
struct PARE_API DsCnn : nn::Module {
  explicit DsCnn(DsCnnOptions options = {});
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  nn::Conv2d conv1;  ///< the weights; its own padding, {5, 1} on both sides, is not used
  nn::BatchNorm2d bn1;
  nn::Dropout dropout1;
  nn::Sequential blocks;  ///< of Sequentials: depthwise, norm, relu, pointwise, norm, relu
  nn::Dropout dropout2;
  nn::GlobalAveragePool pool;
  nn::Linear fc;

 private:
  Attributes attributes_;  ///< conv1's, with a padding that is not the same on both sides
};

}  // namespace pare::models
