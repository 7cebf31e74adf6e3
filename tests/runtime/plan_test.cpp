// Tests of plans in f32: the same as the interpreter, sizes, threads, outputs, bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <thread>

#include "pare/models/lenet5.h"
#include "pare/models/resnet_cifar.h"
#include "runtime/nets.h"

namespace pare {
namespace {

using test::Builder;
using test::difference;
using test::random;
using testing::HasSubstr;

constexpr double kBound = 1e-5;

template <class Net> void expect_equal(Net& net, const Shape& sample) {
  const NoGrad no_grad;
  Graph graph = test::traced(net, random(sample));
  const Plan plan = compile(graph, {.threads = 1});
  for (const std::int64_t batch : {1, 3, 8}) {
    Shape shape = sample;
    shape.set(0, batch);
    const Tensor x = random(shape, 11 + static_cast<std::uint64_t>(batch));
    EXPECT_LE(difference(graph(x), plan.run(x)), kBound) << plan.to_string();
    if (shape.rank() == 4) {
      EXPECT_LE(difference(graph(x), plan.run(x.to(MemoryFormat::channels_last))), kBound);
    }
  }
}

TEST(Plan, ResidualNetAsTheInterpreter) {
  test::ResidualNet net;
  expect_equal(net, {2, 3, 12, 12});
}

TEST(Plan, ConcatNetAsTheInterpreter) {
  test::ConcatNet net;
  expect_equal(net, {2, 3, 8, 8});
}

TEST(Plan, LeNet5AsTheInterpreter) {
  models::LeNet5 net;
  expect_equal(net, {2, 1, 28, 28});
}

TEST(Plan, ResNet8AsTheInterpreter) {
  auto net = models::resnet8();
  expect_equal(net, {2, 3, 32, 32});
}

TEST(Plan, ASumInAnothersPlaceIsKeptForItsReaders) {
  const NoGrad no_grad;
  Graph graph = test::chained_residuals();
  const Plan plan = compile(graph, {.threads = 1});
  const Tensor x = random({2, 3, 8, 8});
  EXPECT_LE(difference(graph(x), plan.run(x)), kBound) << plan.to_string();
}

TEST(Plan, RandomNetsAsTheInterpreter) {
  const NoGrad no_grad;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Graph graph = test::random_net(seed);
    const Plan plan = compile(graph, {.threads = 1});
    const Tensor x = random({2, 3, 6, 6}, seed);
    EXPECT_LE(difference(graph(x), plan.run(x)), kBound) << plan.to_string();
  }
}

TEST(Plan, UnusedInputsAreTakenAndIgnored) {
  const NoGrad no_grad;
  Builder b;
  const int unused = b.input("unused", {7});
  const int x = b.input("x", test::batch_of({4}));
  b.input("last", {2, 2});
  Graph graph = b.finish({b.call(kRelu, {x})});
  ASSERT_EQ(graph.inputs().size(), 3U) << unused;
  const Tensors inputs{random({7}), random({3, 4}), random({2, 2})};
  EXPECT_EQ(difference(graph.run(inputs)[0], compile(graph).run(inputs)[0]), 0);
}

TEST(Plan, NanIsTheZeroPointAndInfinityTheEndOfTheCodes) {
  const NoGrad no_grad;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> values{kNan, kInfinity, -kInfinity, -kNan, 0, 1e30F, -1e30F, 0.5F};
  for (int k = 0; k < 6; ++k) values.insert(values.end(), values.begin(), values.begin() + 8);
  const auto count = static_cast<std::int64_t>(values.size());
  for (const DType dtype : {DType::u8, DType::i8})
    for (const Shape& shape : {Shape{count}, Shape{1, 2, count / 4, 2}}) {
      Builder b;
      const int zero = dtype == DType::u8 ? 10 : -3;
      Graph graph = b.finish({b.quantize(b.input("x", shape), 0.5, zero, dtype)});
      const Tensor found = compile(graph).run(Tensor::from(values, shape));
      const auto codes = found.to(DType::i32).to_vector<std::int32_t>();
      const int low = dtype == DType::u8 ? 0 : -128;
      const int high = dtype == DType::u8 ? 255 : 127;
      const std::vector<int> expected{zero, high, low, zero, zero, high, low, zero + 1};
      for (std::size_t i = 0; i < codes.size(); ++i) EXPECT_EQ(codes[i], expected[i % 8]) << i;
    }
}

TEST(Plan, FusesActivationsAndResiduals) {
  test::ResidualNet net;
  const Graph graph = test::traced(net, random({2, 3, 12, 12}));
  const Plan plan = compile(graph, {.threads = 1});
#ifdef PARE_ONEDNN
  for (const PlanStep& step : plan.steps())
    EXPECT_THAT(step.kernel, testing::AllOf(testing::Not(HasSubstr("clip")),
                                            testing::Not(testing::StartsWith("add"))))
        << plan.to_string();
  EXPECT_THAT(plan.steps(), testing::Contains(testing::Field(
                                &PlanStep::node, testing::MatchesRegex("conv3 . add.* . relu.*"))))
      << plan.to_string();
#endif
}

TEST(Plan, ManySizesInTurn) {
  const NoGrad no_grad;
  test::ResidualNet net;
  Graph graph = test::traced(net, random({2, 3, 8, 8}));
  const Plan plan = compile(graph, {.threads = 1});
  for (int round = 0; round < 2; ++round)
    for (std::int64_t batch = 1; batch <= 10; ++batch) {  // more than are kept
      const Tensor x = random({batch, 3, 8, 8}, static_cast<std::uint64_t>(batch));
      EXPECT_LE(difference(graph(x), plan.run(x)), kBound);
    }
}

TEST(Plan, MoreThreadsTheSameResult) {
  const NoGrad no_grad;
  test::ConcatNet net;
  Graph graph = test::traced(net, random({2, 3, 8, 8}));
  const Plan one = compile(graph, {.threads = 1});
  const Plan two = compile(graph, {.threads = 2});
  EXPECT_EQ(one.threads(), 1);
  EXPECT_EQ(two.threads(), 2);
  const int before = max_threads();
  const Tensor x = random({16, 3, 8, 8});
  EXPECT_LE(difference(one.run(x), two.run(x)), kBound);
  EXPECT_EQ(max_threads(), before);
}

TEST(Plan, MoreThreadsOverOwnConvolutions) {
  const NoGrad no_grad;
  auto net = models::resnet8();
  Graph graph = test::traced(net, random({2, 3, 32, 32}));
  const Plan plan = compile(graph, {.threads = 2});
  const Tensor x = random({5, 3, 32, 32});
  EXPECT_LE(difference(graph(x), plan.run(x)), kBound);
}

TEST(Plan, RunsInSeveralThreadsAtOnce) {
  const NoGrad no_grad;
  test::ResidualNet net;
  Graph graph = test::traced(net, random({2, 3, 8, 8}));
  const Plan plan = compile(graph, {.threads = 1});
  Tensors inputs;
  Tensors expected;
  for (std::uint64_t k = 0; k < 8; ++k) {
    inputs.push_back(random({static_cast<std::int64_t>(1 + k % 3), 3, 8, 8}, k));
    expected.push_back(graph(inputs.back()));
  }
  std::vector<double> worst(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < worst.size(); ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 40; ++i) {
        const std::size_t k = (i + t) % inputs.size();
        worst[t] = std::max(worst[t], difference(expected[k], plan.run(inputs[k])));
      }
    });
  for (auto& thread : threads) thread.join();
  for (const double w : worst) EXPECT_LE(w, kBound);
}

