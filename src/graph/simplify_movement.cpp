// simplify_movement: transposes move behind elementwise calls and meet; what meets becomes one
// call.
#include <numeric>

#include "core/check.h"
#include "graph/moves.h"
#include "graph/uses.h"
#include "pare/core/ops.h"
#include "pare/graph/passes.h"

namespace pare {
namespace {

class Mover {
 public:
  explicit Mover(Graph graph) : graph_(std::move(graph)) {}

  PassResult run() {
    // Each round merges or moves at least one call towards the outputs, so it ends. What a change
    // touched waits for the next one: its shapes and readers are not known before.
    for (bool changed = true; changed;) {
      changed = false;
      touched_.assign(graph_.nodes().size(), false);
      const Uses uses(graph_);
      for (int n = 0; n < static_cast<int>(graph_.nodes().size()); ++n)
        changed |= merge_transposes(n, uses) || merge_reshapes(n) || push_transpose(n, uses);
      if (changed) {
        graph_.compact();
        graph_.infer_shapes();
      }
    }
    graph_.compact();
    graph_.verify();
    return {std::move(graph_), std::move(report_)};
  }

 private:
  const Graph::Node& node(int n) const { return graph_.node(n); }
  int producer(int n, std::size_t i = 0) const {
    const int v = i < node(n).inputs.size() ? node(n).inputs[i] : -1;
    return v < 0 ? -1 : graph_.value(v).producer;
  }
  /// Of a node that nothing touched in this round.
  bool is(int n, const OpDef& op) const { return is_fresh(n) && node(n).call.op == &op; }
  bool is_fresh(int n) const { return n >= 0 && !touched_[static_cast<std::size_t>(n)]; }
  void touch(int n) {
    if (n >= 0) touched_[static_cast<std::size_t>(n)] = true;
  }
  const std::vector<std::int64_t>& order(int n) const {
    return node(n).call.attributes.as<TransposeAttributes>().permutation;
  }

  /// Two transposes in a row are one, or none.
  bool merge_transposes(int n, const Uses& uses) {
    const int before = producer(n);
    if (!is(n, kTranspose) || !is(before, kTranspose)) return false;
    std::vector<std::int64_t> both;
    for (const std::int64_t axis : order(n)) both.push_back(order(before)[place(axis, n)]);
    report_.done.push_back({node(n).name, fmt::format("joined with '{}'", node(before).name)});
    touch(n);
    touch(before);
    std::vector<std::int64_t> whole(both.size());
    std::iota(whole.begin(), whole.end(), 0);
    const int x = node(before).inputs[0];
    if (both == whole) {
      for (const int reader : uses.reads(node(n).outputs[0])) touch(reader);
      graph_.replace_uses(node(n).outputs[0], x);
      return true;
    }
    Graph::Node& edited = graph_.edit_node(n);
    edited.call = {&kTranspose, Attributes::of(TransposeAttributes{both})};
    edited.inputs = {x};
    return true;
  }
  /// Negative axes count from the end.
  std::size_t place(std::int64_t axis, int n) const {
    return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(order(n).size())
                                             : axis);
  }

  /// Of two reshapes in a row the second says the shape, where it copies no axis of the first.
  bool merge_reshapes(int n) {
    const int before = producer(n);
    if (!is(n, kReshape) || !is(before, kReshape) || node(n).inputs.size() > 1 ||
        node(before).inputs.size() > 1)
      return false;
    for (const std::int64_t size : node(n).call.attributes.as<ReshapeAttributes>().shape)
      if (size == 0) return false;
    report_.done.push_back({node(n).name, fmt::format("joined with '{}'", node(before).name)});
    touch(n);
    touch(before);
    graph_.edit_node(n).inputs = {node(before).inputs[0]};
    return true;
  }

  /// f(transpose(x)) is transpose(f(x)) for an f of single elements; worth it where another
  /// transpose waits behind f.
  bool push_transpose(int n, const Uses& uses) {
    const OpDef& op = *node(n).call.op;
    const bool single =
        acts_on_single_elements(op) && node(n).inputs.size() == 1 && node(n).outputs.size() == 1;
    const int before = producer(n);
    if (!single || !is_fresh(n) || !is(before, kTranspose)) return false;
    const int reader = uses.only_reader(node(n).outputs[0]);
    if (reader < 0 || uses.only_reader(node(n).inputs[0]) < 0) return false;
    const int met = next_transpose(reader, uses);
    if (met < 0) return false;
    // The transpose's node computes f of what it moved, and f's node moves: names stay in place.
    touch(n);
    touch(before);
    touch(met);  // it waits for this one
    const Call moved = node(before).call;
    report_.done.push_back({node(before).name, fmt::format("moved behind '{}'", node(n).name)});
    graph_.edit_node(before).call = node(n).call;
    graph_.edit_node(n).call = moved;
    return true;
  }

  /// The transpose in which a chain of single elementwise calls from here ends, else −1.
  int next_transpose(int n, const Uses& uses) const {
    for (int step = 0; step < 16 && is_fresh(n); ++step) {
      if (is(n, kTranspose)) return n;
      const Graph::Node& next = node(n);
      if (!acts_on_single_elements(*next.call.op) || next.inputs.size() != 1 ||
          next.outputs.size() != 1)
        return -1;
      n = uses.only_reader(next.outputs[0]);
    }
    return -1;
  }

  Graph graph_;
  PassReport report_;
  std::vector<bool> touched_;  ///< by node, in this round
};

}  // namespace

PassResult simplify_movement(Graph graph) { return Mover(std::move(graph)).run(); }

}  // namespace pare
