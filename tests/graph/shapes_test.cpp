// Shapes as values: shape arithmetic on named sizes, fold_shapes, data-dependent sizes, output
// names, the drawing.
#include <gmock/gmock.h>

#include "expect_error.h"
#include "pare/pare.h"

namespace pare {
namespace {

using testing::HasSubstr;
using Numbers = std::vector<std::int64_t>;

Shape named(const std::vector<std::string>& axes) {
  Shape shape;
  for (const std::string& axis : axes) {
    if (axis.find_first_not_of("0123456789") == std::string::npos)
      shape.append(std::stoll(axis));
    else
      shape.append_symbol(axis);
  }
  return shape;
}

/// Writes graphs as an importer does.
struct Writer {
  Graph graph;
  int input(const char* name, const Shape& shape, DType dtype = DType::f32) {
    return graph.add_input(name, shape, dtype);
  }
  int constant(const Numbers& values) {
    return graph.add_leaf(Graph::Kind::constant, "constant",
                          Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())}));
  }
  int scalar(std::int64_t value) {
    return graph.add_leaf(Graph::Kind::constant, "scalar", Tensor::from(Numbers{value}, Shape{}));
  }
  int number(float value) {
    return graph.add_leaf(Graph::Kind::constant, "number", Tensor::scalar(value));
  }
  int call(const OpDef& op, std::vector<int> inputs) {
    return call(op, op.defaults ? op.defaults() : Attributes{}, std::move(inputs));
  }
  int call(const OpDef& op, Attributes attributes, std::vector<int> inputs) {
    return graph.node(graph.add_node(op.name, {&op, std::move(attributes)}, std::move(inputs)))
        .outputs[0];
  }
  std::string shape(int value) const { return graph.value(value).shape.to_string(); }
  Graph finish(std::vector<int> outputs) {
    graph.set_outputs(std::move(outputs));
    graph.compact();
    graph.verify();
    return std::move(graph);
  }
};

void expect_same(Graph a, Graph b, const Tensors& inputs) {
  const Tensors x = a.run(inputs);
  const Tensors y = b.run(inputs);
  ASSERT_EQ(x.size(), y.size());
  for (std::size_t k = 0; k < x.size(); ++k) {
    EXPECT_EQ(x[k].shape(), y[k].shape());
    EXPECT_EQ(x[k].to(DType::f64).to_vector<double>(), y[k].to(DType::f64).to_vector<double>());
  }
}

/// What torch exports for x.view(x.size(0), x.size(1), 4, -1).transpose(1, 2).
Graph heads() {
  Writer w;
  const int x = w.input("x", named({"batch", "length", "32"}));
  const int shape = w.call(kShape, {x});
  const Attributes front = Attributes::of(GatherAttributes{0});
  const int batch = w.call(kGather, front, {shape, w.scalar(0)});
  const int length = w.call(kGather, front, {shape, w.scalar(1)});
  const int to =
      w.call(kConcat, Attributes::of(ConcatAttributes{0}),
             {w.call(kUnsqueeze, {batch, w.constant({0})}),
              w.call(kUnsqueeze, {length, w.constant({0})}), w.constant({4}), w.constant({-1})});
  const int split = w.call(kReshape, {x, to});
  EXPECT_EQ(w.shape(split), "[batch, length, 4, 8]");
  return w.finish({w.call(kTranspose, Attributes::of(TransposeAttributes{{0, 2, 1, 3}}), {split})});
}

TEST(FoldShapes, TorchReshapeBecomesAttributes) {
  const Graph graph = heads();
  auto [folded, report] = fold_shapes(graph);
  ASSERT_EQ(folded.nodes().size(), 2U);
  EXPECT_EQ(folded.node(0).call.attributes.as<ReshapeAttributes>().shape, (Numbers{0, 0, 4, -1}));
  EXPECT_THAT(report.to_string(), HasSubstr("reshape: its sizes are attributes"));
  EXPECT_EQ(folded.value(folded.outputs()[0]).shape.to_string(), "[batch, 4, length, 8]");
  Generator generator(3);
  for (const Shape& shape : {Shape{2, 3, 32}, Shape{1, 7, 32}})
    expect_same(graph, folded, {generator.normal(shape)});
}