TEST(Plan, OutlivesTheGraphAndItsCopies) {
  const NoGrad no_grad;
  const Tensor x = random({1, 3, 8, 8});
  Tensor expected;
  std::unique_ptr<Plan> plan;
  {
    test::ResidualNet net;
    Graph graph = test::traced(net, x);
    expected = graph(x);
    const Plan first = compile(graph, {.threads = 1});
    plan = std::make_unique<Plan>(first);
    for (Tensor& p : graph.parameters()) p.fill(0);
  }
  EXPECT_LE(difference(expected, plan->run(x)), kBound);
}

TEST(Plan, LeavesTheCallersContextAlone) {
  test::ResidualNet net;
  const Plan plan = compile(test::traced(net, random({2, 3, 8, 8})), {.threads = 1});
  ContextScope scope;
  scope->training = true;
  scope->threads = 2;
  const Tensor y = plan.run(random({1, 3, 8, 8}));
  EXPECT_FALSE(y.requires_grad());
  EXPECT_TRUE(context().training);
  EXPECT_EQ(context().threads, 2);
}

TEST(Plan, OutputsOfEveryKind) {
  const NoGrad no_grad;
  Builder b;
  const int x = b.input("x", test::batch_of({4, 6, 6}));
  const int y = b.input("y", test::batch_of({4, 6, 6}));
  const int weight = b.constant(random({4, 4, 3, 3}, 5));
  const Attributes same = Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}});
  const int first = b.call(kConv2d, {x, weight}, same);  // an output and a residual
  const int second = b.call(kConv2d, {y, weight}, same);
  const int sum = b.call(kRelu, {b.call(kAdd, {second, first})});
  const int flat = b.call(kReshape, {sum}, Attributes::of(ReshapeAttributes{{0, -1}}));
  const int constant = b.constant(random({3}));
  Graph graph = b.finish({first, sum, flat, x, constant, sum});
  const Plan plan = compile(graph, {.threads = 1});
  for (const std::int64_t batch : {1, 2}) {
    const Tensors inputs{random({batch, 4, 6, 6}, 1), random({batch, 4, 6, 6}, 2)};
    const Tensors expected = graph.run(inputs);
    const Tensors found = plan.run(inputs);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t k = 0; k < found.size(); ++k) {
      EXPECT_LE(difference(expected[k], found[k]), kBound) << k;
      EXPECT_EQ(found[k].format(), MemoryFormat::row_major);
      EXPECT_NE(found[k].raw(), inputs[0].raw());
    }
  }
}

