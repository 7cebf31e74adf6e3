// Where values of a plan lie: concatenations and slices in place, inputs in either memory format,
// constants of the graph freed.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/nets.h"

namespace pare {
namespace {

using test::Builder;
using test::difference;
using test::random;

constexpr double kBound = 1e-5;

std::ptrdiff_t moves(const Plan& plan) {
  return std::ranges::count_if(plan.steps(), [](const PlanStep& step) {
    return step.kernel == "rearrange" || step.kernel == "copy";
  });
}

/// Without oneDNN products run through their ops: row-major, on the graph's own constants.
bool has_primitives() { return !onednn_version().empty(); }

/// Runs twice, in both formats of each input of rank 4: what a run leaves in memory must not show
/// in the next.
void expect_as_interpreted(const Graph& graph, const Plan& plan, const Tensors& inputs) {
  const NoGrad no_grad;
  const Tensors expected = graph.copy().run(inputs);
  Tensors turned;
  for (const Tensor& input : inputs)
    turned.push_back(input.rank() == 4 ? input.to(MemoryFormat::channels_last) : input);
  for (const Tensors& given : {inputs, turned, inputs, turned}) {
    const Tensors found = plan.run(given);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_LE(difference(expected[i], found[i]), kBound) << "output " << i << plan.to_string();
  }
}

int dense(Builder& b, int x, std::int64_t in, std::int64_t out, std::uint64_t seed) {
  return b.call(kLinear, {x, b.constant(random({out, in}, seed))});
}

Attributes concat_axis(std::int64_t axis) { return Attributes::of(ConcatAttributes{axis}); }

TEST(PlanPlace, PartsOfAConcatenationAreWrittenInPlace) {
  Builder b;
  const int x = b.input("x", {1, 6, 16});
  const int joined =
      b.call(kConcat, {dense(b, x, 16, 16, 2), dense(b, x, 16, 16, 3)}, concat_axis(1));
  const Graph graph = b.finish({b.call(kExp, {joined})});
  const Plan plan = compile(graph, {.threads = 1});
  EXPECT_EQ(moves(plan), 0) << plan.to_string();
  expect_as_interpreted(graph, plan, {random({1, 6, 16})});
}

TEST(PlanPlace, AConcatenationOfConcatenationsIsAnOutput) {
  Builder b;
  const int x = b.input("x", {1, 6, 16});
  const int inner =
      b.call(kConcat, {dense(b, x, 16, 16, 2), dense(b, x, 16, 16, 3)}, concat_axis(1));
  const int outer = b.call(kConcat, {dense(b, x, 16, 16, 4), inner}, concat_axis(1));
  const Graph graph = b.finish({outer});
  const Plan plan = compile(graph, {.threads = 1});
  EXPECT_EQ(moves(plan), 0) << plan.to_string();
  expect_as_interpreted(graph, plan, {random({1, 6, 16})});
}

TEST(PlanPlace, PartsThatAreOutputsInputsConstantsOrTwiceThereAreCopied) {
  Builder b;
  const int x = b.input("x", {1, 4, 16});
  const int y = dense(b, x, 16, 16, 2);
  const int constant = b.constant(random({1, 2, 16}, 5));
  const int joined = b.call(kConcat, {y, x, y, constant}, concat_axis(1));
  const int other = b.call(kConcat, {y, x}, concat_axis(1));
  const Graph graph = b.finish({y, joined, b.call(kExp, {other})});
  expect_as_interpreted(graph, compile(graph, {.threads = 1}), {random({1, 4, 16})});
}

TEST(PlanPlace, PartsThatDoNotBeginOnALineOfTheCacheAreCopied) {
  Builder b;
  const int x = b.input("x", {1, 3, 5});
  const int joined = b.call(kConcat, {dense(b, x, 5, 5, 2), dense(b, x, 5, 5, 3)}, concat_axis(1));
  const Graph graph = b.finish({b.call(kExp, {joined})});
  const Plan plan = compile(graph, {.threads = 1});
  EXPECT_EQ(moves(plan), 1) << plan.to_string();
  expect_as_interpreted(graph, plan, {random({1, 3, 5})});
}

TEST(PlanPlace, OtherAxesAndBatchesAreCopied) {
  for (const std::int64_t batch : {1, 2}) {
    Builder b;
    const int x = b.input("x", {batch, 4, 16});
    const int y = dense(b, x, 16, 16, 2);
    const int z = dense(b, x, 16, 16, 3);
    const int wide = b.call(kConcat, {y, z}, concat_axis(-1));
    const int high = b.call(kConcat, {b.call(kExp, {y}), b.call(kExp, {z})}, concat_axis(1));
    const Graph graph = b.finish({b.call(kExp, {wide}), b.call(kTanh, {high})});
    expect_as_interpreted(graph, compile(graph, {.threads = 1}), {random({batch, 4, 16})});
  }
}

// A residual sum takes the place of its operand: not where that is a part of something larger, nor
// where the sum itself is one, unless the operand dies there.
TEST(PlanPlace, ResidualSumsAmongPartsOfAConcatenation) {
  Builder b;
  const int x = b.input("x", {1, 4, 16});
  const int y = dense(b, x, 16, 16, 2);
  const int z = dense(b, x, 16, 16, 3);
  const int joined = b.call(kConcat, {y, z}, concat_axis(1));
  const int sum = b.call(kAdd, {dense(b, z, 16, 16, 4), y});
  const int dying = b.call(kTanh, {x});
  const int second = b.call(kAdd, {dense(b, sum, 16, 16, 5), dying});
  const int all = b.call(kConcat, {sum, second}, concat_axis(1));
  const int last = b.call(kAdd, {dense(b, joined, 16, 16, 6), all});
  const Graph graph = b.finish({last, b.call(kExp, {joined})});
  expect_as_interpreted(graph, compile(graph, {.threads = 1}), {random({1, 4, 16})});
}

TEST(PlanPlace, SlicesThatLieTogetherAreReadInPlace) {
  Builder b;
  const int x = b.input("x", {1, 64});
  const int y = dense(b, x, 64, 64, 2);
  std::vector<int> parts;
  for (const std::int64_t at : {0, 16, 32})
    parts.push_back(b.call(
        kExp, {b.call(kSlice, {y}, Attributes::of(SliceAttributes{{1}, {at}, {at + 16}, {1}}))}));
  const int odd = b.call(kSlice, {y}, Attributes::of(SliceAttributes{{1}, {3}, {19}, {1}}));
  const int back = b.call(kSlice, {y}, Attributes::of(SliceAttributes{{1}, {15}, {-65}, {-1}}));
  const int sum = b.call(kAdd, {dense(b, parts[0], 16, 16, 4), parts[1]});
  const Graph graph = b.finish({sum, parts[2], b.call(kTanh, {odd}), b.call(kTanh, {back}), y});
  const Plan plan = compile(graph, {.threads = 1});
  EXPECT_EQ(moves(plan), 2) << plan.to_string();
  expect_as_interpreted(graph, plan, {random({1, 64})});
}

// As the heads of detectors have it: only the input's memory format is changed.
TEST(PlanPlace, PixelsOfPicturesAreConcatenatedInPlace) {
  Builder b;
  const int x = b.input("x", {1, 3, 8, 8});
  const auto head = [&](std::int64_t channels, std::uint64_t seed) {
    const int conv = b.call(kConv2d, {x, b.constant(random({channels, 3, 3, 3}, seed))},
                            Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}}));
    const int turned =
        b.call(kTranspose, {conv}, Attributes::of(TransposeAttributes{{0, 2, 3, 1}}));
    return b.call(kReshape, {turned}, Attributes::of(ReshapeAttributes{{1, -1, 4}}));
  };
  const int joined = b.call(kConcat, {head(8, 2), head(4, 3)}, concat_axis(1));
  const Graph graph = b.finish({b.call(kExp, {joined})});
  const Plan plan = compile(graph, {.threads = 1});
  if (has_primitives()) {
    EXPECT_EQ(moves(plan), 1) << plan.to_string();
  }
  expect_as_interpreted(graph, plan, {random({1, 3, 8, 8})});
}

