// Trained nets on real data: the interpreter and the plan give the same classes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/data/readers.h"
#include "pare/io/onnx.h"
#include "pare/optim/sgd.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"
#include "pare/runtime/compile.h"

namespace pare::quantize {
namespace {

namespace fs = std::filesystem;

fs::path data_folder() {
  const char* given = std::getenv("PARE_DATA_DIR");
  return given ? given : PARE_DATA_DIR;
}

/// A hundred samples at a time.
template <class Run> std::vector<std::int64_t> classes_of(const Run& run, const Tensor& x) {
  const std::int64_t count = x.dim(0);
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < count; i += 100) {
    const Tensor scores = run(slice(x, 0, i, std::min(count, i + 100)));
    const auto some = argmax(scores, 1).template to_vector<std::int64_t>();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::size_t differing(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) count += a[i] != b[i] ? 1U : 0U;
  return count;
}

void expect_same_classes(const std::string& model, const Tensor& calibration, const Tensor& test) {
  ContextScope scope;
  scope->grad = scope->training = false;
  for (const QConfig& config : {QConfig::x86(), QConfig::portable()}) {
    SCOPED_TRACE(model + " for " + config.isa);
    Graph prepared = prepare(onnx::load(data_folder() / "models" / (model + ".onnx")), config);
    prepared(calibration);
    Graph converted = convert(prepared).graph;
    const Plan plan = compile(converted);
    const auto planned = classes_of([&](const Tensor& x) { return plan.run(x); }, test);
    const auto reference = classes_of([&](const Tensor& x) { return converted(x); }, test);
    EXPECT_LE(differing(planned, reference), reference.size() / 1000);
  }
}

Tensor per_channel(const std::vector<float>& values) { return Tensor::from(values, {1, 3, 1, 1}); }

/// Of the pictures of CIFAR-10: as bytes, or as PyTorch's models want them.
Tensor pictures(const data::TensorDataset& set, std::int64_t count, bool normalized) {
  const Tensor x = set.part(0, count).inputs().to(DType::f32);
  if (!normalized) return x;
  return (x * (1.0 / 255) - per_channel({0.485F, 0.456F, 0.406F})) /
         per_channel({0.229F, 0.224F, 0.225F});
}

void expect_same_classes_of_pictures(const std::string& model, bool normalized) {
  const fs::path folder = data_folder() / "cifar10";
  if (!fs::exists(folder)) GTEST_SKIP() << "no CIFAR-10 in " << data_folder();
  std::vector<std::string> train, test;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".bin")) continue;
    (name.find("train") != std::string::npos ? train : test).push_back(entry.path().string());
  }
  std::sort(train.begin(), train.end());
  std::sort(test.begin(), test.end());
  const Tensor calibration = pictures(data::read_cifar10(train), 64, normalized);
  expect_same_classes(model, calibration, pictures(data::read_cifar10(test), 500, normalized));
}

TEST(Models, ResNet20GivesTheSameClasses) {
  expect_same_classes_of_pictures("resnet20_cifar10", true);
}

// A few steps of training, then the evaluated fake-quantized graph beside the plan of its integers.
TEST(Models, ResNet20TrainedWithQuantizationGivesTheSameClasses) {
  const fs::path folder = data_folder() / "cifar10";
  const fs::path train = folder / "cifar10_train_first10000.bin",
                 test = folder / "cifar10_test_A_5000.bin";
  if (!fs::exists(train) || !fs::exists(test)) GTEST_SKIP() << "no CIFAR-10 in " << data_folder();
  const Graph graph = onnx::load(data_folder() / "models" / "resnet20_cifar10.onnx");
  const data::TensorDataset first = data::read_cifar10({train.string()}).part(0, 128);
  const Tensor x = pictures(first, 128, true).to(MemoryFormat::channels_last);
  const Tensor tested = pictures(data::read_cifar10({test.string()}), 1000, true);
  for (const TrainingMethod method : {TrainingMethod::moving_average, TrainingMethod::lsq}) {
    Graph qat =
        prepare_qat(graph, QConfig::x86(), {.method = method, .start = StepStart::least_squares});
    optim::SGD sgd(optim::decay_groups(qat.parameters(), optim::SGDOptions{.lr = 1e-3}));
    {
      ContextScope scope;
      scope->training = true;
      for (int step = 0; step < 3; ++step) {
        sgd.zero_grad();
        cross_entropy(qat(x), first.labels()).backward();
        sgd.step();
      }
    }
    ContextScope scope;
    scope->grad = scope->observing = false;
    const Plan plan = compile(convert(qat).graph);
    const auto fake = classes_of([&](const Tensor& some) { return qat(some); }, tested);
    const auto planned = classes_of([&](const Tensor& some) { return plan.run(some); }, tested);
    EXPECT_LE(differing(fake, planned), fake.size() / 1000) << static_cast<int>(method);
  }
}

TEST(Models, MLPerfResNet8GivesTheSameClasses) {
  expect_same_classes_of_pictures("mlperf_tiny_resnet8_cifar10", false);
}

TEST(Models, KeywordsGetTheSameClasses) {
  const fs::path file = data_folder() / "kws_mfcc" / "x_int8_1000x490.bin";
  if (!fs::exists(file)) GTEST_SKIP() << "no " << file;
  std::ifstream stream(file, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(stream)), {});
  const std::vector<std::int8_t> codes(bytes.begin(), bytes.end());
  // The codes' scale and zero point, as the folder's README.txt has them.
  const Tensor all = (Tensor::from(codes, {1000, 1, 49, 10}).to(DType::f32) - 83.0) * 0.5847029;
  expect_same_classes("mlperf_tiny_kws_dscnn", slice(all, 0, 0, 500), slice(all, 0, 500, 1000));
}

}  // namespace
}  // namespace pare::quantize
