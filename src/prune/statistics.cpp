// Statistics over cut axes: follows, from the leaves on, which values are zero where a cut is.
#include "prune/statistics.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "core/ops/convolution.h"
#include "pare/core/ops.h"

namespace pare::prune {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// What an op's rule says, as lists.
class Links final : public ChannelLinks {
 public:
  struct Tie {
    int input, input_axis, output, output_axis;
  };
  struct Sum {
    int input, axis;
    int other, other_axis;  // −1: of nothing but itself
  };

  Links(const Graph::Node& node, const AxisLabels& labels) : node_(node), labels_(labels) {
    node.call.op->channels.rule(node.call, *this);
  }
  bool has(Operand o) const override {
    const auto& list = o.is_output ? node_.outputs : node_.inputs;
    return at(o.index) < list.size() && list[at(o.index)] >= 0;
  }
  const Shape& shape(Operand o) const override {
    return labels_.shape((o.is_output ? node_.outputs : node_.inputs)[at(o.index)]);
  }
  void tie(Operand x, int a, Operand y, int b) override {
    if (!x.is_output && y.is_output)
      ties.push_back({x.index, a, y.index, b});
    else if (!x.is_output && !y.is_output && x.index == y.index && a == b)
      sums.push_back({x.index, a, -1, -1});
  }
  void tie_at(Operand x, int a, std::int64_t, Operand y, int b, std::int64_t) override {
    if (x.is_output == y.is_output && x.index == y.index) return;
    tie(x, a, y, b);
  }
  void reduce(Operand x, int a, Operand y, int b) override {
    sums.push_back({x.index, a, y.index, b});
  }

  std::vector<Tie> ties;
  std::vector<Sum> sums;

 private:
  const Graph::Node& node_;
  const AxisLabels& labels_;
};

class Finder {
 public:
  Finder(const Graph& graph, const AxisLabels& labels) : graph_(graph), labels_(labels) {
    for (int v = 0; v < static_cast<int>(graph.values().size()); ++v) {
      const Graph::Value& value = graph.value(v);
      // Zeroing writes floats alone.
      zero_.emplace_back(at(labels.shape(v).rank()), value.is_leaf() && value.dtype == DType::f32);
    }
  }

  std::vector<Statistic> run() {
    for (int n = 0; n < static_cast<int>(graph_.nodes().size()); ++n) visit(n);
    return std::move(found_);
  }

 private:
  void visit(int n) {
    const Graph::Node& node = graph_.node(n);
    const ChannelFact& fact = node.call.op->channels;
    if (fact.statistics) return note_statistics(n);
    switch (fact.kind) {
      case ChannelFact::Kind::elementwise:
        return visit_elementwise(node);
      case ChannelFact::Kind::movement:
        return visit_movement(node);
      case ChannelFact::Kind::rule:
        return visit_rule(n);
      case ChannelFact::Kind::barrier:
        return;  // nothing is cut there
    }
  }

  void note_statistics(int n) {
    const Graph::Node& node = graph_.node(n);
    const int x = node.inputs.front();
    const int rank = labels_.shape(x).rank();
    if (node.call.op == &kSoftmax || node.call.op == &kLogSoftmax) {
      const auto axis = node.call.attributes.as<SoftmaxAttributes>().axis;
      found_.push_back({n, x, normalize_axis(static_cast<int>(axis), rank, "statistics")});
      return;
    }
    for (int a = 0; a < rank; ++a) found_.push_back({n, x, a});
  }

  // Zero where the op makes zero of what is cut, whatever the operands that are not.
  void visit_elementwise(const Graph::Node& node) {
    const int out = node.outputs.front();
    const Shape& shape = labels_.shape(out);
    for (int b = 0; b < shape.rank(); ++b) {
      if (shape[b] == 1) continue;
      std::vector<bool> zero(node.inputs.size());
      for (std::size_t i = 0; i < zero.size(); ++i) {
        if (node.inputs[i] < 0) continue;
        const Shape& own = labels_.shape(node.inputs[i]);
        const int a = b - (shape.rank() - own.rank());
        zero[i] = a >= 0 && own[a] == shape[b] && zero_[at(node.inputs[i])][at(a)];
      }
      zero_[at(out)][at(b)] = gives_zero(node, zero);
    }
  }

