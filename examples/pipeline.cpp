// Everything combined, on MNIST: a teacher, a distilled student, half of its weights masked,
// fine-tuned, trained on under fake-quantization, converted, run in int8; the masked weights are
// still zero at the end. Needs PARE_DATA_DIR with mnist/.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "pare/pare.h"

namespace {

using namespace pare;

struct Student : nn::Module {
  nn::Conv2d conv1{{.in = 1, .out = 8, .kernel = 5, .stride = 2, .bias = false}};
  nn::BatchNorm2d bn1{{.features = 8}};
  nn::Conv2d conv2{{.in = 8, .out = 16, .kernel = 3, .stride = 2, .bias = false}};
  nn::BatchNorm2d bn2{{.features = 16}};
  nn::Linear fc1{{.in = 16 * 5 * 5, .out = 64}};
  nn::Linear fc2{{.in = 64, .out = 10}};

  void members(nn::Members& m) override {
    m("conv1", conv1)("bn1", bn1)("conv2", conv2)("bn2", bn2)("fc1", fc1)("fc2", fc2);
  }
  Tensor forward(const Tensor& input) override {
    const Tensor x = relu(bn2(conv2(relu(bn1(conv1(input))))));
    return fc2(relu(fc1(flatten(x))));
  }
};

const char* const kPruned[] = {"conv2.weight", "fc1.weight", "fc2.weight"};

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return variable ? variable : PARE_DATA_DIR;
}

bool show(const train::Progress& p) {
  std::fprintf(stderr, "\r%s  ", to_string(p).c_str());
  if (p.batch == p.batches) std::fprintf(stderr, "\n");
  return true;
}

void train_with_adam(nn::Module& net, data::Loader& data, double lr, train::Loss loss = {}) {
  optim::Adam adam(net.parameters(), {.lr = lr});
  train::fit(net, data, {.epochs = 1, .optimizer = &adam, .loss = loss, .progress = show});
}

void report(const char* stage, double accuracy, std::size_t bytes) {
  std::printf("%-28s %7.2f%% %9.1f KiB\n", stage, 100 * accuracy,
              static_cast<double>(bytes) / 1024);
  std::fflush(stdout);
}

// Share of zeros among the codes of the weights that were pruned.
double zeros(const Graph& int8) {
  std::int64_t zero = 0;
  std::int64_t all = 0;
  for (const char* name : kPruned)
    for (const std::int8_t code : quantize::int_repr(int8, name).to_vector<std::int8_t>()) {
      zero += code == 0;
      ++all;
    }
  return static_cast<double>(zero) / static_cast<double>(all);
}

int run() {
  const std::string folder = data_folder() + "/mnist";
  const data::Normalize normalize{.mean = {0.1307}, .deviation = {0.3081}};
  data::Loader train_set(data::read_mnist(folder, true),
                         {.batch_size = 64, .shuffle = true, .transforms = {normalize}});
  data::Loader test_set(data::read_mnist(folder, false),
                        {.batch_size = 200, .transforms = {normalize}});
  Generator generator(0);
  const auto bytes = [&](nn::Module& net) { return trace(net, train_set.example()).bytes(); };
  const auto accuracy = [&](nn::Module& net) { return train::evaluate(net, test_set).accuracy; };

  models::LeNet5 teacher;
  initialize(teacher, generator);
  train_with_adam(teacher, train_set, 1e-3);
  report("teacher (LeNet-5)", accuracy(teacher), bytes(teacher));

  const distill::SoftTargets soft{.teacher = teacher, .temperature = 4, .alpha = 0.7};
  Student student;
  initialize(student, generator);
  train_with_adam(student, train_set, 2e-3, soft);
  report("student, distilled", accuracy(student), bytes(student));

  for (const char* name : kPruned) prune::l1_unstructured(student, name, 0.5);
  report("  half of its weights masked", accuracy(student), bytes(student));
  train_with_adam(student, train_set, 1e-3, soft);
  report("  fine-tuned", accuracy(student), bytes(student));

  Graph qat = quantize::prepare_qat(trace(student, train_set.example()));
  train_with_adam(qat, train_set, 2e-4, soft);
  report("  fake-quantized", accuracy(qat), bytes(student));

  const auto [int8, conversion] = quantize::convert(qat);
  const Plan plan = compile(int8, {.threads = 1});
  std::int64_t correct = 0;
  for (const auto& [x, y] : test_set) correct += train::count_correct(plan.run(x), y);
  report("  int8", static_cast<double>(correct) / static_cast<double>(test_set.size()),
         int8.bytes());
  const double sparse = zeros(int8);
  std::printf("zeros among the pruned weights' codes: %.2f %%\n", 100 * sparse);
  return sparse >= 0.5 ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const Error& error) {
    std::fprintf(stderr, "pipeline: %s\n", error.what());
    return 1;
  }
}
