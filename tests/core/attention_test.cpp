// Attention and layer, rms, group, instance and local response normalization against PyTorch; bad
// input.
#include <gmock/gmock.h>

#include "core/golden_attention.h"
#include "core/golden_feature_norm.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

std::int64_t whole(double v) { return static_cast<std::int64_t>(v); }

TEST(FeatureNorm, GoldenValues) {
  ContextScope scope;
  scope->threads = 1;
  expect_golden(feature_norm_golden(), 2e-5F, [](const GoldenCase& c, Tensors&) {
    const OpDef* op = find_op(c.op);
    const auto& n = c.numbers;
    if (op == &kLayerNorm) return Call{op, Attributes::of(LayerNormAttributes{whole(n[0]), n[1]})};
    if (op == &kRmsNorm) return Call{op, Attributes::of(RmsNormAttributes{whole(n[0]), n[1]})};
    if (op == &kGroupNorm) return Call{op, Attributes::of(GroupNormAttributes{whole(n[0]), n[1]})};
    if (op == &kInstanceNorm) return Call{op, Attributes::of(InstanceNormAttributes{n[0]})};
    return Call{op, Attributes::of(LocalResponseNormAttributes{whole(n[0]), n[1], n[2], n[3]})};
  });
}

TEST(Attention, GoldenValues) {
  ContextScope scope;
  scope->threads = 1;
  expect_golden(attention_golden(), 2e-5F, [](const GoldenCase& c, Tensors& inputs) {
    if (c.numbers[3] == 2) inputs[3] = inputs[3].to(MemoryFormat::row_major).to(DType::boolean);
    return Call{
        &kScaledDotProductAttention,
        Attributes::of(AttentionAttributes{
            .causal = c.numbers[0] != 0, .scale = c.numbers[1], .grouped = c.numbers[2] != 0})};
  });
}

TEST(Attention, LengthFirstIsHeadsFirstTransposed) {
  Generator g(1);
  const Tensor q = g.normal({2, 5, 4, 3});
  const Tensor k = g.normal({2, 6, 2, 3});
  const Tensor v = g.normal({2, 6, 2, 2});
  const Tensor mask = g.normal({2, 4, 5, 6});
  const auto swapped = [](const Tensor& t) { return transpose(t, {0, 2, 1, 3}); };
  const Tensor expected = scaled_dot_product_attention(swapped(q), swapped(k), swapped(v), mask,
                                                       {.causal = true, .grouped = true});
  const Tensor found = scaled_dot_product_attention(
      q, k, v, mask, {.causal = true, .grouped = true, .length_first = true});
  EXPECT_EQ(found.to_vector<float>(), swapped(expected).to_vector<float>());
}

TEST(Attention, PackedIsItsParts) {
  Generator g(6);
  Tensor packed = g.normal({2, 37, 3, 2, 4});
  const Tensor mask = g.normal({2, 2, 37, 37});
  const Tensor given = g.normal({2, 37, 2, 4});
  const auto part = [&](std::int64_t i) {
    return reshape(slice(packed, 2, i, i + 1), {2, 37, 2, 4});
  };
  packed.set_requires_grad();
  const Tensor expected = scaled_dot_product_attention(part(0), part(1), part(2), mask,
                                                       {.causal = true, .length_first = true});
  expected.backward(given);
  const std::vector<float> gradient = packed.grad().to_vector<float>();
  packed.zero_grad();
  const Tensor found = scaled_dot_product_attention(packed, {}, {}, mask, {.causal = true});
  EXPECT_EQ(found.to_vector<float>(), expected.to_vector<float>());
  found.backward(given);
  EXPECT_EQ(packed.grad().to_vector<float>(), gradient);
}

