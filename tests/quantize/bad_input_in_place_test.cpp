// What edits graphs, or reads quantized ones, says of bad data, statistics, numbers and graphs: the
// graph is unchanged.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/unchanged.h"

namespace pare::quantize {
namespace {

using test::expect_error;
using test::refuses;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const Shape kPictures{4, 3, 8, 8};

class BadInputInPlace : public testing::Test {
 protected:
  BadInputInPlace() { context().threads = 1; }
  ~BadInputInPlace() override { context().threads = 0; }

  static Graph branchy() {
    test::Branchy net;
    return test::graph_of(net, Tensor::zeros(kPictures));
  }
  /// Three dense layers with ReLU between: pairs for equalize and absorb_biases.
  static Graph dense() {
    nn::Sequential net{nn::Linear{{.in = 4, .out = 5}}, nn::ReLU{}, nn::Linear{{.in = 5, .out = 5}},
                       nn::ReLU{}, nn::Linear{{.in = 5, .out = 3}}};
    return test::graph_of(net, Tensor::zeros({2, 4}));
  }
  static Tensors good() { return {Generator(3).normal(kPictures)}; }
  static Graph calibrated(const Graph& graph) {
    Graph prepared = prepare(graph);
    const NoGrad no_grad;
    prepared.run(good());
    return prepared;
  }
};

Tensors rows(float last) { return {Tensor::from({1, -2, 3, 4, 0.5F, 1, 2, last}, {2, 4})}; }

/// An edit of a graph that takes data.
struct Edit {
  const char* name;
  bool prepared;  // what it takes
  const char* not_finite;
  std::function<void(Graph& graph, const Batches& data)> run;
};
const std::vector<Edit>& edits() {
  static const std::vector<Edit> all{
      {"absorb_biases", false, "absorb_biases: input 'input' of batch 1",
       [](Graph& graph, const Batches& data) { absorb_biases(graph, {.data = data}); }},
      {"smooth", false, "smooth: input 'input' of batch 1",
       [](Graph& graph, const Batches& data) { smooth(graph, data, {.convolutions = true}); }},
      {"round_weights", true, "NaN or infinity",
       [](Graph& graph, const Batches& data) { round_weights(graph, data); }},
      {"adaround", true, "NaN or infinity",
       [](Graph& graph, const Batches& data) {
         round_weights(graph, data, {.method = RoundingMethod::adaround});
       }},
      {"bias correction", true, "NaN or infinity",
       [](Graph& graph, const Batches& data) {
         round_weights(graph, data, {.round_weights = false});
       }},
  };
  return all;
}

TEST_F(BadInputInPlace, Data) {
  Graph plain = branchy(), prepared = calibrated(plain);
  for (const Edit& edit : edits()) {
    SCOPED_TRACE(edit.name);
    Graph& graph = edit.prepared ? prepared : plain;
    refuses(ErrorCode::invalid_argument, {"at least one batch of", "none"}, graph,
            [&] { edit.run(graph, Batches(std::vector<Tensors>{})); });
    for (const float bad : {kNan, kInfinity}) {
      Tensors second = good();
      second[0].mutable_data<float>()[201] = bad;
      refuses(ErrorCode::invalid_argument, {edit.not_finite}, graph, [&] {
        edit.run(graph, std::vector<Tensors>{good(), second});
      });
    }
    refuses(ErrorCode::shape_mismatch, {"[4, 5, 8, 8]"}, graph, [&] {
      edit.run(graph, std::vector<Tensors>{good(), {Tensor::zeros({4, 5, 8, 8})}});
    });
    refuses(ErrorCode::invalid_argument, {"1", "2"}, graph, [&] {
      edit.run(graph, std::vector<Tensors>{{good()[0], good()[0]}});
    });
  }
}

TEST_F(BadInputInPlace, Twice) {
  const Graph graph = branchy();
  std::vector<Graph> done;
  done.push_back(prepare(graph));
  done.push_back(prepare_qat(graph));
  done.push_back(prepare_qat(graph, QConfig::x86(), {.method = TrainingMethod::lsq}));
  done.push_back(convert(calibrated(graph)).graph);
  done.push_back(dynamic(graph).graph);
  done.push_back(weight_only(graph).graph);
  done.push_back(to_fake_quantize(done[3]).graph);
  const Batches data(std::vector<Tensors>{good()});
  for (std::size_t i = 0; i < done.size(); ++i) {
    SCOPED_TRACE(i);
    Graph& quantized = done[i];
    refuses(ErrorCode::invalid_state, {"equalize", "quantized already", "(node '"}, quantized,
            [&] { equalize(quantized); });
    refuses(ErrorCode::invalid_state, {"absorb_biases", "quantized already"}, quantized,
            [&] { absorb_biases(quantized, {.data = data}); });
    if (i == 0) continue;  // what the others take
    refuses(ErrorCode::invalid_state, {"from prepare"}, quantized,
            [&] { correct_biases(quantized, {}); });
    refuses(ErrorCode::invalid_state, {"from prepare"}, quantized,
            [&] { round_weights(quantized, data); });
  }
  // And the way back: of graphs that are prepared, of those without codes that stand in a graph of
  // integers.
  for (const std::size_t i : {0, 1, 2, 6})
    refuses(ErrorCode::invalid_state, {"to_fake_quantize", "prepared already", "(node '"}, done[i],
            [&] { to_fake_quantize(done[i]); });
  refuses(ErrorCode::invalid_state, {"to_fake_quantize", "got a float one"}, graph,
          [&] { to_fake_quantize(graph); });
  Graph codes = done[3].copy();
  refuses(ErrorCode::invalid_state, {"convert", "without observers"}, codes,
          [&] { convert(codes); });
}

TEST_F(BadInputInPlace, UncalibratedGraphs) {
  const Batches data(std::vector<Tensors>{good()});
  Graph prepared = prepare(branchy());
  refuses(ErrorCode::invalid_state, {"calibrated observers", "'input'"}, prepared,
          [&] { round_weights(prepared, data); });
  refuses(ErrorCode::invalid_state, {"calibrated observers", "'input'"}, prepared,
          [&] { convert(prepared); });
  Graph learned = prepare_qat(branchy(), QConfig::x86(), {.method = TrainingMethod::lsq});
  refuses(ErrorCode::invalid_state, {"calibrated", "'input'"}, learned, [&] { convert(learned); });
}

// The last layer is the bad one: what was done to those before it is undone.
TEST_F(BadInputInPlace, WeightsThatAreNotFinite) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    Graph graph = dense();
    graph.edit_value(graph.find_value("4.weight")).tensor.mutable_data<float>()[3] = bad;
    refuses(ErrorCode::invalid_argument, {"4: ", "finite weights", "element 3"}, graph,
            [&] { equalize(graph); });
    Graph biased = dense();
    biased.edit_value(biased.find_value("2.bias")).tensor.mutable_data<float>()[1] = bad;
    refuses(ErrorCode::invalid_argument, {"2: ", "finite results"}, biased,
            [&] { absorb_biases(biased, {.data = std::vector<Tensors>{rows(1)}}); });
    // Where nothing is run.
    const std::vector<double> some(5, 0.5);
    ChannelStatistics statistics{{"0", {some, some}}, {"2", {some, some}}};
    const auto given = statistics.at("0").mean;
    refuses(ErrorCode::invalid_argument, {"4: ", "finite weights", "'4.weight'"}, graph,
            [&] { absorb_biases(graph, {.statistics = &statistics, .deviations = 0}); });
    refuses(ErrorCode::invalid_argument, {"2: ", "finite weights and biases", "'2.bias'"}, biased,
            [&] { absorb_biases(biased, {.statistics = &statistics, .deviations = 0}); });
    EXPECT_EQ(statistics.at("0").mean, given);
  }
  Graph graph = dense();
  refuses(ErrorCode::invalid_argument, {"0: ", "finite results"}, graph, [&] {
    absorb_biases(graph, {.data = std::vector<Tensors>{rows(1), rows(-kInfinity)}});
  });
}

