// Rewrites: what recognize looks for, and what it makes of it.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "graph/pattern.h"
#include "pare/graph/passes.h"

namespace pare {

/// What a node becomes: the same value by one call.
struct Rewrite {
  Call call;
  std::vector<int> inputs;
  const char* what;
  /// Inputs that go through a call first.
  struct Prepared {
    std::size_t input;
    Call call;
  };
  std::vector<Prepared> prepared = {};
};

using Found = std::optional<Rewrite>;

/// Looks at the value y, a node's only output.
using Finder = Found(const Pattern& p, int y);

// recognize_activation.cpp
Finder find_silu, find_hardsigmoid, find_hardswish, find_gelu, find_softmax, find_log_softmax;
// recognize_norm.cpp; in this order: a norm's weight is found after the norm, its bias after that
Finder find_layer_norm, find_instance_norm, find_rms_norm, find_norm_weight, find_norm_bias;
// recognize_attention.cpp
Finder find_attention;
// recognize_lstm.cpp; of several outputs, so that it edits the graph itself
void recognize_lstm_cells(Graph& graph, PassReport& report);
// recognize_dynamic.cpp
void recognize_dynamic_products(Graph& graph, PassReport& report);
// recognize_linear.cpp; adds a transposed matrix of codes
void recognize_linear(Graph& graph, PassReport& report);
// recognize_squeeze_excite.cpp; of several calls that take other shapes; activations come before it
void recognize_squeeze_excite(Graph& graph, PassReport& report);

}  // namespace pare
