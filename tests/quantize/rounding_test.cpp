// Rounding by the layers' outputs: codes against GPTQ in NumPy and all codes there are, whole nets.
#include <gtest/gtest.h>

#include <cmath>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/golden_rounding.h"
#include "quantize/layer_moments.h"
#include "quantize/moments.h"
#include "quantize/nets.h"
#include "quantize/round_codes.h"

namespace pare::quantize {
namespace {

using test::Branchy;
using test::expect_error;
using test::graph_of;
using test::infer_with;
using test::random_moments;

template <std::size_t N> std::vector<double> all(const double (&values)[N]) {
  return {std::begin(values), std::end(values)};
}
template <std::size_t N> SquareMatrix square(const double (&values)[N]) {
  SquareMatrix m(golden_rounding::kColumns);
  m.data = all(values);
  return m;
}

// By its definition: (s·q − t) A (s·q − t)ᵀ.
double loss_of(const SquareMatrix& a, const std::vector<double>& codes, double scale,
               const std::vector<double>& target) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.size; ++i)
    for (std::int64_t k = 0; k < a.size; ++k)
      sum += (scale * codes[static_cast<std::size_t>(i)] - target[static_cast<std::size_t>(i)]) *
             a.row(i)[k] *
             (scale * codes[static_cast<std::size_t>(k)] - target[static_cast<std::size_t>(k)]);
  return sum;
}

std::vector<double> nearest_codes(const std::vector<double>& target, double scale, double qmax) {
  std::vector<double> codes;
  for (const double t : target)
    codes.push_back(std::min(std::max(std::nearbyint(t / scale), -qmax), qmax));
  return codes;
}

TEST(RoundRows, ColumnByColumnIsGptq) {
  const SquareMatrix moments = square(golden_rounding::kMoments);
  const std::vector<double> scales = all(golden_rounding::kScales);
  const RoundedRows rounded =
      round_rows({moments, golden_rounding::kQmax, false, 0}, all(golden_rounding::kWeights),
                 std::vector<float>(scales.begin(), scales.end()));
  EXPECT_EQ(rounded.codes, all(golden_rounding::kCodes));
}

TEST(RoundRows, TargetsMakeUpForAnotherInput) {
  const std::vector<double> targets =
      shifted_targets(square(golden_rounding::kMoments), square(golden_rounding::kDifference),
                      all(golden_rounding::kWeights));
  ASSERT_EQ(targets.size(), std::size(golden_rounding::kTargets));
  for (std::size_t i = 0; i < targets.size(); ++i)
    EXPECT_NEAR(targets[i], golden_rounding::kTargets[i], 1e-10) << i;
}

TEST(RoundRows, NeverWorseThanNearestAndNoSingleChangeHelps) {
  Generator generator(3);
  for (int trial = 0; trial < 50; ++trial) {
    const std::int64_t n = 2 + trial % 11;
    const SquareMatrix moments = random_moments(n, generator);
    const auto drawn = generator.normal({n}).to_vector<float>();
    const std::vector<double> target(drawn.begin(), drawn.end());
    const float given = 0.3F;
    for (const bool search : {false, true}) {
      const RoundedRows rounded = round_rows({moments, 7, search}, target, {given});
      const auto scale = static_cast<double>(rounded.scales[0]);
      const double loss = loss_of(moments, rounded.codes, scale, target);
      EXPECT_LE(loss, loss_of(moments, nearest_codes(target, 0.3F, 7), 0.3F, target) * (1 + 1e-9));
      EXPECT_LE(rounded.scales[0], given);
      EXPECT_EQ(search || rounded.scales[0] == given, true);
      for (std::size_t i = 0; i < rounded.codes.size(); ++i)
        for (const double step : {-1.0, 1.0}) {
          std::vector<double> other = rounded.codes;
          other[i] += step;
          if (std::fabs(other[i]) > 7) continue;
          EXPECT_GE(loss_of(moments, other, scale, target), loss * (1 - 1e-9)) << n << " " << i;
        }
    }
  }
}

