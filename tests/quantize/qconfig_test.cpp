// Settings: presets, bits and types of codes, forms of weights, overrides, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "core/quantize_math.h"
#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/golden_calibration.h"
#include "quantize/nets.h"

namespace pare::quantize {
namespace {

using test::Branchy;
using test::graph_of;
using test::infer_with;
using test::OneConv;
using test::sqnr;
using ::testing::HasSubstr;

const Shape kShape{8, 3, 8, 8};

Graph branchy() {
  Branchy net;
  return graph_of(net, Tensor::zeros(kShape));
}

Tensor pictures(std::uint64_t seed = 2) { return Generator(seed).normal(kShape, 0.1F, 1); }

Converted quantized(const Graph& graph, const QConfig& config) {
  Graph prepared = prepare(graph, config);
  const NoGrad no_grad;
  for (std::uint64_t k = 1; k <= 3; ++k) prepared(pictures(k));
  return convert(prepared);
}

std::pair<int, int> limits_of(const Tensor& codes) {
  const auto v = codes.to(DType::i32).to_vector<std::int32_t>();
  const auto [low, high] = std::minmax_element(v.begin(), v.end());
  return {*low, *high};
}

const QuantizeAttributes& first_quantizer(const Graph& graph) {
  for (const Graph::Node& node : graph.nodes())
    if (node.call.op == &kQuantizeLinear) return node.call.attributes.as<QuantizeAttributes>();
  throw std::runtime_error("no quantize_linear");
}

TEST(ScaleRule, MatchesPyTorchWithEveryTypeOfCodes) {
  for (const golden::Rule& rule : golden::kRules) {
    const ScaleAndZeroPoint p = affine_parameters(rule.min, rule.max,
                                                  {.qmin = rule.qmin,
                                                   .qmax = rule.qmax,
                                                   .even_zero_point = false,
                                                   .symmetric = rule.symmetric});
    EXPECT_NEAR(p.scale, rule.scale, rule.scale * 2e-7F) << rule.min << " " << rule.max;
    EXPECT_EQ(p.zero_point, rule.zero_point)
        << rule.min << " " << rule.max << " in " << rule.qmin << " " << rule.qmax;
  }
}

Tensor golden_weight(int k) {
  const float* from = golden::kWeights + 60 * k;
  return Tensor::from(std::vector<float>(from, from + 60), {5, 12});
}

template <std::size_t N>
void expect_parameters(const Tensors& found, const float (&scales)[N],
                       const std::int32_t (&zeros)[N]) {
  const auto s = found[0].to_vector<float>();
  const auto z = found[1].to_vector<std::int32_t>();
  ASSERT_EQ(s.size(), N);
  for (std::size_t c = 0; c < N; ++c) {
    EXPECT_NEAR(s[c], scales[c], scales[c] * 1e-6F) << c;
    EXPECT_EQ(z[c], zeros[c]) << c;
  }
}

TEST(ObserveWeight, MatchesPyTorch) {
  const ObserveWeightAttributes full{.qmin = -128, .qmax = 127};
  ObserveWeightAttributes a = full;
  expect_parameters(observe_weight(golden_weight(0), {}, a), golden::kSymmetricScales,
                    golden::kSymmetricZeroPoints);
  a.symmetric = false;
  expect_parameters(observe_weight(golden_weight(0), {}, a), golden::kAffineScales,
                    golden::kAffineZeroPoints);
  a = full;
  a.axis = -1;
  const Tensors one = observe_weight(golden_weight(0), {}, a);
  EXPECT_EQ(one[0].rank(), 0);
  expect_parameters(one, golden::kPerTensorScales, golden::kPerTensorZeroPoints);
  a = full;
  a.averaging = 0.1;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Tensor range = Tensor::full({5, 2}, kInfinity);
  for (int c = 0; c < 5; ++c) range.mutable_data<float>()[2 * c + 1] = -kInfinity;
  Tensors moving;
  for (int k = 0; k < 3; ++k) moving = observe_weight(golden_weight(k), range, a);
  expect_parameters(moving, golden::kMovingScales, golden::kMovingZeroPoints);
  // What is not observed does not move it.
  ContextScope scope;
  scope->observing = false;
  expect_parameters(observe_weight(golden_weight(0), range, a), golden::kMovingScales,
                    golden::kMovingZeroPoints);
}

TEST(ObserveWeight, IsSymmetricScaleBetweenEqualEnds) {
  const Tensor w = golden_weight(1);
  for (const std::int64_t qmax : {1, 7, 63, 127})
    EXPECT_EQ(observe_weight(w, {}, {.qmin = -qmax, .qmax = qmax})[0].to_vector<float>(),
              symmetric_scale(w, SymmetricScaleAttributes{.qmax = qmax}).to_vector<float>());
}

double row_error(const float* w, float scale, std::int32_t zero, std::int64_t qmin,
                 std::int64_t qmax) {
  double sum = 0;
  for (int i = 0; i < 12; ++i) {
    const double q = std::clamp(std::nearbyint(static_cast<double>(w[i] / scale)),
                                static_cast<double>(qmin - zero), static_cast<double>(qmax - zero));
    const double d = w[i] - q * static_cast<double>(scale);
    sum += d * d;
  }
  return sum;
}

TEST(ObserveWeight, SearchesTheLeastSquareError) {
  const Tensor w = golden_weight(2);
  for (const bool symmetric : {true, false})
    for (const std::int64_t qmax : {1, 7, 127}) {
      const std::int64_t qmin = symmetric ? -qmax : -qmax - 1;
      const ObserveWeightAttributes plain{.qmin = qmin, .qmax = qmax, .symmetric = symmetric};
      ObserveWeightAttributes a = plain;
      a.least_squares = true;
      const Tensors found = observe_weight(w, {}, a);
      for (int c = 0; c < 5; ++c) {
        const float* row = w.data<float>() + 12 * c;
        const auto [low, high] = std::minmax_element(row, row + 12);
        double least = std::numeric_limits<double>::infinity();
        for (int k = 0; k < 80; ++k) {
          const float share = 1 - static_cast<float>(k) / 100;
          const float largest = std::max(std::fabs(*low * share), std::fabs(*high * share));
          const ScaleAndZeroPoint p =
              symmetric ? ScaleAndZeroPoint{symmetric_scale(largest, qmax), 0}
                        : affine_parameters(*low * share, *high * share, qmin, qmax, false);
          least = std::min(least, row_error(row, p.scale, p.zero_point, qmin, qmax));
        }
        const double mine =
            row_error(row, found[0].to_vector<float>()[static_cast<std::size_t>(c)],
                      found[1].to_vector<std::int32_t>()[static_cast<std::size_t>(c)], qmin, qmax);
        EXPECT_NEAR(mine, least, 1e-5 * least + 1e-9) << qmax << " " << c;
      }
    }
}

TEST(ObserveWeight, RefusesWhatItCannotMean) {
  const Tensor w = golden_weight(0);
  EXPECT_ERROR(observe_weight(Tensor::full({2, 2}, std::nanf("")), {}), invalid_argument,
               "observe_weight", "expected finite values");
  EXPECT_ERROR(observe_weight(w, {}, {.qmin = 3, .qmax = 3}), invalid_argument,
               "expected qmin < qmax");
  EXPECT_ERROR(observe_weight(w, {}, {.qmin = -5, .qmax = 9}), invalid_argument, "around 0",
               "-5 to 9");
  EXPECT_ERROR(observe_weight(w, {}, {.averaging = 0}), invalid_argument,
               "expected an averaging constant in (0, 1]");
  EXPECT_ERROR(observe_weight(w, {}, {.averaging = 0.5}), invalid_argument, "got none and 0.5");
  EXPECT_ERROR(observe_weight(w, Tensor::zeros({4, 2}), {.averaging = 0.5}), shape_mismatch,
               "expected ranges f32 [5, 2]", "[4, 2]");
  EXPECT_ERROR(observe_weight(w.to(DType::f64), {}), dtype_mismatch, "expected f32, got f64");
}

TEST(Bits, OfActivationsFromTwoToEight) {
  const Graph graph = branchy();
  Graph reference = graph;
  const Tensor x = pictures(9);
  const Tensor expected = infer_with(reference, x);
  for (const DType dtype : {DType::u8, DType::i8})
    for (const bool symmetric : {false, true}) {
      double before = -100;
      for (const int bits : {2, 4, 8}) {
        QConfig config = QConfig::portable();
        config.observer = Observer::min_max;
        config.activation_dtype = dtype;
        config.activation_bits = bits;
        config.symmetric_activations = symmetric;
        Graph int8 = quantized(graph, config).graph;
        const QuantizeAttributes& q = first_quantizer(int8);
        const std::int64_t levels = std::int64_t{1} << bits;
        EXPECT_EQ(q.dtype, dtype);
        EXPECT_EQ(q.qmin, dtype == DType::u8 ? 0 : -levels / 2);
        EXPECT_EQ(q.qmax, q.qmin + levels - 1);
        const double now = sqnr(expected, infer_with(int8, x));
        EXPECT_GT(now, before) << bits;
        before = now;
        for (const Graph::Node& node : int8.nodes()) {
          if (node.call.op != &kQuantizeLinear || !symmetric) continue;
          EXPECT_EQ(int8.value(node.inputs[2]).tensor.item(), q.qmin + levels / 2);
        }
      }
      EXPECT_GT(before, symmetric && dtype == DType::u8 ? 18 : 20);
    }
}

TEST(Bits, APlanKeepsToTheCodes) {
  OneConv net(false, true, nn::Conv2dOptions{.in = 3, .out = 8, .kernel = 3, .padding = 1});
  const Graph graph = graph_of(net, Tensor::zeros(kShape));
  const Tensor x = pictures(9) * 1.5F;
  for (const DType dtype : {DType::u8, DType::i8})
    for (const int bits : {3, 7, 8}) {
      QConfig config = QConfig::portable();
      config.activation_dtype = dtype;
      config.activation_bits = bits;
      config.quantize_outputs = true;
      Graph int8 = quantized(graph, config).graph;
      const Tensor expected = infer_with(int8, x);
      EXPECT_GT(sqnr(expected, compile(int8).run(x)), 45) << bits;
    }
}

TEST(Bits, OfWeights) {
  for (const std::int64_t qmax : {1, 7, 31, 63, 127}) {
    QConfig config = QConfig::portable();
    config.weight_qmax = config.depthwise_weight_qmax = qmax;
    const auto [low, high] = limits_of(int_repr(quantized(branchy(), config).graph, "left.weight"));
    EXPECT_EQ(std::max(-low, high), qmax);
    config.full_weight_range = true;
    config.weight_observer = WeightObserver::mse;
    const auto [least, most] =
        limits_of(int_repr(quantized(branchy(), config).graph, "left.weight"));
    EXPECT_GE(least, -qmax - 1);
    EXPECT_LE(most, qmax);
  }
}

TEST(Weights, OneScaleForAll) {
  QConfig config = QConfig::portable();
  config.weight_granularity = Granularity::per_tensor;
  Graph graph = branchy();
  const Tensor x = pictures(9);
  Graph int8 = quantized(graph, config).graph;
  EXPECT_EQ(scale(int8, "fc.weight").rank(), 0);
  EXPECT_GT(sqnr(infer_with(graph, x), infer_with(int8, x)), 20);
  EXPECT_GT(sqnr(infer_with(int8, x), compile(int8).run(x)), 30);
  // In training a batch norm has a factor for each channel: the weight is quantized with it, or has
  // a scale for each channel at the end.
  for (const BatchNormForm form : {BatchNormForm::automatic, BatchNormForm::commuting}) {
    Graph qat = prepare_qat(graph, config, {.batch_norm = form});
    qat(x);
    Graph trained = convert(qat).graph;
    const bool commuting = form == BatchNormForm::commuting;
    EXPECT_EQ(scale(trained, "stem.weight").shape(), commuting ? Shape{8} : Shape{});
    EXPECT_EQ(scale(trained, "fc.weight").rank(), 0);
    EXPECT_GT(sqnr(infer_with(qat, x), infer_with(trained, x)), 40);
  }
}

TEST(Weights, WithZeroPointsComputeInFloatAndSaySo) {
  QConfig config = QConfig::portable();
  config.symmetric_weights = false;
  Graph graph = branchy();
  const Tensor x = pictures(9);
  const Converted converted = quantized(graph, config);
  Graph int8 = converted.graph;
  EXPECT_GT(sqnr(infer_with(graph, x), infer_with(int8, x)), 20);
  EXPECT_THAT(to_string(converted.report), HasSubstr("its weights have zero points"));
  bool moved = false;
  for (const std::int32_t z : zero_point(int8, "left.weight").to_vector<std::int32_t>())
    moved = moved || z != 0;
  EXPECT_TRUE(moved);
  EXPECT_GT(sqnr(infer_with(int8, x), compile(int8).run(x)), 30);
  // Batch norms with negative and zero factors: the codes that training saw.
  Graph qat = prepare_qat(graph, config);
  qat(x);
  Graph trained = convert(qat).graph;
  EXPECT_GT(sqnr(infer_with(qat, x), infer_with(trained, x)), 25);
}

TEST(Weights, TheLowestCodeUnderANegativeFactorIsReported) {
  OneConv net(true, true, nn::Conv2dOptions{.in = 3, .out = 8, .kernel = 3, .padding = 1});
  Graph graph = graph_of(net, Tensor::zeros(kShape));
  // Channel 0 has a negative factor: its lowest weight gets the code −128, which has no opposite.
  const int weight = graph.find_value("conv.weight");
  graph.edit_value(weight).tensor.mutable_data<float>()[4] = -3;
  QConfig config = QConfig::portable();
  config.weight_qmax = 127;
  config.full_weight_range = true;
  Graph qat = prepare_qat(graph, config);
  qat(pictures());
  const Converted converted = convert(qat);
  EXPECT_THAT(to_string(converted.report),
              HasSubstr("1 codes clipped where its batch norm turns signs"));
  EXPECT_EQ(int_repr(converted.graph, "conv.weight").to_vector<std::int8_t>()[4], 127);
}

TEST(Weights, FollowedInTraining) {
  QConfig config = QConfig::portable();
  config.weight_observer = WeightObserver::moving_average;
  config.averaging = 0.25;
  Graph qat = prepare_qat(branchy(), config);
  qat(pictures());
  Tensor& w = qat.edit_value(qat.find_value("fc.weight")).tensor;
  const float before = scale(convert(qat).graph, "fc.weight").to_vector<float>()[0];
  for (std::int64_t i = 0; i < w.elements(); ++i) w.mutable_data<float>()[i] *= 5;
  qat(pictures());
  const float after = scale(convert(qat).graph, "fc.weight").to_vector<float>()[0];
  EXPECT_NEAR(after, before * (1 + 0.25F * 4), before * 1e-3F);
}

TEST(Presets, AreThoseOfPyTorch) {
  struct Expected {
    QConfig config;
    const char* isa;
    std::int64_t activation_qmax;
    bool per_channel;
  };
  for (const Expected& e : {Expected{QConfig::fbgemm(), "fbgemm", 127, true},
                            Expected{QConfig::qnnpack(), "qnnpack", 255, false},
                            Expected{QConfig::onednn(), "onednn", 255, true}}) {
    Graph graph = branchy();
    const Converted converted = quantized(graph, e.config);
    Graph int8 = converted.graph;
    EXPECT_EQ(converted.report.isa, e.isa);
    EXPECT_EQ(first_quantizer(int8).dtype, DType::u8);
    EXPECT_EQ(first_quantizer(int8).qmax, e.activation_qmax) << e.isa;
    EXPECT_EQ(scale(int8, "fc.weight").rank(), e.per_channel ? 1 : 0) << e.isa;
    // max|w| / 127.5, as PyTorch's.
    Graph folded = fold_batch_norm(graph).graph;
    const Tensor w = folded.value(folded.find_value("fc.weight")).tensor;
    float largest = 0;
    const std::int64_t counted = e.per_channel ? 14 : w.elements();
    for (std::int64_t i = 0; i < counted; ++i)
      largest = std::max(largest, std::fabs(w.data<float>()[i]));
    EXPECT_FLOAT_EQ(scale(int8, "fc.weight").to_vector<float>()[0], largest / 127.5F) << e.isa;
    // The result is quantized too.
    const int result = int8.outputs()[0];
    EXPECT_EQ(int8.node(int8.value(result).producer).call.op, &kDequantizeLinear) << e.isa;
    const Tensor x = pictures(9);
    EXPECT_GT(sqnr(infer_with(graph, x), infer_with(int8, x)), 18) << e.isa;
  }
}

std::set<std::string> floats_of(const Converted& converted) {
  std::set<std::string> names;
  for (const Report::Node& node : converted.report.nodes)
    if (!node.quantized) names.insert(node.name);
  return names;
}

TEST(Overrides, ByNameByOpAndByBoth) {
  QConfig config = QConfig::portable();
  config.overrides = {{.op = "conv2d", .weight_qmax = 7},
                      {.name = "le*", .weight_qmax = 3},
                      {.op = "linear", .name = "f?", .weight_qmax = 31}};
  const Graph int8 = quantized(branchy(), config).graph;
  const auto largest = [&](const char* name) {
    const auto [low, high] = limits_of(int_repr(int8, name));
    return std::max(-low, high);
  };
  EXPECT_EQ(largest("inner.weight"), 7);
  EXPECT_EQ(largest("left.weight"), 3);
  EXPECT_EQ(largest("fc.weight"), 31);

  config.overrides = {{.op = "conv2d", .quantize = false}, {.name = "inner", .quantize = true}};
  const Converted converted = quantized(branchy(), config);
  const std::set<std::string> floats = floats_of(converted);
  EXPECT_EQ(floats.count("left"), 1U);
  EXPECT_EQ(floats.count("stem"), 1U);
  EXPECT_EQ(floats.count("inner"), 0U);
  EXPECT_THAT(to_string(converted.report), HasSubstr("excluded by op ('conv2d')"));
  config.overrides = {{.name = "left", .quantize = false}};
  EXPECT_THAT(to_string(quantized(branchy(), config).report),
              HasSubstr("excluded by name ('left')"));
}

TEST(Overrides, OfActivations) {
  QConfig config = QConfig::portable();
  config.overrides = {{.op = "relu", .activation_bits = 4},
                      {.name = "right", .activation_bits = 4}};
  const Graph int8 = quantized(branchy(), config).graph;
  std::set<std::int64_t> tops;
  for (const Graph::Node& node : int8.nodes())
    if (node.call.op == &kQuantizeLinear)
      tops.insert(node.call.attributes.as<QuantizeAttributes>().qmax);
  EXPECT_EQ(tops, (std::set<std::int64_t>{15, 255}));
}

TEST(Overrides, MustAgreeWhereActivationsShareARange) {
  QConfig config = QConfig::portable();
  config.overrides = {{.name = "left", .observer = Observer::entropy},
                      {.name = "right", .observer = Observer::min_max}};
  EXPECT_ERROR(prepare(branchy(), config), invalid_argument, "overrides to agree", "entropy",
               "min_max");
}

TEST(Overrides, RefuseWhatMatchesNothing) {
  const auto refused = [](const OpOverride& o, std::initializer_list<std::string> words) {
    QConfig config = QConfig::portable();
    config.overrides = {o};
    test::expect_error(ErrorCode::invalid_argument, words, [&] { prepare(branchy(), config); });
  };
  refused({.name = "leeft"}, {"prepare", "name of a node to override, got 'leeft'", "'left'"});
  refused({.op = "lineer"}, {"'lineer'", "'linear'"});
  refused({.op = "conv2d", .name = "fc"}, {"a node 'fc' of the op 'conv2d'"});
  refused({}, {"an op or a name in every override"});
  refused({.op = "linear", .weight_qmax = 128}, {"expected a weight_qmax of 1 to 127, got 128"});
  refused({.op = "linear", .weight_qmax = 0}, {"got 0"});
  refused({.op = "linear", .activation_bits = 9}, {"expected activation_bits of 2 to 8, got 9"});
  refused({.op = "linear", .observer = Percentile{.percentile = 0}},
          {"expected a percentile above 0 and up to 100, got 0"});
}

TEST(Settings, RefuseNumbersOutOfRange) {
  const auto refused = [](auto&& change, std::initializer_list<std::string> words) {
    QConfig config = QConfig::portable();
    change(config);
    test::expect_error(ErrorCode::invalid_argument, words, [&] { prepare(branchy(), config); });
  };
  refused([](QConfig& c) { c.activation_bits = 1; },
          {"prepare", "activation_bits of 2 to 8, got 1"});
  refused([](QConfig& c) { c.activation_bits = 16; }, {"activation_bits of 2 to 8, got 16"});
  refused([](QConfig& c) { c.activation_dtype = DType::i16; }, {"in u8 or i8, got i16"});
  refused([](QConfig& c) { c.weight_qmax = 200; }, {"a weight_qmax of 1 to 127, got 200"});
  refused([](QConfig& c) { c.depthwise_weight_qmax = 0; }, {"a weight_qmax of 1 to 127, got 0"});
  refused([](QConfig& c) { c.isa = ""; }, {"prepare", "isa", "portable, fbgemm", "avx512_amx"});
  refused([](QConfig& c) { c.weight_granularity = static_cast<Granularity>(7); },
          {"a weight_granularity of 0 to 2, got 7"});
  refused([](QConfig& c) { c.weight_observer = static_cast<WeightObserver>(3); },
          {"a weight_observer of 0 to 2, got 3"});
  refused([](QConfig& c) { c.observer = static_cast<Observer::Kind>(15); },
          {"observer of 0 to 9, got 15"});
  refused(
      [](QConfig& c) {
        c.overrides = {{.op = "linear", .weight_granularity = static_cast<Granularity>(3)}};
      },
      {"a weight_granularity of 0 to 2, got 3"});
  refused([](QConfig& c) { c.histogram_bins = 10; }, {"histogram bins, got 10"});
  refused([](QConfig& c) { c.averaging = 0; }, {"averaging constant in (0, 1], got 0"});
  refused([](QConfig& c) { c.observer = Percentile{.percentile = 100.5}; },
          {"percentile above 0 and up to 100, got 100.5"});
  refused([](QConfig& c) { c.observer = FixedQParams{.scale = 0}; }, {"a fixed scale", "got 0"});
  refused([](QConfig& c) { c.observer = FixedQParams{.scale = 1, .zero_point = 256}; },
          {"a fixed zero point of 0 to 255, got 256"});
}

TEST(Settings, RefuseAnInstructionSetThatIsNone) {
  EXPECT_ERROR(QConfig::x86(static_cast<Isa>(40)), invalid_argument, "QConfig::x86", "got 40");
}

TEST(Settings, AFixedScaleIsThatOne) {
  QConfig config = QConfig::portable();
  config.overrides = {
      {.op = "global_average_pool", .observer = FixedQParams{.scale = 0.0625, .zero_point = 16}},
      {.name = "x", .observer = Observer::min_max}};
  const Graph graph = branchy();
  config.overrides[1].name = graph.value(graph.inputs()[0]).name;
  for (const bool training : {false, true}) {
    Graph prepared = training ? prepare_qat(graph, config) : prepare(graph, config);
    prepared(pictures());
    const Graph int8 = convert(prepared).graph;
    int found = 0;
    for (const Graph::Node& node : int8.nodes())
      if (node.call.op == &kQuantizeLinear && int8.value(node.inputs[1]).tensor.item() == 0.0625) {
        ++found;
        EXPECT_EQ(int8.value(node.inputs[2]).tensor.item(), 16);
      }
    EXPECT_GE(found, 1);
  }
}

TEST(Settings, WhatHasNoObserverStaysFloat) {
  QConfig config = QConfig::portable();
  config.overrides = {{.name = "left", .observer = Observer::none}};
  const Converted converted = quantized(branchy(), config);
  const std::set<std::string> floats = floats_of(converted);
  EXPECT_EQ(floats.count("left"), 0U);  // its input has codes
  EXPECT_EQ(floats.count("inner"), 0U);
  EXPECT_THAT(to_string(converted.report), HasSubstr("has no observer"));
  config.overrides = {};
  config.observer = Observer::none;
  EXPECT_ERROR(prepare(branchy(), config), unsupported, "prepare", "has no observer");
}

TEST(Settings, FixedRangesOfOpsFollowTheCodes) {
  struct Gate : nn::Module {
    nn::Linear first{{.in = 6, .out = 6}};
    nn::Linear second{{.in = 6, .out = 4}};
    void members(nn::Members& m) override { m("first", first)("second", second); }
    Tensor forward(const Tensor& x) override { return second(tanh(first(x))); }
  } net;
  const Tensor x = Generator(3).normal({5, 6});
  const Graph graph = graph_of(net, x);
  for (const DType dtype : {DType::u8, DType::i8})
    for (const int bits : {4, 8}) {
      QConfig config = QConfig::portable();
      config.activation_dtype = dtype;
      config.activation_bits = bits;
      Graph prepared = prepare(graph, config);
      prepared(x);
      const Graph int8 = convert(prepared).graph;
      bool found = false;
      for (const Graph::Node& node : int8.nodes()) {
        if (node.call.op != &kQuantizeLinear) continue;
        const double s = int8.value(node.inputs[1]).tensor.item();
        const double z = int8.value(node.inputs[2]).tensor.item();
        const double middle = dtype == DType::i8 ? 0 : bits == 8 ? 128 : 8;
        found = found || (s == 2.0 / (1 << bits) && z == middle);
      }
      EXPECT_TRUE(found) << bits;
    }
}

}  // namespace
}  // namespace pare::quantize
