// What recurrent layers multiply: rows of x and of the states by weights, in float or as codes.
#include <algorithm>

#include "core/ops/recurrent.h"
#include "core/row_codes.h"

namespace pare {

StepProduct::StepProduct(const RecurrentEngine& engine, MatrixView b, std::int64_t inner,
                         std::int64_t columns)
    : engine_(engine), b_(b), inner_(inner), columns_(columns) {
  if (engine.packed && PackedMatrix::available()) packed_ = PackedMatrix(b, inner, columns);
}

void StepProduct::run(std::int64_t rows, const float* a, float* c, bool accumulate) const {
  if (packed_.defined())
    packed_.multiply(rows, a, c, accumulate);
  else
    engine_.multiply(rows, columns_, inner_, {a, inner_}, b_, c, columns_, accumulate);
}

WeightProduct::WeightProduct(const RecurrentEngine& engine, std::span<const Tensor> inputs,
                             const WeightBlock& block, bool rounded, For use)
    : engine_(engine),
      block_(block),
      rounded_(rounded),
      inner_(inputs[static_cast<std::size_t>(block.input)].shape()[1]) {
  if (engine.codes) return;
  weight_ = data_of(inputs, block.input) + block.first * inner_;
  if (use == For::steps)
    steps_.emplace(engine, MatrixView{weight_, inner_, true}, inner_, block.count);
}

void WeightProduct::run(std::int64_t rows, const float* a, float* c, std::int64_t stride) const {
  if (engine_.codes) {
    engine_.codes->multiply(block_, rows, a, c, stride);
  } else if (rounded_) {
    run_float(rows, rounded_to_codes(a, rows, inner_).data<float>(), c, stride);
  } else {
    run_float(rows, a, c, stride);
  }
}

void WeightProduct::run_float(std::int64_t rows, const float* a, float* c,
                              std::int64_t stride) const {
  if (steps_)
    steps_->run(rows, a, c, false);
  else
    engine_.multiply(rows, block_.count, inner_, {a, inner_}, {weight_, inner_, true}, c, stride,
                     false);
}

bool quantizes_dynamically(const Call& call) {
  if (call.op == &kLstm) return call.attributes.as<LstmAttributes>().dynamic_quantize;
  if (call.op == &kGru) return call.attributes.as<GruAttributes>().dynamic_quantize;
  return call.op == &kRnn && call.attributes.as<RnnAttributes>().dynamic_quantize;
}

void recurrent_forward(const RecurrentEngine& engine, const Call& call,
                       std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  const auto run = call.op == &kLstm ? lstm_forward : call.op == &kGru ? gru_forward : rnn_forward;
  run(engine, call, inputs, outputs);
}

std::vector<WeightBlock> recurrent_blocks(const Call& call, std::span<const Shape* const> inputs) {
  std::vector<WeightBlock> blocks;
  const auto add = [&](int input) {
    const auto i = static_cast<std::size_t>(input);
    if (i >= inputs.size() || !inputs[i]) return;
    const std::int64_t rows = (*inputs[i])[0];
    const bool parted = call.op == &kGru && (input == kWeightHh || input == kWeightHh + 4);
    if (parted) blocks.push_back({input, 0, rows / 3 * 2});
    blocks.push_back({input, parted ? rows / 3 * 2 : 0, parted ? rows / 3 : rows});
  };
  for (int d = 0; d < 2; ++d) {
    add(kWeightIh + d * kDirectionInputs);
    add(kWeightHh + d * kDirectionInputs);
    add(kWeightHr + d);
  }
  return blocks;
}

Tensor rounded_to_codes(const float* x, std::int64_t rows, std::int64_t columns) {
  Tensor rounded = Tensor::empty({rows, columns});
  float* to = rounded.mutable_data<float>();
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(columns));
  for (std::int64_t r = 0; r < rows; ++r, x += columns, to += columns) {
    const RowCode row = range_code(x, columns);
    quantize_row(x, columns, row, codes.data());
    for (std::int64_t k = 0; k < columns; ++k)
      to[k] = row.scale * static_cast<float>(codes[static_cast<std::size_t>(k)] - row.zero_point);
  }
  return rounded;
}

}  // namespace pare
