// What single ONNX nodes become, and what is refused of them, with the reason.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "expect_error.h"
#include "io/onnx/importer.h"
#include "pare/core/ops.h"

namespace pare::onnx {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A model of one node, made step by step.
class OneNode {
 public:
  explicit OneNode(const std::string& op, std::int64_t opset = 17, const std::string& domain = "") {
    model_.ir_version = 8;
    model_.opsets = {{"", opset}, {"com.microsoft", 1}};
    node_.op_type = op;
    node_.name = "node";
    node_.domain = domain;
  }
  /// An input of the graph.
  OneNode& input(const std::vector<std::int64_t>& shape, ElementType type = ElementType::f32) {
    ValueInfo info;
    info.name = "x" + std::to_string(node_.inputs.size());
    info.type = type;
    info.has_shape = true;
    for (const std::int64_t size : shape) info.shape.push_back({size, size < 0 ? "N" : ""});
    model_.graph.inputs.push_back(info);
    node_.inputs.push_back(info.name);
    return *this;
  }
  OneNode& constant(const Tensor& tensor) {
    tensors_.push_back(tensor);
    node_.inputs.push_back("c" + std::to_string(node_.inputs.size()));
    model_.graph.initializers.push_back(to_proto(node_.inputs.back(), tensors_.back()));
    return *this;
  }
  OneNode& left_out() {
    node_.inputs.emplace_back();
    return *this;
  }
  OneNode& integer(const char* name, std::int64_t value) {
    AttributeProto& a = add(name, AttributeProto::Type::integer);
    a.integer = value;
    return *this;
  }
  OneNode& real(const char* name, double value) {
    AttributeProto& a = add(name, AttributeProto::Type::real);
    a.real = value;
    return *this;
  }
  OneNode& text(const char* name, const char* value) {
    AttributeProto& a = add(name, AttributeProto::Type::string);
    a.string = value;
    return *this;
  }
  OneNode& integers(const char* name, std::vector<std::int64_t> values) {
    AttributeProto& a = add(name, AttributeProto::Type::integers);
    a.integers = std::move(values);
    return *this;
  }
  OneNode& outputs(int count) {
    count_ = count;
    return *this;
  }
  Graph graph() {
    ModelProto model = model_;
    NodeProto node = node_;
    for (int k = 0; k < count_; ++k) {
      ValueInfo info;
      info.name = "y" + std::to_string(k);
      node.outputs.push_back(info.name);
      model.graph.outputs.push_back(info);
    }
    model.graph.nodes.push_back(node);
    return import_model(model, {.file = "m.onnx", .bytes = 1000});
  }
  std::string error() {
    return error_of([&] { graph(); });
  }

 private:
  AttributeProto& add(const char* name, AttributeProto::Type type) {
    node_.attributes.emplace_back();
    node_.attributes.back().name = name;
    node_.attributes.back().type = type;
    return node_.attributes.back();
  }

  ModelProto model_;
  NodeProto node_;
  Tensors tensors_;
  int count_ = 1;
};

std::vector<std::string> ops_of(const Graph& graph) {
  std::vector<std::string> names;
  for (const Graph::Node& node : graph.nodes()) names.emplace_back(node.call.op->name);
  return names;
}

Tensor whole(const std::vector<std::int64_t>& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

Tensor drawn(const Shape& shape, std::uint64_t seed) { return Generator(seed).normal(shape); }

/// Of operands whose first axis is named: what pare::einsum gives.
void expect_einsum(const char* equation, const Shape& a, const Shape& b, bool named_both) {
  SCOPED_TRACE(equation);
  const auto sizes = [](const Shape& shape, bool named) {
    std::vector<std::int64_t> out;
    for (int k = 0; k < shape.rank(); ++k) out.push_back(k == 0 && named ? -1 : shape[k]);
    return out;
  };
  Graph graph = OneNode("Einsum")
                    .input(sizes(a, true))
                    .input(sizes(b, named_both))
                    .text("equation", equation)
                    .graph();
  const Tensors operands{drawn(a, 1), drawn(b, 2)};
  const Tensor wanted = einsum(equation, operands);
  const Tensor found = graph.run(operands)[0];
  ASSERT_EQ(found.shape(), wanted.shape());
  const auto x = wanted.to_vector<float>();
  const auto y = found.to_vector<float>();
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i], x[i], 1e-5F);
}