TEST(Plan, WritesIntoTheCallersOutputs) {
  const NoGrad no_grad;
  Builder b;
  const int x = b.input("x", test::batch_of({4, 6}));
  const int positive = b.call(kRelu, {x});
  const Plan plan = compile(b.finish({positive, b.call(kExp, {positive})}), {.threads = 1});
  for (const std::int64_t batch : {2, 3, 2}) {
    const Tensor input = random({batch, 4, 6}, static_cast<std::uint64_t>(batch));
    const Tensors expected = plan.run(Tensors{input});
    Tensors found{Tensor::full({batch, 4, 6}, 7.0F), Tensor()};
    const void* const memory = found[0].raw();
    plan.run({&input, 1}, found);
    EXPECT_EQ(found[0].raw(), memory);
    for (std::size_t k = 0; k < 2; ++k) EXPECT_EQ(difference(expected[k], found[k]), 0);
  }
}

TEST(Plan, MovementAndElementwise) {
  const NoGrad no_grad;
  Builder b;
  const int x = b.input("x", test::batch_of({4, 6, 8}));
  const int cut =
      b.call(kSlice, {x}, Attributes::of(SliceAttributes{{2, 3}, {-1, 1}, {-7, 8}, {-2, 3}}));
  const int padded =
      b.call(kPad, {cut}, Attributes::of(PadAttributes{{0, 1, 2, -1}, {0, 0, -1, 2}, 1.5}));
  const int turned =
      b.call(kTranspose, {padded}, Attributes::of(TransposeAttributes{{0, 2, 3, 1}}));
  const int joined =
      b.call(kConcat, {turned, b.call(kExp, {turned})}, Attributes::of(ConcatAttributes{-1}));
  const int sum = b.call(kAdd, {joined, b.number(0.25)});
  const int product =
      b.call(kMatmul, {b.call(kReshape, {sum}, Attributes::of(ReshapeAttributes{{0, -1, 10}})),
                       b.constant(random({10, 7}, 3))});
  const int out = b.call(kClamp, {product}, Attributes::of(ClampAttributes{-1, 2}));
  Graph graph = b.finish({out, cut});
  const Plan plan = compile(graph, {.threads = 1});
  const Tensor input = random({3, 4, 6, 8});
  for (const Tensor& given : {input, input.to(MemoryFormat::channels_last)}) {
    const Tensors expected = graph.run({input});
    const Tensors found = plan.run(Tensors{given});
    EXPECT_LE(difference(expected[0], found[0]), kBound) << plan.to_string();
    EXPECT_EQ(difference(expected[1], found[1]), 0) << plan.to_string();
  }
}

