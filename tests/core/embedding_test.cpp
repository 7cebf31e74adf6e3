// Embeddings against PyTorch, and bad input.
#include <gmock/gmock.h>

#include "core/golden_embedding.h"
#include "core/golden_leaves.h"
#include "core/golden_max_norm.h"
#include "pare/core/ops.h"
#include "pare/nn/embedding.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

TEST(Embeddings, EmbeddingsAreThoseOfPyTorch) {
  int seen = 0;
  for (const GoldenCase& c : embedding_golden()) {
    const std::string op = c.op;
    const Tensors x = leaves_of(c);
    const auto index = [&](std::size_t i) { return x[i].detach().to(DType::i64); };
    const auto number = [&](std::size_t i) { return static_cast<std::int64_t>(c.numbers[i]); };
    if (op == "embedding") {
      expect_case(c, embedding(index(1), x[0], {number(0), number(1) != 0}), x, 1e-6F);
    } else if (op == "embedding_bag") {
      const bool listed = number(4) != 0;
      const std::size_t first = number(5) != 0 ? 2 : 1;
      const EmbeddingBagAttributes attributes{
          .mode =
              std::vector<std::string>{"sum", "mean", "max"}[static_cast<std::size_t>(number(0))],
          .padding_idx = number(1),
          .scale_grad_by_freq = number(2) != 0,
          .include_last_offset = number(3) != 0};
      EmbeddingBagOperands operands{.indices = index(first), .weight = x[0]};
      if (listed) operands.offsets = index(first + 1);
      if (first == 2) operands.per_sample_weights = x[1];
      expect_case(c, embedding_bag(operands, attributes), x, 1e-5F);
    } else {
      continue;
    }
    ++seen;
  }
  EXPECT_EQ(seen, 17);
}

TEST(Embeddings, MaxNormIsPyTorchs) {
  const auto cases = max_norm_golden();
  int seen = 0;
  for (std::size_t k = 0; k < cases.size(); ++k) {
    const GoldenCase& c = cases[k];
    if (std::string(c.op) != "max_norm") continue;
    SCOPED_TRACE(++seen);
    const GoldenTensor& after = cases[k + 1].output;
    const Tensor weight = c.inputs[0].tensor();
    const Tensor indices = c.inputs[1].tensor().to(DType::i64);
    const auto padding = static_cast<std::int64_t>(c.numbers[2]);
    const auto run = [&](auto& module) {
      Generator generator(1);
      nn::initialize(module, generator);
      module.weight.set(weight);
      const Tensor leaf = module.parameters()[0];
      const Tensor y = module(indices);
      // The optimizer's tensor itself has changed, and the tape can still go back.
      expect_close(leaf.detach(), after, 1e-6F, "the weight afterwards");
      expect_case(c, y, {leaf}, 1e-6F);
    };
    if (c.numbers[3] != 0) {
      nn::EmbeddingBag bag({.num_embeddings = 6,
                            .embedding_dim = 3,
                            .mode = "sum",
                            .padding_idx = padding,
                            .max_norm = c.numbers[0],
                            .norm_type = c.numbers[1]});
      run(bag);
    } else {
      nn::Embedding table({.num_embeddings = 6,
                           .embedding_dim = 3,
                           .padding_idx = padding,
                           .max_norm = c.numbers[0],
                           .norm_type = c.numbers[1]});
      run(table);
    }
  }
  EXPECT_EQ(seen, 6);
}

