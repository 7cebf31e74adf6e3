// Convolutions over one to three axes and their transposes, by kernels and by reference: PyTorch's
// values, symbols, bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "core/golden_attributes.h"
#include "core/golden_convolution.h"
#include "core/ops/conv2d_depthwise.h"
#include "core/ops/convolution.h"
#include "core/ops/convolution_portable.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

std::vector<GoldenCase> convolutions() {
  std::vector<GoldenCase> cases = convolution_golden();
  std::erase_if(cases,
                [](const GoldenCase& c) { return !std::string_view(c.op).starts_with("conv"); });
  return cases;
}

TEST(Convolution, GivesPyTorchsValues) {
  ASSERT_EQ(convolutions().size(), 15U);
  expect_golden(convolutions(), 1e-4F, [](const GoldenCase& c, const Tensors&) {
    const OpDef& op = *find_op(c.op);
    return Call{&op, attributes_from(op, c.numbers)};
  });
}

/// An op without its kernels.
OpDef without_kernels(const OpDef& op) {
  OpDef plain = op;
  plain.kernels = nullptr;
  return plain;
}

TEST(Convolution, TheReferenceGivesPyTorchsValues) {
  for (const OpDef* op :
       {&kConv1d, &kConv3d, &kConvTranspose1d, &kConvTranspose2d, &kConvTranspose3d}) {
    static std::vector<OpDef> plain;  // a tape keeps the address of its op
    plain.reserve(8);
    const OpDef& reference = plain.emplace_back(without_kernels(*op));
    std::vector<GoldenCase> cases = convolutions();
    std::erase_if(cases, [&](const GoldenCase& c) { return std::string_view(c.op) != op->name; });
    ASSERT_GE(cases.size(), 2U) << op->name;
    expect_golden(cases, 1e-4F, [&](const GoldenCase& c, const Tensors&) {
      return Call{&reference, attributes_from(*op, c.numbers)};
    });
  }
}

TEST(Convolution, TransposedIsTheGradientOfTheSource) {
  Generator generator(3);
  Tensor x = generator.normal({2, 4, 7, 6}).set_requires_grad();
  const Tensor weight = generator.normal({6, 2, 3, 2});
  const Conv2dAttributes attributes{
      .stride = {2, 3}, .padding = {1, 0, 2, 1}, .dilation = {2, 1}, .groups = 2};
  const Tensor y = conv2d(x, weight, {}, attributes);
  const Tensor g = generator.normal(y.shape());
  y.backward(g);
  const ConvTranspose2dAttributes turned{.stride = {2, 3},
                                         .padding = {1, 0, 2, 1},
                                         .output_padding = {1, 2},
                                         .dilation = {2, 1},
                                         .groups = 2};
  const Tensor transposed = conv_transpose2d(g, weight, {}, turned);
  ASSERT_EQ(transposed.shape(), x.shape());
  const auto expected = x.grad().to_vector<float>();
  const auto found = transposed.to_vector<float>();
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-4F) << i;
}