/// x under a shape whose elements are those of x's axes `at`, or where that is −1 of `shape`,
/// allowzero set.
Graph computed_reshape(const std::vector<std::int64_t>& x, const std::vector<std::int64_t>& shape,
                       const std::vector<std::int64_t>& at) {
  ModelProto model;
  model.ir_version = 8;
  model.opsets = {{"", 17}};
  ValueInfo info;
  info.name = "x";
  info.type = ElementType::f32;
  info.has_shape = true;
  for (std::size_t a = 0; a < x.size(); ++a)
    info.shape.push_back({x[a], x[a] < 0 ? "n" + std::to_string(a) : ""});
  model.graph.inputs.push_back(info);
  Tensors kept;
  const auto initializer = [&](const std::string& name, std::int64_t value) {
    kept.push_back(whole({value}));
    model.graph.initializers.push_back(to_proto(name, kept.back()));
    return name;
  };
  const auto add = [&](const char* op, std::vector<std::string> inputs, const std::string& y) {
    NodeProto& node = model.graph.nodes.emplace_back();
    node.op_type = op;
    node.name = y;
    node.inputs = std::move(inputs);
    node.outputs = {y};
  };
  const auto integer = [&](const char* name, std::int64_t value) {
    AttributeProto& a = model.graph.nodes.back().attributes.emplace_back();
    a.name = name;
    a.type = AttributeProto::Type::integer;
    a.integer = value;
  };
  add("Shape", {"x"}, "sizes");
  std::vector<std::string> parts;
  for (std::size_t k = 0; k < at.size(); ++k) {
    const std::string name = "s" + std::to_string(k);
    if (at[k] < 0) {
      parts.push_back(initializer(name, shape[k]));
      continue;
    }
    add("Gather", {"sizes", initializer(name + "/at", at[k])}, name);
    parts.push_back(name);
  }
  add("Concat", parts, "shape");
  integer("axis", 0);
  add("Reshape", {"x", "shape"}, "y");
  integer("allowzero", 1);
  model.graph.outputs.emplace_back().name = "y";
  return import_model(model, {.file = "m.onnx", .bytes = 1000});
}

TEST(OnnxImportOps, EinsumOfNamedSizes) {
  expect_einsum("bij,bkj->bik", {3, 2, 4}, {3, 5, 4}, true);
  expect_einsum("bij, bj -> ib", {3, 2, 4}, {3, 4}, true);
  expect_einsum("nhid,nhjd->nhij", {2, 3, 4, 5}, {2, 3, 6, 5}, true);
  expect_einsum("ij,jk->ki", {3, 4}, {4, 5}, false);
  expect_einsum("bj,bj->b", {3, 4}, {3, 4}, true);
  expect_einsum("i,j->ij", {3}, {4}, false);
  expect_einsum("i,j->ji", {3}, {3}, true);
  expect_einsum("bsh,hnd->bsnd", {3, 2, 4}, {4, 2, 5}, false);
  expect_einsum("bsnd,dnh->hbs", {3, 2, 4, 5}, {5, 4, 2}, false);
  expect_einsum("abc,c->ab", {3, 2, 4}, {4}, false);
  expect_einsum("bij,bij->b", {3, 2, 4}, {3, 2, 4}, true);
  expect_einsum("bijk,bij", {3, 2, 4, 5}, {3, 2, 4}, true);
  Graph one = OneNode("Einsum").input({-1, 2, 3}).text("equation", "bij->jb").graph();
  EXPECT_EQ(one.run({Tensor::ones({4, 2, 3})})[0].to_vector<float>(), std::vector<float>(12, 2));
  EXPECT_THAT(
      OneNode("Einsum").input({-1, 2, 2}).input({-1, 2, 2}).text("equation", "bii,bij->b").error(),
      HasSubstr("known sizes"));
}

// No reshape says a new axis in front of two named ones.
TEST(OnnxImportOps, UnsqueezeInFrontOfNamedSizes) {
  Graph graph = OneNode("Unsqueeze").input({-1, -1, 3}).constant(whole({0})).graph();
  EXPECT_EQ(graph.run({drawn({2, 2, 3}, 1)})[0].shape(), (Shape{1, 2, 2, 3}));
  graph = OneNode("Squeeze").input({1, -1, -1}).constant(whole({0})).graph();
  EXPECT_EQ(graph.run({drawn({1, 2, 2}, 1)})[0].shape(), (Shape{2, 2}));
}