TEST(Attention, ThreadsChangeNothing) {
  Generator g(2);
  Tensors leaves{g.normal({2, 6, 130, 8}), g.normal({2, 3, 140, 8}), g.normal({2, 3, 140, 8})};
  for (Tensor& t : leaves) t.set_requires_grad();
  const auto all = [&](int threads) {
    ContextScope scope;
    scope->threads = threads;
    Generator own(3);
    scope->generator = &own;
    scope->training = true;
    const Tensor y = scaled_dot_product_attention(
        leaves[0], leaves[1], leaves[2], {}, {.causal = true, .dropout = 0.2, .grouped = true});
    sum(y * y).backward();
    std::vector<float> out = y.to_vector<float>();
    for (Tensor& t : leaves) {
      const auto part = t.grad().to_vector<float>();
      out.insert(out.end(), part.begin(), part.end());
      t.zero_grad();
    }
    return out;
  };
  EXPECT_EQ(all(1), all(4));
}

TEST(Attention, DropoutKeepsTheExpectation) {
  Generator g(4);
  const Tensor q = g.normal({1, 64, 4, 2});
  const Tensor k = g.normal({1, 64, 400, 2});
  const Tensor ones = Tensor::ones({1, 64, 400, 1});
  ContextScope scope;
  scope->training = true;
  scope->generator = &g;
  const Tensor y = scaled_dot_product_attention(q, k, ones, {}, {.dropout = 0.25});
  EXPECT_NEAR(mean(y).item(), 1, 0.02);
  EXPECT_GT(var(y).item(), 1e-4);
  scope->generator = nullptr;
  EXPECT_THAT(error_of([&] { scaled_dot_product_attention(q, k, ones, {}, {.dropout = 0.25}); }),
              HasSubstr("scaled_dot_product_attention: expected a generator in the context"));
}

TEST(FeatureNorm, InstanceNormMovesItsRunningStatistics) {
  // By torch.nn.functional.instance_norm(x, mean, var, momentum=0.25).
  Tensor mean = Tensor::from({1, -1}, {2});
  Tensor variance = Tensor::from({2, 3}, {2});
  const Tensor x = Tensor::from({1, 2, 3, 6, -1, 0, 1, 4, 0, 0, 2, 2, 5, 5, 5, 9}, {2, 2, 4});
  const Attributes attributes = Attributes::of(InstanceNormAttributes{.momentum = 0.25});
  ContextScope scope;
  scope->training = true;
  const Tensor y = instance_norm(x, {}, {}, mean, variance, attributes);
  // Means 3, 1 of channel 0 and 1, 6 of channel 1; unbiased variances 14/3, 4/3 and 14/3, 4.
  EXPECT_NEAR(mean.data<float>()[0], 0.75 * 1 + 0.25 * 2, 1e-6);
  EXPECT_NEAR(mean.data<float>()[1], 0.75 * -1 + 0.25 * 3.5, 1e-6);
  EXPECT_NEAR(variance.data<float>()[0], 0.75 * 2 + 0.25 * 3, 1e-6);
  EXPECT_NEAR(variance.data<float>()[1], 0.75 * 3 + 0.25 * (14.0 / 3 + 4) / 2, 1e-6);
  EXPECT_NEAR(y.data<float>()[0], -2 / std::sqrt(3.5 + 1e-5), 1e-5);
  scope->training = false;
  const Tensor z = instance_norm(x, {}, {}, mean, variance, attributes);
  EXPECT_NEAR(z.data<float>()[0], (1 - 1.25) / std::sqrt(2.25 + 1e-5), 1e-5);
}

TEST(FeatureNorm, NormalizeIsPyTorchs) {
  const Tensor x = Tensor::from({3, 0, 4, 0}, {2, 2});
  EXPECT_EQ(normalize(x).to_vector<float>(), (std::vector<float>{1, 0, 1, 0}));
  const std::vector<float> found = normalize(x, {.axis = 0}).to_vector<float>();
  EXPECT_FLOAT_EQ(found[0], 0.6F);
  EXPECT_FLOAT_EQ(found[2], 0.8F);
  EXPECT_EQ(found[1], 0);  // of zeros: zeros
  EXPECT_FLOAT_EQ(normalize(x, {.p = 1, .axis = 0}).to_vector<float>()[0], 3.0F / 7);
}