TEST(FoldShapes, MasksOfRangesAndSlices) {
  // A causal mask cut out of a large one: bias[:, :, :length, :length].
  Writer w;
  const int x = w.input("x", named({"batch", "length", "length"}));
  const int length = w.call(kShape, Attributes::of(ShapeAttributes{1, 2}), {x});
  const int large = w.graph.add_leaf(Graph::Kind::constant, "bias", tril(Tensor::ones({9, 9})));
  const int rows = w.call(kSlice, {large, w.constant({0}), length, w.constant({0})});
  const int mask = w.call(kSlice, {rows, w.constant({0}), length, w.constant({1})});
  EXPECT_EQ(w.shape(mask), "[length, length]");
  const int places =
      w.call(kRange, {w.scalar(0), w.call(kReshape, {length, w.constant({})}), w.scalar(1)});
  EXPECT_EQ(w.shape(places), "[length]");
  const int as_floats = w.call(kCast, Attributes::of(CastAttributes{DType::f32}), {places});
  const int zeros = w.call(kExpand, {w.number(0), w.call(kShape, {x})});
  EXPECT_EQ(w.shape(zeros), "[batch, length, length]");
  const int y = w.call(kAdd, {w.call(kMul, {x, mask}), w.call(kAdd, {zeros, as_floats})});
  EXPECT_EQ(w.shape(y), "[batch, length, length]");
  const Graph graph = w.finish({y});
  auto [folded, report] = fold_shapes(graph);
  EXPECT_THAT(report.to_string(), HasSubstr("left: its sizes are not known without running"));
  Generator generator(4);
  for (const std::int64_t n : {3, 5}) expect_same(graph, folded, {generator.normal({2, n, n})});
}

TEST(FoldShapes, ValuesThatAreNumbers) {
  Writer w;
  const int x = w.input("x", Shape{2, 3, 4});
  const int twice =
      w.call(kMul, {w.call(kShape, Attributes::of(ShapeAttributes{1, 3}), {x}), w.constant({2})});
  const int sizes = w.call(kConcat, Attributes::of(ConcatAttributes{0}), {w.constant({2}), twice});
  const int y = w.call(kResize, {x, sizes});
  EXPECT_EQ(w.shape(y), "[2, 6, 8]");
  const int top = w.call(kTopk, {y, w.constant({2})});
  const int padded = w.call(kPad, {top, w.constant({1, 0}), w.constant({-1})});
  const int tiled = w.call(kTile, {padded, w.constant({1, 2, 1})});
  const int reduced = w.call(kSum, {tiled, w.constant({1})});
  const Graph graph = w.finish({reduced, twice});
  auto [folded, report] = fold_shapes(graph);
  for (const Graph::Node& node : folded.nodes()) EXPECT_EQ(node.inputs.size(), 1U) << node.name;
  EXPECT_EQ(folded.value(folded.outputs()[1]).kind, Graph::Kind::constant);
  Generator generator(5);
  expect_same(graph, folded, {generator.normal({2, 3, 4})});
}

// As Swin's padding to whole windows: mod, a table of two columns turned over, read backwards.
TEST(FoldShapes, AnyArithmeticOfNumbers) {
  Writer w;
  const int x = w.input("x", named({"N", "6", "8"}));
  const int six = w.call(kGather, {w.call(kShape, {x}), w.scalar(1)});
  const int window = w.scalar(4);
  const int missing = w.call(kMod, {w.call(kSub, {window, w.call(kMod, {six, window})}), window});
  const int ends =
      w.call(kConcat, {w.constant({0, 0, 0}),
                       w.call(kReshape, Attributes::of(ReshapeAttributes{{1}}), {missing}),
                       w.constant({0, 0})});
  int table = w.call(kReshape, Attributes::of(ReshapeAttributes{{-1, 2}}), {ends});
  table = w.call(kSlice, Attributes::of(SliceAttributes{{0}, {-1}, {-100}, {-1}}), {table});
  table = w.call(kTranspose, Attributes::of(TransposeAttributes{{1, 0}}), {table});
  const int y =
      w.call(kPad, {x, w.call(kReshape, Attributes::of(ReshapeAttributes{{-1}}), {table})});
  EXPECT_EQ(w.shape(y), "[N, 8, 8]");
}

