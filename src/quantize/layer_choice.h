// Which layers a call is to quantize, by their ops and names.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/graph/passes.h"

namespace pare::quantize {

/// What options say; it must not outlive them.
struct LayerChoice {
  /// Of options that have `ops`, `names` and `exclude`: empty ones of the first two choose all.
  template <class Options>
  explicit LayerChoice(const Options& options)
      : ops(options.ops), names(options.names), exclude(options.exclude) {}

  const std::vector<std::string>&ops, &names, &exclude;

  /// Throws invalid_argument naming `where` for ops of which the graph has no node that is
  /// `possible`, and for names that match no node, with the nearest; `which` says what is possible.
  void check(const Graph& graph, const std::function<bool(const Graph::Node&)>& possible,
             const char* which, const char* where) const;
  /// Why a node is not chosen; empty: it is.
  std::string why_not(const Graph::Node& node) const;
  /// Whether a name is among those to quantize or to exclude.
  bool is_named(const std::string& name) const;
};

/// Throws unsupported naming `where`, with what was left and why, where nothing was chosen; `what`
/// was expected.
void check_any(const std::vector<std::string>& chosen, const std::vector<PassReport::Line>& left,
               const char* what, const char* where);

/// Of nodes that stay float, for people: a line each.
std::string float_lines(const std::vector<PassReport::Line>& left);

/// Whether an input of the node is a weight of two or more axes; `of_leaves`: per value.
bool reads_weights(const Graph& graph, const Graph::Node& node, const std::vector<bool>& of_leaves);

}  // namespace pare::quantize
