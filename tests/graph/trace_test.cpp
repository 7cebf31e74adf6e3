// trace: the graph is the module.
#include "graph/nets.h"

namespace pare::test {
namespace {

template <class Net> class Trace : public testing::Test {
 public:
  Trace() { fill(net); }
  Net net;
  Tensor example = random(Shape{4, 3, 8, 8});
};
using Nets = testing::Types<ResidualNet, ConcatNet>;
TYPED_TEST_SUITE(Trace, Nets);

TYPED_TEST(Trace, EqualsTheModuleAtAnyBatch) {
  Graph graph = trace(this->net, this->example);
  for (const std::int64_t batch : {1, 4, 7}) {
    const Tensor x = random(Shape{batch, 3, 8, 8}, 5);
    expect_identical(run_one(graph, x), run_one(this->net, x));
  }
}

TYPED_TEST(Trace, EqualsTheModuleInChannelsLast) {
  Graph graph = trace(this->net, this->example);
  const Tensor x = random(Shape{3, 3, 8, 8}, 6).to(MemoryFormat::channels_last);
  expect_identical(run_one(graph, x), run_one(this->net, x));
}

TYPED_TEST(Trace, OfAGraphIsTheSameGraph) {
  Graph graph = trace(this->net, this->example);
  Graph again = trace(graph, this->example);
  EXPECT_EQ(again.to_string(), graph.to_string());
  ASSERT_EQ(again.values().size(), graph.values().size());
  for (std::size_t v = 0; v < graph.values().size(); ++v)
    if (graph.values()[v].is_leaf()) {
      EXPECT_TRUE(again.values()[v].tensor.same_as(graph.values()[v].tensor));
    }
}

TYPED_TEST(Trace, OfAnEditedGraphIsTheSameGraph) {
  Graph folded = fold_constants(fold_batch_norm(trace(this->net, this->example)).graph).graph;
  EXPECT_EQ(trace(folded, this->example).to_string(), folded.to_string());
}

TYPED_TEST(Trace, IsTheSameInTrainingAndInTheOtherFormat) {
  const std::string text = trace(this->net, this->example).to_string();
  ContextScope scope;
  scope->training = true;
  Generator generator(1);
  scope->generator = &generator;
  EXPECT_EQ(trace(this->net, this->example).to_string(), text);
  EXPECT_EQ(trace(this->net, this->example.to(MemoryFormat::channels_last)).to_string(), text);
  EXPECT_EQ(generator.state(), Generator(1).state());
}

TYPED_TEST(Trace, RecordsWhatOnlyTrainingNeeds) {
  const Graph graph = trace(this->net, this->example);
  int norms = 0;
  int dropouts = 0;
  for (const Graph::Node& node : graph.nodes()) {
    norms += node.call.op == &kBatchNorm;
    dropouts += node.call.op == &kDropout;
  }
  EXPECT_EQ(norms, 2);
  EXPECT_EQ(dropouts, (std::is_same_v<TypeParam, ConcatNet> ? 1 : 0));
}

TYPED_TEST(Trace, ChangesNothingInTheModule) {
  std::vector<std::vector<float>> before;
  for (const auto& item : this->net.state())
    before.push_back(item.tensor.template to_vector<float>());
  trace(this->net, this->example);
  std::size_t i = 0;
  for (const auto& item : this->net.state())
    EXPECT_EQ(item.tensor.template to_vector<float>(), before[i++]) << item.name;
}

TYPED_TEST(Trace, SharesTheLeavesUnderTheirNames) {
  Graph graph = trace(this->net, this->example);
  const auto state = this->net.state();
  std::map<std::string, nn::NamedTensor> listed;
  for (auto& item : graph.state()) listed.emplace(item.name, item);
  EXPECT_EQ(listed.size(), state.size());
  for (const auto& item : state) {
    ASSERT_TRUE(listed.contains(item.name)) << item.name;
    EXPECT_TRUE(listed.at(item.name).tensor.same_as(item.tensor)) << item.name;
    EXPECT_EQ(listed.at(item.name).trainable, item.trainable) << item.name;
  }
}

TYPED_TEST(Trace, GradientsEqualEagerOnes) {
  ContextScope scope;
  scope->training = true;
  const auto gradients = [&](nn::Module& module) {
    Generator generator(3);
    scope->generator = &generator;
    module.zero_grad();
    const Tensor y = module.run({this->example}).at(0);
    sum(y * y).backward();
    std::map<std::string, std::vector<float>> found;
    for (const auto& item : module.named_parameters())
      found[item.name] = item.tensor.grad().template to_vector<float>();
    return found;
  };
  Graph graph = trace(this->net, this->example);
  const auto eager = gradients(this->net);
  EXPECT_GT(eager.size(), 5U);
  EXPECT_EQ(gradients(graph), eager);
}

TYPED_TEST(Trace, TrainingTheGraphMovesTheModulesStatistics) {
  Graph graph = trace(this->net, this->example);
  TypeParam other = this->net;
  const auto train = [&](nn::Module& module) {
    ContextScope scope;
    scope->training = true;
    Generator generator(3);
    scope->generator = &generator;
    module.run({this->example});
  };
  const auto statistics = [](nn::Module& module) {
    std::vector<std::vector<float>> found;
    for (const auto& item : module.named_buffers())
      found.push_back(item.tensor.template to_vector<float>());
    return found;
  };
  const auto before = statistics(this->net);
  train(graph);
  train(other);
  EXPECT_EQ(before.size(), 4U);
  EXPECT_NE(statistics(this->net), before);
  EXPECT_EQ(statistics(this->net), statistics(other));
}

TYPED_TEST(Trace, EvalFreezesTheGraphsParts) {
  Graph graph = trace(this->net, this->example);
  graph.eval();
  const auto before = graph.named_buffers().at(0).tensor.template to_vector<float>();
  ContextScope scope;
  scope->training = true;
  scope->grad = false;
  const Tensor y = graph.run({this->example}).at(0);
  EXPECT_EQ(graph.named_buffers().at(0).tensor.template to_vector<float>(), before);
  scope->training = false;
  expect_identical(y, this->net.run({this->example}).at(0));
  graph.train();
  EXPECT_EQ(graph.to_string(), trace(this->net, this->example).to_string());
}

TEST(TraceNames, FollowTheModule) {
  ConcatNet net;
  fill(net);
  const Graph graph = trace(net, random(Shape{2, 3, 6, 6}));
  for (const char* name : {"left", "right", "norm", "activation", "dropout", "joined", "concat",
                           "reshape", "mean", "head.0", "head.1", "head.2", "head.3"})
    EXPECT_GE(graph.find_node(name), 0) << name << "\n" << graph.to_string();
  EXPECT_EQ(graph.value(graph.inputs()[0]).name, "input");
  EXPECT_EQ(graph.value(graph.inputs()[0]).shape.to_string(), "[batch, 3, 6, 6]");
  EXPECT_EQ(graph.value(graph.outputs()[0]).shape.to_string(), "[batch, 3]");
}

TEST(TraceSizes, FollowTheBatchWhereTheyCan) {
  struct Reshapes : nn::Module {
    Tensor forward(const Tensor& x) override {
      const std::int64_t n = x.dim(0);
      const Tensor rows = reshape(x, {n * 2, 3});    // -1, 3
      const Tensor back = reshape(rows, {n, 2, 3});  // -1, 2, 3
      const Tensor one = expand(reshape(back, {n, 1, 6}), {n, 4, 6});
      return reshape(one, {n, -1});
    }
  } net;
  Graph graph = trace(net, random(Shape{2, 6}));
  const Tensor x = random(Shape{5, 6}, 2);
  expect_identical(run_one(graph, x), run_one(net, x));
  EXPECT_EQ(graph.value(graph.outputs()[0]).shape.to_string(), "[batch, 24]");
}

TEST(TraceSizes, MayStayFixed) {
  struct Hard : nn::Module {
    Tensor forward(const Tensor& x) override { return reshape(x, {3, 4, 2}); }
  } net;
  Graph graph = trace(net, random(Shape{3, 8}), {.symbolic_batch = false});
  EXPECT_EQ(graph.value(graph.inputs()[0]).shape.to_string(), "[3, 8]");
  const Tensor x = random(Shape{3, 8}, 2);
  expect_identical(run_one(graph, x), run_one(net, x));
}

TEST(TraceLeaves, OfAMaskedWeightAreNamed) {
  ResidualNet net;
  fill(net);
  mask(net.fc.weight, Generator(4).bernoulli(Shape{5, 16}, 0.5F));
  const Tensor x = random(Shape{2, 3, 8, 8});
  Graph graph = trace(net, x);
  EXPECT_GE(graph.find_value("fc.weight_orig"), 0);
  EXPECT_EQ(graph.value(graph.find_value("fc.weight_mask")).kind, Graph::Kind::buffer);
  EXPECT_GE(graph.find_node("fc.weight.mul"), 0);
  EXPECT_EQ(graph.node(graph.find_node("fc")).call.op, &kLinear);
  expect_identical(run_one(graph, x), run_one(net, x));
  EXPECT_EQ(trace(graph, x).to_string(), graph.to_string());
}

TEST(TraceLeaves, FrozenOnesStayParameters) {
  ResidualNet net;
  fill(net);
  net.fc.weight.set_trainable(false);
  const Graph graph = trace(net, random(Shape{2, 3, 8, 8}));
  const Graph::Value& weight = graph.value(graph.find_value("fc.weight"));
  EXPECT_EQ(weight.kind, Graph::Kind::parameter);
  EXPECT_FALSE(weight.trainable);
}

TEST(TraceLeaves, SharedOnesAreOneValue) {
  struct Tied : nn::Module {
    nn::Linear fc{{.in = 4, .out = 4}};
    void members(nn::Members& m) override { m("fc", fc); }
    Tensor forward(const Tensor& x) override { return fc(relu(fc(x))); }
  } net;
  fill(net);
  Graph graph = trace(net, random(Shape{2, 4}));
  EXPECT_EQ(graph.parameters().size(), 2U);
  EXPECT_GE(graph.find_node("fc_1"), 0);
}

TEST(TraceLeaves, NumbersInTheCodeAreConstants) {
  struct Scaled : nn::Module {
    Tensor forward(const Tensor& x) override { return x * 2.0 + 1.0; }
  } net;
  Graph graph = trace(net, random(Shape{2, 4}));
  EXPECT_EQ(graph.value(graph.find_value("constant")).kind, Graph::Kind::constant);
  EXPECT_TRUE(graph.state().empty());
  const Tensor x = random(Shape{3, 4}, 2);
  expect_identical(run_one(graph, x), run_one(net, x));
  EXPECT_EQ(trace(graph, x).to_string(), graph.to_string());
}

TEST(TraceInputs, MayBeSeveral) {
  struct Sum : nn::Module {
    Tensors run(const Tensors& x) override { return {x.at(0) + x.at(1), x.at(0)}; }
  } net;
  const Tensors x{random(Shape{3, 4}, 1), random(Shape{3, 4}, 2)};
  Graph graph = trace(net, x);
  EXPECT_EQ(graph.value(graph.inputs()[1]).name, "input_1");
  const Tensors y = graph.run(x);
  ASSERT_EQ(y.size(), 2U);
  expect_identical(y[0], x[0] + x[1]);
  expect_identical(y[1], x[0]);
}

TEST(TraceInputs, MayBeOneTensorTwice) {
  struct Difference : nn::Module {
    Tensors run(const Tensors& x) override { return {x.at(0) - x.at(1) * 2.0}; }
  } net;
  const Tensor one = random(Shape{3, 4}, 1);
  Graph graph = trace(net, {one, one});
  ASSERT_EQ(graph.inputs().size(), 2U);
  const Tensors x{random(Shape{5, 4}, 2), random(Shape{5, 4}, 3)};
  expect_identical(graph.run(x).at(0), net.run(x).at(0));
}

TEST(TraceLeaves, MetadataOfAGraphStays) {
  ResidualNet net;
  fill(net);
  Graph graph = trace(net, random(Shape{2, 3, 8, 8}));
  graph.metadata()["quantize.isa"] = "avx2";
  EXPECT_EQ(trace(graph, random(Shape{2, 3, 8, 8})).metadata(), graph.metadata());
}

struct Detached : nn::Module {
  Tensor forward(const Tensor& x) override { return x * x.detach(); }
};

TEST(Trace, TakesDetachedValues) {
  Detached net;
  const Tensor x = Tensor::from({1, -2, 3}, {1, 3});
  Graph graph = trace(net, x);
  EXPECT_EQ(graph(x).to_vector<float>(), net(x).to_vector<float>());
}

}  // namespace
}  // namespace pare::test