// Exporters say allowzero of shapes that they compute, too.
TEST(OnnxImportOps, ReshapeWhereAComputedZeroMeansNoElements) {
  const auto graph = [](const std::vector<std::int64_t>& shape,
                        const std::vector<std::int64_t>& at) {
    return computed_reshape({-1, 6, -1}, shape, at);
  };
  // [n, 2, 3, t]: n at its own place, t found.
  Graph four = graph({0, 2, 3, 0}, {0, -1, -1, 2});
  EXPECT_EQ(four.run({drawn({4, 6, 5}, 1)})[0].shape(), (Shape{4, 2, 3, 5}));
  EXPECT_EQ(four.run({drawn({4, 6, 0}, 1)})[0].shape(), (Shape{4, 2, 3, 0}));
  EXPECT_EQ(four.run({drawn({0, 6, 5}, 1)})[0].shape(), (Shape{0, 2, 3, 5}));
  // [t, n, 6]: two that are elsewhere.
  EXPECT_EQ(graph({0, 0, 6}, {2, 0, -1}).run({drawn({4, 6, 5}, 1)})[0].shape(), (Shape{5, 4, 6}));
  // What nobody knows, or a 0 that is written there.
  EXPECT_THAT(OneNode("Reshape")
                  .input({-1, 6})
                  .input({2}, ElementType::i64)
                  .integer("allowzero", 1)
                  .error(),
              HasSubstr("allowzero with a shape that is not known"));
  EXPECT_THAT(error_of([&] {
                graph({0, 0, 6}, {2, -1, -1});
              }),
              HasSubstr("allowzero with a shape that is not known"));
}

TEST(OnnxImportOps, AffineGridOfAKnownSize) {
  const auto grid = [](const std::vector<std::int64_t>& size, std::int64_t align, bool named) {
    const auto spatial = static_cast<std::int64_t>(size.size()) - 2;
    return OneNode("AffineGrid", 20)
        .input({named ? -1 : size[0], spatial, spatial + 1})
        .constant(whole(size))
        .integer("align_corners", align)
        .graph();
  };
  // torch.nn.functional.affine_grid of the same.
  const Tensor theta = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {1, 2, 3});
  EXPECT_THAT(grid({1, 1, 2, 3}, 1, false).run({theta})[0].to_vector<float>(),
              ElementsAre(0, -3, 1, 1, 2, 5, 4, 7, 5, 11, 6, 15));
  const auto half = grid({1, 1, 2, 3}, 0, true).run({theta})[0];
  EXPECT_EQ(half.shape(), (Shape{1, 2, 3, 2}));
  EXPECT_NEAR(half.to_vector<float>()[0], 3 - 2.0 / 3 - 1, 1e-6);
  EXPECT_NEAR(half.to_vector<float>()[1], 6 - 4 * 2.0 / 3 - 2.5, 1e-6);
  EXPECT_EQ(grid({2, 1, 2, 3, 4}, 0, false).run({drawn({2, 3, 4}, 1)})[0].shape(),
            (Shape{2, 2, 3, 4, 3}));
  EXPECT_THAT(OneNode("AffineGrid", 20).input({1, 2, 3}).constant(whole({1, 1, 2})).error(),
              HasSubstr("a theta [1, 2, 3] for a size [1, 1, 2]"));
}

TEST(OnnxImportOps, BecomeTheRecordsThatPassesKnow) {
  EXPECT_THAT(ops_of(OneNode("Clip")
                         .input({2, 3})
                         .constant(Tensor::scalar(0))
                         .constant(Tensor::scalar(6))
                         .graph()),
              ElementsAre("relu6"));
  EXPECT_THAT(ops_of(OneNode("Clip").input({2, 3}).constant(Tensor::scalar(0)).graph()),
              ElementsAre("relu"));
  EXPECT_THAT(ops_of(OneNode("Gemm")
                         .input({2, 3})
                         .constant(Tensor::ones({4, 3}))
                         .constant(Tensor::ones({4}))
                         .integer("transB", 1)
                         .graph()),
              ElementsAre("linear"));
  EXPECT_THAT(ops_of(OneNode("Flatten").input({-1, 3, 4}).graph()), ElementsAre("reshape"));
  EXPECT_THAT(ops_of(OneNode("HardSigmoid").input({2}).real("alpha", 1.0 / 6).graph()),
              ElementsAre("hardsigmoid"));
  EXPECT_THAT(ops_of(OneNode("GlobalAveragePool").input({2, 3, 4, 4}).graph()),
              ElementsAre("global_average_pool"));
}

