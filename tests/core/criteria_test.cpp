// Losses with their options against PyTorch, and bad input.
#include <gmock/gmock.h>

#include "core/golden_criteria.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/loss.h"
#include "pare/nn/loss.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

Tensor at(const Tensors& xs, std::size_t i) { return i < xs.size() ? xs[i] : Tensor(); }

/// The golden case by pare's function of that name.
Tensor run(const GoldenCase& c, const Tensors& x) {
  const std::string op = c.op;
  const char* words[] = {"none", "mean", "sum", "batchmean"};
  const std::string reduction = words[static_cast<int>(c.numbers[0])];
  const auto number = [&](std::size_t i) { return c.numbers[i]; };
  const auto label = [&] { return x[1].to(DType::i64); };
  if (op == "nll")
    return nll(x[0], label(),
               {.weight = at(x, 2),
                .ignore_index = static_cast<std::int64_t>(number(1)),
                .reduction = reduction});
  if (op == "cross_entropy")
    return cross_entropy(x[0], label(),
                         {.weight = at(x, 2),
                          .ignore_index = static_cast<std::int64_t>(number(1)),
                          .label_smoothing = number(2),
                          .reduction = reduction});
  if (op == "mse") return mse(x[0], x[1], {.reduction = reduction});
  if (op == "l1") return l1(x[0], x[1], {.reduction = reduction});
  if (op == "smooth_l1") return smooth_l1(x[0], x[1], {.beta = number(1), .reduction = reduction});
  if (op == "huber") return huber(x[0], x[1], {.delta = number(1), .reduction = reduction});
  if (op == "kl_div") return kl_div(x[0], x[1], {.reduction = reduction});
  if (op == "hinge_embedding")
    return hinge_embedding(x[0], x[1], {.margin = number(1), .reduction = reduction});
  if (op == "bce") return bce(x[0], x[1], {.weight = at(x, 2), .reduction = reduction});
  if (op == "bce_with_logits") {
    const bool weighted = number(1) == 1 || number(1) == 3;
    const Tensor positive = number(1) == 2 ? x[2] : at(x, 3);
    return bce_with_logits(
        x[0], x[1],
        {.weight = weighted ? x[2] : Tensor(), .pos_weight = positive, .reduction = reduction});
  }
  if (op == "cosine_embedding")
    return cosine_embedding(x[0], x[1], x[2], {.margin = number(1), .reduction = reduction});
  if (op == "margin_ranking")
    return margin_ranking(x[0], x[1], x[2], {.margin = number(1), .reduction = reduction});
  return triplet_margin(
      x[0], x[1], x[2],
      {.margin = number(1), .p = number(2), .swap = number(3) != 0, .reduction = reduction});
}

TEST(Criteria, GoldenValues) {
  for (const GoldenCase& c : criteria_golden()) {
    for (const bool last : {false, true}) {
      Tensors inputs;
      std::string what = c.op;
      for (const GoldenTensor& t : c.inputs) {
        Tensor x = t.tensor();
        if (last && x.rank() >= 3) x = x.to(MemoryFormat::channels_last);
        inputs.push_back(x.clone());
        what.append(" ").append(x.shape().to_string());
      }
      for (const double n : c.numbers) what.append(" ").append(std::to_string(n));
      if (last) what.append(", channels last");
      for (std::size_t i = 0; i < c.gradients.size(); ++i) inputs[i].set_requires_grad();
      const Tensor y = run(c, inputs);
      expect_close(y, c.output, 1e-5F, what);
      if (c.gradients.empty()) continue;
      y.backward(c.given.tensor());
      for (std::size_t i = 0; i < c.gradients.size(); ++i)
        expect_close(inputs[i].grad(), c.gradients[i], 1e-5F, what + ", a gradient");
    }
  }
}

TEST(Criteria, TakeLabelsOfIntegers) {
  const Tensor x = Tensor::from({0.5F, 0.25F}, {2});
  const Tensor signs = Tensor::from(std::vector<std::int64_t>{1, -1}, {2});
  EXPECT_FLOAT_EQ(static_cast<float>(hinge_embedding(x, signs).item()), (0.5F + 0.75F) / 2);
  EXPECT_FLOAT_EQ(static_cast<float>(margin_ranking(x, x, signs, {.margin = 0.5}).item()), 0.5F);
}