TEST_F(BadInputInPlace, Statistics) {
  const std::vector<double> fine(5, 0.5);
  struct Case {
    ChannelDistribution of_second;
    const char* word;
  };
  const double nan = kNan;
  const Case cases[] = {{{{0, 1, nan, 3, 4}, fine}, "nan"},
                        {{{0, 1, double{kInfinity}, 3, 4}, fine}, "inf"},
                        {{fine, {1, 1, -0.25, 1, 1}}, "-0.25"},
                        {{fine, {1, 1, nan, 1, 1}}, "nan"},
                        {{{1, 2}, {1, 2}}, "2 means"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.word);
    Graph graph = dense();
    Graph prepared = prepare(graph);
    ChannelStatistics statistics{{"0", {fine, fine}}, {"2", c.of_second}};
    const auto as_given = [&] {
      EXPECT_EQ(statistics.at("0").mean, fine);
      EXPECT_EQ(statistics.at("0").deviation, fine);
    };
    refuses(ErrorCode::invalid_argument, {"2: expected", c.word}, graph,
            [&] { equalize(graph, {.statistics = &statistics}); });
    as_given();
    refuses(ErrorCode::invalid_argument, {"2: expected", c.word}, graph,
            [&] { absorb_biases(graph, {.statistics = &statistics}); });
    as_given();
    refuses(ErrorCode::invalid_argument, {"2: expected", c.word}, prepared,
            [&] { correct_biases(prepared, statistics); });
  }
}

