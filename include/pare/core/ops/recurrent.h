// Recurrent layers: rnn, lstm and gru, one layer in one or both directions.
#pragma once

#include <string>
#include <vector>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kRnn, kLstm, kGru;

/// What the three have in common. `direction` is ONNX's "forward", "reverse" or "bidirectional".
/// With batch_first x and y are [N, T, …], else [T, N, …].
///
/// `activations` are ONNX's words with commas between them, one for each kind of gate: rnn's f
/// ("Tanh"), lstm's f, g, h ("Sigmoid,Tanh,Tanh": of the gates i, f, o; of the candidate; of the
/// cell), gru's f, g ("Sigmoid,Tanh": of r and z; of the candidate); for both directions, or those
/// of the second behind those of the first. Empty: these. Known are Tanh, Sigmoid, Relu, Softsign,
/// Softplus and, with numbers, Affine (alpha·x + beta; 1, 0), LeakyRelu (alpha 0.01),
/// ThresholdedRelu (alpha 1), ScaledTanh (alpha·tanh(beta·x); 1, 1), HardSigmoid (alpha 0.2, beta
/// 0.5), Elu (alpha 1). The lists of alpha and beta give, in order, the numbers of those that have
/// one; what they leave out is as above.
///
/// A `clip` above 0 bounds what the gates' functions get (not the cell) to [−clip, clip].
///
/// With `dynamic_quantize` every row that a weight multiplies (of x; of h, or what is reset of it;
/// of what is projected) is rounded to 256 values first, by a scale and zero point of its own
/// (docs/numerics.md); gradients pass that. Where the weights are dequantized i8 codes, a plan
/// multiplies integers.
struct RnnAttributes {
  std::string direction = "forward";
  bool batch_first = false;
  std::string nonlinearity = "tanh";  ///< or "relu"; PyTorch's word for one activation
  std::string activations = {};
  std::vector<double> activation_alpha = {};
  std::vector<double> activation_beta = {};
  double clip = 0;
  bool dynamic_quantize = false;
  void fields(AttributeVisitor& visit) {
    visit("direction", direction);
    visit("batch_first", batch_first);
    visit("nonlinearity", nonlinearity);
    visit("activations", activations);
    visit("activation_alpha", activation_alpha);
    visit("activation_beta", activation_beta);
    visit("clip", clip);
    visit("dynamic_quantize", dynamic_quantize);
  }
};
struct LstmAttributes {
  std::string direction = "forward";
  bool batch_first = false;
  std::string activations = {};
  std::vector<double> activation_alpha = {};
  std::vector<double> activation_beta = {};
  double clip = 0;
  bool input_forget = false;  ///< the forget gate is 1 − i
  bool dynamic_quantize = false;
  void fields(AttributeVisitor& visit) {
    visit("direction", direction);
    visit("batch_first", batch_first);
    visit("activations", activations);
    visit("activation_alpha", activation_alpha);
    visit("activation_beta", activation_beta);
    visit("clip", clip);
    visit("input_forget", input_forget);
    visit("dynamic_quantize", dynamic_quantize);
  }
};
struct GruAttributes {
  std::string direction = "forward";
  bool batch_first = false;
  /// The reset gate multiplies W·h + b (PyTorch's, cuDNN's); false: h itself, before the product
  /// (ONNX's default).
  bool linear_before_reset = true;
  std::string activations = {};
  std::vector<double> activation_alpha = {};
  std::vector<double> activation_beta = {};
  double clip = 0;
  bool dynamic_quantize = false;
  void fields(AttributeVisitor& visit) {
    visit("direction", direction);
    visit("batch_first", batch_first);
    visit("linear_before_reset", linear_before_reset);
    visit("activations", activations);
    visit("activation_alpha", activation_alpha);
    visit("activation_beta", activation_beta);
    visit("clip", clip);
    visit("dynamic_quantize", dynamic_quantize);
  }
};

/// The weights of one direction, in PyTorch's layout: the rows of the gates one below the other,
/// lstm's i f g o, gru's r z n. Both biases or none.
struct RecurrentWeights {
  Tensor ih;            ///< [gates·H, I]
  Tensor hh;            ///< [gates·H, H], with a projection [4·H, P]
  Tensor bias_ih = {};  ///< [gates·H]
  Tensor bias_hh = {};  ///< [gates·H]
  Tensor hr = {};       ///< [P, H], of lstm alone: h is projected to P features
};

struct RecurrentOperands {
  RecurrentWeights weights;
  RecurrentWeights backward = {};  ///< of the second direction, where there are two
  Tensor h0 = {};                  ///< [D, N, H or P], D directions; zeros where undefined
  Tensor c0 = {};                  ///< [D, N, H], for lstm alone
  /// i64 or i32 [N], from 0 to T: what each sample's steps are; behind them y is 0 and the state
  /// stays. The backward direction begins at a sample's last step. Undefined: all are T.
  Tensor lengths = {};
  /// [D, 3·H] for lstm alone: what i, f (both of the cell before) and o (of the cell after) get of
  /// the cell besides. Gers and Schmidhuber, "Recurrent nets that time and count", 2000.
  Tensor peepholes = {};
};

/// h = tanh(W_ih·x + b_ih + W_hh·h + b_hh), or relu: {y, h_n} with y [T, N, D·H] (the directions
/// beside one another), h_n [D, N, H]. Operands are f32. Elman, "Finding structure in time", 1990.
/// Each of these throws shape_mismatch, dtype_mismatch, invalid_argument for an unknown word in its
/// attributes or a clip below 0, and out_of_range for a length that is none.
PARE_API Tensors rnn(const Tensor& x, const RecurrentOperands& operands,
                     const RnnAttributes& attributes = {});
/// c = σ(f)·c + σ(i)·tanh(g), h = σ(o)·tanh(c), with a projection h = W_hr·(σ(o)·tanh(c)):
/// {y, h_n, c_n}. Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate
/// of Gers et al., 2000; the projection of Sak et al., "Long short-term memory based recurrent
/// neural network architectures for large vocabulary speech recognition", 2014.
PARE_API Tensors lstm(const Tensor& x, const RecurrentOperands& operands,
                      const LstmAttributes& attributes = {});
/// h = (1 − σ(z))·tanh(n) + σ(z)·h: {y, h_n}. Cho et al., "Learning phrase representations using
/// RNN encoder-decoder", 2014.
PARE_API Tensors gru(const Tensor& x, const RecurrentOperands& operands,
                     const GruAttributes& attributes = {});

}  // namespace pare
