// Training with learned steps: they are parameters, start from the first batch, and what is
// evaluated is what the integers compute.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
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

QConfig of_bits(int bits) {
  QConfig config = QConfig::portable();
  if (bits == 8) return config;
  config.activation_bits = bits;
  config.weight_qmax = config.depthwise_weight_qmax = (std::int64_t{1} << (bits - 1)) - 1;
  config.full_weight_range = true;
  return config;
}

struct Way {
  const char* name;
  TrainingMethod method;
  int bits;
  double accuracy;  // at least
};

// As many different codes as the bits have.
void expect_codes(const Graph& int8, const std::string& name, int bits) {
  const auto codes = int_repr(int8, name).to_vector<std::int8_t>();
  std::set<std::int8_t> different(codes.begin(), codes.end());
  // A negative factor of a batch norm turns −8 … 7 into −7 … 8.
  EXPECT_LE(different.size(), bits == 8 ? 127U : (1U << static_cast<unsigned>(bits)) + 1) << name;
  EXPECT_GE(different.size(), 3U) << name;
}

class Learned : public testing::TestWithParam<Way> {};

TEST_P(Learned, TrainsAndConvertsToWhatItEvaluated) {
  const Graph graph = test::trained_branchy();
  Generator generator(12);
  const Batch batch = textures(generator, 2000);
  Graph qat = prepare_qat(graph, of_bits(GetParam().bits), {.method = GetParam().method});
  train(qat, 60, 2e-3, 11);
  EXPECT_GT(accuracy(qat, batch), GetParam().accuracy);

  Converted converted = convert(qat);
  const auto fake = classes(qat, batch.x);
  EXPECT_GE(test::share_of_equal(fake, classes(converted.graph, batch.x)), 0.999);
  const Plan plan = compile(converted.graph.share());
  EXPECT_GE(test::share_of_equal(fake, argmax(plan.run(batch.x), 1).to_vector<std::int64_t>()),
            0.999);
  // No code lies outside of its bits.
  for (const char* name : {"stem.weight", "right.weight", "fc.weight"})
    expect_codes(converted.graph, name, GetParam().bits);
}

INSTANTIATE_TEST_SUITE_P(Ways, Learned,
                         testing::Values(Way{"lsq8", TrainingMethod::lsq, 8, 0.9},
                                         Way{"lsq4", TrainingMethod::lsq, 4, 0.88},
                                         Way{"lsq2", TrainingMethod::lsq, 2, 0.6},
                                         Way{"lsq_plus4", TrainingMethod::lsq_plus, 4, 0.88},
                                         Way{"pact4", TrainingMethod::pact, 4, 0.85},
                                         Way{"tqt8", TrainingMethod::tqt, 8, 0.9},
                                         Way{"tqt4", TrainingMethod::tqt, 4, 0.85},
                                         Way{"moving_average4", TrainingMethod::moving_average, 4,
                                             0.85}),
                         [](const auto& test) { return test.param.name; });

