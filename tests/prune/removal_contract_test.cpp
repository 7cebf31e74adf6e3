// The contract of every op, its line on channels: removing a label group = setting it to zero.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/samples.h"
#include "pare/core/ops.h"
#include "pare/prune/channels.h"

namespace pare::prune {
namespace {

Graph::Kind kind_of(const test::Sample& s, int input) {
  for (const StatePair& pair : s.call.op->state)
    if (pair.input == input) return Graph::Kind::buffer;
  const bool is_float = s.inputs[static_cast<std::size_t>(input)].dtype() == DType::f32;
  return is_float ? Graph::Kind::parameter : Graph::Kind::constant;
}

/// Axis `axis` of a value last, or back from there.
int moved(Graph& graph, int value, int axis, bool back) {
  const int rank = graph.value(value).shape.rank();
  TransposeAttributes move;
  for (int a = 0; a < rank; ++a) move.permutation.push_back(back && a > axis ? a - 1 : a);
  if (back)
    move.permutation[static_cast<std::size_t>(axis)] = rank - 1;
  else
    std::rotate(move.permutation.begin() + axis, move.permutation.begin() + axis + 1,
                move.permutation.end());
  const int node = graph.add_node("move", {&kTranspose, Attributes::of(move)}, {value});
  return graph.node(node).outputs[0];
}

int cast_to(Graph& graph, int value, DType dtype) {
  const int node =
      graph.add_node("cast", {&kCast, Attributes::of(CastAttributes{.to = dtype})}, {value});
  return graph.node(node).outputs[0];
}

struct Axes {
  int input, of_input;    // the axis that a matrix product makes
  int output, of_output;  // the axis that another one sums over
};

/// The sample's op between two matrix products; its other inputs are parameters, whose axes are
/// free.
Graph net_of(const test::Sample& s, const Axes& axes) {
  Graph graph;
  Generator generator(31);
  std::vector<int> inputs;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    const Tensor& t = s.inputs[i];
    if (!t.defined()) {
      inputs.push_back(-1);
    } else if (static_cast<int>(i) == axes.input) {
      Shape rest;
      for (int a = 0; a < t.rank(); ++a)
        if (a != axes.of_input) rest.append(t.dim(a));
      rest.append(2);
      const int x = graph.add_leaf(Graph::Kind::constant, "x", generator.uniform(rest, 0.5F, 1));
      const int w = graph.add_leaf(Graph::Kind::parameter, "first.weight",
                                   generator.uniform({2, t.dim(axes.of_input)}, 0.5F, 1), true);
      const int first = graph.add_node("first", {&kMatmul, {}}, {x, w});
      int made = moved(graph, graph.node(first).outputs[0], axes.of_input, true);
      if (t.dtype() != DType::f32) made = cast_to(graph, made, t.dtype());
      inputs.push_back(made);
    } else {
      const Graph::Kind kind = kind_of(s, static_cast<int>(i));
      inputs.push_back(graph.add_leaf(kind, "input" + std::to_string(i),
                                      t.to(MemoryFormat::row_major).clone(),
                                      kind == Graph::Kind::parameter));
    }
  }
  const int op = graph.add_node("op", s.call, inputs);
  int result = graph.node(op).outputs[static_cast<std::size_t>(axes.output)];
  if (graph.value(result).dtype != DType::f32) result = cast_to(graph, result, DType::f32);
  const int y = moved(graph, result, axes.of_output, false);
  const Shape& shape = graph.value(y).shape;
  const int w = graph.add_leaf(Graph::Kind::parameter, "last.weight",
                               generator.normal({shape[shape.rank() - 1], 3}), true);
  const int last = graph.add_node("last", {&kMatmul, {}}, {y, w});
  graph.set_outputs({graph.node(last).outputs[0]});
  graph.compact();
  graph.verify();
  return graph;
}

Tensor result_of(Graph& graph) {
  const NoGrad no_grad;
  return graph.run({})[0];
}

std::int64_t weights_of(Graph graph) {
  std::int64_t count = 0;
  for (const Tensor& p : graph.parameters()) count += p.elements();
  return count;
}

/// How many groups were cut: one channel of each.
int expect_removed_is_zeroed(const Graph& graph) {
  int cuts = 0;
  for (const Group& group : groups(graph)) {
    if (group.statistics || group.channels.size() < 2) continue;
    for (const std::size_t which : {std::size_t{0}, group.channels.size() - 1}) {
      const std::vector<Channel> cut{group.channels[which]};
      Graph zeroed = graph.copy();
      zero_channels(zeroed, cut);
      Graph removed = graph.copy();
      remove_channels(removed, cut);
      removed.verify();
      const auto expected = result_of(zeroed).to_vector<float>();
      const auto result = result_of(removed).to_vector<float>();
      EXPECT_EQ(result.size(), expected.size());
      for (std::size_t i = 0; i < std::min(result.size(), expected.size()); ++i) {
        // What is not finite at zero (log, a quotient) cannot be compared with what is not there.
        if (!std::isfinite(expected[i])) continue;
        EXPECT_NEAR(result[i], expected[i], 1e-4F * (1 + std::fabs(expected[i]))) << i;
      }
      EXPECT_LT(weights_of(removed), weights_of(graph));
      ++cuts;
    }
  }
  return cuts;
}

/// Whether a layer may give the op this input: no state, no scale (it would be zero with the
/// layer), and numbers that codes can be cast from.
bool can_be_made(const test::Sample& s, int input) {
  const OpDef* op = s.call.op;
  if (op == &kFakeQuantize || op == &kQuantizeLinear || op == &kDequantizeLinear) return input == 0;
  // Bits are those of integers, which a layer's result is cast to.
  if (op == &kBitwiseAnd || op == &kBitwiseOr || op == &kBitwiseXor || op == &kBitwiseNot)
    return input == 0;
  return kind_of(s, input) == Graph::Kind::parameter;
}

/// Enough of them to see each op's rule, and no more than the sanitizers have time for.
constexpr std::int64_t kMostElements = 400;

std::vector<Axes> all_axes(const test::Sample& s, const Tensors& outputs) {
  std::vector<Axes> all;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    const Tensor& x = s.inputs[i];
    if (!x.defined() || !can_be_made(s, static_cast<int>(i))) continue;
    for (std::size_t o = 0; o < outputs.size(); ++o) {
      if (outputs[o].elements() == 0) continue;
      for (int a = 0; a < x.rank(); ++a)
        for (int b = 0; b < outputs[o].rank(); ++b)
          all.push_back({static_cast<int>(i), a, static_cast<int>(o), b});
    }
  }
  return all;
}