TEST(OnnxImportOps, StatisticsOfBatchNormAreState) {
  const Graph graph = OneNode("BatchNormalization")
                          .input({2, 3, 4, 4})
                          .constant(Tensor::ones({3}))
                          .constant(Tensor::zeros({3}))
                          .constant(Tensor::zeros({3}))
                          .constant(Tensor::ones({3}))
                          .graph();
  ASSERT_EQ(graph.nodes().size(), 1U);
  const Graph::Node& node = graph.node(0);
  EXPECT_TRUE(graph.value(node.inputs[1]).trainable);
  EXPECT_TRUE(graph.value(node.inputs[3]).kind == Graph::Kind::buffer);
  EXPECT_FALSE(node.call.attributes.as<BatchNormAttributes>().frozen);
}

/// u8 weights around 128 are i8 weights around 0.
TEST(OnnxImportOps, BytesOfWeightsAreShifted) {
  const std::vector<std::uint8_t> codes{0, 128, 255, 7};
  const auto made = [&](std::uint8_t zero) {
    return OneNode("QLinearConv")
        .input({1, 1, 4, 4}, ElementType::u8)
        .constant(Tensor::scalar(0.5))
        .constant(Tensor::scalar(3, DType::u8))
        .constant(Tensor::from(codes, {1, 1, 2, 2}))
        .constant(Tensor::scalar(0.25))
        .constant(Tensor::scalar(zero, DType::u8))
        .constant(Tensor::scalar(2))
        .constant(Tensor::scalar(9, DType::u8))
        .constant(Tensor::from(std::vector<std::int32_t>{40}, {1}))
        .graph();
  };
  const Graph graph = made(128);
  EXPECT_THAT(ops_of(graph), ElementsAre("dequantize_linear", "dequantize_linear",
                                         "dequantize_linear", "conv2d", "quantize_linear"));
  const Graph::Node& weight = graph.node(1);
  EXPECT_THAT(graph.value(weight.inputs[0]).tensor.to_vector<std::int8_t>(),
              ElementsAre(-128, 0, 127, -121));
  EXPECT_EQ(graph.value(weight.inputs[2]).tensor.item(), 0);
  // In units of the product of the scales.
  EXPECT_EQ(graph.value(graph.node(2).inputs[1]).tensor.item(), 0.125);
  // 255 − 100 is no i8: the codes stay.
  const Graph other = made(100);
  EXPECT_TRUE(other.value(other.node(1).inputs[0]).dtype == DType::u8);
  EXPECT_EQ(other.value(other.node(1).inputs[2]).tensor.item(), 100);
}

// Quantizers write [1] for a weight of one channel and for whole tensors; what looks for integer
// arithmetic takes such a scale along the output channels only.
TEST(OnnxImportOps, ScalesOfOneElementAreTheWholeTensors) {
  const Tensor one = Tensor::full({1}, 0.5F);
  const Graph weight = OneNode("DequantizeLinear")
                           .input({1, 2, 3, 3}, ElementType::i8)
                           .constant(one)
                           .constant(Tensor::zeros({1}, DType::i8))
                           .integer("axis", 0)
                           .graph();
  const Graph picture = OneNode("QuantizeLinear", 21)
                            .input({1, 2, 3, 3})
                            .constant(one)
                            .constant(Tensor::full({}, 3, DType::u8))
                            .graph();
  for (const Graph* graph : {&weight, &picture}) {
    ASSERT_EQ(graph->nodes().size(), 1U) << graph->to_string();
    for (const std::size_t i : {1U, 2U}) {
      const int value = graph->node(0).inputs[i];
      EXPECT_EQ(graph->value(value).shape, Shape{});
      EXPECT_TRUE(graph->value(value).is_leaf());
    }
  }
  EXPECT_EQ(weight.value(weight.node(0).inputs[1]).tensor.item(), 0.5);
  EXPECT_EQ(picture.value(picture.node(0).inputs[2]).tensor.item(), 3);
}

