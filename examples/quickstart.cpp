// The whole of pare in one minute, on the UCI handwritten digits: train a small convolution net,
// cut half of its channels, fine-tune with the float net as the teacher, quantize to int8, compare.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace {

using namespace pare;

struct Net : nn::Module {
  nn::Conv2d conv1{{.in = 1, .out = 32, .kernel = 3, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn1{{.features = 32}};
  nn::Conv2d conv2{{.in = 32, .out = 64, .kernel = 3, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn2{{.features = 64}};
  nn::MaxPool2d pool{{.kernel = 2}};
  nn::Conv2d conv3{{.in = 64, .out = 64, .kernel = 3, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn3{{.features = 64}};
  nn::Linear fc{{.in = 64, .out = 10}};

  void members(nn::Members& m) override {
    m("conv1", conv1)("bn1", bn1)("conv2", conv2)("bn2", bn2)("conv3", conv3)("bn3", bn3);
    m("fc", fc);
  }
  Tensor forward(const Tensor& input) override {
    Tensor x = relu(bn1(conv1(input)));
    x = pool(relu(bn2(conv2(x))));
    x = relu(bn3(conv3(x)));
    return fc(flatten(global_average_pool(x)));
  }
};

// The pictures [N, 1, 8, 8] in a random order, the last 360 for testing.
struct Digits {
  data::TensorDataset train, test;
};
Digits load_digits() {
  const auto all = data::read_csv(PARE_EXAMPLE_DATA_DIR "/digits.csv.gz");
  const data::TensorDataset pictures(reshape(all.inputs(), {-1, 1, 8, 8}), all.labels());
  const auto shuffled = pictures.take(Generator(1).permutation(pictures.size()));
  const std::int64_t split = pictures.size() - 360;
  return {shuffled.part(0, split), shuffled.part(split, pictures.size())};
}

data::LoaderOptions batches_of(std::int64_t size, bool shuffle) {
  return {.batch_size = size,
          .shuffle = shuffle,
          .transforms = {data::Normalize{.mean = {4.9}, .deviation = {6.0}, .scale = 1}}};
}

// Called after every batch; prints one line an epoch.
bool show(const train::Progress& p) {
  if (p.batch == p.batches && !p.validation) std::printf("  %s\n", to_string(p).c_str());
  return true;
}

// What is measured of each stage.
struct Row {
  std::string name;
  double accuracy;
  std::size_t bytes;
  double microseconds;
};
Row measure(const std::string& name, const Graph& graph, const data::TensorDataset& test) {
  const Plan plan = compile(graph, {.threads = 1});
  std::int64_t correct = 0;
  data::Loader loader(test, batches_of(60, false));
  for (const auto& [x, y] : loader) correct += train::count_correct(plan.run(x), y);

  data::Loader single(test, batches_of(1, false));
  const Tensor picture = single.example();
  std::vector<double> times;
  for (int i = 0; i < 2000; ++i) {
    const auto start = std::chrono::steady_clock::now();
    (void)plan.run(picture);
    const std::chrono::duration<double, std::micro> t = std::chrono::steady_clock::now() - start;
    times.push_back(t.count());
  }
  std::nth_element(times.begin(), times.begin() + 1000, times.end());
  return {name, static_cast<double>(correct) / static_cast<double>(test.size()), graph.bytes(),
          times[1000]};
}

int run() {
  const auto [train_set, test_set] = load_digits();
  data::Loader batches(train_set, batches_of(32, true));
  Generator generator(0);

  std::printf("training a float net on %lld digits\n", static_cast<long long>(train_set.size()));
  Net net;
  initialize(net, generator);
  optim::Adam adam(net.parameters(), {.lr = 2e-3});
  const optim::CosineAnnealingLR cosine{.T_max = 5};
  train::fit(net, batches, {.epochs = 5, .optimizer = &adam, .schedule = cosine, .progress = show});
  const Graph traced = trace(net, batches.example());

  std::printf("cutting half of the channels\n");
  Graph small = traced.copy();
  std::printf("%s", prune::channels(small, {.ratio = 0.5}).to_string().c_str());

  std::printf("fine-tuning with the float net as the teacher\n");
  optim::Adam tune(small.parameters(), {.lr = 2e-3});
  train::fit(small, batches,
             {.epochs = 5,
              .optimizer = &tune,
              .schedule = cosine,
              .loss = distill::SoftTargets{.teacher = net, .temperature = 4, .alpha = 0.7},
              .progress = show});

  std::printf("calibrating and converting to int8\n");
  Graph prepared = quantize::prepare(small);
  {
    const NoGrad no_grad;
    for (const auto& [x, y] : batches) prepared(x);
  }
  const auto [int8, report] = quantize::convert(prepared);

  const Row rows[] = {measure("float", traced, test_set), measure("pruned", small, test_set),
                      measure("pruned, int8", int8, test_set)};
  std::printf("\n%-14s %9s %12s %16s\n", "", "accuracy", "weights", "a picture");
  for (const Row& row : rows)
    std::printf("%-14s %8.2f%% %8.1f KiB %13.1f us\n", row.name.c_str(), 100 * row.accuracy,
                static_cast<double>(row.bytes) / 1024, row.microseconds);
  std::printf("(360 pictures that no stage has seen; one thread, batch 1, median of 2000)\n");
  return 0;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const Error& error) {
    std::fprintf(stderr, "quickstart: %s\n", error.what());
    return 1;
  }
}