TEST(RoundRows, MostlyFindsTheBestOfAllCodes) {
  Generator generator(4);
  constexpr int kTrials = 60;
  int found = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const SquareMatrix moments = random_moments(4, generator);
    const auto drawn = generator.normal({4}).to_vector<float>();
    const std::vector<double> target(drawn.begin(), drawn.end());
    const RoundedRows rounded = round_rows({moments, 3, false}, target, {0.5F});
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 7 * 7 * 7 * 7; ++i)
      least = std::min(
          least, loss_of(moments, {i % 7 - 3.0, i / 7 % 7 - 3.0, i / 49 % 7 - 3.0, i / 343 - 3.0},
                         0.5, target));
    const double loss = loss_of(moments, rounded.codes, 0.5, target);
    EXPECT_GE(loss, least * (1 - 1e-9));
    if (loss <= least * (1 + 1e-9)) ++found;
  }
  EXPECT_GE(found, kTrials * 8 / 10);
}

TEST(RoundRows, RefusesMomentsThatAreNone) {
  SquareMatrix m(2);
  m.data = {1, 2, 2, 1};
  expect_error(ErrorCode::invalid_argument, {"a layer: ", "positive definite", "2 columns"}, [&] {
    round_rows({.moments = m, .where = "a layer"}, {1, 1}, {0.1F});
  });
  expect_error(ErrorCode::invalid_argument, {"a layer: ", "positive definite", "2 columns"}, [&] {
    shifted_targets(m, SquareMatrix(2), {1, 1}, "a layer");
  });
  m.data = {1, std::numeric_limits<double>::quiet_NaN(), 0, 1};
  expect_error(ErrorCode::invalid_argument, {"positive definite"}, [&] {
    round_rows({m}, {1, 1}, {0.1F});
  });
}

// Moments of every place, against sums over the op's own results: applying the layer to a picture
// sums over what `own` and `mean` average. Once more of inputs that vary little beside their mean.
TEST(LayerMoments, AreThoseOfTheLayer) {
  struct Case {
    Conv2dAttributes attributes;
    Shape x, weight;
  };
  const Case cases[] = {
      {{.stride = {2, 1}, .padding = {1, 0, 2, 1}, .dilation = {1, 2}, .groups = 2},
       {3, 4, 7, 8},
       {6, 2, 3, 2}},
      {{.stride = {1, 1}, .padding = {1, 1, 1, 1}, .groups = 4}, {2, 4, 5, 5}, {4, 1, 3, 3}},
  };
  Generator generator(6);
  for (const Case& c : cases)
    for (const float offset : {0.0F, 40.0F}) {
      Conv2dAttributes attributes = c.attributes;
      if (offset != 0) attributes.padding = {0, 0, 0, 0};  // zeros would vary
      const Tensor x = generator.normal(c.x, offset), z = generator.normal(c.x, offset);
      const Tensor w = generator.normal(c.weight);
      Graph::Node node;
      node.name = "layer";
      node.call = {&kConv2d, Attributes::of(attributes)};
      LayerMoments moments(node, w, 1000, 1);
      moments.add(x.to(MemoryFormat::channels_last), z);
      const Tensor y = conv2d(x, w, {}, attributes), wanted = conv2d(z, w, {}, attributes);
      const auto a = y.to_vector<float>(), b = wanted.to_vector<float>();
      const std::int64_t pixels = y.dim(2) * y.dim(3), outputs = y.dim(1);
      EXPECT_EQ(moments.places(), y.dim(0) * pixels);
      const LayerForm form = moments.form();
      const std::vector<double> rows = weight_rows(node, w);
      for (std::int64_t o = 0; o < outputs; ++o) {
        double mean = 0, of_wanted = 0, own = 0, cross = 0, power = 0;
        for (std::int64_t n = 0; n < y.dim(0); ++n)
          for (std::int64_t p = 0; p < pixels; ++p) {
            const auto i = static_cast<std::size_t>((n * outputs + o) * pixels + p);
            mean += a[i];
            of_wanted += b[i];
            own += static_cast<double>(a[i]) * a[i];
            cross += static_cast<double>(a[i]) * b[i];
            power += static_cast<double>(b[i]) * b[i];
          }
        const auto places = static_cast<double>(moments.places());
        mean /= places;
        of_wanted /= places;
        own = own / places - mean * mean;
        cross = cross / places - mean * of_wanted;
        power = power / places - of_wanted * of_wanted;
        const LayerMoments::Group group = moments.group(o / form.rows);
        const double* r = rows.data() + o * form.columns;
        double group_mean = 0, group_cross = 0;
        for (std::int64_t i = 0; i < form.columns; ++i) {
          group_mean += r[i] * group.mean[static_cast<std::size_t>(i)];
          for (std::int64_t k = 0; k < form.columns; ++k)
            group_cross += r[i] * group.cross.row(i)[k] * r[k];
        }
        EXPECT_NEAR(group_mean, mean, 1e-4 + 1e-6 * std::fabs(mean));
        EXPECT_NEAR(quadratic(group.own, r), own, 2e-4 * own);
        EXPECT_NEAR(group_cross, cross, 1e-3 * own);
        EXPECT_NEAR(group.power[static_cast<std::size_t>(o % form.rows)], power, 2e-4 * power);
        const double squares = own + mean * mean;
        EXPECT_NEAR(quadratic(group.own_with_means(), r), squares, 1e-4 * squares);
      }
    }
}