TEST(OnnxImportOps, RefusalsSayWhy) {
  const auto expect = [](OneNode node, const std::string& reason) {
    const std::string error = node.error();
    EXPECT_THAT(error, HasSubstr("m.onnx: "));
    EXPECT_THAT(error, HasSubstr("'node'"));
    EXPECT_THAT(error, HasSubstr(reason));
  };
  expect(OneNode("BitShift").input({2}, ElementType::u8).input({2}, ElementType::u8), "direction");
  expect(OneNode("Mod").input({2}).input({2}), "fmod = 0");
  expect(OneNode("Clip").input({2}).constant(Tensor::ones({2})), "a bound of one element");
  expect(OneNode("Gelu", 20).input({2}).text("approximate", "erf"), "approximation 'erf'");
  expect(OneNode("Transpose").input({2, 3}).integers("perm", {0, 2}), "axis 2 is none of 2 axes");
  expect(OneNode("Concat").input({2, 3}).input({2, 3}).integer("axis", 2), "axis");
  expect(OneNode("Split").input({5}).integer("num_outputs", 1).outputs(2), "2 outputs of 1");
  expect(OneNode("Split").input({5}).constant(whole({2, 2})).outputs(2), "parts of 4 in all");
  expect(OneNode("Pad").input({2, 3}).constant(whole({1, 1})), "2 pads for 2 axes");
  expect(OneNode("Pad").input({2}).constant(whole({1, 1})).text("mode", "sum"), "'sum'");
  expect(OneNode("Squeeze").input({2, 3}).constant(whole({0})), "not of size 1");
  expect(OneNode("Unsqueeze").input({2}).constant(whole({0, 0})), "axis 0 is named twice");
  expect(OneNode("Flatten").input({2, 3}).integer("axis", 3), "axis 3 is none of 2 axes");
  expect(OneNode("Conv").input({1, 2, 5}).constant(Tensor::ones({2, 2, 3, 3})), "a weight");
  expect(
      OneNode("Conv").input({1, 1, 5}).constant(Tensor::ones({1, 1, 3})).text("auto_pad", "SAME"),
      "auto_pad 'SAME'");
  expect(
      OneNode("Conv").input({1, 1, 5}).constant(Tensor::ones({1, 1, 3})).integers("strides", {0}),
      "strides of 0");
  expect(OneNode("Conv").input({1, 1, 5}, ElementType::f64).input({1, 1, 3}, ElementType::f64),
         "computed in f32 alone");
  expect(OneNode("MaxPool").input({1, 1, 4, 4}), "kernel_shape");
  expect(OneNode("MaxPool").input({1, 1, 4}).integers("kernel_shape", {9}), "");
  expect(OneNode("LRN").input({1, 4, 3, 3}).integer("size", 4), "an even size of 4");
  expect(OneNode("GroupNormalization", 21)
             .input({1, 4, 3})
             .constant(Tensor::ones({4}))
             .constant(Tensor::ones({4}))
             .integer("num_groups", 3),
         "3 groups of 4 channels");
  expect(OneNode("Resize", 13)
             .input({1, 1, 4, 4})
             .left_out()
             .constant(Tensor::ones({4}))
             .text("coordinate_transformation_mode", "tf_crop_and_resize"),
         "tf_crop_and_resize");
  expect(OneNode("Cast").input({2}).integer("to", 8), "STRING");
  expect(OneNode("Einsum").input({2, 3}).text("equation", "ii"), "einsum");
  expect(OneNode("NegativeLogLikelihoodLoss")
             .input({2, 3})
             .input({2}, ElementType::i64)
             .text("reduction", "max"),
         "the reduction 'max'");
  expect(OneNode("QuantizeLinear", 21)
             .input({2, 5})
             .constant(Tensor::ones({2, 2}))
             .integer("block_size", 2),
         "scales [2, 2] for blocks [2, 3]");
  expect(OneNode("MatMulNBits", 17, "com.microsoft")
             .input({2, 32})
             .constant(Tensor::zeros({3, 1, 8}, DType::u8))
             .constant(Tensor::ones({3}))
             .integer("K", 32)
             .integer("N", 3)
             .integer("bits", 4)
             .integer("block_size", 32),
         "48 codes, not 96");
  expect(OneNode("Softmax").input({2, 3}).integer("axis", 2), "axis 2 is none of 2 axes");
  expect(OneNode("Relu").input({2}).real("slope", 0.5), "'slope' is not read");
}

}  // namespace
}  // namespace pare::onnx