// The reference goes by patches and matrix products, this by the taps of each pixel.
TEST(DepthwiseGradient, IsTheReferences) {
  struct Case {
    Shape x;
    std::int64_t kernel_height, kernel_width;
    Conv2dAttributes attributes;
  };
  const Case cases[] = {
      {{2, 8, 7, 6}, 3, 3, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},
      {{1, 70, 8, 9}, 3, 3, {.stride = {2, 1}, .padding = {1, 0, 0, 1}}},
      {{2, 16, 9, 9}, 5, 5, {.stride = {2, 2}, .padding = {2, 2, 2, 2}}},
      {{1, 9, 10, 7}, 2, 1, {.stride = {3, 2}}},  // pixels that no tap reaches
      {{1, 24, 6, 5}, 7, 3, {.stride = {3, 2}, .padding = {3, 1, 3, 1}}},
      {{1, 8, 8, 8}, 5, 3, {.stride = {2, 2}, .padding = {0, 0, 1, 4}}},
  };
  Generator generator(8);
  for (Case c : cases) {
    c.attributes.groups = c.x[1];
    const Shape weights{c.x[1], 1, c.kernel_height, c.kernel_width};
    ASSERT_TRUE(prefers_depthwise(c.attributes, c.x, weights));
    const Tensor weight = generator.normal(weights).to(MemoryFormat::channels_last);
    const Shape y = convolution_shape(c.attributes, c.x, weights, "test");
    const Tensor g = generator.normal(y).to(MemoryFormat::channels_last);
    const ConvolutionSizes sizes(c.attributes, c.x, weights, y);
    Tensor none;
    Tensor expected = Tensor::empty(c.x, DType::f32, MemoryFormat::channels_last);
    convolution_backward(sizes, none, weight, g, expected, none, none);
    const auto wanted = expected.to_vector<float>();
    for (const int threads : {1, 3}) {
      ContextScope scope;
      scope->threads = threads;
      Tensor found = Tensor::full(c.x, 7, DType::f32, MemoryFormat::channels_last);
      depthwise_source_gradient(c.attributes, weight, g, found);
      const auto values = found.to_vector<float>();
      for (std::size_t i = 0; i < wanted.size(); ++i)
        ASSERT_NEAR(values[i], wanted[i], 1e-5F) << c.x.to_string() << " at " << i;
    }
  }
  // Not for one tap's worth of stride, several outputs a channel, or more taps than it holds.
  const Shape x{1, 8, 9, 9};
  EXPECT_FALSE(prefers_depthwise({.groups = 8}, x, {8, 1, 3, 3}));
  EXPECT_FALSE(prefers_depthwise({.stride = {2, 2}, .groups = 8}, x, {16, 1, 3, 3}));
  EXPECT_FALSE(prefers_depthwise({.stride = {2, 2}, .groups = 8}, x, {8, 1, 7, 7}));
  EXPECT_FALSE(
      prefers_depthwise({.stride = {2, 2}, .dilation = {2, 2}, .groups = 8}, x, {8, 1, 3, 3}));
}

/// Keeps a node's lists of numbers.
class Lists final : public OnnxEmitter, public OnnxEmitter::Node {
 public:
  int opset() const override { return 17; }
  bool has_input(int i) const override { return i < 2; }
  std::string input(int) const override { return "x"; }
  std::string output(int) const override { return "y"; }
  const Shape& input_shape(int) const override { return shape_; }
  const Shape& output_shape(int) const override { return shape_; }
  DType input_dtype(int) const override { return DType::f32; }
  std::string constant(const Tensor&) override { return "c"; }
  std::string temporary() override { return "t"; }
  OnnxEmitter::Node& node(const char*, std::vector<std::string>,
                          std::vector<std::string>) override {
    return *this;
  }
  OnnxEmitter::Node& attribute(const char*, std::int64_t) override { return *this; }
  OnnxEmitter::Node& attribute(const char*, double) override { return *this; }
  OnnxEmitter::Node& attribute(const char*, const char*) override { return *this; }
  OnnxEmitter::Node& attribute(const char* name, std::span<const std::int64_t> values) override {
    lists[name].assign(values.begin(), values.end());
    return *this;
  }
  OnnxEmitter::Node& attribute(const char*, std::span<const double>) override { return *this; }
  OnnxEmitter::Node& attribute(const char*, std::span<const std::string>) override { return *this; }
  OnnxEmitter::Node& attribute(const char*, const Tensor&) override { return *this; }
  std::map<std::string, std::vector<std::int64_t>> lists;

 private:
  Shape shape_{2, 2, 2, 2};
};

TEST(Convolution, OutputPaddingBeyondTheStrideIsLessPaddingInOnnx) {
  using V = std::vector<std::int64_t>;
  ConvTranspose2dAttributes a{
      .stride = {1, 2}, .padding = {0, 0, 2, 0}, .output_padding = {1, 1}, .dilation = {2, 1}};
  Lists lists;
  kConvTranspose2d.onnx.emit({&kConvTranspose2d, Attributes::of(a)}, lists);
  EXPECT_EQ(lists.lists["pads"], (V{0, 0, 1, 0}));
  EXPECT_EQ(lists.lists["output_padding"], (V{0, 1}));
  a.padding = {};
  EXPECT_ERROR(kConvTranspose2d.onnx.emit({&kConvTranspose2d, Attributes::of(a)}, lists),
               unsupported, "conv_transpose2d", "stride 1 or within the padding 0 for ONNX",
               "got 1");
}

