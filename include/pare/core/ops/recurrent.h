// Recurrent layers: rnn, lstm and gru, one layer in one or both directions.
#pragma once

#include <string>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kRnn, kLstm, kGru;

/// `direction` of each is ONNX's "forward", "reverse" or "bidirectional". With batch_first x and y
/// are [N, T, …], else [T, N, …].
struct RnnAttributes {
  std::string direction = "forward";
  bool batch_first = false;
  std::string nonlinearity = "tanh";  ///< or "relu"
  void fields(AttributeVisitor& visit) {
    visit("direction", direction);
    visit("batch_first", batch_first);
    visit("nonlinearity", nonlinearity);
  }
};
struct LstmAttributes {
  std::string direction = "forward";
  bool batch_first = false;
  void fields(AttributeVisitor& visit) {
    visit("direction", direction);
    visit("batch_first", batch_first);
  }
};
struct GruAttributes {
  std::string direction = "forward";
  bool batch_first = false;
  /// The reset gate multiplies W·h + b (PyTorch's, cuDNN's); false: h itself, before the product
  /// (ONNX's default).
  bool linear_before_reset = true;
  void fields(AttributeVisitor& visit) {
    visit("direction", direction);
    visit("batch_first", batch_first);
    visit("linear_before_reset", linear_before_reset);
  }
};

/// The weights of one direction, in PyTorch's layout: the rows of the gates one below the other,
/// lstm's i f g o, gru's r z n. Both biases or none.
struct RecurrentWeights {
  Tensor ih;       ///< [gates·H, I]
  Tensor hh;       ///< [gates·H, H]
  Tensor bias_ih;  ///< [gates·H]
  Tensor bias_hh;  ///< [gates·H]
};

struct RecurrentOperands {
  RecurrentWeights weights;
  RecurrentWeights backward = {};  ///< of the second direction, where there are two
  Tensor h0 = {};                  ///< [D, N, H], D directions; zeros where undefined
  Tensor c0 = {};                  ///< the same, for lstm alone
  /// i64 or i32 [N], from 0 to T: what each sample's steps are; behind them y is 0 and the state
  /// stays. The backward direction begins at a sample's last step. Undefined: all are T.
  Tensor lengths = {};
};

/// h = tanh(W_ih·x + b_ih + W_hh·h + b_hh), or relu: {y, h_n} with y [T, N, D·H] (the directions
/// beside one another), h_n [D, N, H]. Operands are f32. Elman, "Finding structure in time", 1990.
/// Each of these throws shape_mismatch, dtype_mismatch, invalid_argument for an unknown word in its
/// attributes, and out_of_range for a length that is none. ONNX's peepholes, clip, input_forget and
/// other activations they do not have.
PARE_API Tensors rnn(const Tensor& x, const RecurrentOperands& operands,
                     const RnnAttributes& attributes = {});
/// c = σ(f)·c + σ(i)·tanh(g), h = σ(o)·tanh(c): {y, h_n, c_n}. Hochreiter and Schmidhuber, "Long
/// short-term memory", 1997, with the forget gate of Gers et al., 2000.
PARE_API Tensors lstm(const Tensor& x, const RecurrentOperands& operands,
                      const LstmAttributes& attributes = {});
/// h = (1 − σ(z))·tanh(n) + σ(z)·h: {y, h_n}. Cho et al., "Learning phrase representations using
/// RNN encoder-decoder", 2014.
PARE_API Tensors gru(const Tensor& x, const RecurrentOperands& operands,
                     const GruAttributes& attributes = {});

}  // namespace pare