TEST(Plan, ReusesTheArena) {
  auto net = models::resnet8();
  const Plan plan = compile(test::traced(net, random({2, 3, 32, 32})), {.threads = 1});
  const PlanMemory memory = plan.memory();
  EXPECT_GE(memory.arena, memory.live);
#if PARE_ONEDNN  // else the interpreter may have some of the convolutions, and copies between
  EXPECT_LE(memory.arena, memory.live + memory.live / 4);
#endif
  EXPECT_LE(memory.arena, 3U * 16 * 32 * 32 * sizeof(float));
  EXPECT_GE(memory.weights, 70000 * sizeof(float));
}

template <class Run> void expect_error(ErrorCode code, const std::string& text, Run run) {
  try {
    run();
    ADD_FAILURE() << "expected an error with " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(text));
  }
}

TEST(PlanErrors, OutputsThatDoNotFit) {
  Builder b;
  const int x = b.input("x", test::batch_of({3, 4, 4}));
  const int positive = b.call(kRelu, {x});
  const Plan plan = compile(b.finish({positive, b.call(kExp, {positive})}), {.threads = 1});
  const Tensors inputs{random({2, 3, 4, 4})};
  const Tensor good = Tensor::zeros({2, 3, 4, 4});
  const auto run = [&](Tensors outputs) { plan.run(inputs, outputs); };
  using enum ErrorCode;
  expect_error(invalid_argument, "expected 2 outputs, got 1", [&] { run({good}); });
  expect_error(shape_mismatch, "[2, 3, 4, 4] as output 1, got [2, 3, 4]", [&] {
    run({good, Tensor::zeros({2, 3, 4})});
  });
  expect_error(dtype_mismatch, "expected f32 [2, 3, 4, 4] as output 0, got i32", [&] {
    run({Tensor::zeros({2, 3, 4, 4}, DType::i32), Tensor()});
  });
  expect_error(invalid_argument, "row-major tensor as output 1", [&] {
    run({good, Tensor::zeros({2, 3, 4, 4}).to(MemoryFormat::channels_last)});
  });
  expect_error(invalid_argument, "output 0 in memory of its own, got an input's", [&] {
    run({inputs[0], Tensor()});
  });
  expect_error(invalid_argument, "output 1 in memory of its own, got that of output 0", [&] {
    run({good, reshape(good, {2, 3, 4, 4})});
  });
  for (const float v : good.to_vector<float>()) EXPECT_EQ(v, 0);
}

// A graph that takes one length only, and says it with a name.
TEST(Plan, NamedSizesThatNobodyCanGuess) {
  Builder b;
  Shape shape;
  shape.append(1);
  shape.append_symbol("length");
  const int x = b.input("x", shape);
  // Of two lengths none is 1, which would broadcast.
  const int twice = b.call(kConcat, {x, x}, Attributes::of(ConcatAttributes{1}));
  const int y = b.call(kAdd, {twice, b.constant(random({2, 26}))});
  Graph graph = b.finish({y});
  const Plan plan = compile(graph, {.threads = 1});
  EXPECT_TRUE(plan.steps().empty());
  EXPECT_THAT(plan.report().to_string(), testing::HasSubstr("when they are first seen"));
  const Tensor good = random({1, 13}, 4);
  EXPECT_LE(difference(graph.run({good})[0], plan.run(good)), kBound);
  expect_error(ErrorCode::shape_mismatch, "broadcast", [&] { plan.run(random({1, 7})); });
}

// Sizes of a resize that are computed from another input's.
TEST(Plan, ResizeToTheSizeOfAnotherInput) {
  Builder b;
  Shape small, large;
  for (Shape* s : {&small, &large}) {
    s->append(1);
    s->append(2);
    s->append_symbol(s == &small ? "h" : "height");
    s->append_symbol(s == &small ? "w" : "width");
  }
  const int x = b.input("x", small);
  const int like = b.input("like", large);
  const int sizes = b.call(kShape, {like}, kShape.defaults());
  const int y = b.call(kResize, {x, sizes}, Attributes::of(ResizeAttributes{.mode = "linear"}));
  Graph graph = b.finish({b.call(kAdd, {y, like})});
  const Plan plan = compile(graph, {.threads = 1});
  for (const std::int64_t size : {4, 9}) {
    const Tensors inputs{random({1, 2, 3, 5}), random({1, 2, size, 6}, 3)};
    EXPECT_LE(difference(graph.run(inputs)[0], plan.run(inputs)[0]), kBound);
  }
}

