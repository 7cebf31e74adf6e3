// RNN, LSTM and GRU of several layers, and their cells.
#pragma once

#include <string>
#include <vector>

#include "pare/core/ops/recurrent.h"
#include "pare/nn/module.h"

namespace pare::nn {

struct RecurrentOptions {
  std::int64_t input_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t num_layers = 1;
  bool bias = true;
  bool batch_first = false;
  double dropout = 0;  ///< in training, of what a layer gives the next one
  bool bidirectional = false;
  std::int64_t proj_size = 0;  ///< of LSTM alone: P features of h, below hidden_size; 0: H
};
struct RNNOptions : RecurrentOptions {
  std::string nonlinearity = "tanh";  ///< or "relu"
};

/// What RNN, LSTM and GRU have in common. x [T, N, I], with batch_first [N, T, I], or one sample
/// [T, I]; y the same with D·H features, D directions; states [layers·D, N, H], of one sample
/// [layers·D, H]; where an LSTM has a projection, y has D·P features and h P. Parameters are
/// PyTorch's weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_hr_l0 of the projection,
/// those of the second direction with "_reverse" behind, and so on by layers. Constructors throw
/// invalid_argument for sizes below 1, a dropout outside [0, 1], a proj_size that is not below
/// hidden_size or is not an LSTM's.
struct PARE_API Recurrent : Module {
  void members(Members& m) override;
  void reset(Generator& generator) override;
  /// false: dropout passes through, also in training.
  void set_mode(bool train) override;
  /// The features of every step, from states of zero.
  Tensor forward(const Tensor& x) override;

  /// The weights of a layer and direction: ih, hh, bias_ih, bias_hh, hr.
  Parameter& weight(std::int64_t layer, int which, bool reverse = false);
  const RecurrentOptions& options() const { return options_; }

 protected:
  Recurrent(const char* where, const RecurrentOptions& options, std::int64_t gates);
  Recurrent(const Recurrent&) = default;
  Recurrent(Recurrent&&) = default;
  Recurrent& operator=(const Recurrent&) = default;
  Recurrent& operator=(Recurrent&&) = default;

  struct States {
    Tensor h0, c0, lengths;
  };
  /// One layer's op: {y, h_n} or {y, h_n, c_n}.
  virtual Tensors layer(const Tensor& x, const RecurrentOperands& operands) = 0;
  Tensors run_layers(const Tensor& x, const States& states);
  std::string direction() const { return options_.bidirectional ? "bidirectional" : "forward"; }

 private:
  std::size_t place(std::int64_t layer, int which, bool reverse) const;
  const char* where_;
  RecurrentOptions options_;
  std::vector<Parameter> weights_;
  Attributes dropout_;
};

struct PARE_API RNN : Recurrent {
  explicit RNN(const RNNOptions& options);
  /// {x, h0, lengths}, those at the end or undefined left out, to {y, h_n}.
  Tensors run(const Tensors& inputs) override;
  std::string kind() const override;

 protected:
  Tensors layer(const Tensor& x, const RecurrentOperands& operands) override;

 private:
  RnnAttributes attributes_;
};

struct PARE_API LSTM : Recurrent {
  explicit LSTM(const RecurrentOptions& options);
  /// {x, h0, c0, lengths}, those at the end or undefined left out, to {y, h_n, c_n}.
  Tensors run(const Tensors& inputs) override;
  std::string kind() const override;

 protected:
  Tensors layer(const Tensor& x, const RecurrentOperands& operands) override;

 private:
  LstmAttributes attributes_;
};

struct PARE_API GRU : Recurrent {
  explicit GRU(const RecurrentOptions& options);
  /// {x, h0, lengths}, those at the end or undefined left out, to {y, h_n}.
  Tensors run(const Tensors& inputs) override;
  std::string kind() const override;

 protected:
  Tensors layer(const Tensor& x, const RecurrentOperands& operands) override;

 private:
  GruAttributes attributes_;
};

struct CellOptions {
  std::int64_t input_size = 0;
  std::int64_t hidden_size = 0;
  bool bias = true;
};
struct RNNCellOptions : CellOptions {
  std::string nonlinearity = "tanh";  ///< or "relu"
};

/// What the cells have in common: one step. x [N, I] or [I], states [N, H] or [H], zeros where left
/// out. Constructors throw invalid_argument for sizes below 1.
struct PARE_API RecurrentCell : Module {
  void members(Members& m) override;
  void reset(Generator& generator) override;
  /// h after a step from states of zero.
  Tensor forward(const Tensor& x) override;

  Parameter weight_ih;  ///< [gates·H, I]
  Parameter weight_hh;  ///< [gates·H, H]
  Parameter bias_ih;    ///< [gates·H]
  Parameter bias_hh;    ///< [gates·H]

 protected:
  RecurrentCell(const char* where, const CellOptions& options, std::int64_t gates);
  RecurrentCell(const RecurrentCell&) = default;
  RecurrentCell(RecurrentCell&&) = default;
  RecurrentCell& operator=(const RecurrentCell&) = default;
  RecurrentCell& operator=(RecurrentCell&&) = default;

  virtual Tensors step(const Tensor& x, const RecurrentOperands& operands) = 0;
  Tensors run_step(const Tensors& inputs, std::size_t states);

 private:
  const char* where_;
};

struct PARE_API RNNCell : RecurrentCell {
  explicit RNNCell(const RNNCellOptions& options);
  /// {x, h} to {h}.
  Tensors run(const Tensors& inputs) override;
  std::string kind() const override;

 protected:
  Tensors step(const Tensor& x, const RecurrentOperands& operands) override;

 private:
  RnnAttributes attributes_;
};

struct PARE_API LSTMCell : RecurrentCell {
  explicit LSTMCell(const CellOptions& options);
  /// {x, h, c} to {h, c}.
  Tensors run(const Tensors& inputs) override;
  std::string kind() const override;

 protected:
  Tensors step(const Tensor& x, const RecurrentOperands& operands) override;
};

struct PARE_API GRUCell : RecurrentCell {
  explicit GRUCell(const CellOptions& options);
  /// {x, h} to {h}.
  Tensors run(const Tensors& inputs) override;
  std::string kind() const override;

 protected:
  Tensors step(const Tensor& x, const RecurrentOperands& operands) override;
};

}  // namespace pare::nn
