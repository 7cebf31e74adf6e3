// Fine-tuning: ResNet-20 learns CIFAR-10's classes 0 to 4, gets a new head, and learns 5 to 9 from
// few pictures; beside it the same net from scratch.
// usage: finetune [epochs of the first training] [epochs of the second]. Needs PARE_DATA_DIR with
// cifar10/; says so where it is absent.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace {

using namespace pare;

constexpr std::int64_t kHalf = 5;       // classes of each half
constexpr std::int64_t kPerClass = 50;  // pictures per class to fine-tune on

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return (variable ? variable : PARE_DATA_DIR) + std::string("/cifar10");
}

// At most `most` pictures of each of the classes [first, first + 5), which become 0 to 4.
data::TensorDataset half(const data::TensorDataset& set, std::int64_t first, std::int64_t most) {
  std::vector<std::int64_t> indices, labels, seen(kHalf, 0);
  const auto classes = set.labels().to_vector<std::int64_t>();
  for (std::int64_t i = 0; i < set.size(); ++i) {
    const std::int64_t label = classes[static_cast<std::size_t>(i)] - first;
    if (label < 0 || label >= kHalf || seen[static_cast<std::size_t>(label)]++ >= most) continue;
    indices.push_back(i);
    labels.push_back(label);
  }
  const auto count = static_cast<std::int64_t>(labels.size());
  return data::TensorDataset(set.take(indices).inputs(), Tensor::from(labels, {count}));
}

struct Training {
  std::int64_t epochs = 1;
  std::int64_t batch = 64;
  double rate = 0.1;
};

// Trains with crops and flips; the accuracy on `test` after the last epoch.
double learn(models::ResNetCifar& net, const data::TensorDataset& train,
             const data::TensorDataset& test, const Training& how, const char* what) {
  const data::Normalize normalize{.mean = {0.485, 0.456, 0.406},
                                  .deviation = {0.229, 0.224, 0.225}};
  data::Loader train_set(train, {.batch_size = how.batch,
                                 .shuffle = true,
                                 .transforms = {data::RandomCrop{.size = 32, .padding = 4},
                                                data::RandomHorizontalFlip{}, normalize}});
  data::Loader test_set(test, {.batch_size = 250, .transforms = {normalize}});
  optim::SGD sgd(net.parameters(), {.lr = how.rate, .momentum = 0.9, .weight_decay = 5e-4});
  train::fit(net, train_set,
             {.epochs = how.epochs,
              .optimizer = &sgd,
              .schedule = optim::CosineAnnealingLR{.T_max = how.epochs},
              .progress = [&](const train::Progress& p) {
                std::fprintf(stderr, "\r%s: %s  ", what, to_string(p).c_str());
                return true;
              }});
  const double accuracy = train::evaluate(net, test_set).accuracy;
  std::printf("\n%s: %.4f\n", what, accuracy);
  return accuracy;
}

int run(std::int64_t first_epochs, std::int64_t second_epochs) {
  const std::string folder = data_folder();
  if (!std::filesystem::exists(folder + "/cifar10_train_first10000.bin")) {
    std::printf("finetune: skipped, there is no %s (PARE_DATA_DIR)\n", folder.c_str());
    return 0;
  }
  const data::TensorDataset train = data::read_cifar10({folder + "/cifar10_train_first10000.bin"});
  const data::TensorDataset test = data::read_cifar10({folder + "/cifar10_test_A_5000.bin"});
  constexpr std::int64_t kAll = 1 << 20;
  const data::TensorDataset few = half(train, kHalf, kPerClass);
  const data::TensorDataset test_of_few = half(test, kHalf, kAll);

  models::ResNetCifar net({.classes = kHalf});
  Generator generator(0);
  initialize(net, generator);
  learn(net, half(train, 0, kAll), half(test, 0, kAll), {.epochs = first_epochs},
        "classes 0 to 4, all pictures");

  // What the convolutions have learnt stays; only the head begins anew.
  initialize(net.linear, generator);
  const Training second{.epochs = second_epochs, .batch = 25, .rate = 0.01};
  const double tuned = learn(net, few, test_of_few, second, "classes 5 to 9, fine-tuned");

  models::ResNetCifar fresh({.classes = kHalf});
  initialize(fresh, generator);
  const Training scratch{.epochs = second_epochs, .batch = 25, .rate = 0.05};
  const double without = learn(fresh, few, test_of_few, scratch, "classes 5 to 9, from scratch");
  std::printf(
      "finetune: %lld pictures per class, accuracy on the test set %.4f fine-tuned, %.4f "
      "from scratch\n",
      static_cast<long long>(kPerClass), tuned, without);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::atoll(argv[1]) : 5, argc > 2 ? std::atoll(argv[2]) : 20);
  } catch (const Error& error) {
    std::fprintf(stderr, "finetune: %s\n", error.what());
    return 1;
  }
}