TEST(Convolution, BatchesMayBeSymbols) {
  const auto inferred = [](const Call& call, std::vector<Shape> shapes) {
    std::vector<InferArgs::Input> inputs;
    for (const Shape& s : shapes) inputs.push_back({&s, DType::f32, nullptr});
    return infer(call, inputs)[0].shape;
  };
  const auto with_batch = [](std::vector<std::int64_t> rest) {
    Shape s;
    s.append_symbol("batch");
    for (const std::int64_t size : rest) s.append(size);
    return s;
  };
  EXPECT_EQ(inferred({&kConv1d, kConv1d.defaults()}, {with_batch({3, 8}), {5, 3, 3}}),
            with_batch({5, 6}));
  EXPECT_EQ(inferred({&kConv3d, kConv3d.defaults()}, {with_batch({3, 8, 4, 5}), {5, 3, 3, 2, 1}}),
            with_batch({5, 6, 3, 5}));
  EXPECT_EQ(inferred({&kConvTranspose2d, kConvTranspose2d.defaults()},
                     {with_batch({3, 4, 5}), {3, 2, 3, 2}}),
            with_batch({2, 6, 6}));
  // A length too, where nothing changes it.
  Shape line{2, 3};
  line.append_symbol("length");
  const Attributes same = Attributes::of(ConvTranspose1dAttributes{.padding = {1, 1}});
  EXPECT_EQ(inferred({&kConvTranspose1d, same}, {line, {3, 3, 3}}), line);
  const auto length = [&](const Call& call) { return inferred(call, {line, {3, 3, 3}}).symbol(2); };
  EXPECT_EQ(length({&kConvTranspose1d, kConvTranspose1d.defaults()}), "length+2");
  EXPECT_EQ(length({&kConvTranspose1d, Attributes::of(ConvTranspose1dAttributes{
                                           .stride = {2}, .output_padding = {1}})}),
            "2*length+2");
  EXPECT_EQ(length({&kConv1d, kConv1d.defaults()}), "length-2");
  EXPECT_EQ(length({&kConv1d, Attributes::of(Conv1dAttributes{.stride = {2}, .padding = {1, 1}})}),
            "(length+1)/2");
}

// oneDNN adds them up in 32 bits.
TEST(Convolution, LargeSettingsRunByTheReference) {
  Tensor x = Tensor::from({1, 2, 3, 4, 5, 6}, {1, 1, 3, 2}).set_requires_grad();
  Tensor w = Tensor::from({1, 10, 100, 1000, 10000, 100000}, {1, 1, 3, 2}).set_requires_grad();
  constexpr std::int64_t kLong = std::numeric_limits<std::int32_t>::max();
  const Tensor y = conv2d(x, w, {}, {.stride = {1, kLong}, .padding = {0, 0, 65536, 2}});
  // Two columns of zeros at the left at the first place; the second one lies beyond the end.
  ASSERT_EQ(y.shape(), (Shape{1, 1, 65537, 1}));
  EXPECT_EQ(y.to_vector<float>()[0], 654321.0F);
  sum(y).backward();
  EXPECT_EQ(w.grad().to_vector<float>()[0], 1.0F + 3.0F + 5.0F);
  Tensor narrow = conv2d(Tensor::ones({4, 1, 3, 2}), Tensor::ones({4, 1, 3, 2}), {},
                         {.stride = {1, kLong}, .padding = {3, 2, 65536, 2}});
  EXPECT_EQ(narrow.shape(), (Shape{4, 4, 65540, 1}));
}

