// Errors that leave a graph as it was, its weights' bits with it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <string>

#include "expect_error.h"
#include "pare/pare.h"

namespace pare::test {

/// All that a graph is: nodes, values, metadata, and the bits of its leaves.
inline std::string content_of(const Graph& graph) {
  std::string content = graph.to_string();
  for (const Graph::Value& value : graph.values()) {
    if (!value.tensor.defined()) continue;
    const Tensor stored = value.tensor.to(MemoryFormat::row_major);
    content.append(static_cast<const char*>(stored.raw()), stored.bytes());
  }
  for (const auto& [key, text] : graph.metadata()) content += key + "=" + text + "\n";
  return content;
}

/// Fails with these words, and the graph is as it was.
inline void refuses(ErrorCode code, std::initializer_list<std::string> words, const Graph& graph,
                    const std::function<void()>& call) {
  const std::string before = content_of(graph);
  expect_error(code, words, call);
  EXPECT_EQ(content_of(graph), before);
}

}  // namespace pare::test