  // By trying, with numbers of both signs for what is not zero.
  bool gives_zero(const Graph::Node& node, const std::vector<bool>& zero) const {
    if (std::find(zero.begin(), zero.end(), true) == zero.end() || !node.call.op->state.empty())
      return false;
    ContextScope scope;
    scope->grad = scope->training = scope->observing = false;
    scope->tracer = nullptr;
    for (const double other : {0.75, -0.75}) {
      Tensors inputs;
      for (std::size_t i = 0; i < zero.size(); ++i)
        inputs.push_back(node.inputs[i] < 0 ? Tensor()
                                            : Tensor::full({1}, zero[i] ? 0 : other,
                                                           graph_.value(node.inputs[i]).dtype));
      try {
        const Tensor y = apply_all(node.call, inputs).front();
        if (!is_floating(y.dtype()) || y.to(DType::f32).item() != 0) return false;
      } catch (const Error&) {
        return false;  // not for one element
      }
    }
    return true;
  }

  void visit_movement(const Graph::Node& node) {
    bool zero = node.call.op != &kPad || node.call.attributes.as<PadAttributes>().value == 0;
    for (const int v : node.inputs) {
      if (v < 0 || !is_floating(graph_.value(v).dtype)) continue;
      for (int a = 0; a < labels_.shape(v).rank(); ++a)
        if (can_be_cut(v, a)) zero = zero && zero_[at(v)][at(a)];
    }
    for (const int v : node.outputs) std::fill(zero_[at(v)].begin(), zero_[at(v)].end(), zero);
  }

  bool can_be_cut(int v, int a) const {
    for (std::int64_t k = 0; k < labels_.shape(v)[a]; ++k)
      if (labels_.class_of(v, a, k) != AxisLabels::kFixed) return true;
    return false;
  }

  // Of zeros a logsumexp is log n, the first product of none is 1, and indices are what they are.
  static bool keeps_zeros(const Call& call, const Links::Tie& tie) {
    if (call.op == &kCumprod) return !call.attributes.as<CumulativeAttributes>().exclusive;
    return call.op != &kLogSumExp && ((call.op != &kSort && call.op != &kTopk) || tie.output == 0);
  }

  void visit_rule(int n) {
    const Graph::Node& node = graph_.node(n);
    const Links links(node, labels_);
    const auto zero = [&](int input, int axis) {
      return input >= 0 && zero_[at(node.inputs[at(input)])][at(axis)];
    };
    for (const Links::Sum& s : links.sums)
      if (!zero(s.input, s.axis) && !zero(s.other, s.other_axis))
        found_.push_back({n, node.inputs[at(s.input)], s.axis});
    const OpDef* op = node.call.op;
    const bool product =
        is_convolution(op) || is_conv_transpose(op) || op == &kLinear || op == &kMatmul;
    const bool sample_norm = op == &kGroupNorm || op == &kInstanceNorm;
    for (const Links::Tie& t : links.ties) {
      std::vector<bool>& result = zero_[at(node.outputs[at(t.output)])];
      // Pooling, reductions and fake-quantization keep zeros.
      if (!product && !sample_norm && op != &kBatchNorm) {
        if (t.input == 0)
          result[at(t.output_axis)] = keeps_zeros(node.call, t) && zero(t.input, t.input_axis);
        continue;
      }
      // One factor that is zero will do (of batch norm gamma), and what is added must be zero too.
      bool all = true;
      bool any = false;
      for (const Links::Tie& other : links.ties) {
        if (other.output != t.output || other.output_axis != t.output_axis) continue;
        const bool z = zero(other.input, other.input_axis);
        if (product ? other.input < 2 : other.input == 1) any = any || z;
        if (other.input == 2) all = all && z;
      }
      result[at(t.output_axis)] = any && all;
    }
  }

  const Graph& graph_;
  const AxisLabels& labels_;
  std::vector<std::vector<bool>> zero_;  // by value and axis: zero at every index that is cut
  std::vector<Statistic> found_;
};

}  // namespace

std::vector<Statistic> statistics(const Graph& graph, const AxisLabels& labels) {
  return Finder(graph, labels).run();
}

}  // namespace pare::prune
