// expect_same: two graphs agree in everything that a file keeps.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

#include "pare/graph/graph.h"

namespace pare::test {

inline void expect_same_tensor(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape(), b.shape());
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.format(), b.format());
  ASSERT_EQ(a.bytes(), b.bytes());
  EXPECT_TRUE(a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
  EXPECT_EQ(a.requires_grad(), b.requires_grad());
}

// By value: the first value that holds the same tensor.
inline std::vector<std::size_t> first_holders(const Graph& graph) {
  std::map<const void*, std::size_t> first;
  std::vector<std::size_t> out;
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const Tensor& tensor = graph.values()[v].tensor;
    out.push_back(tensor.defined() ? first.emplace(tensor.impl(), v).first->second : v);
  }
  return out;
}

inline void expect_same(const Graph& a, const Graph& b) {
  EXPECT_EQ(a.inputs(), b.inputs());
  EXPECT_EQ(a.outputs(), b.outputs());
  EXPECT_EQ(a.output_names(), b.output_names());
  EXPECT_EQ(a.metadata(), b.metadata());
  ASSERT_EQ(a.values().size(), b.values().size());
  for (std::size_t v = 0; v < a.values().size(); ++v) {
    const Graph::Value& x = a.values()[v];
    const Graph::Value& y = b.values()[v];
    SCOPED_TRACE(x.name);
    EXPECT_EQ(x.name, y.name);
    EXPECT_EQ(x.kind, y.kind);
    EXPECT_EQ(x.shape, y.shape);
    EXPECT_EQ(x.dtype, y.dtype);
    EXPECT_EQ(x.trainable, y.trainable);
    EXPECT_EQ(x.producer, y.producer);
    ASSERT_EQ(x.tensor.defined(), y.tensor.defined());
    if (x.tensor.defined()) expect_same_tensor(x.tensor, y.tensor);
  }
  // Values that shared a tensor go on sharing one.
  EXPECT_EQ(first_holders(a), first_holders(b));
  ASSERT_EQ(a.nodes().size(), b.nodes().size());
  for (std::size_t n = 0; n < a.nodes().size(); ++n) {
    const Graph::Node& x = a.nodes()[n];
    const Graph::Node& y = b.nodes()[n];
    SCOPED_TRACE(x.name);
    EXPECT_EQ(x.name, y.name);
    EXPECT_EQ(x.call.op, y.call.op);
    EXPECT_EQ(static_cast<bool>(x.call.attributes), static_cast<bool>(y.call.attributes));
    EXPECT_TRUE(x.call.attributes == y.call.attributes)
        << x.call.attributes.to_string() << " / " << y.call.attributes.to_string();
    EXPECT_EQ(x.inputs, y.inputs);
    EXPECT_EQ(x.outputs, y.outputs);
  }
}

}  // namespace pare::test
