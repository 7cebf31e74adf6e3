// A model file in, an int8 model file out: SqueezeNet 1.1 (or another classifier of pictures with
// torchvision's scaling) is read from ONNX, calibrated on every fifth of 500 photographs,
// converted, compared with the float net on the others, and written as ONNX that other runtimes
// take. usage: onnx_file [MODEL.onnx [OUT.onnx]]. Needs PARE_DATA_DIR with imagenet_224/ (and
// models/).
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace {

using namespace pare;

constexpr std::int64_t kBatch = 20;

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return variable ? variable : PARE_DATA_DIR;
}

// u8 [N, 3, 224, 224] → (x / 255 − mean) / deviation.
Tensor scaled(const Tensor& pictures) {
  const Shape channels{1, 3, 1, 1};
  const Tensor mean = Tensor::from({0.485F, 0.456F, 0.406F}, channels);
  const Tensor deviation = Tensor::from({0.229F, 0.224F, 0.225F}, channels);
  return (pictures.to(DType::f32) * (1.0 / 255) - mean) / deviation;
}

// Every fifth picture calibrates, from 0; the others test.
Tensors batches(const data::ImageDataset& pictures, bool calibrating) {
  Tensors all, batch;
  for (std::int64_t i = 0; i < pictures.size(); ++i) {
    if ((i % 5 == 0) != calibrating) continue;
    batch.push_back(pictures.get(i).input);
    if (static_cast<std::int64_t>(batch.size()) < kBatch) continue;
    all.push_back(scaled(stack(batch)));
    batch.clear();
  }
  if (!batch.empty()) all.push_back(scaled(stack(batch)));
  return all;
}

struct Outcome {
  Tensors scores;  ///< by batch
  std::vector<std::int64_t> classes;
  double seconds = 0;
};

Outcome classify(const Plan& plan, const Tensors& inputs) {
  Outcome outcome;
  plan.run(inputs[0]);  // compiles for this size of a batch
  const auto start = std::chrono::steady_clock::now();
  for (const Tensor& x : inputs) outcome.scores.push_back(plan.run(x));
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const Tensor& scores : outcome.scores)
    for (const std::int64_t c : argmax(scores, 1).to_vector<std::int64_t>())
      outcome.classes.push_back(c);
  return outcome;
}

double share_of_equal(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  double equal = 0;
  for (std::size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i] ? 1 : 0;
  return equal / static_cast<double>(a.size());
}

int run(std::string model, const std::string& out) {
  const std::string folder = data_folder() + "/imagenet_224";
  if (!std::filesystem::exists(folder)) {
    std::printf("onnx_file: skipped, there is no %s (PARE_DATA_DIR)\n", folder.c_str());
    return 0;
  }
  if (model.empty()) model = data_folder() + "/models/squeezenet1.1_imagenet_fp32.onnx";
  const data::ImageDataset pictures = data::read_numbered_images(folder);
  const Tensors test = batches(pictures, false);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < pictures.size(); ++i)
    if (i % 5 != 0) labels.push_back(pictures.labels()[static_cast<std::size_t>(i)]);

  const Graph graph = onnx::load(model);
  Graph prepared = quantize::prepare(graph);
  {
    const NoGrad no_grad;
    for (const Tensor& x : batches(pictures, true)) prepared(x);
  }
  const auto [int8, report] = quantize::convert(prepared);
  std::printf("%s\n", to_string(report).c_str());

  const Outcome before = classify(compile(graph), test);
  const Outcome after = classify(compile(int8), test);
  double signal = 0, noise = 0;
  for (std::size_t b = 0; b < test.size(); ++b) {
    const auto x = before.scores[b].to_vector<float>(), y = after.scores[b].to_vector<float>();
    for (std::size_t i = 0; i < x.size(); ++i) {
      signal += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      noise += static_cast<double>(x[i] - y[i]) * static_cast<double>(x[i] - y[i]);
    }
  }
  onnx::save(int8, out);
  std::printf("%-6s %10s %9s %14s\n", "", "size", "top-1", "ms a picture");
  const auto row = [&](const char* name, std::size_t bytes, const Outcome& outcome) {
    std::printf("%-6s %7.2f MB %8.2f%% %14.2f\n", name, static_cast<double>(bytes) / 1e6,
                100 * share_of_equal(outcome.classes, labels),
                1e3 * outcome.seconds / static_cast<double>(labels.size()));
  };
  row("float", graph.bytes(), before);
  row("int8", int8.bytes(), after);
  const double same = share_of_equal(before.classes, after.classes);
  std::printf("same class on %.2f %% of %zu photographs, SQNR %.1f dB; wrote %s\n", 100 * same,
              labels.size(), 10 * std::log10(signal / noise), out.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "onnx_file.int8.onnx");
  } catch (const Error& error) {
    std::fprintf(stderr, "onnx_file: %s\n", error.what());
    return 1;
  }
}
