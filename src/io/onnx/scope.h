// Scope: what the names of a graph, a branch or a function in an ONNX file stand for.
#pragma once

#include <map>
#include <string>
#include <unordered_map>

#include "io/onnx/model.h"

namespace pare::onnx {

/// What a name stands for: a value of the graph that is built, or the reason why there is none.
struct Binding {
  int value = -1;
  bool left_out = false;  ///< an optional input of a function
  bool refused = false;   ///< its node was, which is reported already
  std::string missing;    ///< its node does not give it: "output 1 of 'drop'"
};

struct Scope {
  const Scope* outer = nullptr;  ///< of a branch
  std::string prefix;            ///< of names, inside of functions and branches
  const std::map<std::string, std::int64_t>* opsets = nullptr;
  /// Attributes of the function that this is the body of.
  std::map<std::string, const AttributeProto*> attributes;
  std::unordered_map<std::string, Binding> names;

  const Binding* find(const std::string& name) const {
    for (const Scope* scope = this; scope; scope = scope->outer)
      if (const auto at = scope->names.find(name); at != scope->names.end()) return &at->second;
    return nullptr;
  }
};

}  // namespace pare::onnx