// oneDNN counts these in 32 bits.
TEST(Plan, SettingsThatNoPictureHas) {
  const NoGrad no_grad;
  constexpr std::int64_t kHuge = (std::int64_t{1} << 31) - 1;
  for (const bool stride : {true, false}) {
    Conv2dAttributes attributes;
    (stride ? attributes.stride : attributes.dilation) = {kHuge, kHuge};
    Graph graph;
    const int x = graph.add_input("x", {1, 2, 3, 4}, DType::f32);
    const int w = graph.add_leaf(Graph::Kind::parameter, "w", random({5, 2, 1, 1}));
    const int y = graph.add_node("y", {&kConv2d, Attributes::of(attributes)}, {x, w});
    graph.set_outputs({graph.node(y).outputs[0]});
    const Tensor in = random({1, 2, 3, 4}, 4);
    const Plan plan = compile(graph, {.threads = 1});
    EXPECT_LE(difference(graph(in), plan.run(in)), kBound) << plan.to_string();
  }
}

TEST(PlanErrors, ValuesThatDoNotFitNameTheirNode) {
  Graph graph;
  const int at = graph.add_input("at", {2}, DType::i64);
  const int rows = graph.add_leaf(Graph::Kind::parameter, "rows", random({3, 4}));
  const int y = graph.add_node("pick", {&kGather, kGather.defaults()}, {rows, at});
  graph.set_outputs({graph.node(y).outputs[0]});
  const Plan plan = compile(graph, {.threads = 1});
  expect_error(ErrorCode::out_of_range, "pick: gather: expected indices from -3 to 2, got 7", [&] {
    plan.run(Tensor::from<std::int64_t>({0, 7}, {2}));
  });
}

TEST(PlanErrors, InputsThatDoNotFit) {
  Builder b;
  const int x = b.input("picture", test::batch_of({3, 4, 4}));
  const int y = b.input("other", test::batch_of({3, 4, 4}));
  const Plan plan = compile(b.finish({b.call(kAdd, {x, y})}), {.threads = 1});
  const Tensor good = random({2, 3, 4, 4});
  using enum ErrorCode;
  expect_error(invalid_argument, "expected 2 inputs, got 1", [&] { plan.run(good); });
  expect_error(invalid_argument, "expected a tensor for 'other', got none", [&] {
    plan.run(Tensors{good, Tensor()});
  });
  expect_error(dtype_mismatch, "for 'picture', got i64", [&] {
    plan.run(Tensors{Tensor::zeros({2, 3, 4, 4}, DType::i64), good});
  });
  expect_error(shape_mismatch, "expected f32 [batch, 3, 4, 4] for 'picture', got [2, 3, 4, 5]",
               [&] {
                 plan.run(Tensors{random({2, 3, 4, 5}), good});
               });
  expect_error(shape_mismatch, "for 'other', got [3, 3, 4, 4]", [&] {
    plan.run(Tensors{good, random({3, 3, 4, 4})});
  });
  expect_error(shape_mismatch, "for 'picture', got [0, 3, 4, 4]", [&] {
    plan.run(Tensors{Tensor::zeros({0, 3, 4, 4}), good});
  });
  expect_error(shape_mismatch, "for 'picture', got [2, 3]", [&] {
    plan.run(Tensors{random({2, 3}), good});
  });
  EXPECT_LE(difference(add(good, good), plan.run(Tensors{good, good})[0]), kBound);
}

TEST(PlanErrors, OptionsAndGraphs) {
  Builder b;
  const int x = b.input("x", {2, 2});
  const int y = b.call(kRelu, {x});
  const Graph graph = b.finish({y, x});
  expect_error(ErrorCode::invalid_argument, "expected threads",
               [&] { compile(graph, {.threads = -1}); });
  expect_error(ErrorCode::invalid_argument, "expected a graph with an output",
               [&] { compile(Graph()); });
  expect_error(ErrorCode::invalid_argument, "expected one output, got 2", [&] {
    compile(graph).run(random({2, 2}));
  });
}

}  // namespace
}  // namespace pare
