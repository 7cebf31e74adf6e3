// Where quantization takes place: which nodes work on integers, which values get a range.
#include "quantize/placement.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "core/check.h"
#include "core/ops/pooling.h"
#include "graph/leaf_evaluator.h"
#include "graph/uses.h"
#include "pare/core/ops.h"
#include "quantize/settings.h"

namespace pare::quantize {
namespace {

using Kind = QuantizationFact::Kind;

enum class Role {
  none,
  weighted,    // its own range, with a weight: the reason to quantize at all
  product,     // the same of two activations
  compute,     // its own range, without
  select,      // has its input's codes
  share,       // concat
  fixed,       // a range that is known
  activation,  // part of the op before it
  absorbed,    // a batch norm that is part of the op before it
};

class Placer {
 public:
  Placer(const Graph& graph, const QConfig& config)
      : graph_(graph),
        config_(config),
        uses_(graph),
        leaf_(leaf_values(graph)),
        roles_(graph.nodes().size(), Role::none),
        after_weighted_(graph.values().size(), false),
        internal_(graph.values().size(), false),
        unobserved_(graph.values().size(), false),
        main_(graph.values().size(), -1),
        apart_(graph.nodes().size(), false) {}

  Placement run() {
    for (const int v : graph_.inputs())
      unobserved_[at(v)] =
          observer_of(settings_of_input(config_, graph_.value(v).name)) == Observer::none;
    do {
      placement_.nodes.assign(graph_.nodes().size(), {});
      for (int n = 0; n < nodes(); ++n) choose(n);
      keep_what_is_needed();
    } while (take_inputs_apart());
    for (int n = nodes() - 1; n >= 0; --n) form_group(n);
    join_ranges();
    return std::move(placement_);
  }

 private:
  int nodes() const { return static_cast<int>(graph_.nodes().size()); }
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  bool quantized(int n) const { return n >= 0 && placement_.nodes[at(n)].quantized; }
  Role role(int n) const { return quantized(n) ? roles_[at(n)] : Role::none; }

  template <class Visit> void for_each_activation(const Graph::Node& node, Visit&& visit) const {
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (is_activation(graph_, node, i) || (i == 1 && multiplies_activations(node)))
        visit(node.inputs[i]);
  }

  bool multiplies_activations(const Graph::Node& node) const {
    return node.call.op == &kMatmul && !leaf_[at(node.inputs[1])];
  }

  Role role_of(const Graph::Node& node) const {
    if (absorbed_into(graph_, uses_, node) >= 0) return Role::absorbed;
    const QuantizationFact& fact = node.call.op->quantization;
    if (node.call.op == &kDropout) return Role::select;
    switch (fact.kind) {
      case Kind::none:
        return Role::none;
      case Kind::own_range:
        if (multiplies_activations(node)) return Role::product;
        return fact.weight_input >= 0 ? Role::weighted : Role::compute;
      case Kind::same_as_input:
        return selects(node.call) ? Role::select : Role::compute;
      case Kind::all_inputs_share:
        return Role::share;
      case Kind::fused_activation:
        return Role::activation;
      case Kind::fixed:
        return Role::fixed;
    }
    return Role::none;
  }

  Observer::Kind observer_of(const NodeSettings& settings) const {
    return settings.observer.value_or(config_.observer);
  }

  // Why the node cannot be quantized, by itself; empty if it can.
  std::string obstacle(const Graph::Node& node, Role kind) const {
    if (const std::string excluded = settings_of(config_, node).excluded; !excluded.empty())
      return excluded;
    if (kind == Role::none) return fmt::format("{} has no quantized form", node.call.op->name);
    if (graph_.value(node.outputs[0]).dtype != DType::f32)
      return fmt::format("its output is {}", traits(graph_.value(node.outputs[0]).dtype).name);
    if (kind != Role::weighted) return "";
    const QuantizationFact& fact = node.call.op->quantization;
    if (node.call.op == &kMatmul && graph_.value(node.inputs[1]).shape.rank() != 2)
      return "its second factor is no matrix";
    for (const int i : {fact.weight_input, fact.bias_input}) {
      if (i < 0 || at(i) >= node.inputs.size() || node.inputs[at(i)] < 0) continue;
      if (!leaf_[at(node.inputs[at(i)])]) return "its weight or bias is computed from the inputs";
    }
    return "";
  }

  // What is scaled and masked after a product of activations stays float: the scores of an
  // attention get masks, of which a range would leave no codes for the scores.
  bool available(int value, Role reader) const {
    const int producer = graph_.value(value).producer;
    if (leaf_[at(value)] || producer < 0) return true;
    const bool moves = reader == Role::select || reader == Role::share;
    return quantized(producer) && (moves || role(producer) != Role::product);
  }