// One column per output of a layer of two, and of them one constant.
TEST(LayerMoments, OfConstantsHaveNoNoise) {
  Graph::Node node;
  node.name = "layer";
  node.call = {&kLinear, {}};
  const Tensor x = Tensor::from({0.3F, 7.1F, 0.3F, 7.1F, 0.3F, 7.1F}, {3, 2});
  LayerMoments moments(node, Tensor::from({1, 2}, {1, 2}), 64, 1);
  moments.add(x, x);
  moments.add(x, x);
  const LayerMoments::Group group = moments.group(0);
  EXPECT_EQ(group.own.data, std::vector<double>(4, 0));
  EXPECT_EQ(group.cross.data, std::vector<double>(4, 0));
  EXPECT_EQ(group.mean[1], double{7.1F});
  EXPECT_NEAR(group.own_with_means().row(0)[1], 0.3 * 7.1, 1e-6);
}

TEST(LayerMoments, DependOnNoBatchSplit) {
  Graph::Node node;
  node.name = "layer";
  node.call = {&kConv2d, Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}})};
  Generator generator(7);
  const Tensor x = generator.normal({6, 2, 9, 9}), w = generator.normal({3, 2, 3, 3});
  LayerMoments once(node, w, 10, 5), split(node, w, 10, 5), other(node, w, 10, 6);
  once.add(x, x);
  other.add(x, x);
  for (int b = 0; b < 3; ++b) {
    const Tensor part =
        slice(x, {.axes = {0}, .starts = {2 * b}, .ends = {2 * b + 2}, .steps = {1}});
    split.add(part, part);
  }
  EXPECT_EQ(once.places(), 60);
  const auto a = once.group(0).own.data, b = split.group(0).own.data, c = other.group(0).own.data;
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5);
  EXPECT_GT(std::fabs(a[0] - c[0]), 1e-3);
  EXPECT_GT(a[0], 0.1);
}

// --- whole nets

const Shape kShape{8, 3, 8, 8};

std::vector<Tensors> some_batches(int count = 4, std::uint64_t seed = 2) {
  Generator generator(seed);
  std::vector<Tensors> result;
  for (int i = 0; i < count; ++i) result.push_back({generator.normal(kShape, 0.1F, 1)});
  return result;
}

class RoundWeights : public testing::Test {
 protected:
  RoundWeights() {
    context().threads = 1;
    Branchy net;
    float_ = graph_of(net, Tensor::zeros(kShape));
    QConfig config = QConfig::x86(Isa::avx512_vnni);
    config.weight_qmax = config.depthwise_weight_qmax = 15;  // errors that show
    prepared_ = prepare(float_, config);
    const NoGrad no_grad;
    for (const Tensors& batch : data_) prepared_.run(batch);
  }
  ~RoundWeights() override { context().threads = 0; }

  double noise(Graph graph, const std::vector<Tensors>& batches) {
    double sum = 0;
    for (const Tensors& batch : batches) {
      const auto a = infer_with(float_, batch[0]).to_vector<float>();
      const auto b = infer_with(graph, batch[0]).to_vector<float>();
      for (std::size_t i = 0; i < a.size(); ++i)
        sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    }
    return sum;
  }

  const std::vector<Tensors> data_ = some_batches();
  Graph float_, prepared_;
};