TEST(PlanPlace, AChannelsLastInputIsReadAsItIs) {
  Builder b;
  const int x = b.input("x", {2, 3, 6, 6});
  const int conv = b.call(kConv2d, {x, b.constant(random({4, 3, 3, 3}, 2))},
                          Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}}));
  const Graph graph = b.finish({b.call(kExp, {conv})});
  expect_as_interpreted(graph, compile(graph, {.threads = 1}), {random({2, 3, 6, 6})});
}

// The sum takes the place of the converted input, and others read the input as it is given.
TEST(PlanPlace, AChannelsLastInputStaysAsItWas) {
  Builder b;
  const int x = b.input("x", {2, 4, 6, 6});
  const int y = b.input("y", {2, 4, 6, 6});
  const int conv = b.call(kConv2d, {x, b.constant(random({4, 4, 3, 3}, 2))},
                          Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}}));
  const int sum = b.call(kAdd, {conv, y});
  const int flat = b.call(kReshape, {y}, Attributes::of(ReshapeAttributes{{2, -1}}));
  const Graph graph = b.finish({b.call(kTanh, {sum}), b.call(kExp, {flat}), x});
  const Plan plan = compile(graph, {.threads = 1});
  expect_as_interpreted(graph, plan, {random({2, 4, 6, 6}), random({2, 4, 6, 6}, 3)});
  const Tensor given = random({2, 4, 6, 6}, 4).to(MemoryFormat::channels_last);
  const std::vector<float> before = given.to_vector<float>();
  plan.run(Tensors{given, given});
  EXPECT_EQ(given.to_vector<float>(), before);
}

/// Gives the constant memory whose end can be seen.
std::weak_ptr<void> watch(Graph& graph, int constant) {
  Tensor& tensor = graph.edit_value(constant).tensor;
  auto memory = std::make_shared<std::vector<float>>(tensor.to_vector<float>());
  tensor = Tensor::wrap(memory->data(), tensor.shape(), DType::f32, memory);
  return memory;
}

TEST(PlanPlace, KeepsThePackedWeightsAlone) {
  for (const bool symbolic : {false, true}) {
    Builder b;
    const int x = b.input("x", symbolic ? test::batch_of({64}) : Shape{8, 64});
    const int weight = b.constant(random({64, 64}, 2));
    const int y = b.call(kLinear, {x, weight});
    const std::weak_ptr<void> alive = watch(b.graph, weight);
    const Plan plan = compile(b.finish({y}), {.threads = 1});
    EXPECT_EQ(alive.expired(), has_primitives());
    EXPECT_EQ(plan.run(random({8, 64})).shape(), (Shape{8, 64}));
  }
}

}  // namespace
}  // namespace pare
