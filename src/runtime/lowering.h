// Lowering: from a graph of known sizes to a program.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "graph/leaf_evaluator.h"
#include "graph/quantized_groups.h"
#include "graph/uses.h"
#include "pare/graph/passes.h"
#include "runtime/code_dense.h"
#include "runtime/pictures.h"
#include "runtime/program.h"
#include "runtime/steps.h"
#include "runtime/weights.h"

namespace pare::runtime {

/// A node with what one step can do after it: op → [add of a bias] → [add] → [activation].
struct Chain {
  int op = -1;
  int add_bias = -1;
  int bias = -1;  ///< the constant that it adds to a product, [out]
  int add = -1;
  int other = -1;  ///< the value that add reads besides the chain's
  int activation = -1;

  /// The last one, whose output is the chain's.
  int last() const {
    for (const int n : {activation, add, add_bias})
      if (n >= 0) return n;
    return op;
  }
};

/// Elements of a slot, seen in another shape and order.
struct View {
  int slot = -1;
  Shape shape;
  std::int64_t begin = 0;
  Strides strides{};
};

/// What a quantize_linear node asks for.
struct QuantizedResult {
  Encoding encoding;
  int qmin = 0;
  int qmax = 255;
};

/// What a contraction does after its sum for this activation; none where it is none of those.
std::optional<Epilogue> activation_of(const Call& call);

struct LoweringOptions {
  Precision precision = Precision::f32;
  PrimitiveMaker makers = kPrimitives;
};

/// Goes through the nodes once, in order. A group, chain or run becomes a step where its last node
/// stands; dequantizations, slices and what depends on constants alone only where a step reads it.
class Lowering {
 public:
  /// Inputs are taken as row-major. Constants that nobody else shares are freed as they are packed.
  Lowering(Graph graph, WeightStore& weights, PassReport& report, const LoweringOptions& options);
  Program run();

 private:
  // lowering.cpp: values
  const Graph::Node& node(int n) const { return graph_.node(n); }
  const Shape& shape_of(int value) const { return graph_.value(value).shape; }
  int output_of(int n) const { return node(n).outputs[0]; }
  bool is_constant(int value) const { return is_constant_[static_cast<std::size_t>(value)]; }
  Tensor constant_of(int value);  // undefined if it is none
  /// In the graph's dtype.
  int slot_of(int value);
  int slot_of(int value, MemoryFormat format);
  int slot_of(int value, MemoryFormat format, DType dtype);
  int stored(int value);  // as it lies in memory: of a narrow value bf16
  MemoryFormat format_of(int value);
  View view_of(int value, DType dtype);
  int seen_in_place(const View& view, MemoryFormat format);
  int add_result(int value, MemoryFormat format);
  int add_result(int value, MemoryFormat format, DType dtype);
  int add_constant(const Tensor& tensor);
  Step& emit(std::unique_ptr<Step> step, const std::string& name, std::int64_t macs = 0);
  void find_chains();
  void add_chain(const Chain& chain);
  Chain chain_from(int op) const;
  int bias_behind(int product, int sum) const;
  std::string name_of(const Chain& chain) const;
  void lower_outputs();
  void copy_output(int number, int value, int slot);
  int convert(int slot, const Shape& shape, MemoryFormat format, const std::string& name);
  void left(int n, const std::string& text);

  // Null where nobody makes it.
  std::unique_ptr<Primitive> make(const ConvolutionSpec& spec) const;
  std::unique_ptr<Primitive> make(const DenseSpec& spec) const;

  // lowering_narrow.cpp: values in bf16
  void find_narrow();
  bool multiplies_constant(const Chain& chain) const;
  bool may_stay_narrow(int value) const;
  /// What a result lies in: bf16 where it is narrow.
  DType result_dtype(int value) const;
  DType moved_dtype(int from, int to) const;
  int cast(int slot, DType dtype, const std::string& name);

  // lowering_dynamic.cpp
  bool lower_dynamic_dense(const Chain& chain);
  int quantized_rows(int dynamic);

