// Quantization-aware training: it learns, and what it evaluates is what the integers compute.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/textures.h"

namespace pare::quantize {
namespace {

using test::accuracy;
using test::Batch;
using test::Branchy;
using test::classes;
using test::infer_with;
using test::textures;
using test::train;

TEST(Training, ConvergesAndConvertsToWhatItEvaluated) {
  Branchy net;
  Generator generator(4);
  initialize(net, generator);
  Graph graph = trace(net, Tensor::zeros({2, 3, 8, 8})).copy();
  train(graph, 150, 1e-2, 10);
  const Batch test = textures(generator, 2000);
  const double before = accuracy(graph, test);
  EXPECT_GT(before, 0.9);

  Graph qat = prepare_qat(graph, QConfig::portable());
  train(qat, 60, 2e-3, 11);
  const double trained = accuracy(qat, test);
  EXPECT_GT(trained, before - 0.01);

  Converted converted = convert(qat);
  const auto fake = classes(qat, test.x), real = classes(converted.graph, test.x);
  std::size_t same = 0;
  for (std::size_t i = 0; i < fake.size(); ++i) same += fake[i] == real[i] ? 1U : 0U;
  EXPECT_GE(static_cast<double>(same), 0.999 * static_cast<double>(fake.size()));
  const auto planned = argmax(compile(converted.graph).run(test.x), 1).to_vector<std::int64_t>();
  same = 0;
  for (std::size_t i = 0; i < fake.size(); ++i) same += fake[i] == planned[i] ? 1U : 0U;
  EXPECT_GE(static_cast<double>(same), 0.999 * static_cast<double>(fake.size()));
  EXPECT_GT(accuracy(converted.graph, test), before - 0.01);
}

TEST(Training, ValidationDoesNotMoveRanges) {
  Branchy net;
  Generator generator(4);
  initialize(net, generator);
  Graph qat = prepare_qat(trace(net, Tensor::zeros({2, 3, 8, 8})), QConfig::portable());
  train(qat, 3, 1e-3, 1);
  const auto ends = [&] {
    std::vector<float> all;
    for (const ActivationRange& a : observed_ranges(qat))
      all.insert(all.end(), {a.seen_min, a.seen_max});
    return all;
  };
  const std::vector<float> before = ends();
  infer_with(qat, generator.normal({4, 3, 8, 8}, 0, 50));
  EXPECT_EQ(ends(), before);
  const NoGrad no_grad;
  qat(generator.normal({4, 3, 8, 8}, 0, 50));
  EXPECT_NE(ends(), before);
}

TEST(Training, DoesNotMoveTheFloatNet) {
  Branchy net;
  Generator generator(4);
  initialize(net, generator);
  const auto before = Tensor(net.fc.weight).to_vector<float>();
  Graph qat = prepare_qat(trace(net, Tensor::zeros({2, 3, 8, 8})), QConfig::portable());
  train(qat, 2, 1e-2, 1);
  EXPECT_EQ(Tensor(net.fc.weight).to_vector<float>(), before);
}

TEST(Training, GradientsOfWeightsPassStraightThrough) {
  // Scales are fine enough that the loss of the fake-quantized net has the float net's gradient.
  test::OneLinear net(false);
  Generator generator(4);
  initialize(net, generator);
  Graph graph = trace(net, Tensor::zeros({2, 40})).copy();
  Graph qat = prepare_qat(graph, QConfig::portable());
  const Tensor x = generator.normal({32, 40});
  for (Graph* g : {&graph, &qat}) sum((*g)(x)).backward();
  const auto expected = graph.value(graph.find_value("fc.weight")).tensor.grad().to_vector<float>();
  const auto got = qat.value(qat.find_value("fc.weight")).tensor.grad().to_vector<float>();
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 0.2) << i;
}

}  // namespace
}  // namespace pare::quantize
