// Models read from ONNX files train: one step of gradient descent, and the loss falls.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops/loss.h"
#include "pare/core/ops/movement.h"
#include "pare/io/onnx.h"
#include "pare/optim/sgd.h"

namespace pare::test {
namespace {

std::filesystem::path model(const char* name) {
  const char* given = std::getenv("PARE_DATA_DIR");
  return std::filesystem::path(given ? given : PARE_DATA_DIR) / "models" / name;
}

Tensor labels(std::int64_t count, std::int64_t classes) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back((7 * i + 3) % classes);
  return Tensor::from(values, {count});
}

/// The loss before and after three small steps on one batch, which is what a step must lower.
void expect_loss_falls(Graph& graph, const Tensor& x, double lr) {
  ContextScope scope;
  scope->threads = 1;
  scope->training = true;
  Generator generator(5);
  scope->generator = &generator;
  Tensors trained;
  for (const Graph::Value& value : graph.values())
    if (value.is_leaf() && value.trainable) trained.push_back(value.tensor);
  ASSERT_FALSE(trained.empty());
  optim::SGD optimizer(trained, {.lr = lr});
  const auto loss_now = [&] {
    Tensor scores = graph.forward(x);
    const std::int64_t classes = scores.dim(-1);
    scores = reshape(scores, {-1, classes});
    return cross_entropy(scores, labels(scores.dim(0), classes));
  };
  double first = 0;
  for (int step = 0; step < 3; ++step) {
    const Tensor loss = loss_now();
    if (step == 0) first = loss.item();
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
  }
  EXPECT_LT(loss_now().item(), first);
}

struct Case {
  const char* file;
  std::vector<std::int64_t> shape;
  double lr;
};

class OnnxTraining : public ::testing::TestWithParam<Case> {};

TEST_P(OnnxTraining, LossFalls) {
  const Case& c = GetParam();
  if (!std::filesystem::exists(model(c.file))) GTEST_SKIP() << "no PARE_DATA_DIR";
  Graph graph = onnx::load(model(c.file));
  Generator generator(11);
  expect_loss_falls(graph, generator.normal(Shape(std::span(c.shape))), c.lr);
}

INSTANTIATE_TEST_SUITE_P(
    Models, OnnxTraining,
    ::testing::Values(Case{"resnet20_cifar10.onnx", {4, 3, 32, 32}, 0.01},
                      Case{"mobilenetv2_1.0_224_imagenet_fp32.onnx", {2, 3, 224, 224}, 0.01},
                      Case{"squeezenet1.1_imagenet_fp32.onnx", {2, 3, 224, 224}, 0.001}));

TEST(OnnxTrainingText, LossFalls) {
  const auto file = model("tinygpt_shakespeare_opset17.onnx");
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no PARE_DATA_DIR";
  Graph graph = onnx::load(file);
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 2 * 64; ++i) ids.push_back((i * i + 5 * i) % 65);
  expect_loss_falls(graph, Tensor::from(ids, {2, 64}), 0.05);
}

}  // namespace
}  // namespace pare::test
