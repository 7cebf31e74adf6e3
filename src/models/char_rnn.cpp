// Recurrent classifiers.
#include "pare/models/char_rnn.h"

#include "core/check.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/reduction.h"

namespace pare::models {
namespace {

template <class Options>
nn::RecurrentOptions layers_of(const Options& options, std::int64_t input) {
  return {.input_size = input,
          .hidden_size = options.hidden,
          .num_layers = options.layers,
          .batch_first = true,
          .dropout = options.dropout,
          .bidirectional = options.bidirectional};
}
template <class Options> nn::LinearOptions head_of(const Options& options) {
  return {.in = (options.bidirectional ? 2 : 1) * options.hidden, .out = options.classes};
}

/// The last layer's states [layers·D, N, H] as features [N, D·H].
Tensor last_state(const Tensor& h_n, const nn::RecurrentOptions& options) {
  const std::int64_t directions = options.bidirectional ? 2 : 1;
  const std::int64_t rows = options.num_layers * directions;
  const Tensor last = options.num_layers > 1 ? slice(h_n, 0, rows - directions, rows) : h_n;
  const Tensor beside = directions == 2 ? transpose(last, {1, 0, 2}) : last;
  return reshape(beside, {-1, directions * options.hidden_size});
}

/// How many characters each row has before its padding.
Tensor lengths_of(const Tensor& characters) {
  const Tensor padding = Tensor::scalar(0, characters.dtype());
  return sum(cast(not_equal(characters, padding), DType::i64), {1});
}

void check_characters(const Tensor& characters, const char* where) {
  PARE_CHECK(characters.defined() && characters.rank() == 2, shape_mismatch, where,
             "expected characters [N, T], got {}",
             characters.defined() ? characters.shape().to_string() : "an undefined tensor");
}

}  // namespace

CharLSTM::CharLSTM(const CharRnnOptions& options)
    : embedding({.num_embeddings = options.vocabulary,
                 .embedding_dim = options.embedding,
                 .padding_idx = 0}),
      lstm(layers_of(options, options.embedding)),
      fc(head_of(options)) {}
void CharLSTM::members(nn::Members& m) { m("embedding", embedding)("lstm", lstm)("fc", fc); }
Tensor CharLSTM::forward(const Tensor& characters) {
  check_characters(characters, "CharLSTM");
  const Tensors out = lstm.run({embedding(characters), {}, {}, lengths_of(characters)});
  return fc(last_state(out[1], lstm.options()));
}
std::string CharLSTM::kind() const { return "CharLSTM"; }

CharGRU::CharGRU(const CharRnnOptions& options)
    : embedding({.num_embeddings = options.vocabulary,
                 .embedding_dim = options.embedding,
                 .padding_idx = 0}),
      gru(layers_of(options, options.embedding)),
      fc(head_of(options)) {}
void CharGRU::members(nn::Members& m) { m("embedding", embedding)("gru", gru)("fc", fc); }
Tensor CharGRU::forward(const Tensor& characters) {
  check_characters(characters, "CharGRU");
  const Tensors out = gru.run({embedding(characters), {}, lengths_of(characters)});
  return fc(last_state(out[1], gru.options()));
}
std::string CharGRU::kind() const { return "CharGRU"; }

SequenceGRU::SequenceGRU(const SequenceGruOptions& options)
    : gru(layers_of(options, options.channels)), fc(head_of(options)) {}
void SequenceGRU::members(nn::Members& m) { m("gru", gru)("fc", fc); }
Tensor SequenceGRU::forward(const Tensor& x) { return run({x})[0]; }
Tensors SequenceGRU::run(const Tensors& inputs) {
  PARE_CHECK(inputs.size() == 1 || inputs.size() == 2, invalid_argument, "SequenceGRU",
             "expected x, or x and lengths, got {} inputs", inputs.size());
  const Tensors out = gru.run({inputs[0], {}, inputs.size() > 1 ? inputs[1] : Tensor()});
  return {fc(last_state(out[1], gru.options()))};
}
std::string SequenceGRU::kind() const { return "SequenceGRU"; }

}  // namespace pare::models