TEST_F(RoundWeights, HalvesTheErrorOfTheNetOnOtherData) {
  const Rounded rounded = round_weights(prepared_, data_);
  ASSERT_EQ(rounded.report.layers.size(), 5U);
  for (const RoundingReport::Layer& layer : rounded.report.layers) {
    EXPECT_TRUE(layer.fitted) << layer.name << layer.note;
    EXPECT_GT(layer.after, layer.before) << layer.name;
    EXPECT_GT(layer.changed, 0) << layer.name;
    EXPECT_LT(layer.changed, layer.weights) << layer.name;
  }
  EXPECT_NE(to_string(rounded.report).find("right"), std::string::npos);
  const auto test = some_batches(4, 99);
  const double nearest = noise(convert(prepared_).graph, test);
  EXPECT_LT(noise(convert(rounded.graph).graph, test), nearest / 2);
}

TEST_F(RoundWeights, ConvertKeepsTheChosenCodes) {
  const Rounded rounded = round_weights(prepared_, data_);
  const Graph integer = convert(rounded.graph).graph;
  int seen = 0;
  for (const char* name : {"left.weight", "right.weight", "fc.weight"}) {
    const int leaf = rounded.graph.find_value(name);
    ASSERT_GE(leaf, 0) << name;
    EXPECT_EQ(dequantized(integer, name).to_vector<float>(),
              rounded.graph.value(leaf).tensor.to_vector<float>())
        << name;
    ++seen;
  }
  EXPECT_EQ(seen, 3);
  // And the graph that was given has changed in nothing.
  EXPECT_EQ(prepared_.value(prepared_.find_value("fc.weight")).tensor.to_vector<float>(),
            float_.value(float_.find_value("fc.weight")).tensor.to_vector<float>());
}

TEST_F(RoundWeights, BiasAloneTakesTheMeanErrorAway) {
  const auto mean_error = [&](Graph graph) {
    std::vector<double> mean(5, 0);
    for (const Tensors& batch : data_) {
      const auto a = infer_with(float_, batch[0]).to_vector<float>();
      const auto b = infer_with(graph, batch[0]).to_vector<float>();
      for (std::size_t i = 0; i < a.size(); ++i)
        mean[i % 5] += (static_cast<double>(b[i]) - a[i]) / static_cast<double>(4 * kShape[0]);
    }
    double largest = 0;
    for (const double m : mean) largest = std::max(largest, std::fabs(m));
    return largest;
  };
  const double before = mean_error(convert(prepared_).graph);
  const Rounded rounded = round_weights(prepared_, data_, {.round_weights = false});
  const double after = mean_error(convert(rounded.graph).graph);
  EXPECT_GT(before, 1e-3);
  // What is left is the rounding of the bias itself.
  double step = 0;
  for (const float s : scale(convert(rounded.graph).graph, "fc.bias").to_vector<float>())
    step = std::max(step, static_cast<double>(s));
  EXPECT_LT(after, step / 2 + 1e-6);
  for (const RoundingReport::Layer& layer : rounded.report.layers) {
    EXPECT_EQ(layer.changed, 0) << layer.name;
    EXPECT_GT(layer.largest_shift, 0) << layer.name;
    EXPECT_GE(layer.after, layer.before) << layer.name;
  }
  // Weights keep their codes.
  EXPECT_EQ(int_repr(convert(rounded.graph).graph, "fc.weight").to_vector<std::int8_t>(),
            int_repr(convert(prepared_).graph, "fc.weight").to_vector<std::int8_t>());
}

TEST_F(RoundWeights, WeightsWithOneScaleKeepTheirCodesAndGetBiases) {
  QConfig config = QConfig::x86(Isa::avx512_vnni);
  config.overrides = {{.op = "linear", .weight_granularity = Granularity::per_tensor}};
  Graph prepared = prepare(float_, config);
  {
    const NoGrad no_grad;
    for (const Tensors& batch : data_) prepared.run(batch);
  }
  const Rounded rounded = round_weights(prepared, data_);
  const RoundingReport::Layer& fc = rounded.report.layers.back();
  EXPECT_EQ(fc.name, "fc");
  EXPECT_EQ(fc.note, "nearest codes: its weight has zero points or one scale");
  EXPECT_TRUE(fc.fitted);
  EXPECT_EQ(fc.changed, 0);
  EXPECT_GT(fc.largest_shift, 0);
  EXPECT_GT(rounded.report.layers[0].changed, 0);
  EXPECT_EQ(int_repr(convert(rounded.graph).graph, "fc.weight").to_vector<std::int8_t>(),
            int_repr(convert(prepared).graph, "fc.weight").to_vector<std::int8_t>());
}

