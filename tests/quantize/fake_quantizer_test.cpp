// A rounding of the user's own in training with quantization.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/textures.h"

namespace pare::quantize {
namespace {

using test::accuracy;
using test::Batch;
using test::classes;
using test::infer_with;
using test::textures;
using test::train;

/// LSQ written with ordinary operations: y = s · (clamp(x/s) + detach(round − …)).
class PlainLsq : public FakeQuantizer {
 public:
  Tensors leaves(const FakeQuantizerPlace& place) const override {
    const bool weight = place.weight.defined();
    const float first = weight ? 2 * static_cast<float>(mean(abs(place.weight)).item()) /
                                     std::sqrt(static_cast<float>(place.qmax))
                               : 12.0F / static_cast<float>(place.qmax - place.qmin);
    Tensor step = Tensor::full(place.axis < 0 ? Shape{} : Shape{place.weight.dim(place.axis)},
                               static_cast<double>(first));
    step.set_requires_grad(true);
    return {step};
  }
  Rounded round(const Tensor& x, const Tensors& leaves,
                const FakeQuantizerPlace& place) const override {
    const std::int64_t zero = place.weight.defined() ? 0 : (place.qmin + place.qmax + 1) / 2;
    Tensor step = leaves[0];
    if (place.axis >= 0) {
      std::vector<std::int64_t> shape(static_cast<std::size_t>(x.rank()), 1);
      shape[static_cast<std::size_t>(place.axis)] = -1;
      step = reshape(step, shape);
    }
    const Tensor code = clamp(x / step, static_cast<double>(place.qmin - zero),
                              static_cast<double>(place.qmax - zero));
    const Tensor rounded = code + (pare::round(code) - code).detach();
    Tensor zeros = Tensor::full(leaves[0].shape(), static_cast<double>(zero), DType::i32);
    return {rounded * step, leaves[0], zeros};
  }
};

QConfig of_bits(int bits) {
  QConfig config = QConfig::portable();
  config.activation_bits = bits;
  config.weight_qmax = config.depthwise_weight_qmax = (std::int64_t{1} << (bits - 1)) - 1;
  return config;
}

TEST(FakeQuantizer, TrainsAndConvertsToWhatItEvaluated) {
  const auto own = std::make_shared<PlainLsq>();
  Graph qat = prepare_qat(test::trained_branchy(), of_bits(4),
                          {.fake_quantizer = own, .weight_fake_quantizer = own});
  const int step = qat.find_value("stem.weight_own0");
  ASSERT_GE(step, 0);
  const auto before = qat.value(step).tensor.to_vector<float>();
  train(qat, 30, 3e-3, 11);
  EXPECT_NE(qat.value(step).tensor.to_vector<float>(), before);

  Generator generator(12);
  const Batch batch = textures(generator, 1000);
  EXPECT_GT(accuracy(qat, batch), 0.85);
  const auto fake = classes(qat, batch.x);
  Converted converted = convert(qat);
  EXPECT_GE(test::share_of_equal(fake, classes(converted.graph, batch.x)), 0.999);
  const Plan plan = compile(converted.graph.share());
  EXPECT_GE(test::share_of_equal(fake, argmax(plan.run(batch.x), 1).to_vector<std::int64_t>()),
            0.999);
  EXPECT_EQ(scale(converted.graph, "fc.weight").to_vector<float>(),
            qat.value(qat.find_value("fc.weight_own0")).tensor.to_vector<float>());
  // Nothing of the rounding is left but codes.
  for (const Graph::Node& node : converted.graph.nodes())
    EXPECT_TRUE(node.call.op != &kRound && node.call.op != &kDetach && node.call.op != &kClamp)
        << node.name;
}

TEST(FakeQuantizer, ASavedGraphNeedsTheClassNoMore) {
  Graph qat = prepare_qat(test::trained_branchy(), of_bits(8),
                          {.fake_quantizer = std::make_shared<PlainLsq>()});
  train(qat, 2, 1e-3, 11);
  const std::string file = testing::TempDir() + "own_rounding.pare";
  io::save_graph(qat, file);
  Graph loaded = io::load_graph(file);
  Generator generator(3);
  const Tensor x = textures(generator, 8).x;
  EXPECT_EQ(infer_with(loaded, x).to_vector<float>(), infer_with(qat, x).to_vector<float>());
  Graph int8 = convert(qat).graph, int8_of_loaded = convert(loaded).graph;
  EXPECT_EQ(infer_with(int8_of_loaded, x).to_vector<float>(),
            infer_with(int8, x).to_vector<float>());
}

/// The same, as it is often written: from a value off the tape.
class DetachedFirst final : public PlainLsq {
 public:
  Rounded round(const Tensor& x, const Tensors& leaves,
                const FakeQuantizerPlace& place) const override {
    Rounded rounded = PlainLsq::round(x.detach(), leaves, place);
    rounded.value = x + (rounded.value - x).detach();
    return rounded;
  }
};

TEST(FakeQuantizer, MayBeginWithAValueOffTheTape) {
  Graph qat = prepare_qat(test::trained_branchy(), of_bits(8),
                          {.fake_quantizer = std::make_shared<DetachedFirst>()});
  train(qat, 2, 1e-3, 11);
  Generator generator(3);
  const Batch batch = textures(generator, 100);
  const auto fake = classes(qat, batch.x);
  Converted converted = convert(qat);
  EXPECT_GE(test::share_of_equal(fake, classes(converted.graph, batch.x)), 0.99);
  // Its ranges are told as all others are.
  EXPECT_GE(observed_ranges(qat).size(), 6U);
  EXPECT_EQ(converted.report.activations.size(), observed_ranges(qat).size());
}

TEST(FakeQuantizer, FreezingStopsWhatItLearns) {
  const auto own = std::make_shared<PlainLsq>();
  Graph qat = prepare_qat(test::trained_branchy(), of_bits(8),
                          {.fake_quantizer = own, .weight_fake_quantizer = own});
  train(qat, 2, 1e-3, 11);
  const auto steps = [&] {
    std::vector<float> all;
    for (const Graph::Value& value : qat.values())
      if (value.is_leaf() && value.name.ends_with("_own0")) {
        const auto some = value.tensor.to_vector<float>();
        all.insert(all.end(), some.begin(), some.end());
      }
    return all;
  };
  freeze_observers(qat);
  const auto frozen = steps();
  EXPECT_GE(frozen.size(), 20U);
  train(qat, 3, 1e-3, 12);
  EXPECT_EQ(steps(), frozen);
  freeze_observers(qat, false);
  train(qat, 3, 1e-3, 12);
  EXPECT_NE(steps(), frozen);
}

class ByItself final : public PlainLsq {
 public:
  Rounded round(const Tensor& x, const Tensors& leaves,
                const FakeQuantizerPlace& place) const override {
    Rounded rounded = PlainLsq::round(x, leaves, place);
    rounded.scale = max(abs(x)) / 127.0F;
    return rounded;
  }
};
class OfAnotherShape final : public PlainLsq {
 public:
  Rounded round(const Tensor& x, const Tensors& leaves,
                const FakeQuantizerPlace& place) const override {
    Rounded rounded = PlainLsq::round(x, leaves, place);
    rounded.scale = Tensor::full({3}, 0.1);
    return rounded;
  }
};

TEST(FakeQuantizer, RefusesScalesThatConvertCouldNotKeep) {
  const Graph graph = test::trained_branchy();
  EXPECT_ERROR(prepare_qat(graph, of_bits(8), {.fake_quantizer = std::make_shared<ByItself>()}),
               invalid_argument, "depend on x");
  EXPECT_ERROR(
      prepare_qat(graph, of_bits(8), {.fake_quantizer = std::make_shared<OfAnotherShape>()}),
      shape_mismatch, "scale f32 []");
}

}  // namespace
}  // namespace pare::quantize
