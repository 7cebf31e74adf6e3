// A small training from the same start each time, for the tests of fit.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pare/core/context.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/conv.h"
#include "pare/nn/dropout.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/optim/adam.h"
#include "pare/train/fit.h"

namespace pare::train::test_training {

// Has all that a state has to hold: statistics of a norm, dropout's random numbers.
struct Net : nn::Module {
  nn::Conv2d conv{{.in = 1, .out = 4, .kernel = 3}};
  nn::BatchNorm2d bn{{.features = 4}};
  nn::Dropout dropout{{.p = 0.25}};
  nn::Linear fc{{.in = 16, .out = 3}};
  void members(nn::Members& m) override { m("conv", conv)("bn", bn)("dropout", dropout)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    const Tensor y = dropout(relu(bn(conv(x))));
    return fc(reshape(y.to(MemoryFormat::row_major), {-1, 16}));
  }
};

inline data::TensorDataset pictures(std::int64_t count) {
  Generator generator(9);
  const Tensor x = generator.normal({count, 1, 4, 4});
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < count; ++i)
    labels.push_back(x.data<float>()[16 * i] > 0 ? i % 2 : 2);
  return data::TensorDataset(x, Tensor::from(labels, {count}));
}

inline std::vector<std::vector<float>> state_of(nn::Module& module) {
  std::vector<std::vector<float>> result;
  for (const auto& named : module.state()) result.push_back(named.tensor.to_vector<float>());
  return result;
}

// A training from the same start each time.
struct Trial {
  Net net;
  data::Loader train{pictures(37), {.batch_size = 8, .shuffle = true, .seed = 4}};
  data::Loader validation{pictures(20), {.batch_size = 10}};
  optim::ReduceLROnPlateau plateau{{.factor = 0.5, .patience = 0}};
  std::unique_ptr<optim::Optimizer> optimizer;
  History history;

  Trial() {
    context().threads = 1;
    Generator generator(1);
    nn::initialize(net, generator);
    optimizer = std::make_unique<optim::AdamW>(
        optim::decay_groups(net.parameters(), optim::AdamWOptions{.lr = 0.02}));
  }
  void operator()(FitOptions options) {
    options.optimizer = optimizer.get();
    options.seed = 7;
    history = fit(net, train, options);
  }
};

struct Wider : nn::Module {
  nn::Linear fc{{.in = 16, .out = 3}};
  void members(nn::Members& m) override { m("fc", fc); }
  Tensor forward(const Tensor& x) override { return fc(reshape(x, {-1, 16})); }
};

}  // namespace pare::train::test_training