  // First pass: what can be quantized, given that its inputs can.
  void choose(int n) {
    const Graph::Node& node = graph_.node(n);
    Placement::NodeChoice& choice = placement_.nodes[at(n)];
    if (leaf_[at(node.outputs[0])]) return;
    const Role kind = role_of(node);
    choice.reason = obstacle(node, kind);
    if (!choice.reason.empty()) return;
    if (kind == Role::absorbed && !quantized(absorbed_into(graph_, uses_, node))) {
      choice.reason = "the layer before it stays float";
      return;
    }
    if (apart_[at(n)]) {
      choice.reason = "parts of an input have ranges of their own";
      return;
    }
    const bool continues = kind == Role::absorbed || kind == Role::activation;
    const NodeSettings settings = settings_of(config_, node);
    unobserved_[at(node.outputs[0])] = observer_of(settings) == Observer::none;
    const bool moves = kind == Role::select && !settings.observer;
    for_each_activation(node, [&](int v) {
      if (!unobserved_[at(v)]) return;
      if (continues || moves) unobserved_[at(node.outputs[0])] = true;
      if (!continues)
        choice.reason = fmt::format("its input '{}' has no observer", graph_.value(v).name);
    });
    if (!choice.reason.empty()) return;
    bool after = kind == Role::weighted || kind == Role::product || kind == Role::absorbed;
    if (!after) {
      for_each_activation(node, [&](int v) {
        if (!available(v, kind))
          choice.reason = fmt::format("its input '{}' is float", graph_.value(v).name);
        after = after || after_weighted_[at(v)];
      });
      if (!choice.reason.empty()) return;
      if (!after && kind != Role::select && kind != Role::share) {
        choice.reason = "no layer with weights comes before it";
        return;
      }
    }
    choice.quantized = true;
    choice.weighted = kind == Role::weighted;
    choice.product = kind == Role::product;
    roles_[at(n)] = kind;
    after_weighted_[at(node.outputs[0])] = after;
  }

  // Second pass, from the end: without weights and read by float ops only, an op stays float.
  void keep_what_is_needed() {
    std::vector<bool> needed(graph_.values().size(), false);
    for (int n = nodes() - 1; n >= 0; --n) {
      if (!quantized(n)) continue;
      const Graph::Node& node = graph_.node(n);
      const bool wanted = needed[at(node.outputs[0])] || config_.quantize_outputs;
      if (role(n) == Role::absorbed) {
        if (needed[at(node.outputs[0])]) needed[at(node.inputs[0])] = true;
        continue;
      }
      if (role(n) != Role::weighted && role(n) != Role::product && !wanted) {
        placement_.nodes[at(n)] = {.reason = "nothing quantized reads its result"};
        continue;
      }
      for_each_activation(node, [&](int v) { needed[at(v)] = true; });
    }
  }

  bool takes_part(const Graph::Node& node) const {
    return node.call.op == &kSlice &&
           graph_.value(node.inputs[0]).shape != graph_.value(node.outputs[0]).shape;
  }

  // What becomes of a value by movement alone: the slices that take parts of it, whether something
  // else reads codes of it.
  struct Pieces {
    std::vector<int> slices;
    bool whole = false;
  };
  void find_pieces(int value, Pieces& pieces) const {
    for (const int reader : uses_.reads(value)) {
      const Graph::Node& node = graph_.node(reader);
      if (takes_part(node))
        pieces.slices.push_back(reader);
      else if (role(reader) == Role::select)
        find_pieces(node.outputs[0], pieces);
      else
        pieces.whole = pieces.whole || quantized(reader);
    }
    pieces.whole = pieces.whole || (config_.quantize_outputs && uses_.is_output(value));
  }

  // An input of the graph is rounded by a step of its own, which may as well stand behind the
  // slices that take it apart: each part then has its own range (an LSTM's h and c in one state),
  // and what nothing quantized reads has none. Says whether that changes what stays float.
  bool take_inputs_apart() {
    bool changed = false;
    for (const int input : graph_.inputs()) {
      Pieces pieces;
      find_pieces(input, pieces);
      if (pieces.whole || are_joined_again(pieces.slices)) continue;
      for (const int slice : pieces.slices) {
        if (!quantized(slice)) continue;
        apart_[at(slice)] = true;
        changed = true;
      }
    }
    return changed;
  }

  // What a value is a part of, where a slice of an input of the graph was left before what rounds
  // it: back to the input through movement that stays float. Empty: it is no part.
  std::vector<int> whole_of(int value) const {
    std::vector<int> found;
    bool apart = false;
    for (int n = graph_.value(value).producer; n >= 0; n = graph_.value(found.back()).producer) {
      if (quantized(n) || role_of(graph_.node(n)) != Role::select) return {};
      apart = apart || apart_[at(n)];
      found.push_back(graph_.node(n).inputs[0]);
    }
    return apart ? found : std::vector<int>{};
  }

  // All parts come together in one range (pixels that are made channels): then codes are moved.
  bool are_joined_again(const std::vector<int>& slices) const {
    std::vector<int> parent = shared_ranges(slices);
    std::set<int> ranges;
    for (const int slice : slices) {
      if (!quantized(slice)) return false;
      ranges.insert(root(parent, graph_.node(slice).outputs[0]));
    }
    return slices.size() > 1 && ranges.size() == 1;
  }

