// Leaves and parts of a module, as trace finds them again in the calls.
#include "graph/leaves.h"

namespace pare {

Leaves leaves_of(nn::Module& module) {
  Leaves leaves;
  for (nn::NamedTensor& listed : module.state()) {
    const auto kind = listed.trainable ? Graph::Kind::parameter : Graph::Kind::buffer;
    leaves.try_emplace(listed.tensor.impl(),
                       Leaf{listed.tensor, listed.name, listed.name, kind, listed.trainable});
  }
  module.for_each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    for (const Expression::Leaf& part : parameter.expression().leaves) {
      const auto at = leaves.find(part.value.impl());
      if (at == leaves.end()) continue;
      at->second.origin = name;
      // Frozen by the user, not state: masks and scales have a suffix and are not trainable.
      if (part.trainable) at->second.kind = Graph::Kind::parameter;
    }
  });
  module.for_each_module([&](const std::string& path, nn::Module& part) {
    const auto* graph = dynamic_cast<const Graph*>(&part);
    if (!graph) return;
    const std::string prefix = path.empty() ? "" : path + ".";
    for (const Graph::Value& value : graph->values()) {
      if (!value.is_leaf()) continue;
      const std::string name = prefix + value.name;
      leaves.insert_or_assign(value.tensor.impl(),
                              Leaf{value.tensor, name, name, value.kind, value.trainable});
    }
  });
  return leaves;
}

Parts parts_of(nn::Module& module) {
  Parts parts;
  std::unordered_map<std::string, Part*> by_path;
  module.for_each_module([&](const std::string& path, nn::Module& part) {
    const auto [at, fresh] = parts.try_emplace(&part, Part{path, path.empty()});
    if (!fresh) return;
    by_path[path] = &at->second;
    const auto dot = path.rfind('.');
    if (dot == std::string::npos) return;
    if (const auto above = by_path.find(path.substr(0, dot)); above != by_path.end())
      above->second->composite = true;
  });
  return parts;
}

}  // namespace pare
