// Post-training quantization of VerySimpleNet (784-100-100-10) on MNIST, step by step, showing what
// each step has made: ranges, codes beside floats, size, accuracy. Needs PARE_DATA_DIR with mnist/.
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

// MNIST as rows [N, 784].
data::TensorDataset rows(const std::string& folder, bool train) {
  const auto pictures = data::read_mnist(folder, train);
  return data::TensorDataset(reshape(pictures.inputs(), {-1, 784}), pictures.labels());
}

data::LoaderOptions batches_of(std::int64_t size, bool shuffle) {
  // u8 pictures become x / 255.
  return {.batch_size = size,
          .shuffle = shuffle,
          .transforms = {data::Normalize{.mean = {0.1307}, .deviation = {0.3081}}}};
}

bool show(const train::Progress& p) {
  if (p.batch % 500 == 0) std::fprintf(stderr, "\r%s", to_string(p).c_str());
  if (p.batch == p.batches) std::fprintf(stderr, "\n");
  return true;
}

void print_row(const char* name, const Tensor& values, int count) {
  const auto numbers = values.to(DType::f32).to_vector<float>();
  std::printf("  %-12s", name);
  for (int i = 0; i < count; ++i)
    std::printf(" %9.5g", static_cast<double>(numbers[static_cast<std::size_t>(i)]));
  std::printf("\n");
}

int run() {
  const std::string folder = data_folder() + "/mnist";
  data::Loader train_set(rows(folder, true), batches_of(10, true));
  data::Loader test_set(rows(folder, false), batches_of(100, false));

  models::VerySimpleNet net;
  Generator generator(0);
  initialize(net, generator);
  std::printf("%s\n", nn::summary(net, train_set.example()).c_str());
  optim::Adam adam(net.parameters(), {.lr = 1e-3});
  train::fit(net, train_set, {.epochs = 1, .optimizer = &adam, .progress = show});
  const double before = train::evaluate(net, test_set).accuracy;

  Graph graph = trace(net, train_set.example()).copy();
  Graph prepared = quantize::prepare(graph, quantize::QConfig::x86());
  {
    const NoGrad no_grad;
    int batches = 0;
    data::Loader calibration(rows(folder, true), batches_of(100, true));
    for (const auto& [x, y] : calibration) {
      prepared(x);
      if (++batches == 10) break;
    }
  }
  std::printf("ranges seen on 1000 training pictures\n");
  for (const auto& r : quantize::observed_ranges(prepared))
    std::printf("  %-10s seen [%8.4f, %8.4f]  kept [%8.4f, %8.4f]  scale %.6g  zero point %d\n",
                r.value.c_str(), static_cast<double>(r.seen_min), static_cast<double>(r.seen_max),
                static_cast<double>(r.min), static_cast<double>(r.max),
                static_cast<double>(r.scale), r.zero_point);

  auto [int8, report] = quantize::convert(prepared);
  std::printf("%s\n", to_string(report).c_str());
  std::printf("fc3.weight, first row, first eight\n");
  print_row("int8", quantize::int_repr(int8, "fc3.weight"), 8);
  print_row("dequantized", quantize::dequantized(int8, "fc3.weight"), 8);
  print_row("original", net.fc3.weight.value().detach(), 8);

  const double after = train::evaluate(int8, test_set).accuracy;
  std::printf("\n%-6s %8s %9s\n", "", "size", "accuracy");
  std::printf("%-6s %5.1f KB %8.2f%%\n", "fp32", static_cast<double>(graph.bytes()) / 1e3,
              100 * before);
  std::printf("%-6s %5.1f KB %8.2f%%\n", "int8", static_cast<double>(int8.bytes()) / 1e3,
              100 * after);
  const bool met = before >= 0.965 && before - after <= 0.002;
  std::printf("fp32 ≥ 96.5 %% and int8 within 0.2 points: %s\n", met ? "yes" : "no");
  return met ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const Error& error) {
    std::fprintf(stderr, "mnist_ptq: %s\n", error.what());
    return 1;
  }
}