  bool takes_residual(int add, int sum) const {
    const Graph::Node& node = graph_.node(add);
    if (node.call.op != &kAdd || node.inputs[0] == node.inputs[1]) return false;
    const int other = node.inputs[0] == sum ? node.inputs[1] : node.inputs[0];
    return !leaf_[at(other)] && !internal_[at(other)] &&
           graph_.value(other).shape == graph_.value(sum).shape;
  }

  // Third pass, from the end, so that the later of two sums takes the other as its residual:
  // follows an op to the value that leaves its group.
  void form_group(int n) {
    const Role kind = role(n);
    if (kind == Role::none || kind == Role::select || kind == Role::share || kind == Role::absorbed)
      return;
    int result = graph_.node(n).outputs[0];
    const auto pass = [&](int reader) {
      internal_[at(result)] = true;
      result = graph_.node(reader).outputs[0];
    };
    if (kind == Role::weighted) {
      if (const int r = uses_.only_reader(result); role(r) == Role::absorbed) pass(r);
      const int r = uses_.only_reader(result);
      if (config_.fuse_residual && role(r) == Role::compute && takes_residual(r, result)) {
        internal_[at(result)] = true;
        return;
      }
    }
    if (kind == Role::weighted || kind == Role::compute)
      if (const int r = uses_.only_reader(result); role(r) == Role::activation) pass(r);
    if (main_[at(result)] < 0 || kind != Role::activation) main_[at(result)] = n;
  }

  // Max pooling commutes with rounding, and what it drops needs no range: where nothing else reads
  // `v` it is observed behind the pooling, which is also fewer values.
  int behind_pooling(int v) {
    for (int r = uses_.only_reader(v); quantized(r) && is_max_pool(graph_.node(r).call.op);
         r = uses_.only_reader(v)) {
      const int pooled = graph_.node(r).outputs[0];
      main_[at(pooled)] = main_[at(v)];
      v = pooled;
    }
    return v;
  }

  // Sources: values that somebody reads as codes and that do not have another's.
  std::vector<bool> find_sources() {
    std::vector<bool> source(graph_.values().size(), false);
    const auto consider = [&](int v) {
      const Role from = role(graph_.value(v).producer);
      if (!internal_[at(v)] && from != Role::select && from != Role::share)
        source[at(behind_pooling(v))] = true;
    };
    for (int n = 0; n < nodes(); ++n) {
      const Role kind = role(n);
      if (kind == Role::none) continue;
      if (kind != Role::absorbed) for_each_activation(graph_.node(n), consider);
      if (config_.quantize_outputs) consider(graph_.node(n).outputs[0]);
    }
    return source;
  }

  static int root(std::vector<int>& parent, int v) {
    while (parent[at(v)] != v) v = parent[at(v)] = parent[at(parent[at(v)])];
    return v;
  }

  // Per value the next one of its set, of those that movement and concatenation put on one scale
  // (but for the nodes `without`).
  std::vector<int> shared_ranges(const std::vector<int>& without) const {
    std::vector<int> parent(graph_.values().size());
    std::iota(parent.begin(), parent.end(), 0);
    for (int n = 0; n < nodes(); ++n)
      if ((role(n) == Role::select || role(n) == Role::share) &&
          std::ranges::find(without, n) == without.end())
        for_each_activation(graph_.node(n), [&](int v) {
          parent[at(root(parent, v))] = root(parent, graph_.node(n).outputs[0]);
        });
    return parent;
  }

  void join_ranges() {
    std::vector<int> parent = shared_ranges({});
    const std::vector<bool> source = find_sources();
    std::map<int, std::size_t> range_of;
    for (int v = 0; v < static_cast<int>(source.size()); ++v) {
      if (!source[at(v)]) continue;
      const auto [found, fresh] = range_of.emplace(root(parent, v), placement_.ranges.size());
      if (fresh) placement_.ranges.emplace_back();
      std::vector<int> whole = whole_of(v);
      placement_.ranges[found->second].sources.push_back({v, main_[at(v)], std::move(whole)});
    }
    for (Placement::Range& range : placement_.ranges)
      range.fixed = range.sources.size() == 1 && role(range.sources[0].node) == Role::fixed;
  }

  const Graph& graph_;
  const QConfig& config_;
  const Uses uses_;
  std::vector<bool> leaf_;            // per value
  std::vector<Role> roles_;           // per node
  std::vector<bool> after_weighted_;  // per value
  std::vector<bool> internal_;        // per value: stays within a group, never rounded
  std::vector<bool> unobserved_;      // per value: stays float by Observer::none
  std::vector<int> main_;             // per value: the op of the group whose result it is
  std::vector<bool> apart_;           // per node: a slice of an input, before what rounds it
  Placement placement_;
};

}  // namespace

Placement place(const Graph& graph, const QConfig& config) { return Placer(graph, config).run(); }

}  // namespace pare::quantize
