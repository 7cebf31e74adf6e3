// Structured pruning through ops that move elements: removed = zeroed in nets of them.
#include <gtest/gtest.h>

#include "pare/nn/activation.h"
#include "pare/nn/conv.h"
#include "pare/nn/linear.h"
#include "pare/nn/padding.h"
#include "pare/nn/resample.h"
#include "prune/law.h"

namespace pare::prune {
namespace {

nn::Conv2d conv3(std::int64_t in, std::int64_t out) {
  return nn::Conv2d{{.in = in, .out = out, .kernel = 3, .padding = 1}};
}

// Upwards by pixels in either order of channels, and down again.
template <bool kDepthFirst> struct Shuffle : nn::Module {
  nn::Conv2d first = conv3(3, 16), second = conv3(4, 6), third = conv3(24, 5);
  nn::Linear fc{{.in = 5, .out = 3}};
  void members(nn::Members& m) override {
    m("first", first)("second", second)("third", third)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    const DepthSpaceAttributes blocks{.block = 2, .order = kDepthFirst ? "DCR" : "CRD"};
    const Tensor up = relu(second(depth_to_space(relu(first(x)), blocks)));
    return fc(flatten(global_average_pool(relu(third(space_to_depth(up, blocks))))));
  }
};

TEST(ChannelsMovement, RemovedIsZeroedThroughShuffledPixels) {
  expect_law_on<Shuffle<true>>({2, 3, 4, 4});
  expect_law_on<Shuffle<false>>({2, 3, 4, 4});
}

TEST(ChannelsMovement, AChannelOfPixelsIsOneOfEachPlace) {
  ContextScope scope;
  scope->threads = 1;
  const Graph graph = random_graph<Shuffle<false>>({2, 3, 4, 4});
  for (const Group& group : groups(graph))
    for (const Channel& channel : group.channels)
      for (const Slice& slice : channel.slices)
        if (graph.value(slice.value).name == "first.weight" && slice.axis == 0) {
          EXPECT_EQ(slice.indices.size(), 4U);
          EXPECT_EQ(slice.indices.back() - slice.indices.front(), 3);
        }
}

// Borders, another resolution and a shift leave channels alone; a tiled one goes with its copies.
struct Moved : nn::Module {
  nn::Conv2d first = conv3(3, 6), second = conv3(12, 5);
  nn::ReflectionPad2d mirror{{.padding = 1}};
  nn::ReplicationPad2d edge{{.padding = {0, 1, 0, 1}}};
  nn::Upsample up{{.size = {9}, .mode = "bilinear"}};
  nn::Linear fc{{.in = 5 * 9 * 9, .out = 3}};
  void members(nn::Members& m) override { m("first", first)("second", second)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    Tensor y = up(edge(mirror(relu(first(x)))));
    y = roll(y, {2, 1, 3}, {2, 1, -1});
    y = tril(relu(second(tile(y, {1, 2, 1, 1}))));
    return fc(flatten(flip(y, {1, 3})));
  }
};

TEST(ChannelsMovement, RemovedIsZeroedThroughBordersResizingAndTiles) {
  expect_law_on<Moved>({2, 3, 4, 4});
}

// What unfold makes of a channel, summed up again by a linear layer or folded back.
struct Folded : nn::Module {
  nn::Conv2d first = conv3(3, 6), second = conv3(6, 4);
  nn::Linear fc{{.in = 4, .out = 3}};
  void members(nn::Members& m) override { m("first", first)("second", second)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    const Tensor columns = unfold(relu(first(x)), {.kernel = {2, 2}, .stride = {1, 2}});
    const Tensor back = fold(columns, {.output = {4, 4}, .kernel = {2, 2}, .stride = {1, 2}});
    return fc(flatten(global_average_pool(relu(second(back)))));
  }
};
struct ColumnsToLinear : nn::Module {
  nn::Conv2d first = conv3(3, 6);
  nn::Linear fc{{.in = 6 * 4 * 4, .out = 3}};
  void members(nn::Members& m) override { m("first", first)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    return fc(flatten(unfold(relu(first(x)), {.kernel = {2, 2}, .stride = {2, 2}})));
  }
};

TEST(ChannelsMovement, RemovedIsZeroedThroughColumns) {
  expect_law_on<ColumnsToLinear>({2, 3, 4, 4});
  expect_law_on<Folded>({2, 3, 4, 4});
}

// Heads taken apart and stacked again, rows picked by index.
struct Picked : nn::Module {
  nn::Linear first{{.in = 5, .out = 8}}, last{{.in = 8, .out = 3}};
  Tensor rows = Tensor::from(std::vector<std::int64_t>{2, 0, 1, 1}, {4});
  void members(nn::Members& m) override { m("first", first)("last", last); }
  Tensor forward(const Tensor& x) override {
    const Tensor y = index_select(relu(first(x)), rows, 1);
    const Tensors halves = split(y, 2, 1);
    const Tensor joined = squeeze(stack({halves[1], halves[0]}, 1), 2);
    return last(relu(unflatten(flatten(joined, 1, 2), 1, {2, 2})));
  }
};

TEST(ChannelsMovement, RemovedIsZeroedThroughPartsAndStacks) { expect_law_on<Picked>({2, 3, 5}); }

}  // namespace
}  // namespace pare::prune
