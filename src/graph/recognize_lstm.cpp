// recognize: one step of an LSTM that an exporter wrote out.
#include <array>

#include "core/check.h"
#include "graph/rewrites.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

/// A row of states times a matrix that is a leaf [rows, 4H].
struct Product {
  int states = -1;
  int matrix = -1;
};

struct Cell {
  std::vector<Product> products;
  std::vector<int> biases;
  int c = -1;       ///< [N, H]
  int next_c = -1;  ///< [N, H]
  std::int64_t hidden = 0;
};

/// What a slice of the last of two axes is taken from, where it is part `k` of `width`.
int part_of(const Pattern& p, int value, std::int64_t k, std::int64_t width) {
  const Graph::Node* node = p.made_by(value, kSlice);
  if (!node || node->inputs.size() != 1) return -1;
  const auto& slice = node->call.attributes.as<SliceAttributes>();
  const bool last = slice.axes.size() == 1 && (slice.axes[0] == 1 || slice.axes[0] == -1);
  const bool step = slice.steps.empty() || slice.steps == std::vector<std::int64_t>{1};
  if (!last || !step || slice.starts[0] != k * width ||
      (slice.ends[0] != (k + 1) * width && (k < 3 || slice.ends[0] < 4 * width)))
    return -1;
  return node->inputs[0];
}

/// Takes the terms of a sum apart; false for one that is neither a product nor a bias.
bool take_terms(const Pattern& p, int value, Cell& cell) {
  const Graph& graph = p.graph();
  const Shape& shape = graph.value(value).shape;
  if (const Graph::Node* sum = p.made_by(value, kAdd))
    return cell.products.size() + cell.biases.size() < 4 && take_terms(p, sum->inputs[0], cell) &&
           take_terms(p, sum->inputs[1], cell);
  if (graph.value(value).is_leaf() && shape == Shape{4 * cell.hidden}) {
    cell.biases.push_back(value);
    return true;
  }
  const Graph::Node* product = p.made_by(value, kMatmul);
  if (!product) return false;
  const int matrix = product->inputs[1];
  const int states = product->inputs[0];
  if (!graph.value(matrix).is_leaf() || graph.value(matrix).shape.rank() != 2 ||
      graph.value(states).shape.rank() != 2)
    return false;
  cell.products.push_back({states, matrix});
  return true;
}

/// h' = σ(o) · tanh(c'), c' = σ(f) · c + σ(i) · tanh(g), of i, f, g and o side by side in
/// x · W + h · R + b.
std::optional<Cell> find_cell(const Pattern& p, int y) {
  Cell cell;
  std::array<int, 4> gates{-1, -1, -1, -1};
  const auto gated = [&](int value, int& gate, const OpDef& op, int& inside) {
    return p.either_order(value, kMul, [&](int a, int b) {
      gate = p.operand(a, kSigmoid);
      inside = &op == &kTanh ? p.operand(b, kTanh) : b;
      return gate >= 0 && inside >= 0;
    });
  };
  if (!gated(y, gates[3], kTanh, cell.next_c)) return std::nullopt;
  const bool fits = p.either_order(cell.next_c, kAdd, [&](int kept, int added) {
    return gated(added, gates[0], kTanh, gates[2]) && gated(kept, gates[1], kMul, cell.c);
  });
  const Shape& shape = p.graph().value(y).shape;
  if (!fits || shape.rank() != 2 || shape.symbolic(1)) return std::nullopt;
  cell.hidden = shape[1];
  const int all = part_of(p, gates[0], 0, cell.hidden);
  for (std::int64_t k = 1; k < 4; ++k)
    if (all < 0 || part_of(p, gates[static_cast<std::size_t>(k)], k, cell.hidden) != all)
      return std::nullopt;
  if (!take_terms(p, all, cell) || cell.products.size() != 2 || cell.biases.size() > 2)
    return std::nullopt;
  // Which of the two is the state matters to the shape alone.
  const auto rows = [&](const Product& product) {
    return p.graph().value(product.matrix).shape[0];
  };
  if (rows(cell.products[1]) != cell.hidden) std::swap(cell.products[0], cell.products[1]);
  if (rows(cell.products[1]) != cell.hidden) return std::nullopt;
  return cell;
}

void replace(Graph& graph, const std::string& name, int y, const Cell& cell) {
  const auto add = [&](const std::string& part, Call call, std::vector<int> inputs) {
    return graph.node(graph.add_node(name + part, std::move(call), std::move(inputs))).outputs;
  };
  const auto reshaped = [&](const std::string& part, int value, std::vector<std::int64_t> to) {
    return add(part, {&kReshape, Attributes::of(ReshapeAttributes{std::move(to)})}, {value})[0];
  };
  const auto turned = [&](const std::string& part, int value) {
    return add(part, {&kTranspose, Attributes::of(TransposeAttributes{{1, 0}})}, {value})[0];
  };
  const auto& [x, h] = std::pair(cell.products[0], cell.products[1]);
  const std::int64_t in = graph.value(x.matrix).shape[0];
  // Both biases or none.
  const auto bias = [&](std::size_t k) {
    if (cell.biases.empty() || k < cell.biases.size())
      return k < cell.biases.size() ? cell.biases[k] : -1;
    return graph.add_leaf(Graph::Kind::constant, name + ".bias_hh",
                          Tensor::zeros({4 * cell.hidden}));
  };
  const int sequence = reshaped(".x", x.states, {1, -1, in});
  const int weight = turned(".weight_ih", x.matrix);
  const int recurrent = turned(".weight_hh", h.matrix);
  const int h0 = reshaped(".h", h.states, {1, -1, cell.hidden});
  const int c0 = reshaped(".c", cell.c, {1, -1, cell.hidden});
  constexpr int kNone = -1;  // the second direction, lengths
  const std::vector<int> outputs = add(
      ".lstm", {&kLstm, Attributes::of(LstmAttributes{})},
      {sequence, weight, recurrent, bias(0), bias(1), kNone, kNone, kNone, kNone, h0, kNone, c0});
  const int next_h = reshaped(".h_n", outputs[1], {-1, cell.hidden});
  const int next_c = reshaped(".c_n", outputs[2], {-1, cell.hidden});
  graph.replace_uses(y, next_h);
  graph.replace_uses(cell.next_c, next_c);
}

}  // namespace

void recognize_lstm_cells(Graph& graph, PassReport& report) {
  const int count = static_cast<int>(graph.nodes().size());
  for (int n = 0; n < count; ++n) {
    if (graph.node(n).call.op != &kMul) continue;
    const int y = graph.node(n).outputs[0];
    const auto cell = find_cell(Pattern(graph), y);
    if (!cell) continue;
    const std::string name = graph.node(n).name;
    try {
      replace(graph, name, y, *cell);
      report.done.push_back({name, "is a step of an lstm"});
    } catch (const Error& error) {
      report.left.push_back({name, "looks like a step of an lstm: " + error.message()});
    }
  }
}

}  // namespace pare
