// Trains ResNet-20 on CIFAR-10's binary records with random crops and flips, and a progress bar.
// usage: train_cifar10 [epochs] [f32 or bf16]. Needs PARE_DATA_DIR with cifar10/; bf16 needs a CPU
// that has it.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "pare/pare.h"

namespace {

using namespace pare;

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return variable ? variable : PARE_DATA_DIR;
}

bool show(const train::Progress& p) {
  std::fprintf(stderr, "\r%s  ", to_string(p).c_str());
  if (p.validation) std::fprintf(stderr, "\n  validation %s\n", to_string(*p.validation).c_str());
  return true;
}

Precision precision_of(const std::string& name) {
  if (name == "f32") return Precision::f32;
  if (name == "bf16") return Precision::bf16;
  throw Error(ErrorCode::invalid_argument, "expected f32 or bf16, got " + name);
}

int run(std::int64_t epochs, Precision precision) {
  const std::string folder = data_folder() + "/cifar10";
  // torchvision's usual augmentation and statistics.
  const data::Normalize normalize{.mean = {0.485, 0.456, 0.406},
                                  .deviation = {0.229, 0.224, 0.225}};
  data::Loader train_set(data::read_cifar10({folder + "/cifar10_train_first10000.bin"}),
                         {.batch_size = 128,
                          .shuffle = true,
                          .transforms = {data::RandomCrop{.size = 32, .padding = 4},
                                         data::RandomHorizontalFlip{}, normalize}});
  data::Loader test_set(data::read_cifar10({folder + "/cifar10_test_A_5000.bin"}),
                        {.batch_size = 250, .transforms = {normalize}});

  models::ResNetCifar net = models::resnet20();
  Generator generator(0);
  initialize(net, generator);
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-4});
  const auto history = train::fit(net, train_set,
                                  {.epochs = epochs,
                                   .optimizer = &sgd,
                                   .schedule = optim::CosineAnnealingLR{.T_max = epochs},
                                   .precision = precision,
                                   .validation = &test_set,
                                   .checkpoint = "resnet20_cifar10.safetensors",
                                   .progress = show});
  const auto& last = history.epochs.back();
  std::printf("%lld epochs on 10 000 pictures: %s\n", static_cast<long long>(epochs),
              to_string(*last.validation).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::atoll(argv[1]) : 5, precision_of(argc > 2 ? argv[2] : "f32"));
  } catch (const Error& error) {
    std::fprintf(stderr, "train_cifar10: %s\n", error.what());
    return 1;
  }
}
