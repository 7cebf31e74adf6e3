// Training steps on demand for train.py, which lets pare and PyTorch take turns: reads lines
// "<case> <steps>" and answers each with the seconds of every step. Other modes:
//   train_steps --memory resnet20|lenet5 [--no-steps]   peak resident memory in KiB
//   train_steps --loader                                 seconds per batch of 128, crop and flip
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "pare/pare.h"

namespace {

using namespace pare;
using Clock = std::chrono::steady_clock;
using Step = std::function<void()>;

double seconds_of(const Step& step) {
  const auto start = Clock::now();
  step();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Holds a net, its optimizer and one batch; a step is forward, loss, backward, update.
Step training(std::shared_ptr<nn::Module> net, std::shared_ptr<optim::Optimizer> optimizer,
              const Shape& input, MemoryFormat format = MemoryFormat::row_major,
              std::int64_t samples = 0) {
  Generator generator(1);
  const Tensor x = generator.normal(input).to(format);
  if (samples == 0) samples = input[0];
  std::vector<std::int64_t> classes(static_cast<std::size_t>(samples));
  for (auto& c : classes) c = static_cast<std::int64_t>(generator.below(10));
  const Tensor y = Tensor::from(classes, {samples});
  return [=, draws = std::make_shared<Generator>(2)] {
    ContextScope scope;
    scope->training = true;
    scope->generator = draws.get();
    optimizer->zero_grad();
    cross_entropy((*net)(x), y).backward();
    optimizer->step();
  };
}

template <class Net> std::shared_ptr<Net> made(Net net) {
  Generator generator(0);
  initialize(net, generator);
  return std::make_shared<Net>(std::move(net));
}

template <class Optimizer, class Options>
std::shared_ptr<optim::Optimizer> optimizer_of(nn::Module& net, Options options) {
  return std::make_shared<Optimizer>(net.parameters(), options);
}

const Shape kPicture{64, 1, 28, 28};
const Shape kCifar{128, 3, 32, 32};
const optim::SGDOptions kSgd{.lr = 0.01, .momentum = 0.9};

Step qat(nn::Module& net, const Shape& input, quantize::TrainingMethod method) {
  Shape one = input;
  one.set(0, 2);
  auto graph = std::make_shared<Graph>(quantize::prepare_qat(
      trace(net, Tensor::zeros(one)), quantize::QConfig::x86(), {.method = method}));
  return training(graph, optimizer_of<optim::SGD>(*graph, kSgd), input,
                  MemoryFormat::channels_last);
}

/// Tinygpt's shape: 4 layers, 4 heads, width 128, 64 characters of 65.
Step gpt() {
  auto net = made(models::GPT({.vocab_size = 65, .tie_weights = false}));
  auto optimizer = optimizer_of<optim::AdamW>(*net, optim::AdamWOptions{});
  Generator generator(1);
  const auto characters = [&](const Shape& shape) {
    Tensor t = Tensor::empty(shape, DType::i64);
    for (std::int64_t i = 0; i < t.elements(); ++i)
      t.mutable_data<std::int64_t>()[i] = static_cast<std::int64_t>(generator.below(65));
    return t;
  };
  const Tensor x = characters({16, 64});
  const Tensor y = characters({16 * 64});
  return [=] {
    ContextScope scope;
    scope->training = true;
    optimizer->zero_grad();
    cross_entropy(reshape((*net)(x), {-1, 65}), y).backward();
    optimizer->step();
  };
}

// A recurrent layer of 128 → 256 and a classifier of its last step. x [T, N, 128].
template <class Layer> struct LastStep : nn::Module {
  void members(nn::Members& m) override { m("layer", layer)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    return fc(reshape(slice(layer(x), 0, -1, x.dim(0)), {x.dim(1), 256}));
  }
  Layer layer{{.input_size = 128, .hidden_size = 256}};
  nn::Linear fc{{.in = 256, .out = 10}};
};
template <class Layer> Step recurrent() {
  auto net = made(LastStep<Layer>{});
  return training(net, optimizer_of<optim::SGD>(*net, kSgd), {50, 32, 128}, MemoryFormat::row_major,
                  32);
}

Step adds(bool gradient) {
  Tensor a = Tensor::from({1, 2, 3, 4}, {4});
  const Tensor b = Tensor::from({5, 6, 7, 8}, {4});
  if (gradient) a.set_requires_grad();
  // A thousand additions are one step: a single one is shorter than the clock's call.
  return [=] {
    for (int i = 0; i < 1000; ++i) add(a, b);
  };
}

// The update alone, over the parameters of a ResNet-50.
Step adamw() {
  Generator generator(0);
  Tensors parameters;
  const auto add = [&](const Shape& shape) {
    parameters.push_back(generator.normal(shape, 0, 0.01F));
    parameters.back().set_requires_grad();
    parameters.back().set_grad(generator.normal(shape));
  };
  const auto convolution = [&](std::int64_t out, std::int64_t in, std::int64_t kernel) {
    add({out, in, kernel, kernel});
    add({out});
    add({out});
  };
  convolution(64, 3, 7);
  std::int64_t width = 64;
  const std::int64_t stages[][2] = {{3, 64}, {4, 128}, {6, 256}, {3, 512}};
  for (const auto& [blocks, planes] : stages)
    for (std::int64_t block = 0; block < blocks; ++block) {
      convolution(planes, width, 1);
      convolution(planes, planes, 3);
      convolution(4 * planes, planes, 1);
      if (block == 0) convolution(4 * planes, width, 1);
      width = 4 * planes;
    }
  add({1000, 2048});
  add({1000});
  auto optimizer = std::make_shared<optim::AdamW>(parameters, optim::AdamWOptions{.lr = 1e-3});
  return [=] { optimizer->step(); };
}

Step make(const std::string& name) {
  if (name == "add") return adds(false);
  if (name == "add_grad") return adds(true);
  if (name == "adamw") return adamw();
  if (name == "mlp_sigmoid") {
    auto net = made(nn::Sequential{nn::Linear{{.in = 784, .out = 30}}, nn::Sigmoid{},
                                   nn::Linear{{.in = 30, .out = 10}}});
    return training(net, optimizer_of<optim::SGD>(*net, optim::SGDOptions{.lr = 0.01}), {10, 784});
  }
  if (name == "very_simple") {
    auto net = made(models::VerySimpleNet{});
    return training(net, optimizer_of<optim::Adam>(*net, optim::AdamOptions{}), {10, 784});
  }
  if (name == "lenet300") {
    auto net = made(models::LeNet300_100{});
    return training(net, optimizer_of<optim::SGD>(*net, kSgd), {64, 784});
  }
  if (name == "lenet5") {
    auto net = made(models::LeNet5{});
    return training(net, optimizer_of<optim::SGD>(*net, kSgd), kPicture,
                    MemoryFormat::channels_last);
  }
  if (name == "resnet20") {
    auto net = made(models::resnet20());
    return training(net, optimizer_of<optim::SGD>(*net, kSgd), kCifar, MemoryFormat::channels_last);
  }
  if (name == "ds_cnn") {
    auto net = made(models::DsCnn{});
    return training(net, optimizer_of<optim::SGD>(*net, kSgd), {64, 1, 49, 10},
                    MemoryFormat::channels_last);
  }
  if (name == "mobilenet_v2") {
    auto net = made(models::mobilenet_v2());
    return training(net, optimizer_of<optim::SGD>(*net, kSgd), {8, 3, 224, 224},
                    MemoryFormat::channels_last);
  }
  if (name == "gpt") return gpt();
  if (name == "lstm") return recurrent<nn::LSTM>();
  if (name == "gru") return recurrent<nn::GRU>();
  using enum quantize::TrainingMethod;
  if (name == "qat_lenet5") return qat(*made(models::LeNet5{}), kPicture, moving_average);
  if (name == "qat_resnet20") return qat(*made(models::resnet20()), kCifar, moving_average);
  if (name == "lsq_lenet5") return qat(*made(models::LeNet5{}), kPicture, lsq);
  if (name == "lsq_resnet20") return qat(*made(models::resnet20()), kCifar, lsq);
  throw Error(ErrorCode::invalid_argument, "train_steps: expected a case, got " + name);
}

int serve() {
  std::map<std::string, Step> cases;
  std::string name;
  int steps = 0;
  while (std::cin >> name >> steps) {
    auto [place, fresh] = cases.try_emplace(name);
    if (fresh) place->second = make(name);
    for (int i = 0; i < steps; ++i) std::printf("%.9f ", seconds_of(place->second));
    std::printf("\n");
    std::fflush(stdout);
  }
  return 0;
}

int memory(const std::string& name, bool steps) {
  const Step step = make(name);
  for (int i = 0; steps && i < 5; ++i) step();
  // VmHWM and not getrusage, whose maximum a program inherits from the one that started it.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) std::printf("%lld\n", std::atoll(line.c_str() + 6));
  return 0;
}

int loader() {
  Generator generator(0);
  Tensor pictures = Tensor::empty({12800, 3, 32, 32}, DType::u8);
  auto* bytes = pictures.mutable_data<std::uint8_t>();
  for (std::int64_t i = 0; i < pictures.elements(); ++i)
    bytes[i] = static_cast<std::uint8_t>(generator.next_u32());
  data::Loader batches(
      data::TensorDataset(pictures, Tensor::zeros({12800}, DType::i64)),
      {.batch_size = 128,
       .shuffle = true,
       .transforms = {data::RandomCrop{.size = 32, .padding = 4}, data::RandomHorizontalFlip{},
                      data::Normalize{.mean = {0.485, 0.456, 0.406},
                                      .deviation = {0.229, 0.224, 0.225}}},
       .workers = 0});
  for (int epoch = 0; epoch < 5; ++epoch) {
    const double seconds = seconds_of([&] {
      for (const auto& [x, y] : batches) (void)x;
    });
    std::printf("%.9f ", seconds / static_cast<double>(batches.batches()));
  }
  std::printf("\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  pare::context().threads = 1;
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "--memory" && argc > 2) return memory(argv[2], argc == 3);
  if (mode == "--loader") return loader();
  return serve();
}
