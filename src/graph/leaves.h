// Leaves and parts of a module, as trace finds them again in the calls.
#pragma once

#include <string>
#include <unordered_map>

#include "pare/graph/graph.h"

namespace pare {

struct Leaf {
  Tensor tensor;
  std::string name;    ///< dotted, as in Module::state()
  std::string origin;  ///< the name of its parameter, without the suffix of an expression's leaf
  Graph::Kind kind = Graph::Kind::buffer;
  bool trainable = false;
};

/// A module within the traced one.
struct Part {
  std::string path;        ///< dotted; empty for the traced module itself
  bool composite = false;  ///< has parts of its own
};

using Leaves = std::unordered_map<const detail::TensorImpl*, Leaf>;
using Parts = std::unordered_map<const void*, Part>;

/// All leaves that members() lists, and the constants of graphs among the parts.
Leaves leaves_of(nn::Module& module);
/// The module and all its parts by address.
Parts parts_of(nn::Module& module);

}  // namespace pare