TEST_F(RoundWeights, WeightsByGroupKeepTheirCodesAndGetBiases) {
  QConfig config = QConfig::x86(Isa::avx512_vnni);
  config.weight_qmax = config.depthwise_weight_qmax = 15;
  config.weight_granularity = Granularity::per_group;
  config.weight_group_size = 3;
  Graph prepared = prepare(float_, config);
  {
    const NoGrad no_grad;
    for (const Tensors& batch : data_) prepared.run(batch);
  }
  const Rounded rounded = round_weights(prepared, data_);
  ASSERT_EQ(rounded.report.layers.size(), 5U);
  for (const RoundingReport::Layer& layer : rounded.report.layers) {
    EXPECT_TRUE(layer.fitted) << layer.name;
    // With no more inputs than a group has, scales are the channels'.
    const bool channels = layer.name == "stem" || layer.name == "right";
    EXPECT_EQ(layer.note, channels ? "" : "nearest codes: its weight has a scale for each group");
    EXPECT_EQ(layer.changed > 0, channels) << layer.name;
    EXPECT_GT(layer.largest_shift, 0) << layer.name;
    EXPECT_GE(layer.after, layer.before) << layer.name;
  }
  const Graph before = convert(prepared).graph, after = convert(rounded.graph).graph;
  for (const char* name : {"inner.weight", "left.weight", "fc.weight"})
    EXPECT_EQ(int_repr(after, name).to_vector<std::int8_t>(),
              int_repr(before, name).to_vector<std::int8_t>())
        << name;
  EXPECT_LT(noise(after, data_), noise(before, data_));
}

TEST_F(RoundWeights, MatrixProductsWithoutBias) {
  test::OneMatmul net;
  const Graph graph = graph_of(net, Tensor::zeros({4, 40}));
  QConfig config = QConfig::portable();
  config.weight_qmax = 7;
  Graph prepared = prepare(graph, config);
  Generator generator(8);
  std::vector<Tensors> data;
  for (int i = 0; i < 4; ++i) data.push_back({generator.normal({32, 40})});
  {
    const NoGrad no_grad;
    for (const Tensors& batch : data) prepared.run(batch);
  }
  const Rounded rounded = round_weights(prepared, data);
  ASSERT_EQ(rounded.report.layers.size(), 1U);
  EXPECT_GT(rounded.report.layers[0].after, rounded.report.layers[0].before + 1);
  const Tensor x = generator.normal({256, 40});
  const auto error = [&](Graph integer) {
    Graph reference = graph;
    const auto a = infer_with(reference, x).to_vector<float>();
    const auto b = infer_with(integer, x).to_vector<float>();
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
      sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    return sum;
  };
  EXPECT_LT(error(convert(rounded.graph).graph), error(convert(prepared).graph));
}

TEST_F(RoundWeights, SameOnAnyNumberOfThreadsAndInAnyBatches) {
  const Rounded one = round_weights(prepared_, data_);
  context().threads = 2;
  std::vector<Tensors> halves;
  for (const Tensors& batch : data_)
    for (int h = 0; h < 2; ++h)
      halves.push_back(
          {slice(batch[0], {.axes = {0}, .starts = {4 * h}, .ends = {4 * h + 4}, .steps = {1}})});
  const Rounded two = round_weights(prepared_, halves);
  for (std::size_t i = 0; i < one.report.layers.size(); ++i)
    EXPECT_NEAR(one.report.layers[i].after, two.report.layers[i].after, 0.05);
}

TEST_F(RoundWeights, StopsWhenAsked) {
  RoundingOptions options;
  std::vector<std::string> seen;
  options.progress = [&](const LayerProgress& progress) {
    EXPECT_EQ(progress.layers, 5);
    EXPECT_EQ(progress.done, static_cast<std::int64_t>(seen.size()));
    seen.push_back(progress.layer);
    return seen.size() < 3;
  };
  const Rounded rounded = round_weights(prepared_, data_, options);
  EXPECT_EQ(seen.size(), 3U);
  EXPECT_TRUE(rounded.report.layers[1].fitted);
  EXPECT_FALSE(rounded.report.layers[2].fitted);
  EXPECT_EQ(rounded.report.layers[4].note, "stopped before it");
  EXPECT_GT(convert(rounded.graph).report.nodes.size(), 0U);
}