TEST(RemovalContract, RemovedIsZeroedThroughEveryOp) {
  ContextScope scope;
  scope->threads = 1;  // threads would wait for one another longer than they work
  std::map<std::string, int> cuts;
  for (const test::Sample& s : test::samples()) {
    const ChannelFact& fact = s.call.op->channels;
    if (fact.kind == ChannelFact::Kind::barrier || s.training) continue;
    if (std::any_of(s.inputs.begin(), s.inputs.end(),
                    [](const Tensor& t) { return t.defined() && t.elements() > kMostElements; }))
      continue;
    SCOPED_TRACE(test::label(s));
    const NoGrad no_grad;
    const Tensors outputs = apply_all(s.call, s.inputs);
    for (const Axes& axes : all_axes(s, outputs)) {
      SCOPED_TRACE("axis " + std::to_string(axes.of_input) + " of input " +
                   std::to_string(axes.input) + " to axis " + std::to_string(axes.of_output));
      cuts[s.call.op->name] += expect_removed_is_zeroed(net_of(s, axes));
    }
  }
  for (const OpDef* op : all_ops()) {
    const ChannelFact& fact = op->channels;
    if (fact.kind == ChannelFact::Kind::barrier || fact.statistics) continue;
    EXPECT_GT(cuts[op->name], 0) << op->name << " let nothing be cut";
  }
}

}  // namespace
}  // namespace pare::prune
