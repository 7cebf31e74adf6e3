// trace: nets of movement ops are graphs of any batch, and plans of them.
#include "graph/nets.h"

namespace pare::test {
namespace {

/// Pictures: borders, resolutions, shifts, columns.
struct PictureNet : nn::Module {
  nn::Conv2d first{{.in = 3, .out = 8, .kernel = 3}};
  nn::ReflectionPad2d border{{.padding = 1}};
  nn::PixelShuffle shuffle{{.upscale_factor = 2}};
  nn::PixelUnshuffle unshuffle{{.downscale_factor = 2}};
  nn::Upsample up{{.scale_factor = {1.5}, .mode = "bicubic"}};
  nn::Linear fc{{.in = 72, .out = 5}};

  void members(nn::Members& m) override { m("first", first)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    Tensor y = unshuffle(shuffle(relu(first(border(x)))));
    y = resize(up(y), {.mode = "linear", .sizes = {-1, -1, 4, 4}});
    y = roll(flip(tile(y, {1, 1, 2, 1}), {-1}), {1, -2}, {2, 3});
    const Tensor columns = unfold(y, {.kernel = {4, 2}, .stride = {4, 2}});  // [N, 64, 4]
    const Tensor back = fold(columns, {.output = {8, 4}, .kernel = {4, 2}, .stride = {4, 2}});
    y = triu(pad(back, {{0, 0, 0, 1}, {0, 0, 1, 1}, "circular"}));  // [N, 8, 9, 6]
    y = swapaxes(chunk(y, 2, 3)[0], 1, -1);                         // [N, 3, 9, 8]
    return fc(permute(unflatten(flatten(y, 2), 2, {1, 72}), {0, 2, 1, 3}));
  }
};

/// Rows: parts, stacks, indices.
struct RowNet : nn::Module {
  nn::Linear first{{.in = 6, .out = 6}}, last{{.in = 12, .out = 3}};
  Tensor rows = Tensor::from(std::vector<std::int64_t>{3, 0, 1}, {3});

  void members(nn::Members& m) override { m("first", first)("last", last); }
  Tensor forward(const Tensor& x) override {  // [N, 4, 6]
    const Tensor y = index_select(first(x), rows, 1);
    const Tensors parts = split(y, std::vector<std::int64_t>{1, 2}, 1);
    const Tensor both = stack({parts[0], split(parts[1], 1, 1)[1]}, 0);  // [2, N, 1, 6]
    const Tensor again = movedim(unsqueeze(squeeze(both, 2), 0), 1, 0);  // [2, 1, N, 6]
    const Tensor wide = repeat_interleave(squeeze(again, 1), 2, 2);      // [2, N, 12]
    return last(transpose(wide, {1, 0, 2}));
  }
};

template <class Net> void expect_any_batch(const Shape& one) {
  ContextScope scope;
  scope->threads = 1;  // threads would wait for one another longer than they work
  Net net;
  fill(net);
  const auto batch_of = [&](std::int64_t batch) {
    Shape shape = one;
    shape.set(0, batch);
    return random(shape, 5);
  };
  Graph graph = trace(net, batch_of(4));
  EXPECT_EQ(trace(graph, batch_of(4)).to_string(), graph.to_string());
  const NoGrad no_grad;
  for (const std::int64_t batch : {4, 1, 7}) {
    const Tensor x = batch_of(batch);
    const Tensor expected = net(x);
    expect_identical(run_one(graph, x), expected);
    const auto result = compile(graph, {.threads = 1}).run(x).to_vector<float>();
    const auto values = expected.to_vector<float>();
    ASSERT_EQ(result.size(), values.size());
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(result[i], values[i], 1e-5) << i;
  }
}

TEST(TraceMovement, PicturesOfAnyBatch) { expect_any_batch<PictureNet>({4, 3, 6, 6}); }
TEST(TraceMovement, RowsOfAnyBatch) { expect_any_batch<RowNet>({4, 4, 6}); }

}  // namespace
}  // namespace pare::test
