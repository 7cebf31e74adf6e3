// Overrides without effect are errors, excluded batch norms stay, what passes through is untouched.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/unchanged.h"

namespace pare::quantize {
namespace {

using test::infer_with;
using test::refuses;
using test::sqnr;

const Shape kPictures{4, 3, 8, 8};

Graph branchy() {
  test::Branchy net;
  return test::graph_of(net, Tensor::zeros(kPictures));
}

QConfig with(std::vector<OpOverride> overrides) {
  QConfig config = QConfig::portable();
  config.overrides = std::move(overrides);
  return config;
}

int count(const Graph& graph, const OpDef& op) {
  return static_cast<int>(std::ranges::count_if(
      graph.nodes(), [&](const Graph::Node& node) { return node.call.op == &op; }));
}

TEST(Overrides, ThatSayNothingToAnyoneAreRefused) {
  Graph graph = branchy();
  const std::string input = graph.value(graph.inputs()[0]).name;
  struct Case {
    OpOverride override;
    std::string words;
  };
  for (const Case& c : {
           Case{{.op = "linear"}, "a setting in the override of 'linear', got none"},
           Case{{.name = input, .quantize = false}, "got the input '" + input + "'"},
           Case{{.op = "relu", .weight_qmax = 7},
                "a node with weights for the settings of weights of 'relu'"},
           Case{{.name = "fc", .weight_group_size = 4},
                "per_group for the weight_group_size of 'fc'"},
       })
    for (const bool training : {false, true})
      refuses(ErrorCode::invalid_argument, {c.words}, graph, [&] {
        const QConfig config = with({c.override});
        training ? prepare_qat(graph, config) : prepare(graph, config);
      });
  // In prepare the batch norm is gone, in prepare_qat it is there.
  refuses(ErrorCode::invalid_argument, {"'stem_norm', which is folded into stem"}, graph,
          [&] { prepare(graph, with({{.name = "stem_norm", .activation_bits = 4}})); });
  prepare_qat(graph, with({{.name = "stem_norm", .activation_bits = 4}}));
  // Several nodes, some of which have what it is about.
  prepare(graph, with({{.name = "stem*", .activation_bits = 4, .weight_qmax = 7}}));
}

TEST(Overrides, AFixedZeroPointMustBeACodeOfTheBitsThatHold) {
  Graph graph = branchy();
  QConfig config = with({{.name = "left", .activation_bits = 4}});
  config.observer = FixedQParams{.scale = 0.01, .zero_point = 200};
  refuses(ErrorCode::invalid_argument, {"fixed zero point of 0 to 15, got 200"}, graph,
          [&] { prepare(graph, config); });
  const QConfig apart =
      with({{.name = "left", .observer = FixedQParams{.scale = 0.01, .zero_point = 200}},
            {.name = "left", .activation_bits = 4}});
  for (const bool training : {false, true})
    refuses(ErrorCode::invalid_argument, {"fixed zero point of 0 to 15, got 200"}, graph,
            [&] { training ? prepare_qat(graph, apart) : prepare(graph, apart); });
}

struct Search : RangeSearch {
  explicit Search(float share) : share(share) {}
  std::string name() const override { return "mine"; }
  ChosenRange choose(const Histogram& seen, const Codes&) const override {
    return {seen.min * share, seen.max * share};
  }
  float share;
};

TEST(Overrides, TwoSearchesOfOneNameAreRefused) {
  Graph graph = branchy();
  const auto one = std::make_shared<Search>(1.0F), other = std::make_shared<Search>(0.5F);
  QConfig config = with({{.op = "relu", .observer = other}});
  config.observer = one;
  refuses(ErrorCode::invalid_argument, {"two named 'mine'"}, graph,
          [&] { prepare(graph, config); });
  config.overrides[0].observer = one;
  Graph prepared = prepare(graph, config);
  {
    const NoGrad no_grad;
    prepared(Generator(3).normal(kPictures));
  }
  refuses(ErrorCode::invalid_argument, {"two named 'mine'"}, prepared, [&] {
    convert(prepared, {.searches = {one, other}});
  });
  convert(prepared, {.searches = {one, one}});
}

TEST(Overrides, AnExcludedBatchNormStays) {
  Graph graph = branchy();
  const Tensor x = Generator(3).normal(kPictures);
  QConfig by_name = QConfig::portable();
  by_name.exclude = {"stem_norm"};
  for (const QConfig& config : {by_name, with({{.op = "batch_norm", .quantize = false}})}) {
    Graph prepared = prepare(graph, config);
    const NoGrad no_grad;
    prepared(x);
    const Converted result = convert(prepared);
    Graph int8 = result.graph;
    EXPECT_EQ(count(int8, kBatchNorm), config.exclude.empty() ? 2 : 1);
    EXPECT_NE(int8.find_node("stem_norm"), -1);
    EXPECT_NE(to_string(result.report).find("excluded by"), std::string::npos);
    EXPECT_EQ(scale(int8, "stem.weight").rank(), 1);  // the layer before it is quantized
    EXPECT_GT(sqnr(infer_with(graph, x), infer_with(int8, x)), 20);
    EXPECT_GT(sqnr(infer_with(int8, x), compile(int8).run(x)), 30);
    for (const BatchNormForm form :
         {BatchNormForm::automatic, BatchNormForm::folded, BatchNormForm::exact}) {
      Graph qat = prepare_qat(graph, config, {.batch_norm = form});
      qat(x);
      Graph trained = convert(qat).graph;
      EXPECT_EQ(count(trained, kBatchNorm), config.exclude.empty() ? 2 : 1);
      EXPECT_GT(sqnr(infer_with(qat, x), infer_with(trained, x)), 40);
    }
  }
}

/// y and x itself.
struct PassesOn : nn::Module {
  nn::Conv2d conv{{.in = 3, .out = 4, .kernel = 3}};
  void members(nn::Members& m) override { m("conv", conv); }
  Tensor forward(const Tensor& x) override { return relu(conv(x)); }
};

TEST(Prepare, WhatIsGivenBackAsItCameIsNotRounded) {
  PassesOn net;
  const Tensor x = Generator(5).normal(kPictures);
  Graph graph = test::graph_of(net, x);
  graph.set_outputs({graph.outputs()[0], graph.inputs()[0]}, {"y", "again"});
  Graph prepared = prepare(graph, QConfig::portable());
  const NoGrad no_grad;
  prepared.run({x});
  Graph int8 = convert(prepared).graph;
  EXPECT_EQ(int8.output_names(), (std::vector<std::string>{"y", "again"}));
  EXPECT_EQ(int8.run({x}).at(1).to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(compile(int8).run(Tensors{x}).at(1).to_vector<float>(), x.to_vector<float>());
  Graph qat = prepare_qat(graph, QConfig::portable());
  EXPECT_EQ(qat.run({x}).at(1).to_vector<float>(), x.to_vector<float>());
}

TEST(Prepare, NotesOfAnotherGraphCountNothing) {
  Graph graph = branchy();
  graph.metadata()["quantize.float.fc"] = "of a file that was converted before";
  for (const bool training : {false, true}) {
    Graph prepared =
        training ? prepare_qat(graph, QConfig::portable()) : prepare(graph, QConfig::portable());
    const NoGrad no_grad;
    prepared(Generator(3).normal(kPictures));
    EXPECT_EQ(to_string(convert(prepared).report).find("converted before"), std::string::npos);
  }
}

// Enumerators that are none of the listed come from casts of numbers out of files.
template <class Enum> Enum beyond() { return static_cast<Enum>(77); }

TEST(Options, EnumeratorsOutOfRangeAreRefused) {
  Graph graph = branchy();
  for (const QATConfig& qat :
       {QATConfig{.method = beyond<TrainingMethod>()},
        QATConfig{.weight_method = beyond<TrainingMethod>()},
        QATConfig{.start = beyond<StepStart>()}, QATConfig{.batch_norm = beyond<BatchNormForm>()}})
    refuses(ErrorCode::invalid_argument, {"got 77"}, graph,
            [&] { prepare_qat(graph, QConfig::portable(), qat); });
  for (const DynamicOptions& options :
       {DynamicOptions{.granularity = beyond<Granularity>()},
        DynamicOptions{.weight_observer = beyond<WeightObserver>()}})
    refuses(ErrorCode::invalid_argument, {"got 77"}, graph, [&] { dynamic(graph, options); });
  for (const WeightOnlyOptions& options :
       {WeightOnlyOptions{.format = beyond<WeightFormat>()},
        WeightOnlyOptions{.granularity = beyond<Granularity>()},
        WeightOnlyOptions{.weight_observer = beyond<WeightObserver>()}})
    refuses(ErrorCode::invalid_argument, {"got 77"}, graph, [&] { weight_only(graph, options); });
}

}  // namespace
}  // namespace pare::quantize
