// Quantization-aware training of LeNet-5 on MNIST: float, rounded to few bits afterwards, and
// trained with that rounding; accuracy of each as the integers compute it.
// usage: qat [moving-average | lsq | lsq-plus | pact | tqt] [bits, 2 to 8] [pictures]. Needs
// PARE_DATA_DIR with mnist/; says so where it is absent.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "pare/pare.h"

namespace {

using namespace pare;
using quantize::TrainingMethod;

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return (variable ? variable : PARE_DATA_DIR) + std::string("/mnist");
}

data::LoaderOptions batches_of(std::int64_t size, bool shuffle) {
  return {.batch_size = size,
          .shuffle = shuffle,
          .transforms = {data::Normalize{.mean = {0.1307}, .deviation = {0.3081}}}};
}

TrainingMethod method_of(const std::string& name) {
  if (name == "moving-average") return TrainingMethod::moving_average;
  if (name == "lsq") return TrainingMethod::lsq;
  if (name == "lsq-plus") return TrainingMethod::lsq_plus;
  if (name == "pact") return TrainingMethod::pact;
  if (name == "tqt") return TrainingMethod::tqt;
  throw Error(ErrorCode::invalid_argument, "qat: expected a method, got '" + name + "'");
}

quantize::QConfig config_of(int bits) {
  quantize::QConfig config = quantize::QConfig::x86();
  if (bits == 8) return config;
  config.activation_bits = bits;
  config.weight_qmax = (std::int64_t{1} << (bits - 1)) - 1;
  config.full_weight_range = true;
  return config;
}

// Of the plan that the prepared graph converts to.
double accuracy(const Graph& prepared, data::Loader& test) {
  const Plan plan = compile(quantize::convert(prepared).graph);
  std::int64_t right = 0;
  for (const auto& [x, y] : test) right += train::count_correct(plan.run(x), y);
  return static_cast<double>(right) / static_cast<double>(test.size());
}

int run(const std::string& method, int bits, std::int64_t pictures) {
  if (!std::filesystem::exists(data_folder())) {
    std::printf("qat: skipped, there is no %s (PARE_DATA_DIR)\n", data_folder().c_str());
    return 0;
  }
  const data::TensorDataset set = data::read_mnist(data_folder(), true);
  data::Loader train_set(set.part(0, pictures), batches_of(64, true));
  data::Loader test_set(data::read_mnist(data_folder(), false), batches_of(250, false));

  models::LeNet5 net;
  Generator generator(0);
  initialize(net, generator);
  optim::SGD sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});
  train::fit(net, train_set, {.epochs = 1, .optimizer = &sgd});
  const double float_accuracy = train::evaluate(net, test_set).accuracy;

  const Graph graph = trace(net, train_set.example()).copy();
  Graph rounded = quantize::prepare(graph, config_of(bits));
  {
    const NoGrad no_grad;
    for (const auto& [x, y] : train_set) rounded(x);
  }
  const double rounded_accuracy = accuracy(rounded, test_set);

  Graph qat = quantize::prepare_qat(
      graph, config_of(bits),
      {.method = method_of(method), .start = quantize::StepStart::least_squares});
  optim::SGD slower(
      optim::decay_groups(qat.parameters(), optim::SGDOptions{.lr = 0.01, .momentum = 0.9}));
  train::fit(qat, train_set,
             {.epochs = 1,
              .optimizer = &slower,
              .loss = distill::SoftTargets{.teacher = net, .temperature = 4, .alpha = 0.5}});
  const double trained_accuracy = accuracy(qat, test_set);

  std::printf("%-34s %6.2f %%\n", "float", 100 * float_accuracy);
  std::printf("%d bits, %-26s %6.2f %%\n", bits, "after training", 100 * rounded_accuracy);
  std::printf("%d bits, trained by %-15s %6.2f %%\n", bits, method.c_str(), 100 * trained_accuracy);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? argv[1] : "lsq", argc > 2 ? std::atoi(argv[2]) : 2,
               argc > 3 ? std::atoll(argv[3]) : 20000);
  } catch (const Error& error) {
    std::fprintf(stderr, "qat: %s\n", error.what());
    return 1;
  }
}