  // lowering_float.cpp
  void lower_chain(const Chain& chain);
  void lower_node(int n);
  bool lower_convolution(const Chain& chain);
  bool lower_dense(const Chain& chain);
  void emit_primitive(std::unique_ptr<Primitive> primitive, int from, int to, int residual,
                      const std::string& name, std::int64_t macs);
  void note_leaf(int weight, int reader, bool transposed = false);
  template <class Spec> std::unique_ptr<Primitive> make_in_precision(Spec& spec, int out) const;
  bool lower_add(const Chain& chain);
  bool lower_clip(int n);
  bool lower_pool(int n);
  bool lower_quantize(int n);
  bool lower_dequantize(int n);
  void lower_call(int n);
  /// Of a call that runs through its op: slots of what it reads, −1 for what is left out or passed
  /// over, and of what it writes.
  struct CallSlots {
    std::vector<int> from, to;
  };
  CallSlots slots_of_call(int n, const std::set<int>& passed_over = {});
  Epilogue epilogue_of(const Chain& chain) const;

  // lowering_weights.cpp
  int stored_weight(int value, bool& transposed) const;
  void read_stored(int made, CodeMatrixSpec& spec);
  void note_stored(int made);
  bool lower_stored_dense(const Chain& chain);
  bool lower_stored_table(int n);

  // lowering_elementwise.cpp: nodes that become one loop
  bool may_run(int n) const;
  std::vector<int> run_to(int last) const;
  bool is_clipped_sum(const std::vector<int>& run) const;
  void find_runs();
  MemoryFormat format_of_run(const std::vector<int>& operands, const Shape& shape);
  int slot_in_run(int value, const Shape& shape, MemoryFormat format);
  void lower_run(const std::vector<int>& run);

  // lowering_recurrent.cpp
  bool lower_recurrent(int n);

  // lowering_movement.cpp; `from` and `to` are the node's own values or the codes that stand for
  // them
  struct Moved {
    std::vector<int> from;
    std::vector<std::shared_ptr<const ByteTable>> tables;
    int to = -1;
    double fill = 0;  ///< of a pad, in numbers of the destination
  };
  bool lower_movement(int n);
  bool lower_movement(int n, const Moved& moved);
  bool join_in_place(const Rearrangement& what, const CopyPiece& piece);
  void lower_reshape(int n, const Moved& moved);
  void lower_slice(int n, const Moved& moved);

  // lowering_integer.cpp
  void lower_group(const QuantizedGroup& group);
  bool lower_integer_convolution(const QuantizedGroup& group);
  void interleave(const QuantizedGroup& group, const Interleaving& between, int from);
  bool lower_integer_dense(const QuantizedGroup& group);
  bool lower_integer_call(const QuantizedGroup& group, const char* reason);
  bool lower_other(const QuantizedGroup& group);
  bool lower_integer_add(const QuantizedGroup& group);
  bool lower_integer_pool(const QuantizedGroup& group);
  bool lower_integer_movement(const QuantizedGroup& group);
  bool lower_table(const QuantizedGroup& group);
  bool lower_requantize(int n);
  void lower_pieces(const QuantizedGroup& group);
  std::optional<Encoding> encoding_of(const QuantizedOperand& operand);
  std::optional<QuantizedResult> result_of(int quantize);
  // These give the reason why not, null where they filled in what they were given.
  const char* read_contraction(const QuantizedGroup& group, Encoding& source, Tensor& weight,
                               std::vector<float>& scales, Tensor& bias);
  const char* read_epilogue(const QuantizedGroup& group, Encoding& destination, Epilogue& epilogue);
  void note_float_bias(const QuantizedGroup& group);
  void note_float_layers();
  int residual_for(const QuantizedGroup& group, int to, Epilogue& epilogue);
  Chain chain_of(const QuantizedGroup& group) const;
  std::string name_of(const QuantizedGroup& group) const;

  Graph graph_;
  WeightStore& weights_;
  PassReport& report_;
  Program program_;
  std::vector<QuantizedGroup> groups_;
  std::vector<Chain> chains_;
  std::vector<int> group_at_;  // by node: the group that ends there, −1
  std::vector<int> chain_at_;
  std::vector<std::vector<int>> runs_;  // elementwise, their nodes ascending
  std::vector<int> run_at_;
  std::vector<bool> inside_;  // by node: in a group, chain or run
  const Uses uses_;
  LeafEvaluator evaluate_;
  std::vector<int> primary_;             // by value: its slot, −1: none yet
  const std::vector<bool> is_constant_;  // by value
  const LoweringOptions options_;
  std::vector<bool> narrow_;  // by value: wanted in bf16; empty in f32
  std::map<std::tuple<int, MemoryFormat, DType>, int> converted_;
  std::map<int, View> views_;
  std::map<int, int> quantized_rows_;  // by dynamic_quantize_linear node: the slot
  std::vector<std::shared_ptr<Packed>> packed_;
};

}  // namespace pare::runtime
