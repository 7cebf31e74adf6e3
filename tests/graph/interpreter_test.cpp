// The interpreter: checks of inputs, names in errors, values it shows, memory it gives back.
#include "graph/nets.h"

namespace pare::test {
namespace {

struct Interpreter : testing::Test {
  Interpreter() {
    Shape shape{1, 4};
    shape.set_symbol(0, "batch");
    a = graph.add_input("a", shape, DType::f32);
    b = graph.add_input("b", shape, DType::f32);
    const int sum = graph.add_node("sum", {&kAdd, {}}, {a, b});
    const int last = graph.add_node("last", {&kTanh, {}}, {graph.node(sum).outputs[0]});
    graph.set_outputs({graph.node(last).outputs[0]});
  }
  void expect_refused(const Tensors& inputs, ErrorCode code, const std::string& part) {
    const Caught error = caught([&] { graph.run(inputs); });
    EXPECT_EQ(error.code, code) << error.message;
    EXPECT_NE(error.message.find(part), std::string::npos) << error.message;
  }
  Graph graph;
  int a = 0;
  int b = 0;
  Tensor x = random(Shape{3, 4}, 1);
  Tensor y = random(Shape{3, 4}, 2);
};

TEST_F(Interpreter, Runs) {
  NoGrad no_grad;
  expect_identical(graph.run({x, y}).at(0), tanh(x + y));
}

TEST_F(Interpreter, RefusesInputsThatDoNotFit) {
  expect_refused({x}, ErrorCode::invalid_argument, "Graph: expected 2 inputs, got 1");
  expect_refused({x, Tensor()}, ErrorCode::invalid_argument, "input 'b', got an undefined one");
  expect_refused({x, Tensor::ones(Shape{3, 4}, DType::i64)}, ErrorCode::dtype_mismatch,
                 "expected f32 as input 'b', got i64");
  expect_refused({x, random(Shape{3, 5})}, ErrorCode::shape_mismatch,
                 "expected [batch, 4] as input 'b', got [3, 5]");
  expect_refused({x, random(Shape{3, 4, 1})}, ErrorCode::shape_mismatch, "input 'b'");
  expect_refused({x, random(Shape{2, 4})}, ErrorCode::shape_mismatch,
                 "expected batch = 3 in input 'b'");
}

TEST_F(Interpreter, ErrorsNameTheNode) {
  Graph picks;
  const int index = picks.add_input("index", Shape{2}, DType::i64);
  const int table = picks.add_leaf(Graph::Kind::constant, "table", random(Shape{5, 3}));
  const int node = picks.add_node("embed.lookup", {&kGather, Attributes::of(GatherAttributes{})},
                                  {table, index});
  picks.set_outputs(picks.node(node).outputs);
  const std::vector<std::int64_t> wrong{1, 9};
  const Caught error = caught([&] { picks.run({Tensor::from(wrong, Shape{2})}); });
  EXPECT_EQ(error.code, ErrorCode::out_of_range);
  EXPECT_EQ(error.message.rfind("embed.lookup: gather: ", 0), 0U) << error.message;
}

TEST_F(Interpreter, ShowsEveryValueThatANodeProduced) {
  std::map<std::string, Shape> shown;
  NoGrad no_grad;
  const Tensors out = graph.run_visiting({x, y}, [&](int value, const Tensor& tensor) {
    shown[graph.value(value).name] = tensor.shape();
  });
  EXPECT_EQ(shown, (std::map<std::string, Shape>{{"last", Shape{3, 4}}, {"sum", Shape{3, 4}}}));
  expect_identical(out.at(0), tanh(x + y));
}

TEST_F(Interpreter, FreesAValueAfterItsLastRead) {
  Graph chain;
  int v = chain.add_input("x", Shape{4}, DType::f32);
  for (int i = 0; i < 5; ++i) v = chain.node(chain.add_node("relu", {&kRelu, {}}, {v})).outputs[0];
  chain.set_outputs({v});
  std::vector<detail::Ref<detail::Storage>> storages;
  NoGrad no_grad;
  chain.run_visiting({random(Shape{4})}, [&](int, const Tensor& tensor) {
    // Only this list keeps what the last but one node gave.
    if (storages.size() > 1) {
      EXPECT_TRUE(storages[storages.size() - 2].unique());
    }
    storages.push_back(tensor.impl()->storage);
  });
  EXPECT_EQ(storages.size(), 5U);
}

TEST_F(Interpreter, AnInputMayBeAnOutput) {
  graph.set_outputs({a, a});
  graph.compact();
  graph.verify();
  const Tensors out = graph.run({x, y});
  EXPECT_TRUE(out.at(0).same_as(x));
  EXPECT_TRUE(out.at(1).same_as(x));
}

TEST_F(Interpreter, TrainsThroughTheTape) {
  Tensor leaf = random(Shape{3, 4}, 3);
  leaf.set_requires_grad();
  sum(graph.run({leaf, y}).at(0)).backward();
  Tensor eager = random(Shape{3, 4}, 3);
  eager.set_requires_grad();
  sum(tanh(eager + y)).backward();
  expect_identical(leaf.grad(), eager.grad());
}

}  // namespace
}  // namespace pare::test
