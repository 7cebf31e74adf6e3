// Losses as modules, with PyTorch's names: the functions of core/ops/loss.h with their options
// kept.
#pragma once

#include "pare/core/ops/loss.h"
#include "pare/nn/module.h"

namespace pare::nn {

/// A loss of a network's output and its target: `train::fit(net, data, nn::CrossEntropyLoss{…})`.
struct PARE_API Criterion : Module {
  Tensor operator()(const Tensor& input, const Tensor& target) { return loss(input, target); }
  /// Of {input, target}. Throws invalid_argument for another number.
  Tensors run(const Tensors& inputs) override;

 protected:
  virtual Tensor loss(const Tensor& input, const Tensor& target) = 0;
};

/// A loss of three tensors.
struct PARE_API TripleCriterion : Module {
  Tensor operator()(const Tensor& a, const Tensor& b, const Tensor& c) { return loss(a, b, c); }
  /// Throws invalid_argument for another number than three.
  Tensors run(const Tensors& inputs) override;

 protected:
  virtual Tensor loss(const Tensor& a, const Tensor& b, const Tensor& c) = 0;
};

/// |input − target|
struct PARE_API L1Loss : Criterion {
  explicit L1Loss(LossAttributes options = {});
  std::string kind() const override;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  LossAttributes options_;
};

/// (input − target)²
struct PARE_API MSELoss : Criterion {
  explicit MSELoss(LossAttributes options = {});
  std::string kind() const override;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  LossAttributes options_;
};

struct PARE_API SmoothL1Loss : Criterion {
  explicit SmoothL1Loss(SmoothL1Attributes options = {});
  std::string kind() const override;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  SmoothL1Attributes options_;
};

struct PARE_API HuberLoss : Criterion {
  explicit HuberLoss(HuberOptions options = {});
  std::string kind() const override;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  HuberOptions options_;
};

/// By default batchmean, where PyTorch's averages over elements.
struct PARE_API KLDivLoss : Criterion {
  explicit KLDivLoss(KlDivAttributes options = {});
  std::string kind() const override;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  KlDivAttributes options_;
};

struct PARE_API HingeEmbeddingLoss : Criterion {
  explicit HingeEmbeddingLoss(HingeEmbeddingAttributes options = {});
  std::string kind() const override;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  HingeEmbeddingAttributes options_;
};

struct PARE_API NLLLoss : Criterion {
  explicit NLLLoss(NllOptions options = {});
  void members(Members& m) override;
  std::string kind() const override;

  Buffer weight;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  NllOptions options_;
};

/// The class weights are a buffer, saved with the module.
struct PARE_API CrossEntropyLoss : Criterion {
  explicit CrossEntropyLoss(CrossEntropyOptions options = {});
  void members(Members& m) override;
  std::string kind() const override;

  Buffer weight;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  CrossEntropyOptions options_;
};

struct PARE_API BCELoss : Criterion {
  explicit BCELoss(BceOptions options = {});
  void members(Members& m) override;
  std::string kind() const override;

  Buffer weight;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  BceOptions options_;
};

struct PARE_API BCEWithLogitsLoss : Criterion {
  explicit BCEWithLogitsLoss(BceWithLogitsOptions options = {});
  void members(Members& m) override;
  std::string kind() const override;

  Buffer weight;
  Buffer pos_weight;

 protected:
  Tensor loss(const Tensor& input, const Tensor& target) override;

 private:
  BceWithLogitsOptions options_;
};

struct PARE_API CosineEmbeddingLoss : TripleCriterion {
  explicit CosineEmbeddingLoss(MarginOptions options = {});
  std::string kind() const override;

 protected:
  Tensor loss(const Tensor& a, const Tensor& b, const Tensor& target) override;

 private:
  MarginOptions options_;
};

struct PARE_API MarginRankingLoss : TripleCriterion {
  explicit MarginRankingLoss(MarginOptions options = {});
  std::string kind() const override;

 protected:
  Tensor loss(const Tensor& a, const Tensor& b, const Tensor& target) override;

 private:
  MarginOptions options_;
};

struct PARE_API TripletMarginLoss : TripleCriterion {
  explicit TripletMarginLoss(TripletMarginOptions options = {});
  std::string kind() const override;

 protected:
  Tensor loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative) override;

 private:
  TripletMarginOptions options_;
};

}  // namespace pare::nn
