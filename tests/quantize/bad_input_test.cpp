// What every way to quantize says of bad data, names, numbers and graphs; the graph is unchanged.
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
using test::infer_with;
using test::refuses;

const Shape kPictures{4, 3, 8, 8};

class BadInput : public testing::Test {
 protected:
  BadInput() { context().threads = 1; }
  ~BadInput() override { context().threads = 0; }

  static Graph branchy() {
    test::Branchy net;
    return test::graph_of(net, Tensor::zeros(kPictures));
  }
  static Tensors good() { return {Generator(3).normal(kPictures)}; }
  static Tensors with(float value) {
    Tensors batch = good();
    batch[0].mutable_data<float>()[201] = value;
    return batch;
  }
};

struct Options {
  std::vector<std::string> exclude;
  int bits = 8;
};
QConfig config_of(const Options& options) {
  QConfig config = QConfig::x86(Isa::avx512_vnni);
  config.exclude = options.exclude;
  config.activation_bits = options.bits;
  return config;
}

/// A way to quantize a graph with data, or to prepare for it.
struct Way {
  const char* name;
  std::function<Graph(Graph& graph, const Batches& data, const Options& options)> run;
};
Graph calibrated(Graph prepared, const Batches& data) {
  const NoGrad no_grad;
  for (std::int64_t b = 0; b < data.count; ++b) prepared.run(data.get(b));
  return convert(prepared).graph;
}
const std::vector<Way>& ways() {
  static const std::vector<Way> all{
      {"static",
       [](Graph& graph, const Batches& data, const Options& options) {
         return calibrated(prepare(graph, config_of(options)), data);
       }},
      {"training",
       [](Graph& graph, const Batches& data, const Options& options) {
         return calibrated(prepare_qat(graph, config_of(options)), data);
       }},
      {"GPTQ",
       [](Graph& graph, const Batches& data, const Options& options) {
         return weight_only(
                    graph,
                    {.bits = options.bits, .gptq = true, .data = data, .exclude = options.exclude})
             .graph;
       }},
      {"search",
       [](Graph& graph, const Batches& data, const Options& options) {
         const Searched found =
             search(graph, data, {.config = config_of(options), .sqnr_db = 10.0});
         return calibrated(prepare(graph, found.config), data);
       }},
      {"sensitivity",
       [](Graph& graph, const Batches& data, const Options& options) {
         EXPECT_FALSE(sensitivity(graph, data, {.config = config_of(options)}).layers.empty());
         return graph.copy();
       }},
      {"smooth",
       [](Graph& graph, const Batches& data, const Options& options) {
         smooth(graph, data, {.convolutions = true, .exclude = options.exclude});
         return calibrated(prepare(graph, config_of(options)), data);
       }},
  };
  return all;
}

TEST_F(BadInput, NoData) {
  Graph graph = branchy();
  const Batches nothing(std::vector<Tensors>{});
  for (const Way& way : ways()) {
    SCOPED_TRACE(way.name);
    const std::string name = way.name;
    // Whoever prepares runs the data himself; convert then misses it.
    const bool self = name == "static" || name == "training";
    refuses(self ? ErrorCode::invalid_state : ErrorCode::invalid_argument,
            {self ? "calibrated observers" : "data", "none"}, graph,
            [&] { way.run(graph, nothing, {}); });
  }
  refuses(ErrorCode::invalid_argument, {"batch of data", "none"}, graph,
          [&] { compare(graph, graph, nothing); });
  // A batch without samples is nothing, too.
  const Batches empty(std::vector<Tensors>{{Tensor::zeros({0, 3, 8, 8})}});
  refuses(ErrorCode::shape_mismatch, {"compare: input 'input' of batch 0", "[0, 3, 8, 8]"}, graph,
          [&] { compare(graph, graph, empty); });
}

TEST_F(BadInput, DataThatIsNotFinite) {
  Graph graph = branchy();
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const Batches data(std::vector<Tensors>{good(), with(bad)});
    const std::string text = std::isnan(bad) ? "got nan at element 201" : "got inf at element 201";
    for (const Way& way : ways()) {
      SCOPED_TRACE(way.name);
      if (std::string(way.name) == "GPTQ")
        refuses(ErrorCode::invalid_argument, {"stem", "NaN or infinity"}, graph,
                [&] { way.run(graph, data, {}); });
      else if (std::string(way.name) == "smooth")
        refuses(ErrorCode::invalid_argument, {"smooth: input 'input' of batch 1", text}, graph,
                [&] { way.run(graph, data, {}); });
      else
        refuses(ErrorCode::invalid_argument, {"input_observer", text}, graph,
                [&] { way.run(graph, data, {}); });
    }
    // What nets are measured on.
    const Batches fine(std::vector<Tensors>{good()});
    refuses(ErrorCode::invalid_argument, {"search: input 'input' of batch 1", text}, graph,
            [&] { search(graph, fine, {.data = data, .sqnr_db = 10.0}); });
    refuses(ErrorCode::invalid_argument, {"sensitivity: input 'input' of batch 1", text}, graph,
            [&] { sensitivity(graph, fine, {.data = data}); });
    refuses(ErrorCode::invalid_argument, {"compare: input 'input' of batch 1", text}, graph,
            [&] { compare(graph, graph, data); });
  }
}