TEST(Graph, SizesThatOnlyTheDataKnow) {
  Writer w;
  const int x = w.input("x", named({"batch", "3"}));
  const int places = w.call(kNonZero, {x});
  EXPECT_EQ(w.shape(places), "[2, nonzero?1]");
  const int flat = w.call(kReshape, {places, w.constant({-1})});
  EXPECT_EQ(w.shape(flat), "[2*nonzero?1]");
  const int other = w.call(kNonZero, {w.call(kRelu, {x})});
  EXPECT_EQ(w.shape(other), "[2, nonzero_1?1]");
  const int to = w.input("to", Shape{2}, DType::i64);
  const int moved = w.call(kReshape, {x, to});
  EXPECT_EQ(w.shape(moved), "[reshape_1?0, reshape_1?1]");
  Graph graph = w.finish({flat, other, w.call(kMul, {moved, w.number(2)})});
  graph.infer_shapes();
  graph.verify();
  const Tensors y =
      graph.run({Tensor::from({0, 1, 0, 2, -3, 0}, {2, 3}), Tensor::from(Numbers{3, -1}, {2})});
  EXPECT_EQ(y[0].to_vector<std::int64_t>(), (Numbers{0, 1, 1, 1, 0, 1}));
  EXPECT_EQ(y[1].shape(), (Shape{2, 2}));
  EXPECT_EQ(y[2].to_vector<float>(), (std::vector<float>{0, 2, 0, 4, -6, 0}));
  EXPECT_EQ(y[2].shape(), (Shape{3, 2}));
}

TEST(Trace, PicturesOfAnySize) {
  Generator generator(6);
  nn::Conv2d conv{{.in = 3, .out = 4, .kernel = 3, .stride = 2, .padding = 1}};
  nn::initialize(conv, generator);
  Graph graph =
      trace(conv, generator.normal({1, 3, 8, 6}), {.axes = {{0, 2, "height"}, {0, 3, "width"}}});
  EXPECT_EQ(graph.value(graph.outputs()[0]).shape.to_string(),
            "[batch, 4, (height+1)/2, (width+1)/2]");
  for (const Shape& shape : {Shape{2, 3, 8, 6}, Shape{1, 3, 7, 11}}) {
    const Tensor x = generator.normal(shape);
    EXPECT_EQ(graph.forward(x).to_vector<float>(), conv.forward(x).to_vector<float>());
  }
  const Tensor x = generator.normal({1, 3, 8, 6});
  EXPECT_ERROR(trace(conv, x, {.axes = {{1, 2, "h"}}}), invalid_argument, "of 1 inputs");
  EXPECT_ERROR(trace(conv, x, {.axes = {{0, 2, "batch"}}}), invalid_argument, "'batch'");
  EXPECT_ERROR(trace(conv, x, {.axes = {{0, 4, "h"}}}), out_of_range, "from 1 to 3, got 4");
  EXPECT_ERROR(trace(conv, x, {.axes = {{0, 2, "h"}, {0, 3, "h"}}}), shape_mismatch,
               "one size of 'h'");
}

TEST(Graph, OutputsHaveNamesOfTheirOwn) {
  Writer w;
  const int x = w.input("x", Shape{2});
  const int y = w.call(kRelu, {x});
  w.graph.set_outputs({y, y, x});
  EXPECT_EQ(w.graph.output_names(), (std::vector<std::string>{"relu", "relu_1", "x"}));
  w.graph.set_outputs({y, y, x}, {"first", "second", "same"});
  w.graph.compact();
  const std::vector<std::string> names{"first", "second", "same"};
  EXPECT_EQ(w.graph.output_names(), names);
  EXPECT_EQ(w.graph.copy().output_names(), names);
  EXPECT_EQ(remove_identities(w.graph).graph.output_names(), names);
  w.graph.set_outputs({x, y, y});
  EXPECT_EQ(w.graph.output_names(), names);
  w.graph.set_outputs({y});
  EXPECT_EQ(w.graph.output_names(), std::vector<std::string>{"relu"});
  EXPECT_ERROR(w.graph.set_outputs({y, x}, {"a", "a"}), invalid_argument, "different", "'a'");
  EXPECT_ERROR(w.graph.set_outputs({y, x}, {"a"}), invalid_argument, "a name for each of 2");
}

TEST(Graph, IsDrawn) {
  Writer w;
  const int x = w.input("a \"b\"", Shape{2});
  const Graph graph = w.finish({w.call(kAdd, {w.call(kRelu, {x}), w.number(1)})});
  const std::string dot = graph.to_dot();
  EXPECT_THAT(dot, HasSubstr("digraph {"));
  EXPECT_THAT(dot, HasSubstr("v0 [shape=oval, label=\"a \\\"b\\\"\\nf32 [2]\"];"));
  EXPECT_THAT(dot, HasSubstr("v0 -> n0 [label=\"f32 [2]\"];"));
  EXPECT_THAT(dot, HasSubstr("n1 [label=\"add\\nadd\\nnumber f32 []\"];"));
  EXPECT_THAT(dot, HasSubstr("n1 -> o0"));
}

}  // namespace
}  // namespace pare