// What was saved on the tape before a row changed must not be used afterwards.
TEST(Embeddings, RenormalizingCountsAsAChange) {
  const Tensor indices = i64s({0, 1}, {2});
  Tensor weight = Tensor::from(std::vector<float>{3, 4, 0.3F, 0.4F}, {2, 2});
  weight.set_requires_grad();
  const Tensor loss = sum(square(weight));
  embedding_renorm(weight, indices, {.max_norm = 10});  // nothing to do
  sum(square(weight)).backward();
  embedding_renorm(weight, i64s({1}, {1}), {.max_norm = 1});
  loss.backward();  // neither: the row is short enough
  const Tensor again = sum(square(weight));
  embedding_renorm(weight, indices, {.max_norm = 1});
  ErrorCode code{};
  error_of([&] { again.backward(); }, &code);
  EXPECT_EQ(code, ErrorCode::invalid_state);
  EXPECT_TRUE(weight.is_leaf());
  EXPECT_NEAR(weight.to_vector<float>()[1], 0.8F, 1e-6F);
}

TEST(Embeddings, BadInputToMaxNorm) {
  Tensor weight = Tensor::full({3, 2}, 2);
  ErrorCode code{};
  const auto message = [&](Tensor table, const Tensor& indices,
                           const EmbeddingRenormOptions& options = {}) {
    return error_of([&] { embedding_renorm(table, indices, options); }, &code);
  };
  const Tensor good = i64s({0}, {1});
  EXPECT_THAT(message(weight, i64s({0, 3}, {2})),
              HasSubstr("embedding_renorm: expected indices from 0 to 2, got 3"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_EQ(weight.to_vector<float>()[0], 2);
  EXPECT_THAT(message(weight, weight), HasSubstr("expected i64 or i32 indices, got f32"));
  EXPECT_THAT(message(weight, {}), HasSubstr("expected indices, got an undefined tensor"));
  EXPECT_THAT(message({}, good), HasSubstr("a weight [V, E], got an undefined tensor"));
  EXPECT_THAT(message(Tensor::zeros({3}), good), HasSubstr("a weight [V, E], got [3]"));
  EXPECT_THAT(message(weight.to(DType::f16), good), HasSubstr("of f32 or f64, got f16"));
  EXPECT_THAT(message(weight, good, {.max_norm = -1}),
              HasSubstr("expected a max_norm of at least 0, got -1"));
  EXPECT_THAT(message(weight, good, {.norm_type = 0}),
              HasSubstr("expected a norm_type above 0, got 0"));
  weight.set_requires_grad();
  EXPECT_THAT(message(neg(weight), good),
              HasSubstr("expected a weight that is no result of other ops, got one of shape"));
  EXPECT_THAT(
      error_of([] { nn::Embedding e({.num_embeddings = 3, .embedding_dim = 2, .max_norm = -1}); }),
      HasSubstr("Embedding: expected a max_norm of at least 0 and a norm_type above 0, got "
                "-1 and 2"));
  nn::Embedding masked({.num_embeddings = 3, .embedding_dim = 2, .max_norm = 1});
  EXPECT_THAT(error_of([&] { masked(good); }, &code),
              HasSubstr("Embedding: expected an initialized weight, got one of shape [3, 2]"));
  EXPECT_EQ(code, ErrorCode::invalid_state);
  Generator generator(1);
  nn::initialize(masked, generator);
  const int mask = masked.weight.expression().add_leaf({"_mask", Tensor::full({3, 2}, 1), false});
  masked.weight.expression().append({&kMul, {}}, {mask});
  EXPECT_THAT(error_of([&] { masked(good); }),
              HasSubstr("Embedding: expected a plain weight for max_norm, got an expression of 2 "
                        "leaves"));
}

TEST(Embeddings, BadInputToEmbeddings) {
  const Tensor weight = Tensor::zeros({4, 3});
  const Tensor indices = i64s({1, 2, 3, 0}, {2, 2});
  ErrorCode code{};
  EXPECT_THAT(error_of(
                  [&] {
                    embedding(i64s({1, 4}, {2}), weight);
                  },
                  &code),
              HasSubstr("embedding: expected indices from 0 to 3, got 4"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([&] { embedding(i64s({-1}, {1}), weight); }), HasSubstr("got -1"));
  EXPECT_THAT(error_of([&] { embedding(weight, weight); }, &code),
              HasSubstr("embedding: expected i64 or i32 indices, got f32"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([&] { embedding(indices, Tensor::zeros({4})); }),
              HasSubstr("embedding: expected a weight [V, E], got [4]"));
  EXPECT_THAT(error_of([&] { embedding(indices, indices); }),
              HasSubstr("expected a weight of a floating type, got i64"));
  EXPECT_THAT(error_of([&] { embedding(indices, weight, {.padding_idx = 4}); }),
              HasSubstr("expected padding_idx from 0 to 3 or -1 for none, got 4"));
  EXPECT_THAT(error_of([&] {
                embedding(Tensor::zeros({1, 1, 1, 1, 1, 1, 1, 1}, DType::i64), weight);
              }),
              HasSubstr("embedding: expected indices of at most 7 axes"));

  const auto bag = [&](const EmbeddingBagOperands& o, const EmbeddingBagAttributes& a = {}) {
    return error_of([&] { embedding_bag(o, a); }, &code);
  };
  const Tensor list = i64s({0, 1, 2}, {3});
  EXPECT_THAT(bag({list, weight}),
              HasSubstr("embedding_bag: expected indices [B, L], or [M] with offsets, got [3]"));
  EXPECT_THAT(bag({indices, weight, i64s({0}, {1})}), HasSubstr("got [2, 2] with offsets"));
  EXPECT_THAT(bag({list, weight, i64s({0, 2, 1}, {3})}),
              HasSubstr("expected offsets that ascend from 0 to 3, got 1 after 2"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(bag({list, weight, i64s({0, 4}, {2})}), HasSubstr("got 4 after 0"));
  EXPECT_THAT(bag({list, weight, i64s({1, 2}, {2})}),
              HasSubstr("expected offsets that begin with 0, got 1"));
  EXPECT_THAT(bag({list, weight, Tensor::zeros({1})}),
              HasSubstr("expected i64 or i32 offsets, got f32"));
  EXPECT_THAT(bag({list, weight, i64s({}, {0})}, {.include_last_offset = true}),
              HasSubstr("expected offsets [B + 1], got [0]"));
  EXPECT_THAT(bag({indices, weight}, {.include_last_offset = true}),
              HasSubstr("expected offsets for include_last_offset"));
  EXPECT_THAT(bag({indices, weight}, {.mode = "median"}),
              HasSubstr("expected the mode sum, mean or max, got 'median'"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(bag({indices, weight, {}, Tensor::zeros({2, 2})}),
              HasSubstr("expected the mode sum with per_sample_weights, got 'mean'"));
  EXPECT_THAT(bag({indices, weight, {}, Tensor::zeros({4})}, {.mode = "sum"}),
              HasSubstr("expected per_sample_weights of type f32 and shape [2, 2], got f32 [4]"));
  EXPECT_THAT(bag({indices, weight}, {.mode = "max", .scale_grad_by_freq = true}),
              HasSubstr("expected no scale_grad_by_freq with the mode max"));
  EXPECT_THAT(bag({indices, weight.to(DType::f16)}),
              HasSubstr("expected a weight of f32 or f64, got f16"));
  EXPECT_THAT(
      error_of([] { nn::Embedding e({.num_embeddings = 3, .embedding_dim = 0}); }),
      HasSubstr("Embedding: expected num_embeddings and embedding_dim of at least 1, got 3, 0"));
  EXPECT_THAT(error_of([] {
                nn::EmbeddingBag e({.num_embeddings = 3, .embedding_dim = 2, .mode = "median"});
              }),
              HasSubstr("EmbeddingBag: expected the mode sum, mean or max, got 'median'"));
  EXPECT_THAT(error_of([] {
                nn::EmbeddingBag e({.num_embeddings = 3, .embedding_dim = 2, .padding_idx = 3});
              }),
              HasSubstr("EmbeddingBag: expected padding_idx from 0 to 2 or -1 for none, got 3"));
}

}  // namespace
}  // namespace pare::test