TEST(Convolution, BadInput) {
  const Tensor line = Tensor::ones({1, 4, 6});
  const Tensor volume = Tensor::ones({1, 2, 3, 4, 5});
  EXPECT_ERROR(conv1d(volume, Tensor::ones({2, 4, 3})), shape_mismatch, "conv1d", "[N, C, L]");
  EXPECT_ERROR(conv1d(line, Tensor::ones({2, 4})), shape_mismatch, "[O, C/groups, k]", "[2, 4]");
  EXPECT_ERROR(conv1d(line, Tensor::ones({2, 3, 3})), shape_mismatch, "3 channels", "[1, 4, 6]");
  EXPECT_ERROR(conv1d(line, Tensor::ones({2, 4, 7})), shape_mismatch, "length 7 (dilated) over 6");
  EXPECT_ERROR(conv1d(line, Tensor::ones({3, 2, 1}), {}, {.groups = 2}), shape_mismatch,
               "divisible by 2");
  EXPECT_ERROR(conv1d(line, Tensor::ones({2, 4, 0})), shape_mismatch, "kernel of 1 or more");
  EXPECT_ERROR(conv1d(line, Tensor::ones({2, 4, 1}), Tensor::ones({3})), shape_mismatch,
               "bias of shape [2]");
  EXPECT_ERROR(conv1d(line.to(DType::f64), Tensor::ones({2, 4, 1})), dtype_mismatch, "conv1d",
               "f64");
  EXPECT_ERROR(conv1d(line, Tensor::ones({2, 4, 1}), {}, {.stride = {0}}), invalid_argument,
               "strides");
  EXPECT_ERROR(conv3d(line, Tensor::ones({2, 2, 1, 1, 1})), shape_mismatch, "conv3d",
               "[N, C, D, H, W]");
  EXPECT_ERROR(conv3d(volume, Tensor::ones({2, 2, 4, 1, 1})), shape_mismatch, "depth 4");
  EXPECT_ERROR(conv3d(volume, Tensor::ones({2, 2, 1, 1, 1}), {}, {.padding = {0, 0, -1, 0, 0, 0}}),
               invalid_argument, "padding of 0 or more", "-1");

  EXPECT_ERROR(conv_transpose1d(line, Tensor::ones({3, 2, 3})), shape_mismatch, "conv_transpose1d",
               "3 channels", "[1, 4, 6]");
  EXPECT_ERROR(conv_transpose1d(line, Tensor::ones({4, 2})), shape_mismatch, "[C, O/groups, k]");
  EXPECT_ERROR(conv_transpose1d(line, Tensor::ones({4, 2, 3}), {}, {.output_padding = {1}}),
               invalid_argument, "output padding", "stride 1 and dilation 1");
  EXPECT_ERROR(
      conv_transpose1d(line, Tensor::ones({4, 2, 3}), {}, {.stride = {2}, .output_padding = {-1}}),
      invalid_argument, "output padding");
  EXPECT_ERROR(conv_transpose1d(line, Tensor::ones({4, 2, 1}), {}, {.padding = {3, 3}}),
               shape_mismatch, "output of one pixel", "length 0");
  EXPECT_ERROR(conv_transpose1d(Tensor::ones({1, 4, 0}), Tensor::ones({4, 2, 1})), shape_mismatch,
               "input of one pixel");
  EXPECT_ERROR(conv_transpose1d(line, Tensor::ones({4, 2, 1}), {}, {.groups = 3}), shape_mismatch,
               "divisible by 3");
  EXPECT_ERROR(conv_transpose1d(line, Tensor::ones({4, 2, 1}), Tensor::ones({3}), {.groups = 2}),
               shape_mismatch, "bias of shape [4]");
  EXPECT_ERROR(conv_transpose2d(line, Tensor::ones({4, 2, 1, 1})), shape_mismatch, "[N, C, H, W]");
  EXPECT_ERROR(conv_transpose3d(volume.to(DType::f16), Tensor::ones({2, 2, 1, 1, 1})),
               dtype_mismatch, "conv_transpose3d", "f16");
}

}  // namespace
}  // namespace pare::test
