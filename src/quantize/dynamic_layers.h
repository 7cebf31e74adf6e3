// What quantize::dynamic makes of each op, and the graph that it edits meanwhile.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pare/quantize/dynamic.h"
#include "quantize/weight_codes.h"

namespace pare::quantize {

/// The graph, its report, and what layers share.
class DynamicEdit {
 public:
  DynamicEdit(Graph graph, const DynamicOptions& options);

  const DynamicOptions& options() const { return options_; }
  Graph& graph() { return graph_; }
  const Graph& graph() const { return graph_; }
  DynamicReport& report() { return report_; }
  /// Whether a value depends on leaves alone, in the graph as it was given.
  bool of_leaves(int value) const { return of_leaves_[static_cast<std::size_t>(value)]; }

  /// Whether it has an input that depends on leaves alone and is a weight.
  bool reads_weights(const Graph::Node& node) const;

  /// dequantize_linear(dynamic_quantize_linear(x)): made once for each x.
  int quantized_input(int x);
  /// Of products: i8, −qmax … qmax.
  CodeRange product_range() const;

  /// The value that gives a weight anew, and the layer that it got its codes for.
  struct Coded {
    int value = -1;
    std::string reader;
  };
  /// Gives a weight the nearest codes, once for each value and channel axis, and adds it to the
  /// numbers of the line then. `dequantize`: dequantize_linear (products of codes) or
  /// dequantize_weight. Throws invalid_argument naming `node` for NaN or infinity.
  const Coded& coded(const Graph::Node& node, const WeightPlace& place, int value,
                     const CodeRange& range, const OpDef& dequantize, DynamicReport::Layer& line);

 private:
  DynamicOptions options_;
  Graph graph_;
  DynamicReport report_;
  std::vector<bool> of_leaves_;
  std::map<int, int> inputs_;                   // by x
  std::map<std::pair<int, int>, Coded> coded_;  // by value and channel axis
};

/// How one op is quantized. dynamic.cpp lists them all.
struct DynamicForm {
  const OpDef* op;
  /// Why this node stays float; empty: nothing is against it.
  std::string (*why_not)(const DynamicEdit& edit, const Graph::Node& node);
  /// Edits the node and adds its line to the report.
  void (*quantize)(DynamicEdit& edit, int node);
};

// dynamic_products.cpp: linear, matmul
std::string why_no_product(const DynamicEdit& edit, const Graph::Node& node);
void quantize_product(DynamicEdit& edit, int node);
// dynamic_tables.cpp: embedding, gather
std::string why_no_table(const DynamicEdit& edit, const Graph::Node& node);
void quantize_table(DynamicEdit& edit, int node);

// dynamic_recurrent.cpp: lstm, gru, rnn
bool is_recurrent(const OpDef* op);
/// The inputs that are weights, of both directions, as far as they are there.
std::vector<std::size_t> recurrent_weights(const Graph::Node& node);
/// Sets dynamic_quantize in the call of a recurrent layer.
void round_rows(Call& call);
std::string why_no_recurrent(const DynamicEdit& edit, const Graph::Node& node);
void quantize_recurrent(DynamicEdit& edit, int node);

}  // namespace pare::quantize
