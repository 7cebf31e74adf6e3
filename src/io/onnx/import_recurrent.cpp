// Import of RNN, LSTM and GRU, and of ONNX Runtime's DynamicQuantizeLSTM.
#include <algorithm>

#include "core/check.h"
#include "io/onnx/exporter.h"
#include "io/onnx/import_bounds.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"
#include "io/onnx/import_quantized.h"
#include "pare/core/ops.h"

namespace pare::onnx {
namespace {

/// ONNX's inputs.
enum Input : int { kX, kW, kR, kB, kLengths, kInitialH, kInitialC, kPeepholes };
/// Of codes besides: scale and zero point of W, of R.
enum CodeInput : int { kScaleW = 8, kScaleR = 10 };

/// What the three have in common; `gates` are pare's gates as numbers of ONNX's. `coded`: the
/// weights are codes, and [D, I, gates·H].
class Recurrent {
 public:
  Recurrent(NodeImport& node, std::vector<std::int64_t> gates, bool coded = false)
      : node_(node), gates_(std::move(gates)), coded_(coded) {
    direction_ = node.string("direction", "forward");
    batch_first_ = node.integer("layout", 0) != 0;
    directions_ = direction_ == "bidirectional" ? 2 : 1;
    if (node.shape(kR).rank() != 3) node.refuse(fmt::format("weights {}", node.shape(kR)));
    hidden_ = within(node, size_of(node, node.value(kR), coded ? 1 : 2), 1, std::int64_t{1} << 20);
    if (node.integer("hidden_size", hidden_) != hidden_)
      node.refuse(fmt::format("hidden_size = {} with weights of {}",
                              node.integer("hidden_size", hidden_), hidden_));
    node.ignore("output_sequence");  // of opset 1: Y is given where it is named
    const auto rows = static_cast<std::int64_t>(gates_.size()) * hidden_;
    for (const int i : {static_cast<int>(kW), static_cast<int>(kR)})
      if (node.shape(i).rank() != 3 || !node.shape(i).same_axis(coded ? 2 : 1, Shape{rows}, 0) ||
          !node.shape(i).same_axis(0, Shape{directions_}, 0))
        node.refuse(fmt::format("expected weights {}, got {}",
                                coded ? fmt::format("[{}, …, {}]", directions_, rows)
                                      : fmt::format("[{}, {}, …]", directions_, rows),
                                node.shape(i)));
  }

  /// What the attributes of the three have in common.
  template <class A> A attributes() {
    A a;
    a.direction = direction_;
    a.batch_first = batch_first_;
    a.activations = listed(node_.strings("activations"), ",");
    // Numbers beside the usual functions, which have none, say nothing.
    std::vector<double> alpha = node_.reals("activation_alpha");
    std::vector<double> beta = node_.reals("activation_beta");
    if (!a.activations.empty()) {
      a.activation_alpha = std::move(alpha);
      a.activation_beta = std::move(beta);
    }
    a.clip = node_.real("clip", 0);
    a.dynamic_quantize =
        coded_ || rounded_rows_named(node_.graph().metadata()).contains(node_.proto().name);
    return a;
  }

