// Quantization-aware training of ResNet-20 on CIFAR-10, by number of bits: the trained float net
// learns on with fake-quantization, on the 10 000 training pictures at hand.
//
// usage: qat DATA [RECIPE …] [--epochs N] [--threads N]
//   DATA = ../shared/data; RECIPE: part of a name, all without; --epochs instead of the recipe's
//
// The float net was trained on all 50 000 training pictures, by others. Test pictures choose
// nothing: no epoch, no rate. The net learns from labels and from the float net's soft targets
// (Hinton et al., 2015). With 4 and 2 bits the first convolution and the last layer have 8, as in
// the paper on LSQ (Esser et al., 2020).
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "pare/data/readers.h"
#include "pare/pare.h"

namespace {

using namespace pare;
using quantize::QATConfig;
using quantize::QConfig;
using quantize::StepStart;
using quantize::TrainingMethod;

struct Recipe {
  const char* name;
  int bits;
  TrainingMethod method;
  StepStart start;
  std::int64_t epochs;
  double rate;       // of SGD with momentum 0.9, along a cosine
  double alpha = 0;  // share of the teacher
};
const Recipe kRecipes[] = {
    {"W8A8 moving average", 8, TrainingMethod::moving_average, StepStart::paper, 3, 1e-3, 0.7},
    {"W8A8 LSQ", 8, TrainingMethod::lsq, StepStart::least_squares, 3, 1e-3, 0.7},
    {"W4A4 LSQ", 4, TrainingMethod::lsq, StepStart::least_squares, 10, 1e-2, 0.9},
    {"W4A4 LSQ+", 4, TrainingMethod::lsq_plus, StepStart::least_squares, 10, 1e-2, 0.9},
    {"W4A4 PACT", 4, TrainingMethod::pact, StepStart::least_squares, 10, 1e-2, 0.9},
    {"W4A4 TQT", 4, TrainingMethod::tqt, StepStart::least_squares, 10, 1e-2, 0.9},
    {"W2A2 LSQ", 2, TrainingMethod::lsq, StepStart::least_squares, 20, 2e-2, 0.9},
};

constexpr std::int64_t kTestBatch = 250;

QConfig config_of(int bits) {
  QConfig config = QConfig::x86();
  if (bits == 8) return config;
  config.activation_bits = bits;
  config.weight_qmax = (std::int64_t{1} << (bits - 1)) - 1;
  config.full_weight_range = true;
  return config;
}

// The graph's first and last layer with weights, and what they read, in 8 bits.
void keep_ends_in_eight_bits(const Graph& graph, QConfig& config) {
  std::string first, last;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.call.op->quantization.weight_input < 0) continue;
    if (first.empty()) first = node.name;
    last = node.name;
  }
  const std::int64_t qmax = QConfig::x86().weight_qmax;
  config.overrides = {
      {.name = graph.value(graph.inputs()[0]).name, .activation_bits = 8},
      {.name = first, .weight_qmax = qmax},
      {.name = last, .weight_qmax = qmax},
  };
}

std::vector<std::int64_t> classes(data::Loader& loader,
                                  const std::function<Tensor(const Tensor&)>& run) {
  std::vector<std::int64_t> found;
  for (const data::Batch& batch : loader) {
    const auto part = argmax(run(batch.x), 1).to_vector<std::int64_t>();
    found.insert(found.end(), part.begin(), part.end());
  }
  return found;
}

double share_of_equal(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  std::size_t same = 0;
  for (std::size_t i = 0; i < a.size(); ++i) same += a[i] == b.at(i) ? 1 : 0;
  return static_cast<double>(same) / static_cast<double>(a.size());
}

struct Data {
  data::TensorDataset train, test;
  data::Normalize normalize{.mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}};
};

