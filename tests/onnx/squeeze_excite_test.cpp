// Squeeze-and-excite as exporters spell it in ONNX, and what the plan makes of it.
#include <gmock/gmock.h>

#include <cmath>
#include <string>
#include <vector>

#include "io/onnx_file.h"
#include "pare/pare.h"

namespace pare::onnx {
namespace {

using test::onnx_floats;
using test::onnx_model;
using test::onnx_node;
using test::onnx_output;
using test::onnx_value;
using test::OnnxGraph;
using test::Proto;
using ::testing::AnyOf;
using ::testing::ElementsAre;

constexpr std::int64_t kChannels = 4;
constexpr std::int64_t kFew = 2;
constexpr std::int64_t kPixels = 6;  // 2 by 3

Proto integer(const char* name, std::int64_t value) {
  return Proto().text(1, name).integer(3, value).integer(20, 2);
}
Proto whole(const std::string& name, const std::vector<std::int64_t>& values) {
  Proto p =
      Proto().integer(1, static_cast<std::int64_t>(values.size())).integer(2, 7).text(8, name);
  for (const std::int64_t v : values) p.integer(7, v);
  return p;
}

std::vector<float> drawn(std::int64_t count, std::uint64_t seed) {
  return Generator(seed).normal({count}).to_vector<float>();
}
const std::vector<float> kDown = drawn(kFew * kChannels, 1);  // [few, channels]
const std::vector<float> kDownBias = drawn(kFew, 2);
const std::vector<float> kUp = drawn(kChannels * kFew, 3);  // [channels, few]
const std::vector<float> kUpBias = drawn(kChannels, 4);

std::vector<float> turned(const std::vector<float>& matrix, std::int64_t rows) {
  const std::int64_t columns = static_cast<std::int64_t>(matrix.size()) / rows;
  std::vector<float> out;
  for (std::int64_t c = 0; c < columns; ++c)
    for (std::int64_t r = 0; r < rows; ++r)
      out.push_back(matrix[static_cast<std::size_t>(r * columns + c)]);
  return out;
}

/// x [N, channels, 2, 3] to y, with weights as convolutions, as dense layers and turned.
OnnxGraph module() {
  OnnxGraph g;
  g.input(onnx_value("x", {"N", "4", "2", "3"}))
      .output(onnx_output("y"))
      .initializer(onnx_floats("w1.conv", {kFew, kChannels, 1, 1}, kDown))
      .initializer(onnx_floats("w2.conv", {kChannels, kFew, 1, 1}, kUp))
      .initializer(onnx_floats("w1", {kFew, kChannels}, kDown))
      .initializer(onnx_floats("w2", {kChannels, kFew}, kUp))
      .initializer(onnx_floats("w1.turned", {kChannels, kFew}, turned(kDown, kFew)))
      .initializer(onnx_floats("w2.turned", {kFew, kChannels}, turned(kUp, kChannels)))
      .initializer(onnx_floats("b1", {kFew}, kDownBias))
      .initializer(onnx_floats("b2", {kChannels}, kUpBias))
      .initializer(onnx_floats("b1.picture", {1, kFew, 1, 1}, kDownBias))
      .initializer(onnx_floats("three", {}, {3}))
      .initializer(onnx_floats("six", {}, {6}))
      .initializer(onnx_floats("zero", {}, {0}))
      .initializer(whole("pixels", {2, 3}))
      .initializer(whole("whole", {-1, kChannels, 1, 1}));
  return g;
}

double gate_of(double z, bool hard) {
  return hard ? std::min(6.0, std::max(0.0, z + 3)) / 6 : 1 / (1 + std::exp(-z));
}

/// In double precision.
std::vector<double> wanted(const Tensor& x, bool hard) {
  const std::vector<float> in = x.to_vector<float>();
  const std::int64_t samples = x.dim(0);
  std::vector<double> out(in.size());
  const auto at = [](const std::vector<float>& v, std::int64_t i) {
    return static_cast<double>(v[static_cast<std::size_t>(i)]);
  };
  for (std::int64_t n = 0; n < samples; ++n) {
    std::vector<double> mean(kChannels), few(kFew);
    for (std::int64_t c = 0; c < kChannels; ++c)
      for (std::int64_t p = 0; p < kPixels; ++p)
        mean[static_cast<std::size_t>(c)] += at(in, (n * kChannels + c) * kPixels + p) / kPixels;
    for (std::int64_t f = 0; f < kFew; ++f) {
      double z = at(kDownBias, f);
      for (std::int64_t c = 0; c < kChannels; ++c)
        z += at(kDown, f * kChannels + c) * mean[static_cast<std::size_t>(c)];
      few[static_cast<std::size_t>(f)] = std::max(0.0, z);
    }
    for (std::int64_t c = 0; c < kChannels; ++c) {
      double z = at(kUpBias, c);
      for (std::int64_t f = 0; f < kFew; ++f)
        z += at(kUp, c * kFew + f) * few[static_cast<std::size_t>(f)];
      for (std::int64_t p = 0; p < kPixels; ++p) {
        const std::int64_t i = (n * kChannels + c) * kPixels + p;
        out[static_cast<std::size_t>(i)] = at(in, i) * gate_of(z, hard);
      }
    }
  }
  return out;
}

/// A spelling becomes the normal form, and its plan gives what is wanted.
void expect_module(const OnnxGraph& g, bool hard = false, bool changes = true) {
  const Graph graph = parse(onnx_model(g.proto, 18).span());
  const Plan plan = compile(graph, {.threads = 1});
  EXPECT_EQ(plan.report().to_string().find("is squeeze-and-excite") != std::string::npos, changes);
  const Tensor x = Generator(5).normal({3, kChannels, 2, 3});
  const std::vector<float> y = plan.run(x).to_vector<float>();
  const std::vector<double> z = wanted(x, hard);
  ASSERT_EQ(y.size(), z.size());
  for (std::size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(y[i], z[i], 1e-5) << i;

  const Graph found =
      fold_constants(recognize(fold_shapes(fold_constants(graph).graph).graph).graph).graph;
  std::vector<std::string> ops;
  for (const Graph::Node& node : found.nodes()) ops.emplace_back(node.call.op->name);
  EXPECT_THAT(ops, ElementsAre(AnyOf("mean", "global_average_pool"), "conv2d", "relu", "conv2d",
                               hard ? "hardsigmoid" : "sigmoid", "mul"))
      << found.to_string();
}

TEST(OnnxSqueezeExcite, ReduceMeanAndConvolutions) {
  // Of opset 18, whose axes are an input, kept.
  expect_module(module()
                    .node(onnx_node("ReduceMean", {"x", "pixels"}, {"m"}))
                    .node(onnx_node("Conv", {"m", "w1.conv", "b1"}, {"few"}))
                    .node(onnx_node("Relu", {"few"}, {"r"}))
                    .node(onnx_node("Conv", {"r", "w2.conv", "b2"}, {"all"}))
                    .node(onnx_node("Sigmoid", {"all"}, {"g"}))
                    .node(onnx_node("Mul", {"x", "g"}, {"y"})),
                false, false);
}

TEST(OnnxSqueezeExcite, GemmsBetweenReshapes) {
  expect_module(
      module()
          .node(onnx_node("GlobalAveragePool", {"x"}, {"m"}))
          .node(onnx_node("Flatten", {"m"}, {"row"}))
          .node(onnx_node("Gemm", {"row", "w1", "b1"}, {"few"}).message(5, integer("transB", 1)))
          .node(onnx_node("Relu", {"few"}, {"r"}))
          .node(onnx_node("Gemm", {"r", "w2", "b2"}, {"all"}).message(5, integer("transB", 1)))
          .node(onnx_node("Sigmoid", {"all"}, {"g"}))
          .node(onnx_node("Reshape", {"g", "whole"}, {"pixel"}))
          .node(onnx_node("Mul", {"pixel", "x"}, {"y"})));
}

TEST(OnnxSqueezeExcite, MatMulsAddsAndUnsqueezes) {
  expect_module(
      module()
          .node(
              onnx_node("ReduceMean", {"x", "pixels"}, {"row"}).message(5, integer("keepdims", 0)))
          .node(onnx_node("MatMul", {"row", "w1.turned"}, {"few"}))
          .node(onnx_node("Add", {"b1", "few"}, {"few.b"}))
          .node(onnx_node("Relu", {"few.b"}, {"r"}))
          .node(onnx_node("MatMul", {"r", "w2.turned"}, {"all"}))
          .node(onnx_node("Add", {"all", "b2"}, {"all.b"}))
          .node(onnx_node("Sigmoid", {"all.b"}, {"g"}))
          .node(onnx_node("Unsqueeze", {"g", "pixels"}, {"pixel"}))
          .node(onnx_node("Mul", {"pixel", "x"}, {"y"})));
}

TEST(OnnxSqueezeExcite, SizesFromShapes) {
  // As torch.onnx.export writes view(b, c) and view(b, c, 1, 1).expand_as(x).
  expect_module(module()
                    .initializer(whole("first", {0}))
                    .initializer(whole("one", {1}))
                    .node(onnx_node("Shape", {"x"}, {"shape"}))
                    .node(onnx_node("Gather", {"shape", "first"}, {"n"}))
                    .node(onnx_node("Gather", {"shape", "one"}, {"c"}))
                    .node(onnx_node("Concat", {"n", "c"}, {"nc"}).message(5, integer("axis", 0)))
                    .node(onnx_node("Concat", {"n", "c", "one", "one"}, {"nc11"})
                              .message(5, integer("axis", 0)))
                    .node(onnx_node("GlobalAveragePool", {"x"}, {"m"}))
                    .node(onnx_node("Reshape", {"m", "nc"}, {"row"}))
                    .node(onnx_node("Gemm", {"row", "w1.turned", "b1"}, {"few"}))
                    .node(onnx_node("Relu", {"few"}, {"r"}))
                    .node(onnx_node("Gemm", {"r", "w2.turned", "b2"}, {"all"}))
                    .node(onnx_node("Sigmoid", {"all"}, {"g"}))
                    .node(onnx_node("Reshape", {"g", "nc11"}, {"pixel"}))
                    .node(onnx_node("Expand", {"pixel", "shape"}, {"wide"}))
                    .node(onnx_node("Mul", {"x", "wide"}, {"y"})));
}

TEST(OnnxSqueezeExcite, HardSigmoidWrittenOut) {
  expect_module(module()
                    .node(onnx_node("ReduceMean", {"x", "pixels"}, {"m"}))
                    .node(onnx_node("Conv", {"m", "w1.conv"}, {"few"}))
                    .node(onnx_node("Add", {"few", "b1.picture"}, {"few.b"}))
                    .node(onnx_node("Relu", {"few.b"}, {"r"}))
                    .node(onnx_node("Conv", {"r", "w2.conv", "b2"}, {"all"}))
                    .node(onnx_node("Add", {"all", "three"}, {"shifted"}))
                    .node(onnx_node("Clip", {"shifted", "zero", "six"}, {"clipped"}))
                    .node(onnx_node("Div", {"clipped", "six"}, {"g"}))
                    .node(onnx_node("Mul", {"g", "x"}, {"y"})),
                true);
}

}  // namespace
}  // namespace pare::onnx