  /// x, weights, states and lengths in pare's order; c0 is the last.
  std::vector<int> inputs() {
    std::vector<int> all{as_f32(node_, node_.value(kX)), -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    for (std::int64_t d = 0; d < directions_; ++d) {
      const auto first = static_cast<std::size_t>(1 + 4 * d);
      all[first] = gate_rows(coded_ ? dequantized_part(kW, kScaleW, d) : part(kW, d), 0);
      all[first + 1] = gate_rows(coded_ ? dequantized_part(kR, kScaleR, d) : part(kR, d), 0);
      if (!node_.has(kB)) continue;
      const int bias = part(kB, d);
      all[first + 2] = gate_rows(bias, 0);
      all[first + 3] = gate_rows(bias, static_cast<std::int64_t>(gates_.size()));
    }
    if (node_.has(kInitialH)) all[9] = state(kInitialH);
    if (node_.has(kLengths)) all[10] = node_.value(kLengths);
    return all;
  }
  /// A first state as [D, N, H].
  int state(int input) {
    const int h = as_f32(node_, node_.value(input));
    return batch_first_ ? transpose(node_, h, {1, 0, 2}) : h;
  }

  /// ONNX's are of i o f, pare's of i f o.
  int peepholes() {
    std::vector<std::int64_t> columns;
    for (const std::int64_t gate : {0, 2, 1})
      for (std::int64_t k = 0; k < hidden_; ++k) columns.push_back(gate * hidden_ + k);
    return call(node_, kGather, GatherAttributes{1},
                {as_f32(node_, node_.value(kPeepholes)), integers(node_, columns)});
  }

  /// Y with its directions as an axis of its own, then the last states.
  void give(const std::vector<int>& results) {
    const DType dtype = node_.dtype(kX);
    const auto wanted = [&](int k) {
      return k < node_.outputs() && !node_.proto().outputs[static_cast<std::size_t>(k)].empty();
    };
    if (wanted(0)) {
      const Shape flat = shape_of(node_, results[0]);
      Shape split;
      split.append(flat, 0);
      split.append(flat, 1);
      split.append(directions_);
      split.append(hidden_);
      const int y = reshape(node_, results[0], split);
      node_.output(0, cast(node_, batch_first_ ? y : transpose(node_, y, {0, 2, 1, 3}), dtype));
    }
    for (std::size_t k = 1; k < results.size(); ++k) {
      if (!wanted(static_cast<int>(k))) continue;
      const int h = batch_first_ ? transpose(node_, results[k], {1, 0, 2}) : results[k];
      node_.output(static_cast<int>(k), cast(node_, h, dtype));
    }
  }

 private:
  /// Direction d of a weight, without that axis.
  int part(int input, std::int64_t d) {
    const int all = as_f32(node_, node_.value(input));
    const int one = directions_ == 1 ? all : slice(node_, all, 0, d, d + 1);
    return squeeze(node_, one, {0});
  }
  /// Direction d of codes [D, I, rows], dequantized as [rows, I]. The scale and zero point, which
  /// inputs `by` and the next one are, are one for each direction or for each row of it.
  int dequantized_part(int input, int by, std::int64_t d) {
    const auto constant = [&](int i) {
      const Tensor* known = node_.constant(i);
      if (!known) node_.refuse("weights that are not constant");
      return *known;
    };
    const auto of_direction = [&](const Tensor& t) {
      const Shape& shape = t.shape();
      const bool one = shape.elements() == directions_;
      if (!one && (shape.rank() != 2 || shape[0] != directions_ ||
                   shape[1] != static_cast<std::int64_t>(gates_.size()) * hidden_))
        node_.refuse(fmt::format("expected a scale for each direction or column, got {}", shape));
      const Tensor own = slice(one ? reshape(t, {directions_}) : t, 0, d, d + 1);
      return node_.constant(
          reshape(own, one ? std::vector<std::int64_t>{} : std::vector<std::int64_t>{shape[1]}));
    };
    const Tensor codes = constant(input);
    if (codes.dtype() != DType::i8 && codes.dtype() != DType::u8)
      node_.refuse(fmt::format("weights in {}", codes.dtype()));
    const Tensor own =
        transpose(reshape(slice(codes, 0, d, d + 1), {codes.dim(1), codes.dim(2)}), {1, 0});
    CodeScale scale{of_direction(constant(by)), -1, 0};
    if (node_.has(by + 1)) scale.zero = of_direction(constant(by + 1));
    return dequantized(node_, node_.constant(own), scale);
  }
  /// The rows of the gates in pare's order, from gate `first` on.
  int gate_rows(int weight, std::int64_t first) {
    const Shape shape = shape_of(node_, weight);
    const auto count = static_cast<std::int64_t>(gates_.size());
    if (count == 1)
      return shape[0] == hidden_ ? weight
                                 : slice(node_, weight, 0, first * hidden_, (first + 1) * hidden_);
    std::vector<std::int64_t> rows;
    for (const std::int64_t gate : gates_)
      for (std::int64_t k = 0; k < hidden_; ++k) rows.push_back((first + gate) * hidden_ + k);
    return call(node_, kGather, GatherAttributes{0}, {weight, integers(node_, rows)});
  }

  NodeImport& node_;
  std::vector<std::int64_t> gates_;
  bool coded_;
  std::string direction_;
  bool batch_first_ = false;
  std::int64_t directions_ = 1, hidden_ = 0;
};

template <bool kCoded> void import_lstm(NodeImport& node) {
  Recurrent layer(node, {0, 2, 3, 1}, kCoded);
  auto attributes = layer.attributes<LstmAttributes>();
  attributes.input_forget = node.integer("input_forget", 0) != 0;
  std::vector<int> inputs = layer.inputs();
  inputs.push_back(node.has(kInitialC) ? layer.state(kInitialC) : -1);
  if (node.has(kPeepholes)) inputs.push_back(layer.peepholes());
  layer.give(node.call_all({&kLstm, Attributes::of(attributes)}, std::move(inputs)));
}

void import_gru(NodeImport& node) {
  Recurrent layer(node, {1, 0, 2});
  auto attributes = layer.attributes<GruAttributes>();
  attributes.linear_before_reset = node.integer("linear_before_reset", 0) != 0;
  layer.give(node.call_all({&kGru, Attributes::of(attributes)}, layer.inputs()));
}

void import_rnn(NodeImport& node) {
  Recurrent layer(node, {0});
  auto attributes = layer.attributes<RnnAttributes>();
  if (attributes.activations == "Relu" || attributes.activations == "Relu,Relu") {
    attributes.activations = {};  // PyTorch's word for it
    attributes.nonlinearity = "relu";
  }
  layer.give(node.call_all({&kRnn, Attributes::of(attributes)}, layer.inputs()));
}

constexpr OpImport kImports[] = {
    {"DynamicQuantizeLSTM", "com.microsoft", import_lstm<true>},
    {"GRU", "", import_gru},
    {"LSTM", "", import_lstm<false>},
    {"RNN", "", import_rnn},
};

}  // namespace

constinit const std::span<const OpImport> kRecurrentImports = kImports;

}  // namespace pare::onnx