TEST(FeatureNorm, BadInput) {
  ErrorCode code{};
  const Tensor x = Tensor::zeros({2, 4, 3});
  const Tensor i = Tensor::zeros({2, 4, 3}, DType::i32);
  const Tensor three = Tensor::zeros({3});
  EXPECT_THAT(error_of([&] { layer_norm(i, {}, {}); }, &code),
              HasSubstr("layer_norm: expected a floating type, got i32"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([&] { layer_norm(Tensor::scalar(1), {}, {}); }, &code),
              HasSubstr("layer_norm: expected x of rank 1 or more, got []"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  EXPECT_THAT(error_of([&] { layer_norm(x, three, {}, {.axis = 4}); }, &code), HasSubstr("axis"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([&] { layer_norm(x, three, {}, {.axis = -2}); }),
              HasSubstr("layer_norm: expected weight of the shape of x's axes from 1 on, x "
                        "[2, 4, 3], got [3]"));
  EXPECT_THAT(error_of([&] { layer_norm(x, three, Tensor::zeros({4})); }),
              HasSubstr("layer_norm: expected bias of the shape of x's axes from 2 on"));
  EXPECT_THAT(error_of([&] { layer_norm(x, three.to(DType::f64), {}); }),
              HasSubstr("layer_norm: expected weight of x's type f32, got f64"));
  EXPECT_THAT(error_of([&] { layer_norm(x, {}, {}, {.epsilon = -1}); }, &code),
              HasSubstr("layer_norm: expected an epsilon of at least 0, got -1"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(error_of([&] { rms_norm(i, {}); }),
              HasSubstr("rms_norm: expected a floating type, got i32"));
  EXPECT_THAT(error_of([&] { rms_norm(x, Tensor::zeros({2})); }),
              HasSubstr("rms_norm: expected weight of the shape"));

  EXPECT_THAT(error_of([&] { group_norm(three, {}, {}, {}); }),
              HasSubstr("group_norm: expected x of shape [N, C, …], got [3]"));
  EXPECT_THAT(error_of([&] { group_norm(x, {}, {}, {.groups = 3}); }),
              HasSubstr("group_norm: expected a number of groups that divides 4 channels, got 3"));
  EXPECT_THAT(error_of([&] { group_norm(x, {}, {}, {.groups = 0}); }), HasSubstr("got 0"));
  EXPECT_THAT(error_of([&] { group_norm(x, {}, {}, {.groups = 2, .epsilon = -1}); }),
              HasSubstr("group_norm: expected an epsilon of at least 0, got -1"));
  EXPECT_THAT(error_of([&] { group_norm(i, {}, {}, {.groups = 2}); }),
              HasSubstr("group_norm: expected x f32, got i32"));
  EXPECT_THAT(error_of([&] { group_norm(x, three, {}, {.groups = 2}); }),
              HasSubstr("group_norm: expected weight of shape [4] for x [2, 4, 3], got [3]"));
  EXPECT_THAT(error_of([&] { group_norm(x, {}, three, {.groups = 2}); }),
              HasSubstr("group_norm: expected bias of shape [4] for x [2, 4, 3], got [3]"));

  const Attributes instance = Attributes::of(InstanceNormAttributes{});
  const Tensor four = Tensor::ones({4});
  EXPECT_THAT(error_of([&] { instance_norm(x, {}, {}, four, {}, instance); }, &code),
              HasSubstr("instance_norm: expected both running statistics or none, got one"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(error_of([&] { instance_norm(x, {}, {}, four, three, instance); }),
              HasSubstr("instance_norm: expected running_variance of shape [4]"));
  EXPECT_THAT(error_of([&] {
                instance_norm(x, {}, {}, {}, {},
                              Attributes::of(InstanceNormAttributes{.epsilon = -1}));
              }),
              HasSubstr("instance_norm: expected an epsilon of at least 0, got -1"));
  ContextScope scope;
  scope->training = true;
  EXPECT_THAT(error_of([&] { instance_norm(slice(x, 2, 0, 1), {}, {}, {}, {}, instance); }),
              HasSubstr("instance_norm: expected more than one value per channel in training"));
  EXPECT_THAT(error_of([&] { instance_norm(slice(x, 0, 0, 0), {}, {}, four, four, instance); }),
              HasSubstr("instance_norm: expected at least one sample in training"));

  EXPECT_THAT(error_of([&] { local_response_norm(i, {}); }),
              HasSubstr("local_response_norm: expected a floating type, got i32"));
  EXPECT_THAT(error_of([&] {
                local_response_norm(Tensor::zeros({2, 3}), {});
              }),
              HasSubstr("local_response_norm: expected x of shape [N, C, …] and rank 3 or more"));
  EXPECT_THAT(error_of([&] { local_response_norm(x, {.size = 0}); }, &code),
              HasSubstr("local_response_norm: expected a size from 1 to 2^20, got 0"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
}

TEST(Attention, BadInput) {
  const Tensor x = Tensor::zeros({2, 4, 5, 3});
  const auto of = [&](const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask = {},
                      const AttentionAttributes& attributes = {}) {
    return error_of([&] { scaled_dot_product_attention(q, k, v, mask, attributes); });
  };
  const std::string where = "scaled_dot_product_attention: ";
  EXPECT_THAT(of(x.to(DType::f64), x, x),
              HasSubstr(where + "expected query, key and value of f32, f16 or bf16, got f64"));
  EXPECT_THAT(of(x, x.to(DType::f16), x), HasSubstr("got f32, f16 and f32"));
  EXPECT_THAT(of(Tensor::zeros({3}), x, x),
              HasSubstr(where + "expected query, key and value of one rank of 2 or more"));
  EXPECT_THAT(of(x, x, {}), HasSubstr(where + "expected both key and value or neither, got one"));
  EXPECT_THAT(of(x, {}, {}),
              HasSubstr(where + "expected a query of shape [..., L, 3, H, E] without "
                                "key and value, got [2, 4, 5, 3]"));
  EXPECT_THAT(of(Tensor::zeros({2, 3}), Tensor::zeros({2, 3}), Tensor::zeros({2, 3}), {},
                 {.length_first = true}),
              HasSubstr("of one rank of 3 or more"));
  EXPECT_THAT(of(x, Tensor::zeros({2, 4, 5, 2}), x),
              HasSubstr(where + "expected query and key of one width, got [2, 4, 5, 3] and"));
  EXPECT_THAT(of(x, x, Tensor::zeros({2, 4, 6, 3})),
              HasSubstr(where + "expected as many values as keys"));
  EXPECT_THAT(of(x, Tensor::zeros({1, 4, 5, 3}), x),
              HasSubstr(where + "expected equal batch axes"));
  EXPECT_THAT(of(x, x, Tensor::zeros({2, 2, 5, 3})),
              HasSubstr(where + "expected as many heads of values as of keys"));
  const Tensor two = Tensor::zeros({2, 2, 5, 3});
  const Tensor three = Tensor::zeros({2, 3, 5, 3});
  EXPECT_THAT(of(x, two, two), HasSubstr(where + "expected equal numbers of heads (or grouped)"));
  EXPECT_THAT(
      of(x, three, three, {}, {.grouped = true}),
      HasSubstr(where +
                "expected the heads of the query to be a multiple of the key's, got 4 and 3"));
  EXPECT_THAT(of(x, x, x, Tensor::zeros({5, 5}, DType::i32)),
              HasSubstr(where + "expected a mask of bool or a floating type, got i32"));
  EXPECT_THAT(of(x, x, x, Tensor::zeros({4, 5})), HasSubstr(where));
  EXPECT_THAT(of(x, x, x, Tensor::zeros({3, 2, 4, 5, 5})),
              HasSubstr(where + "expected a mask that broadcasts to [2, 4, 5, 5], got"));
  EXPECT_THAT(of(x, x, x, {}, {.scale = NAN}),
              HasSubstr(where + "expected a finite scale, got nan"));
  EXPECT_THAT(of(x, x, x, {}, {.dropout = 1.5}),
              HasSubstr(where + "expected a probability of dropout from 0 to 1, got 1.5"));
}

}  // namespace
}  // namespace pare::test