TEST_F(BadInputInPlace, Numbers) {
  Graph graph = branchy(), prepared = calibrated(graph);
  const Graph integers = convert(prepared).graph;
  const Batches data(std::vector<Tensors>{good()});
  const double nan = kNan;
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"tolerance", [&] { equalize(graph, {.tolerance = nan}); }},
      {"negligible", [&] { equalize(graph, {.negligible = -0.1}); }},
      {"round", [&] { equalize(graph, {.rounds = 0}); }},
      {"deviations", [&] { absorb_biases(graph, {.data = data, .deviations = nan}); }},
      {"place", [&] { round_weights(prepared, data, {.places = -1}); }},
      {"damping", [&] { round_weights(prepared, data, {.damping = nan}); }},
      {"averaging", [&] { to_fake_quantize(integers, {.averaging = nan}); }},
      {"averaging", [&] { to_fake_quantize(integers, {.averaging = 1.5}); }},
  };
  for (const auto& [word, call] : calls) {
    SCOPED_TRACE(word);
    const std::string before = test::content_of(graph) + test::content_of(prepared);
    expect_error(ErrorCode::invalid_argument, {word}, call);
    EXPECT_EQ(test::content_of(graph) + test::content_of(prepared), before);
  }
}

// Of an activation, of a weight.
TEST_F(BadInputInPlace, ScalesOfFiles) {
  const Graph integers = convert(calibrated(branchy())).graph;
  for (const OpDef* op : {&kQuantizeLinear, &kDequantizeLinear})
    for (const float bad : {kNan, kInfinity, 0.0F, -0.5F}) {
      Graph graph = integers.copy();
      for (const Graph::Node& node : graph.nodes())
        if (node.call.op == op && graph.value(node.inputs[1]).is_leaf()) {
          graph.edit_value(node.inputs[1]).tensor.mutable_data<float>()[0] = bad;
          break;
        }
      refuses(ErrorCode::invalid_argument, {"expected finite scales above 0"}, graph,
              [&] { to_fake_quantize(graph); });
    }
}

}  // namespace
}  // namespace pare::quantize
