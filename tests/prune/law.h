// The law of structured pruning, for nets: removed = zeroed.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/prune/channels.h"

namespace pare::prune {

// Random values everywhere, running statistics included.
template <class Net> Graph random_graph(const Shape& example) {
  Net net;
  Generator generator(11);
  initialize(net, generator);
  for (const auto& named : net.state()) {
    Tensor t = named.tensor;
    const Tensor values = generator.uniform(t.shape(), 0.2F, 1.0F);
    if (named.name.find("running_var") != std::string::npos || named.name.find("bn") == 0)
      t.copy_from(values);
  }
  return trace(net, Generator(5).normal(example)).copy();
}

inline double distance(const Tensor& a, const Tensor& b) {
  const auto x = a.to_vector<float>();
  const auto y = b.to_vector<float>();
  EXPECT_EQ(x.size(), y.size());
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    most = std::max(most, std::fabs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
  return most;
}

// Cuts the channels, which must give what zeroing them gives, within `bound`; returns what is left.
inline Graph expect_removed_is_zeroed(const Graph& graph, const std::vector<Channel>& cut,
                                      const Tensor& x, double bound = 1e-4) {
  Graph zeroed = graph.copy();
  zero_channels(zeroed, cut);
  Graph removed = graph.copy();
  remove_channels(removed, cut);
  removed.verify();
  const NoGrad no_grad;
  const Tensor expected = zeroed(x);
  EXPECT_LT(distance(removed(x), expected), bound);
  Graph original = graph.copy();
  EXPECT_GT(distance(original(x), expected), 1e-4) << "the cut has no effect";
  EXPECT_LT(removed.bytes(), zeroed.bytes());
  return removed;
}

inline void expect_gradients(Graph& graph, const Tensor& x) {
  graph.zero_grad();
  sum(graph(x)).backward();
  for (const Tensor& p : graph.parameters()) EXPECT_TRUE(p.grad().defined());
}

// Cuts the channels of every group that `chosen` picks; zeroing them must give the same, and the
// smaller graph still trains.
inline void expect_law(const Graph& graph, const Shape& example,
                       const std::function<bool(std::size_t)>& chosen) {
  std::vector<Channel> cut;
  for (const Group& g : groups(graph))
    for (std::size_t c = 0; c < g.channels.size(); ++c)
      if (chosen(c)) cut.push_back(g.channels[c]);
  ASSERT_FALSE(cut.empty());
  const Tensor x = Generator(6).normal(example);
  Graph removed = expect_removed_is_zeroed(graph, cut, x);
  ContextScope scope;
  scope->training = true;
  expect_gradients(removed, x);
}

template <class Net> void expect_law_on(const Shape& example) {
  ContextScope scope;
  scope->threads = 1;  // threads would wait for one another longer than they work
  const Graph graph = random_graph<Net>(example);
  expect_law(graph, example, [](std::size_t c) { return c % 2 == 1; });
  expect_law(graph, example, [](std::size_t c) { return c == 0; });
}

}  // namespace pare::prune