TEST(LearnedTraining, StepsAreParametersThatOptimizersMove) {
  const Graph graph = test::trained_branchy();
  Graph qat = prepare_qat(graph, of_bits(4), {.method = TrainingMethod::lsq_plus});
  std::set<std::string> steps;
  for (const nn::NamedTensor& named : qat.named_parameters())
    if (named.name.ends_with("_step") || named.name.ends_with("_offset")) steps.insert(named.name);
  EXPECT_EQ(steps.count("stem.weight_step"), 1U);
  EXPECT_EQ(steps.count("stem_norm_step") + steps.count("relu_step"), 1U);
  EXPECT_GE(steps.size(), 12U);
  train(qat, 1, 0, 11);  // sets those of activations
  const auto values = [&] {
    std::vector<float> all;
    for (const std::string& name : steps) {
      const auto some = qat.value(qat.find_value(name)).tensor.to_vector<float>();
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  };
  const auto before = values();
  for (const float v : before) EXPECT_TRUE(std::isfinite(v));
  train(qat, 5, 1e-3, 12);
  const auto after = values();
  std::size_t moved = 0;
  for (std::size_t i = 0; i < after.size(); ++i) moved += after[i] != before[i] ? 1U : 0U;
  EXPECT_GT(moved, after.size() / 2);
}

TEST(LearnedTraining, ActivationsBehindReluHaveNoCodesBelowZero) {
  const Graph graph = test::trained_branchy();
  for (const TrainingMethod method : {TrainingMethod::lsq, TrainingMethod::tqt}) {
    Graph qat = prepare_qat(graph, of_bits(4), {.method = method});
    train(qat, 2, 1e-3, 11);
    std::size_t zero = 0, middle = 0;
    for (const ActivationRange& a : observed_ranges(qat)) {
      EXPECT_TRUE(a.zero_point == 0 || a.zero_point == 8) << a.value;
      ++(a.zero_point == 0 ? zero : middle);
    }
    EXPECT_GE(zero, 3U);
    EXPECT_EQ(middle, 1U);  // the input
  }
}

TEST(LearnedTraining, ConvertNamesStepsThatSawNothing) {
  const Graph qat =
      prepare_qat(test::trained_branchy(), of_bits(8), {.method = TrainingMethod::lsq});
  test::expect_error(ErrorCode::invalid_state, {"convert", "calibrated", "'input'"},
                     [&] { convert(qat); });
}

TEST(LearnedTraining, ConvertNamesTheLayerAndItsStepThatIsNotFinite) {
  for (const TrainingMethod method : {TrainingMethod::lsq, TrainingMethod::tqt}) {
    Graph qat = prepare_qat(test::trained_branchy(), of_bits(4), {.method = method});
    train(qat, 1, 0, 11);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Graph broken = qat.copy();
      broken.edit_value(broken.find_value("left.weight_step")).tensor.mutable_data<float>()[0] =
          bad;
      test::expect_error(ErrorCode::invalid_argument,
                         {"left", "finite learned steps", "'left.weight_step'"},
                         [&] { convert(broken); });
    }
  }
}

TEST(LearnedTraining, ATracedOrSavedGraphIsTheSame) {
  Graph qat = prepare_qat(test::trained_branchy(), of_bits(4), {.method = TrainingMethod::lsq});
  Generator generator(3);
  const Tensor x = textures(generator, 8).x;
  train(qat, 2, 1e-3, 11);
  const auto expected = infer_with(qat, x).to_vector<float>();
  Graph traced = trace(qat, x);
  EXPECT_EQ(infer_with(traced, x).to_vector<float>(), expected);
  const std::string file = testing::TempDir() + "learned_steps.pare";
  io::save_graph(qat, file);
  Graph loaded = io::load_graph(file);
  EXPECT_EQ(infer_with(loaded, x).to_vector<float>(), expected);
  Graph int8 = convert(qat).graph, int8_of_loaded = convert(loaded).graph;
  EXPECT_EQ(infer_with(int8_of_loaded, x).to_vector<float>(),
            infer_with(int8, x).to_vector<float>());
}

/// Its sum has a constant operand, which is rounded as an activation.
struct Shifted : nn::Module {
  nn::Linear first{{.in = 6, .out = 8}};
  nn::Linear second{{.in = 8, .out = 3}};
  Tensor shift = Tensor::full({1, 8}, 0.3);
  void members(nn::Members& m) override { m("first", first)("second", second); }
  Tensor forward(const Tensor& x) override { return second(relu(first(x)) + shift); }
};