TEST(Criteria, ModulesAreTheFunctions) {
  const Tensor x = Tensor::from({0.5F, -0.25F, 1, 2, 0, -1}, {2, 3});
  const Tensor y = Tensor::from({0.25F, 0.75F, 0.5F, 1, 0, 0.5F}, {2, 3});
  const Tensor labels = Tensor::from(std::vector<std::int64_t>{2, 0}, {2});
  const Tensor weight = Tensor::from({1, 2, 3}, {3});
  const auto same = [](const Tensor& a, const Tensor& b) { EXPECT_EQ(a.item(), b.item()); };
  same(nn::L1Loss()(x, y), l1(x, y));
  same(nn::MSELoss({.reduction = "sum"})(x, y), mse(x, y, {.reduction = "sum"}));
  same(nn::SmoothL1Loss({.beta = 0.5})(x, y), smooth_l1(x, y, {.beta = 0.5}));
  same(nn::HuberLoss({.delta = 0.5})(x, y), huber(x, y, {.delta = 0.5}));
  same(nn::KLDivLoss()(x, y), kl_div(x, y));
  same(nn::HingeEmbeddingLoss({.margin = 2})(x, y), hinge_embedding(x, y, {.margin = 2}));
  same(nn::NLLLoss({.weight = weight})(x, labels), nll(x, labels, {.weight = weight}));
  same(nn::BCELoss()(y, y), bce(y, y));
  same(nn::BCEWithLogitsLoss({.pos_weight = weight})(x, y),
       bce_with_logits(x, y, {.pos_weight = weight}));
  same(nn::CosineEmbeddingLoss({.margin = 0.1})(x, y, labels),
       cosine_embedding(x, y, labels, {.margin = 0.1}));
  same(nn::MarginRankingLoss({.margin = 0.1})(x, y, y), margin_ranking(x, y, y, {.margin = 0.1}));
  same(nn::TripletMarginLoss({.p = 1})(x, y, x), triplet_margin(x, y, x, {.p = 1}));
  nn::CrossEntropyLoss loss{{.weight = weight, .label_smoothing = 0.1}};
  same(loss(x, labels), cross_entropy(x, labels, {.weight = weight, .label_smoothing = 0.1}));
  // Its weights are its state.
  ASSERT_EQ(loss.state().size(), 1U);
  EXPECT_EQ(loss.state()[0].name, "weight");
  same(loss.run({x, labels})[0], loss(x, labels));
  EXPECT_THAT(error_of([&] { loss.run({x}); }),
              HasSubstr("CrossEntropyLoss: expected an input and a target, got 1"));
  EXPECT_THAT(error_of([&] { nn::TripletMarginLoss().run({x}); }),
              HasSubstr("TripletMarginLoss: expected three tensors, got 1"));
}

TEST(Criteria, BadInput) {
  ErrorCode code{};
  const Tensor x = Tensor::full({3, 4}, 0.5);
  const Tensor labels = Tensor::zeros({3}, DType::i64);
  const Tensor vector = Tensor::zeros({4});
  EXPECT_THAT(error_of([&] { l1(x, x, {.reduction = "avg"}); }, &code),
              HasSubstr("smooth_l1: expected the reduction none, mean or sum, got 'avg'"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(error_of([&] { mse(x, x, {.reduction = "batchmean"}); }), HasSubstr("mse: expected"));
  EXPECT_THAT(error_of([&] { kl_div(x, x, {.reduction = ""}); }),
              HasSubstr("kl_div: expected the reduction none, mean, batchmean or sum, got ''"));
  EXPECT_THAT(error_of([&] { smooth_l1(x, x, {.beta = -1}); }),
              HasSubstr("smooth_l1: expected beta ≥ 0, got -1"));
  EXPECT_THAT(error_of([&] { huber(x, x, {.delta = 0}); }),
              HasSubstr("huber: expected delta > 0, got 0"));
  EXPECT_THAT(error_of([&] { hinge_embedding(x, vector); }),
              HasSubstr("hinge_embedding: expected inputs of one shape, got [3, 4] and [4]"));
  EXPECT_THAT(error_of([&] { bce(x, x.to(DType::f64)); }, &code),
              HasSubstr("bce: expected both inputs of one dtype, got f32 and f64"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([&] { bce(x * 3.0, x); }, &code),
              HasSubstr("bce: expected probabilities from 0 to 1, got 1.5"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([&] { bce(x, x, {.weight = Tensor::zeros({3})}); }, &code),
              HasSubstr("bce"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  EXPECT_THAT(error_of([&] {
                bce_with_logits(x, x, {.pos_weight = Tensor::zeros({2, 3, 4})});
              }),
              HasSubstr("expected a pos_weight that broadcasts to [3, 4], got [2, 3, 4]"));
  EXPECT_THAT(error_of([&] { bce_with_logits(x, x, {.weight = vector.to(DType::f64)}); }),
              HasSubstr("bce_with_logits: expected a weight of type f32, got f64"));
  EXPECT_THAT(error_of([&] { cross_entropy(x, labels, {.label_smoothing = 1.5}); }),
              HasSubstr("cross_entropy: expected label_smoothing from 0 to 1, got 1.5"));
  EXPECT_THAT(error_of([&] { cross_entropy(x, labels, {.weight = Tensor::zeros({3})}); }, &code),
              HasSubstr("cross_entropy: expected one weight per class of [3, 4], got [3]"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  EXPECT_THAT(error_of([&] { nll(x, labels, {.weight = vector.to(DType::f64)}); }),
              HasSubstr("nll: expected weights of type f32, got f64"));
  EXPECT_THAT(error_of([&] { nll(x, Tensor::full({3}, 4, DType::i64)); }),
              HasSubstr("nll: expected labels from 0 to 3, got 4 at index 0"));
  EXPECT_THAT(error_of([&] { nll(x, Tensor::zeros({3})); }),
              HasSubstr("nll: expected i64 labels, got f32"));
  EXPECT_THAT(error_of([&] {
                nll(Tensor::zeros({2, 3, 4}), Tensor::zeros({2, 3}, DType::i64));
              }),
              HasSubstr("nll: expected log-probabilities [N, C] and labels [N]"));
  EXPECT_THAT(error_of([&] { cosine_embedding(x, x, x); }),
              HasSubstr("cosine_embedding: expected inputs [N, D] and a target [N]"));
  EXPECT_THAT(error_of([&] { margin_ranking(x, x, Tensor()); }),
              HasSubstr("margin_ranking: expected three tensors"));
  EXPECT_THAT(error_of([&] { triplet_margin(x, x, x, {.margin = 0}); }),
              HasSubstr("triplet_margin: expected margin > 0, got 0"));
}

}  // namespace
}  // namespace pare::test