void measure(const Recipe& recipe, const Graph& graph, const Data& data, std::int64_t epochs) {
  QConfig config = config_of(recipe.bits);
  if (recipe.bits < 8) keep_ends_in_eight_bits(graph, config);
  Graph qat =
      quantize::prepare_qat(graph, config, {.method = recipe.method, .start = recipe.start});
  Graph teacher = graph.copy();
  data::Loader train(data.train, {.batch_size = 128,
                                  .shuffle = true,
                                  .transforms = {data::RandomCrop{.size = 32, .padding = 4},
                                                 data::RandomHorizontalFlip{}, data.normalize}});
  data::Loader test(data.test, {.batch_size = kTestBatch, .transforms = {data.normalize}});
  optim::SGD sgd(optim::decay_groups(
      qat.parameters(),
      optim::SGDOptions{
          .lr = recipe.rate, .momentum = 0.9, .weight_decay = 1e-4, .nesterov = true}));
  const auto begin = std::chrono::steady_clock::now();
  const train::History history = train::fit(
      qat, train,
      {.epochs = epochs,
       .optimizer = &sgd,
       .schedule = optim::CosineAnnealingLR{.T_max = epochs},
       .loss = distill::SoftTargets{.teacher = teacher, .temperature = 4, .alpha = recipe.alpha},
       .progress = [&](const train::Progress& p) {
         if (p.batch % 20 == 0)
           std::fprintf(stderr, "\r%s: %s   ", recipe.name, to_string(p).c_str());
         return true;
       }});
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  ContextScope scope;
  scope->grad = false;
  scope->observing = false;
  const auto labels = data.test.labels().to_vector<std::int64_t>();
  const auto fake = classes(test, [&](const Tensor& x) { return qat(x); });
  const quantize::Converted converted = quantize::convert(qat);
  const Plan plan = compile(converted.graph.share());
  const auto planned = classes(test, [&](const Tensor& x) { return plan.run(x); });
  std::fprintf(stderr, "\n");
  fmt::print("{:<22} {:>6} {:>9.4f} {:>9.4f} {:>10.4f} {:>10.3f} {:>8.0f}\n", recipe.name, epochs,
             share_of_equal(fake, labels), share_of_equal(planned, labels),
             share_of_equal(fake, planned), history.epochs.back().train.loss, seconds.count());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  std::int64_t epochs = 0;
  for (std::size_t i = 0; i + 1 < words.size();) {
    const bool is_epochs = words[i] == "--epochs", is_threads = words[i] == "--threads";
    if (!is_epochs && !is_threads) {
      ++i;
      continue;
    }
    const int number = std::atoi(words[i + 1].c_str());
    if (is_epochs) epochs = number;
    if (is_threads) context().threads = number;
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(i),
                words.begin() + static_cast<std::ptrdiff_t>(i) + 2);
  }
  if (words.empty()) {
    fmt::print(stderr, "usage: {} DATA [RECIPE ...] [--epochs N] [--threads N]\n", argv[0]);
    return 2;
  }
  const std::string folder = words[0];
  words.erase(words.begin());
  try {
    const Graph graph = onnx::load(folder + "/models/resnet20_cifar10.onnx");
    const Data data{data::read_cifar10({folder + "/cifar10/cifar10_train_first10000.bin"}),
                    data::read_cifar10({folder + "/cifar10/cifar10_test_A_5000.bin"})};
    {
      const NoGrad no_grad;
      data::Loader test(data.test, {.batch_size = kTestBatch, .transforms = {data.normalize}});
      const Plan plan = compile(graph.share());
      const auto found = classes(test, [&](const Tensor& x) { return plan.run(x); });
      fmt::print("{:<22} {:>6} {:>9} {:>9} {:>10} {:>10} {:>8}\n", "ResNet-20", "epochs", "fake",
                 "int8 plan", "same class", "loss", "seconds");
      fmt::print("{:<22} {:>6} {:>9.4f}\n", "float", "",
                 share_of_equal(found, data.test.labels().to_vector<std::int64_t>()));
      std::fflush(stdout);
    }
    for (const Recipe& recipe : kRecipes) {
      bool wanted = words.empty();
      for (const std::string& word : words)
        wanted = wanted || std::string(recipe.name).find(word) != std::string::npos;
      if (wanted) measure(recipe, graph, data, epochs > 0 ? epochs : recipe.epochs);
    }
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