TEST(LearnedTraining, ConstantsThatAreActivationsHaveStepsToo) {
  Shifted net;
  Generator generator(4);
  initialize(net, generator);
  const Tensor x = generator.normal({16, 6});
  const Graph graph = trace(net, x).copy();
  for (const TrainingMethod method :
       {TrainingMethod::lsq, TrainingMethod::lsq_plus, TrainingMethod::pact, TrainingMethod::tqt}) {
    Graph qat = prepare_qat(graph, of_bits(8), {.method = method});
    qat(x);
    Graph int8 = convert(qat).graph;
    for (const Graph::Node& node : int8.nodes())
      EXPECT_NE(node.call.op, &kFakeQuantizeLearned) << node.name;
    const Tensor fake = infer_with(qat, x);
    EXPECT_LT(max(abs(fake - infer_with(int8, x))).item(), 0.01 * max(abs(fake)).item());
  }
}

// The second factor of a product is no weight where it is computed from the inputs.
TEST(LearnedTraining, FactorsOfAProductAreActivations) {
  test::Scores net;
  Generator generator(4);
  const Shape shape{4, 6, 8};
  Graph graph = test::graph_of(net, Tensor::zeros(shape));
  const Tensor x = generator.normal(shape);
  Graph qat = prepare_qat(graph, of_bits(8), {.method = TrainingMethod::lsq});
  qat(x);
  std::size_t activations = 0;
  for (const Graph::Node& node : qat.nodes())
    activations += node.name.ends_with("_observer") ? 1U : 0U;
  EXPECT_EQ(observed_ranges(qat).size(), activations);
  const Graph int8 = convert(qat).graph;
  for (const Graph::Node& node : int8.nodes())
    EXPECT_NE(node.call.op, &kFakeQuantizeLearned) << node.name;
}

TEST(LearnedTraining, OneScaleForAllChannelsStaysOneUnderABatchNorm) {
  test::OneConv net(true, true,
                    nn::Conv2dOptions{.in = 3, .out = 8, .kernel = 3, .padding = 1, .bias = false});
  const Shape shape{8, 3, 8, 8};
  // Factors of 0 and below are among its batch norm's.
  Graph graph = test::graph_of(net, Tensor::zeros(shape));
  QConfig config = QConfig::portable();
  config.weight_granularity = Granularity::per_tensor;
  config.quantize_outputs = true;
  for (const TrainingMethod method : {TrainingMethod::moving_average, TrainingMethod::lsq}) {
    Graph qat = prepare_qat(graph, config, {.method = method});
    Generator generator(5);
    optim::SGD sgd(qat.parameters(), {.lr = 1e-2});
    for (int i = 0; i < 20; ++i) {
      ContextScope scope;
      scope->training = true;
      const Tensor x = generator.normal(shape, 0.3F, 1);
      sgd.zero_grad();
      mean(square(qat(x))).backward();
      sgd.step();
    }
    for (const nn::NamedTensor& named : qat.named_parameters())
      for (const float v : named.tensor.to_vector<float>())
        ASSERT_TRUE(std::isfinite(v)) << named.name;
    Converted converted = convert(qat);
    EXPECT_EQ(scale(converted.graph, "conv.weight").rank(), 0);
    const Tensor x = generator.normal(shape, 0.3F, 1);
    const auto fake = infer_with(qat, x).to_vector<float>();
    const auto real = infer_with(converted.graph, x).to_vector<float>();
    const float step = converted.report.activations.back().scale;
    std::size_t different = 0;
    for (std::size_t i = 0; i < fake.size(); ++i) {
      EXPECT_LE(std::fabs(fake[i] - real[i]), 1.001F * step) << i;
      different += fake[i] != real[i] ? 1U : 0U;
    }
    EXPECT_LE(different, fake.size() / 50);
    // The commuting form gives each channel a scale.
    Graph commuting =
        prepare_qat(graph, config, {.method = method, .batch_norm = BatchNormForm::commuting});
    commuting(x);
    EXPECT_EQ(scale(convert(commuting).graph, "conv.weight").rank(), 1);
  }
}

}  // namespace
}  // namespace pare::quantize