// One sample, a constant, a sample again and again: what a layer reads behind the pooling does not
// vary at all, and there is nothing but the mean to be put right.
TEST_F(RoundWeights, DataThatHardlyVaries) {
  Generator generator(12);
  const Tensor one = generator.normal({1, 3, 8, 8}, 0.1F, 1);
  const Tensor constant = Tensor::full({8, 3, 8, 8}, 3.0F);
  const std::vector<std::vector<Tensors>> kinds = {{{one}},
                                                   {{constant}},
                                                   {{constant}, {constant}},
                                                   {{concat({one, one, one, one}, 0)}, {one}},
                                                   {{Tensor::zeros({8, 3, 8, 8})}},
                                                   {{one * 1e-3F + 5.0F}}};
  for (std::size_t kind = 0; kind < kinds.size(); ++kind)
    for (const bool relaxes : {false, true})
      for (const bool rounds : {true, false}) {
        SCOPED_TRACE(testing::Message() << kind << " " << relaxes << " " << rounds);
        const RoundingOptions options{
            .round_weights = rounds,
            .method = relaxes ? RoundingMethod::adaround : RoundingMethod::gptq_descent,
            .relaxation = {.iterations = 50}};
        const Rounded rounded = round_weights(prepared_, kinds[kind], options);
        for (const RoundingReport::Layer& layer : rounded.report.layers) {
          EXPECT_TRUE(layer.fitted) << layer.name;
          EXPECT_TRUE(std::isfinite(layer.before) && std::isfinite(layer.after)) << layer.name;
        }
        const RoundingReport::Layer& fc = rounded.report.layers.back();
        EXPECT_GT(fc.after, std::max(60.0, fc.before));  // but for rounding in f32
        const Graph integer = convert(rounded.graph).graph;
        EXPECT_LT(noise(integer, kinds[kind]), noise(convert(prepared_).graph, kinds[kind]));
        // Codes are of the float weights: nothing else is known of them.
        const auto w = float_.value(float_.find_value("fc.weight")).tensor.to_vector<float>();
        const auto q = dequantized(integer, "fc.weight").to_vector<float>();
        const auto scales = scale(integer, "fc.weight").to_vector<float>();
        const std::size_t columns = w.size() / scales.size();
        for (std::size_t i = 0; i < w.size(); ++i)
          EXPECT_LT(std::fabs(q[i] - w[i]), 3 * scales[i / columns]) << i;
      }
}

TEST_F(RoundWeights, Refusals) {
  const auto expect = [&](ErrorCode code, std::initializer_list<std::string> words,
                          const Graph& graph, const std::vector<Tensors>& data,
                          const RoundingOptions& options = {}) {
    expect_error(code, words, [&] { round_weights(graph, data, options); });
  };
  expect(ErrorCode::invalid_argument, {"at least one batch", "none"}, prepared_, {});
  expect(ErrorCode::shape_mismatch, {"[0, 3, 8, 8]"}, prepared_, {{Tensor::zeros({0, 3, 8, 8})}});
  expect(ErrorCode::invalid_argument, {"one place", "0"}, prepared_, data_, {.places = 0});
  expect(ErrorCode::invalid_argument, {"damping", "-1"}, prepared_, data_, {.damping = -1});
  expect(ErrorCode::invalid_state, {"without observers"}, float_, data_);
  expect(ErrorCode::invalid_state, {"prepare_qat"}, prepare_qat(float_), data_);
  expect(ErrorCode::invalid_state, {"calibrated", "input"}, prepare(float_), data_);
  expect(ErrorCode::shape_mismatch, {"[8, 4, 8, 8]"}, prepared_, {{Tensor::zeros({8, 4, 8, 8})}});
  Tensor bad = data_[0][0].clone();
  bad.mutable_data<float>()[17] = std::numeric_limits<float>::quiet_NaN();
  expect(ErrorCode::invalid_argument, {"stem: ", "finite inputs", "NaN"}, prepared_, {{bad}});
  // Finite, but their products are not.
  expect(ErrorCode::invalid_argument, {"stem: ", "products f32 holds", "e+37"}, prepared_,
         {{data_[0][0] * 1e37F}});
}

}  // namespace
}  // namespace pare::quantize
