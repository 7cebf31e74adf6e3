// Recording: the calls of one run of a module, with its values numbered by first use.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "graph/leaves.h"

namespace pare {

struct Recording {
  struct Value {
    Tensor tensor;  ///< also keeps its address from being used again
    Shape shape;
    bool input = false;
    bool result = false;
    const Leaf* leaf = nullptr;  ///< null for a tensor that the module does not list
  };
  struct Entry {
    Call call;
    std::string name;            ///< told by a graph, or empty
    const Part* part = nullptr;  ///< the innermost that made the call
    std::vector<int> inputs;     ///< −1 for one left out
    std::vector<int> outputs;
  };
  std::vector<Value> values;
  std::vector<Entry> entries;
  std::vector<int> outputs;
};

/// Runs the module once, as in inference and changing nothing, and records it. Throws unsupported
/// for a tensor that requires a gradient, or is state, but that members() does not list.
Recording record_run(nn::Module& module, const Leaves& leaves, const Parts& parts,
                     const Tensors& inputs);

}  // namespace pare
