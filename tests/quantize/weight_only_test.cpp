// Weight-only quantization: integers of NumPy and ONNX Runtime, files, GPTQ, what stays and why.
#include "pare/quantize/weight_only.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "core/packed_codes.h"
#include "expect_error.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/graph/passes.h"
#include "pare/io/graph_file.h"
#include "pare/io/onnx.h"
#include "pare/quantize/inspect.h"
#include "pare/quantize/prepare.h"
#include "pare/runtime/compile.h"
#include "quantize/golden_weight_only.h"
#include "quantize/round_codes.h"
#include "temporary_folder.h"

namespace pare::quantize {
namespace {

namespace golden = golden_weight_only;
using test::expect_error;

Tensor infer(Graph& graph, const Tensor& x) {
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  scope->threads = 1;
  return graph.run({x})[0];
}

Call call_of(const OpDef& op) { return {&op, op.defaults ? op.defaults() : Attributes()}; }

/// x [4, K] → linear with this weight [N, K].
Graph linear_graph(const Tensor& weight) {
  Graph graph;
  const int x = graph.add_input("x", {4, weight.dim(1)}, DType::f32);
  const int w = graph.add_leaf(Graph::Kind::parameter, "fc.weight", weight, true);
  const int n = graph.add_node("fc", call_of(kLinear), {x, w});
  graph.set_outputs({graph.node(n).outputs[0]});
  graph.compact();
  return graph;
}

/// Ids [2, 5] → rows of a table [11, 24] → linear → matmul → the table again as a head.
Graph language_graph(Generator& g) {
  Graph graph;
  const auto leaf = [&](const char* name, const Shape& shape) {
    return graph.add_leaf(Graph::Kind::parameter, name, g.normal(shape, 0, 0.5F), true);
  };
  const auto node = [&](const char* name, const OpDef& op, std::vector<int> inputs) {
    return graph.node(graph.add_node(name, call_of(op), std::move(inputs))).outputs[0];
  };
  const int ids = graph.add_input("ids", {2, 5}, DType::i64);
  const int table = leaf("table", {11, 24});
  const int x = node("embed", kEmbedding, {ids, table});
  const int h = node("hidden", kLinear, {x, leaf("hidden.weight", {40, 24})});
  const int y = node("mix", kMatmul, {node("act", kTanh, {h}), leaf("mix.weight", {40, 24})});
  const int scaled = node("scale", kMul, {y, leaf("gain", {24})});
  graph.set_outputs({node("head", kLinear, {scaled, table})});
  graph.compact();
  return graph;
}

Tensor ids(Generator& g) { return g.uniform({2, 5}, 0, 10.99F).to(DType::i64); }

/// A convolution [6, 20, 3, 3] of two groups and a depthwise one.
Graph convolution_graph(Generator& g) {
  Graph graph;
  const int x = graph.add_input("x", {2, 20, 6, 6}, DType::f32);
  const auto conv = [&](const char* name, int from, const Shape& shape, std::int64_t groups) {
    const int w = graph.add_leaf(Graph::Kind::parameter, std::string(name) + ".weight",
                                 g.normal(shape, 0, 0.3F), true);
    Conv2dAttributes a;
    a.groups = groups;
    const int n = graph.add_node(name, {&kConv2d, Attributes::of(a)}, {from, w});
    return graph.node(n).outputs[0];
  };
  const int a = conv("wide", x, {6, 20, 3, 3}, 1);
  graph.set_outputs({conv("depthwise", a, {6, 1, 3, 3}, 6)});
  graph.compact();
  return graph;
}

std::vector<std::int32_t> integers(const double* values, std::size_t n) {
  return {values, values + n};
}

TEST(WeightOnly, GroupsAreThoseOfNumPyAndOnnxRuntime) {
  std::vector<float> values(std::begin(golden::kWeight), std::end(golden::kWeight));
  const Graph graph = linear_graph(Tensor::from(values, {golden::kRows, golden::kColumns}));
  for (const golden::Case& c : golden::kCases) {
    const std::string what = std::to_string(c.bits) + " bits by " + std::to_string(c.group) +
                             (c.symmetric ? " symmetric" : "");
    const WeightOnly q = weight_only(graph, {.bits = c.bits,
                                             .group_size = c.group,
                                             .symmetric = c.symmetric,
                                             .weight_observer = WeightObserver::min_max});
    const Tensor codes = int_repr(q.graph, "fc.weight");
    EXPECT_EQ(traits(codes.dtype()).bits, c.bits == 2 ? 2 : c.bits <= 4 ? 4 : 8) << what;
    EXPECT_EQ(code_values(codes), integers(c.codes, values.size())) << what;
    const std::int64_t groups = (golden::kColumns + c.group - 1) / c.group;
    EXPECT_EQ(scale(q.graph, "fc.weight").shape(), (Shape{golden::kRows, groups})) << what;
    const std::vector<float> scales = scale(q.graph, "fc.weight").to_vector<float>();
    for (std::size_t i = 0; i < scales.size(); ++i)
      EXPECT_FLOAT_EQ(scales[i], static_cast<float>(c.scales[i])) << what << " " << i;
    EXPECT_EQ(code_values(zero_point(q.graph, "fc.weight")), integers(c.zeros, scales.size()))
        << what;
    const std::vector<float> back = dequantized(q.graph, "fc.weight").to_vector<float>();
    for (std::size_t i = 0; i < back.size(); ++i)
      EXPECT_NEAR(back[i], c.values[i], 1e-6 * std::fabs(c.values[i]) + 1e-9) << what << " " << i;
  }
}

TEST(WeightOnly, EveryWeightIsNearItsCode) {
  Generator g(3);
  const std::vector<Graph> graphs{language_graph(g), convolution_graph(g)};
  for (const Graph& graph : graphs)
    for (const int bits : {4, 7, 8})
      for (const std::int64_t group : {std::int64_t{0}, std::int64_t{9}, std::int64_t{64}})
        for (const bool symmetric : {true, false})
          for (const Granularity granularity :
               {Granularity::per_tensor, Granularity::per_channel}) {
            const WeightOnly q = weight_only(graph, {.bits = bits,
                                                     .group_size = group,
                                                     .granularity = granularity,
                                                     .symmetric = symmetric,
                                                     .weight_observer = WeightObserver::min_max});
            for (const Graph::Value& value : graph.values()) {
              if (!value.is_leaf() || value.shape.rank() < 2) continue;
              // A largest scale bounds all: half a step, and what lies above the largest code.
              const std::vector<float> scales = scale(q.graph, value.name).to_vector<float>();
              const float step = *std::max_element(scales.begin(), scales.end());
              const std::vector<float> w = value.tensor.to_vector<float>();
              const std::vector<float> back = dequantized(q.graph, value.name).to_vector<float>();
              for (std::size_t i = 0; i < w.size(); ++i)
                ASSERT_NEAR(back[i], w[i], 0.501F * step + 1e-6F)
                    << value.name << " " << bits << " " << group << " " << symmetric << " " << i;
            }
          }
}

TEST(WeightOnly, LayoutsFollowTheOps) {
  Generator g(5);
  const WeightOnly net = weight_only(language_graph(g), {.group_size = 16});
  EXPECT_EQ(scale(net.graph, "table").shape(), (Shape{11, 2}));
  EXPECT_EQ(int_repr(net.graph, "table").dtype(), DType::i8);
  EXPECT_EQ(int_repr(net.graph, "hidden.weight").dtype(), DType::i4);
  EXPECT_EQ(scale(net.graph, "hidden.weight").shape(), (Shape{40, 2}));
  EXPECT_EQ(scale(net.graph, "mix.weight").shape(), (Shape{3, 24}));
  ASSERT_EQ(net.report.layers.size(), 4U);
  EXPECT_EQ(net.report.layers[3].name, "head");
  EXPECT_EQ(net.report.layers[3].note, "reads the codes of 'embed'");
  EXPECT_EQ(net.report.layers[1].bytes_after, 40U * 24 / 2 + 80U * 4);
  EXPECT_EQ(net.report.bytes_after, net.graph.bytes());
  EXPECT_TRUE(net.report.left.empty()) << to_string(net.report);
  const WeightOnly conv = weight_only(convolution_graph(g), {.group_size = 8});
  EXPECT_EQ(scale(conv.graph, "wide.weight").shape(), (Shape{6, 3, 3, 3}));
  EXPECT_EQ(scale(conv.graph, "depthwise.weight").shape(), (Shape{6}));  // one input a channel
}

TEST(WeightOnly, HalvesAreTheRoundedWeightsInGraphsPlansAndFiles) {
  Generator g(17);
  const test::TemporaryFolder folder;
  Graph language = language_graph(g), convolution = convolution_graph(g);
  struct Net {
    Graph* graph;
    Tensor x;
    int layers;
  };
  for (const Net& net : {Net{&language, ids(g), 4}, Net{&convolution, g.normal({2, 20, 6, 6}), 2}})
    for (const auto& [format, dtype] :
         {std::pair{WeightFormat::f16, DType::f16}, {WeightFormat::bf16, DType::bf16}}) {
      WeightOnly q = weight_only(*net.graph, {.format = format});
      EXPECT_EQ(q.report.layers.size(), static_cast<std::size_t>(net.layers));
      EXPECT_EQ(q.report.layers[0].bits, 16);
      EXPECT_EQ(q.report.layers[0].bytes_after * 2, q.report.layers[0].bytes_before);
      // The same as the float graph with its weights rounded in place.
      Graph rounded = net.graph->copy();
      for (std::size_t v = 0; v < rounded.values().size(); ++v)
        if (Graph::Value& value = rounded.edit_value(static_cast<int>(v));
            value.is_leaf() && value.shape.rank() >= 2)
          value.tensor = value.tensor.detach().to(dtype).to(DType::f32);
      const std::vector<float> wanted = infer(rounded, net.x).to_vector<float>();
      EXPECT_EQ(infer(q.graph, net.x).to_vector<float>(), wanted);
      const auto near = [&](const Tensor& y) {
        const std::vector<float> found = y.to_vector<float>();
        for (std::size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(found[i], wanted[i], 1e-4F);
      };
      ContextScope scope;
      scope->threads = 1;
      const Plan plan = compile(q.graph.copy());
      near(plan.run(Tensors{net.x})[0]);
      io::save_graph(q.graph, folder.path("q.pare"));
      EXPECT_EQ(io::load_graph(folder.path("q.pare")).to_string(), q.graph.to_string());
      onnx::save(q.graph, folder.path("q.onnx"));
      Graph back = onnx::load(folder.path("q.onnx"));
      EXPECT_EQ(back.bytes(), q.graph.bytes());
      near(infer(back, net.x));
    }
}

TEST(WeightOnly, HalvesRefuseWhatTheyCannotHold) {
  Tensor weight = Tensor::full({3, 8}, 1.0F);
  weight.mutable_data<float>()[5] = 70000;
  const Graph graph = linear_graph(weight);
  expect_error(ErrorCode::invalid_argument, {"fc", "f16", "70000"},
               [&] { weight_only(graph, {.format = WeightFormat::f16}); });
  EXPECT_EQ(weight_only(graph, {.format = WeightFormat::bf16}).report.layers.size(), 1U);
  expect_error(ErrorCode::invalid_argument, {"GPTQ", "bf16"}, [&] {
    weight_only(graph, {.format = WeightFormat::bf16,
                        .gptq = true,
                        .data = Batches{1, [](std::int64_t) { return Tensors{}; }}});
  });
}

// ONNX Runtime runs such files in io.OnnxPeer; here they come back.
TEST(WeightOnly, FilesWithMatMulNBitsComeBack) {
  Generator g(18);
  const test::TemporaryFolder folder;
  Graph graph = language_graph(g);
  const Tensor x = ids(g);
  for (const int bits : {2, 3, 4, 8}) {
    WeightOnly q = weight_only(graph, {.bits = bits, .group_size = 16});
    onnx::save(q.graph, folder.path("q.onnx"), {.matmul_nbits = true});
    Graph back = onnx::load(folder.path("q.onnx"));
    const std::vector<float> a = infer(q.graph, x).to_vector<float>();
    const std::vector<float> b = infer(back, x).to_vector<float>();
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4F) << bits;
  }
}

TEST(WeightOnly, PlanAndFilesGiveTheSame) {
  Generator g(7);
  const test::TemporaryFolder folder;
  Graph language = language_graph(g), convolution = convolution_graph(g);
  struct Net {
    Graph* graph;
    Tensor x;
  };
  for (const Net& net : {Net{&language, ids(g)}, Net{&convolution, g.normal({2, 20, 6, 6})}})
    for (const int bits : {2, 4, 8})
      for (const std::int64_t group : {std::int64_t{0}, std::int64_t{16}})
        for (const bool symmetric : {true, false}) {
          WeightOnly q = weight_only(
              *net.graph,
              {.bits = bits, .embedding_bits = bits, .group_size = group, .symmetric = symmetric});
          const std::vector<float> expected = infer(q.graph, net.x).to_vector<float>();
          {
            ContextScope scope;
            scope->threads = 1;
            const Tensors planned_outputs = compile(q.graph).run(Tensors{net.x});
            const std::vector<float> planned = planned_outputs[0].to_vector<float>();
            for (std::size_t i = 0; i < expected.size(); ++i)
              EXPECT_NEAR(planned[i], expected[i], 1e-4F);
          }
          const auto same = [&](Graph back) {
            EXPECT_EQ(back.bytes(), q.graph.bytes());
            const std::vector<float> y = infer(back, net.x).to_vector<float>();
            for (std::size_t i = 0; i < expected.size(); ++i)
              ASSERT_NEAR(y[i], expected[i], 1e-4F) << bits << " " << group;
            for (const Graph::Value& value : q.graph.values())
              if (const int v = back.find_value(value.name);
                  value.is_leaf() && traits(value.dtype).bits <= 8) {
                ASSERT_GE(v, 0) << value.name;
                EXPECT_EQ(back.value(v).dtype, value.dtype) << value.name;
                EXPECT_EQ(code_values(back.value(v).tensor), code_values(value.tensor));
              }
            expect_error(ErrorCode::invalid_state, {"quantized already"},
                         [&] { weight_only(back); });
          };
          io::save_graph(q.graph, folder.path("q.pare"));
          same(io::load_graph(folder.path("q.pare")));
          EXPECT_EQ(io::load_graph(folder.path("q.pare")).to_string(), q.graph.to_string());
          onnx::save(q.graph, folder.path("q.onnx"));
          same(onnx::load(folder.path("q.onnx")));
          // Codes stay what they are until a plan is made.
          EXPECT_EQ(fold_constants(q.graph.copy(), {}).graph.bytes(), q.graph.bytes());
        }
}

TEST(WeightOnly, GptqByGroupsIsThatOfNumPy) {
  SquareMatrix moments(golden::kGroupColumns);
  std::copy(std::begin(golden::kMoments), std::end(golden::kMoments), moments.data.begin());
  RoundingProblem problem{.moments = moments, .qmax = 15, .search_scales = false, .sweeps = 0};
  problem.qmin = 0;
  for (std::int64_t c = 0; c < golden::kGroupColumns; ++c)
    problem.scale_of.push_back(c / golden::kGroup);
  problem.zero_points = integers(golden::kGroupZeros, std::size(golden::kGroupZeros));
  const RoundedRows rounded =
      round_rows(problem, {std::begin(golden::kTargets), std::end(golden::kTargets)},
                 {std::begin(golden::kGroupScales), std::end(golden::kGroupScales)});
  EXPECT_EQ(rounded.codes,
            std::vector<double>(std::begin(golden::kGroupCodes), std::end(golden::kGroupCodes)));
}

TEST(WeightOnly, GptqIsNeverWorseByItsOwnQuadratic) {
  Generator g(9);
  const Tensor mix = g.normal({48, 48}), weight = g.normal({20, 48});
  const Tensor x = matmul(g.normal({64, 48}), mix);
  const Graph graph = linear_graph(weight);
  const Batches data(16, [&](std::int64_t b) { return Tensors{slice(x, 0, 4 * b, 4 * b + 4)}; });
  const std::vector<float> seen = x.to_vector<float>();
  // Σ ((ŵ − w)·x)² of every row, by its definition, with the damping.
  const auto losses = [&](const Graph& q) {
    const std::vector<float> back = dequantized(q, "fc.weight").to_vector<float>();
    const std::vector<float> w = weight.to_vector<float>();
    double trace = 0;
    for (const float v : seen) trace += static_cast<double>(v) * static_cast<double>(v);
    std::vector<double> sums(20, 0);
    for (std::size_t r = 0; r < 20; ++r) {
      double squares = 0;
      for (std::size_t k = 0; k < 48; ++k)
        squares += std::pow(static_cast<double>(back[r * 48 + k] - w[r * 48 + k]), 2);
      sums[r] = 0.01 * trace / 48 * squares;
      for (std::size_t p = 0; p < 64; ++p) {
        double y = 0;
        for (std::size_t k = 0; k < 48; ++k)
          y += static_cast<double>((back[r * 48 + k] - w[r * 48 + k]) * seen[p * 48 + k]);
        sums[r] += y * y;
      }
    }
    return sums;
  };
  for (const int bits : {2, 3, 4, 8})
    for (const std::int64_t group : {std::int64_t{0}, std::int64_t{16}, std::int64_t{20}})
      for (const bool symmetric : {true, false})
        for (const WeightObserver observer : {WeightObserver::min_max, WeightObserver::mse}) {
          WeightOnlyOptions options{.bits = bits,
                                    .group_size = group,
                                    .symmetric = symmetric,
                                    .weight_observer = observer,
                                    .data = data};
          const WeightOnly plain = weight_only(graph, options);
          options.gptq = true;
          const WeightOnly gptq = weight_only(graph, options);
          const std::vector<double> before = losses(plain.graph), after = losses(gptq.graph);
          double sum_before = 0, sum_after = 0;
          for (std::size_t r = 0; r < 20; ++r) {
            EXPECT_LE(after[r], before[r] * (1 + 1e-4)) << bits << " " << group << " row " << r;
            sum_before += before[r];
            sum_after += after[r];
          }
          EXPECT_LT(sum_after, 0.8 * sum_before) << bits << " " << group;
          ASSERT_TRUE(gptq.report.layers[0].gptq);
          EXPECT_EQ(gptq.report.layers[0].nearest_sqnr_db, plain.report.layers[0].output_sqnr_db);
          EXPECT_GT(*gptq.report.layers[0].output_sqnr_db, *plain.report.layers[0].output_sqnr_db);
        }
}

TEST(WeightOnly, GptqOfATableIsItsHeads) {
  Generator g(11);
  const Graph graph = language_graph(g);
  const Batches data(6, [&](std::int64_t b) {
    Generator own(100 + static_cast<std::uint64_t>(b));
    return Tensors{ids(own)};
  });
  const WeightOnly q =
      weight_only(graph, {.embedding_bits = 4, .group_size = 8, .gptq = true, .data = data});
  ASSERT_EQ(q.report.layers.size(), 4U);
  for (const std::size_t layer : {0U, 1U, 2U}) {
    EXPECT_TRUE(q.report.layers[layer].gptq) << layer;
    EXPECT_GE(*q.report.layers[layer].output_sqnr_db, *q.report.layers[layer].nearest_sqnr_db);
  }
  EXPECT_TRUE(q.report.layers[0].output_sqnr_db.has_value());
}

TEST(WeightOnly, LayersAreChosenAndTheRestSaysWhy) {
  Generator g(13);
  const Graph graph = language_graph(g);
  const auto left = [&](const WeightOnlyOptions& options) {
    std::string text;
    for (const PassReport::Line& line : weight_only(graph, options).report.left)
      text += line.node + ": " + line.text + "\n";
    return text;
  };
  EXPECT_EQ(left({.ops = {"linear", "embedding"}}), "mix: matmul is not among the ops\n");
  EXPECT_EQ(left({.names = {"h*"}}), "embed: not chosen by name\nmix: not chosen by name\n");
  EXPECT_EQ(left({.names = {"h*"}, .exclude = {"head"}}),
            "embed: not chosen by name\nmix: not chosen by name\n"
            "head: excluded by name ('head')\n");
  std::vector<std::string> seen;
  const WeightOnly stopped = weight_only(graph, {.progress = [&](const LayerProgress& progress) {
                                           seen.push_back(progress.layer);
                                           EXPECT_EQ(progress.layers, 4);
                                           return progress.done < 1;
                                         }});
  EXPECT_EQ(seen, (std::vector<std::string>{"embed", "hidden"}));
  ASSERT_EQ(stopped.report.left.size(), 3U);
  EXPECT_EQ(stopped.report.left[0].text, "stopped before it");
}

TEST(WeightOnly, RefusesBadInput) {
  Generator g(15);
  const Graph graph = language_graph(g);
  const auto refuses = [&](ErrorCode code, std::initializer_list<std::string> words,
                           const WeightOnlyOptions& options) {
    expect_error(code, words, [&] { weight_only(graph, options); });
  };
  constexpr ErrorCode kInvalid = ErrorCode::invalid_argument;
  refuses(kInvalid, {"2 to 8 bits", "got 1"}, {.bits = 1});
  refuses(kInvalid, {"2 to 8 bits", "got 9"}, {.bits = 9});
  refuses(kInvalid, {"embedding_bits", "got 16"}, {.embedding_bits = 16});
  refuses(kInvalid, {"group", "got -1"}, {.group_size = -1});
  refuses(kInvalid, {"moving_average"}, {.weight_observer = WeightObserver::moving_average});
  refuses(kInvalid, {"data for GPTQ", "got none"}, {.gptq = true});
  refuses(kInvalid, {"batch of data", "got none"}, {.data = Batches(std::vector<Tensors>{})});
  refuses(kInvalid, {"damping", "got 0"}, {.damping = 0});
  refuses(kInvalid, {"'lstm'", "'embedding', 'linear', 'matmul'"}, {.ops = {"lstm"}});
  refuses(kInvalid, {"'hiden'", "nearest are 'hidden'"}, {.names = {"hiden"}});
  refuses(kInvalid, {"'heads'", "nearest are 'head'"}, {.exclude = {"heads"}});
  refuses(ErrorCode::unsupported, {"expected a layer", "excluded by name ('*')"},
          {.exclude = {"*"}});
  Tensor broken = Tensor::ones({3, 40});
  broken.mutable_data<float>()[17] = std::numeric_limits<float>::quiet_NaN();
  expect_error(kInvalid, {"fc", "NaN"}, [&] { weight_only(linear_graph(broken)); });
  const Graph fine = linear_graph(Tensor::ones({3, 40}));
  const Batches infinite(
      std::vector<Tensors>{{Tensor::full({4, 40}, std::numeric_limits<double>::infinity())}});
  expect_error(kInvalid, {"fc", "NaN or infinity"},
               [&] { weight_only(fine, {.gptq = true, .data = infinite}); });
  expect_error(ErrorCode::invalid_state, {"quantized already"},
               [&] { prepare(weight_only(fine).graph); });
}

TEST(WeightOnly, ZerosAndEqualWeightsStayThemselves) {
  for (const double value : {0.0, 0.25, -3.0})
    for (const bool symmetric : {true, false})
      for (const int bits : {2, 4, 8}) {
        const Graph graph = linear_graph(Tensor::full({3, 40}, value));
        const WeightOnly q = weight_only(
            graph,
            {.bits = bits, .symmetric = symmetric, .weight_observer = WeightObserver::min_max});
        for (const float w : dequantized(q.graph, "fc.weight").to_vector<float>())
          EXPECT_NEAR(w, value, symmetric ? std::fabs(value) * 0.34 : 1e-6) << bits;
      }
}

TEST(DequantizeWeight, ChecksShapesAndTypes) {
  const Tensor q = Tensor::zeros({3, 40}, DType::i4);
  const auto refuses = [&](ErrorCode code, std::initializer_list<std::string> words,
                           const Tensor& codes, const Tensor& scale, const Tensor& zero,
                           const DequantizeWeightAttributes& a) {
    expect_error(code, words, [&] { dequantize_weight(codes, scale, zero, a); });
  };
  refuses(ErrorCode::dtype_mismatch, {"dequantize_weight", "i2 or u2", "i32"},
          Tensor::zeros({3}, DType::i32), Tensor::scalar(1), {}, {});
  refuses(ErrorCode::shape_mismatch, {"[3, 3]", "blocks of 16 along axis 1", "[3, 2]"}, q,
          Tensor::ones({3, 2}), {}, {.axis = 1, .block = 16});
  refuses(ErrorCode::shape_mismatch, {"[3, 3]", "zero point"}, q, Tensor::ones({3, 3}),
          Tensor::zeros({3}, DType::i4), {.axis = 1, .block = 16});
  refuses(ErrorCode::dtype_mismatch, {"i32 or i4", "u8"}, q, Tensor::ones({3, 3}),
          Tensor::zeros({3, 3}, DType::u8), {.axis = 1, .block = 16});
  refuses(ErrorCode::dtype_mismatch, {"f32 scale"}, q, Tensor::ones({3, 3}, DType::f64), {},
          {.axis = 1, .block = 16});
  refuses(ErrorCode::invalid_argument, {"block", "got -2"}, q, Tensor::ones({3, 3}), {},
          {.axis = 1, .block = -2});
  EXPECT_EQ(dequantize_weight(q, Tensor::ones({40}), {}, {.axis = 1}).shape(), (Shape{3, 40}));
}

}  // namespace
}  // namespace pare::quantize