TEST_F(BadInput, OutputsThatAreNotFinite) {
  Graph graph = branchy();
  const Batches data(std::vector<Tensors>{good()});
  graph.edit_value(graph.find_value("fc.bias")).tensor.mutable_data<float>()[2] =
      std::numeric_limits<float>::infinity();
  refuses(ErrorCode::invalid_argument, {"fc", "expected a finite bias"}, graph,
          [&] { search(graph, data, {.sqnr_db = 10.0}); });
  refuses(ErrorCode::invalid_argument, {"search: output 'fc' on batch 0", "got inf at element 2"},
          graph, [&] { search(graph, data, {.config = config_of({{"fc"}}), .sqnr_db = 10.0}); });
  refuses(ErrorCode::invalid_argument,
          {"sensitivity: output 'fc' on batch 0", "got inf at element 2"}, graph,
          [&] { sensitivity(graph, data); });
}

TEST_F(BadInput, ConstantDataGivesFiniteNets) {
  for (const float value : {0.0F, 0.7F, -1e-30F})
    for (const Way& way : ways()) {
      SCOPED_TRACE(way.name);
      Graph graph = branchy();
      const Tensor x = Tensor::full(kPictures, value);
      Graph result = way.run(graph, std::vector<Tensors>{{x}}, {});
      for (const float y : infer_with(result, x).to_vector<float>())
        EXPECT_TRUE(std::isfinite(y)) << value;
    }
}

TEST_F(BadInput, DataOfTheWrongShape) {
  Graph graph = branchy();
  for (const Way& way : ways()) {
    SCOPED_TRACE(way.name);
    refuses(ErrorCode::shape_mismatch, {"[4, 5, 8, 8]"}, graph, [&] {
      way.run(graph, std::vector<Tensors>{good(), {Tensor::zeros({4, 5, 8, 8})}}, {});
    });
    refuses(ErrorCode::invalid_argument, {"1", "2"}, graph, [&] {
      way.run(graph, std::vector<Tensors>{{good()[0], good()[0]}}, {});
    });
  }
}

TEST_F(BadInput, NamesAndNumbers) {
  Graph graph = branchy();
  const Batches data(std::vector<Tensors>{good()});
  for (const Way& way : ways()) {
    SCOPED_TRACE(way.name);
    refuses(ErrorCode::invalid_argument, {"'innner'", "'inner'"}, graph,
            [&] { way.run(graph, data, {.exclude = {"innner"}}); });
    if (std::string(way.name) == "smooth") continue;
    for (const int bits : {1, 9, 0, -8})
      refuses(ErrorCode::invalid_argument, {"2 to 8", "got " + std::to_string(bits)}, graph,
              [&] { way.run(graph, data, {.bits = bits}); });
  }
  refuses(ErrorCode::invalid_argument, {"'innner'", "'inner'"}, graph,
          [&] { dynamic(graph, {.names = {"innner"}}); });
  refuses(ErrorCode::invalid_argument, {"moving_average"}, graph,
          [&] { dynamic(graph, {.weight_observer = WeightObserver::moving_average}); });
  refuses(ErrorCode::invalid_argument, {"place", "got 0"}, graph,
          [&] { weight_only(graph, {.places = 0}); });
}

TEST_F(BadInput, WhatIsQuantizedAlready) {
  const Graph graph = branchy();
  const Batches data(std::vector<Tensors>{good()});
  std::vector<Graph> done;
  done.push_back(prepare(graph));
  done.push_back(prepare_qat(graph));
  done.push_back(calibrated(prepare(graph), data));
  done.push_back(dynamic(graph).graph);
  done.push_back(weight_only(graph).graph);
  for (Graph& quantized : done) {
    for (const Way& way : ways()) {
      SCOPED_TRACE(way.name);
      refuses(ErrorCode::invalid_state, {"quantized already", "(node '"}, quantized,
              [&] { way.run(quantized, data, {}); });
    }
    refuses(ErrorCode::invalid_state, {"dynamic", "quantized already"}, quantized,
            [&] { dynamic(quantized); });
  }
}

// As ways with calibration, for which see Static.RefusesSumsBeyond32Bits; here a layer may stay.
TEST_F(BadInput, SumsBeyond32BitsStayFloatInDynamic) {
  constexpr std::int64_t kLength = 140000;
  Graph graph;
  const int x = graph.add_input("x", {1, kLength}, DType::f32);
  int y = x;
  for (const auto& [name, inner] :
       {std::pair<const char*, std::int64_t>{"long", kLength}, {"short", 2}}) {
    const int weight = graph.add_leaf(Graph::Kind::parameter, std::string(name) + ".weight",
                                      Tensor::full({2, inner}, 0.5), true);
    y = graph.node(graph.add_node(name, {&kLinear, {}}, {y, weight})).outputs[0];
  }
  graph.set_outputs({y});
  const Dynamic result = dynamic(graph);
  ASSERT_EQ(result.report.left.size(), 1U);
  EXPECT_EQ(result.report.left[0].node, "long");
  EXPECT_EQ(result.report.left[0].text, "sums of 140000 products could leave 32 bits");
  refuses(ErrorCode::unsupported, {"long", "could leave 32 bits"}, graph,
          [&] { dynamic(graph, {.names = {"long"}}); });
}

TEST_F(BadInput, ConvertLeavesThePreparedGraph) {
  Graph prepared = prepare(branchy());
  refuses(ErrorCode::invalid_state, {"calibrated observers", "'input'"}, prepared,
          [&] { convert(prepared); });
  const NoGrad no_grad;
  prepared.run(good());
  prepared.edit_value(prepared.find_value("fc.bias")).tensor.mutable_data<float>()[2] =
      std::numeric_limits<float>::quiet_NaN();
  refuses(ErrorCode::invalid_argument, {"fc", "finite bias"}, prepared, [&] { convert(prepared); });
}

}  // namespace
}  // namespace pare::quantize
