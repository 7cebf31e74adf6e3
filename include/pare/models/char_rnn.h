// Recurrent classifiers: of words by their characters, and of time series.
#pragma once

#include "pare/nn/embedding.h"
#include "pare/nn/linear.h"
#include "pare/nn/recurrent.h"

namespace pare::models {

struct CharRnnOptions {
  std::int64_t vocabulary = 0;  ///< characters, and the padding 0
  std::int64_t classes = 0;
  std::int64_t embedding = 64;
  std::int64_t hidden = 128;
  std::int64_t layers = 1;
  double dropout = 0;  ///< between layers
  bool bidirectional = false;
};

/// Characters → embedding → LSTM → the last state → linear. Indices i64 [N, T], each row filled up
/// with 0 behind its word, → logits [N, classes].
struct PARE_API CharLSTM : nn::Module {
  explicit CharLSTM(const CharRnnOptions& options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& characters) override;
  std::string kind() const override;

  nn::Embedding embedding;
  nn::LSTM lstm;
  nn::Linear fc;
};

/// The same with a GRU.
struct PARE_API CharGRU : nn::Module {
  explicit CharGRU(const CharRnnOptions& options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& characters) override;
  std::string kind() const override;

  nn::Embedding embedding;
  nn::GRU gru;
  nn::Linear fc;
};

struct SequenceGruOptions {
  std::int64_t channels = 0;
  std::int64_t classes = 0;
  std::int64_t hidden = 64;
  std::int64_t layers = 1;
  double dropout = 0;  ///< between layers
  bool bidirectional = false;
};

/// Time series [N, T, C], with `run` also lengths i64 [N] → GRU → the last state → linear → logits
/// [N, classes].
struct PARE_API SequenceGRU : nn::Module {
  explicit SequenceGRU(const SequenceGruOptions& options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  /// {x} or {x, lengths} to {logits}.
  Tensors run(const Tensors& inputs) override;
  std::string kind() const override;

  nn::GRU gru;
  nn::Linear fc;
};

}  // namespace pare::models
