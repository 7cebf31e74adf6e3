// Shapes and dtypes of a node's outputs from what the graph knows of its inputs.
#include "graph/infer_node.h"

#include "core/check.h"
#include "core/ops/value_inputs.h"

namespace pare {
namespace {

/// Sizes that only the data know are named after the node.
void name_unknown(Shape& shape, const std::string& node) {
  for (int a = 0; a < shape.rank(); ++a) {
    if (!shape.symbolic(a) || shape.symbol(a).find("?:") == std::string::npos) continue;
    SizeExpression::of(shape, a)
        .renamed([&](const std::string& name) {
          return is_unknown(name) ? node + "?" + name.substr(2) : name;
        })
        .set_in(shape, a);
  }
}

}  // namespace

std::vector<InferArgs::Output> infer_node(const Graph& graph, const std::string& name,
                                          const Call& call, const std::vector<int>& inputs) {
  std::vector<InferArgs::Input> known;
  for (const int v : inputs) {
    if (v < 0) {
      known.push_back({nullptr, DType::f32, nullptr});
      continue;
    }
    const Graph::Value& value = graph.value(v);
    const bool constant = value.kind == Graph::Kind::constant;
    known.push_back(
        {&value.shape, value.dtype, constant ? &value.tensor : nullptr, value.sizes.get()});
  }
  try {
    auto outputs = infer(call, known);
    for (InferArgs::Output& output : outputs)
      if (output.shape.symbolic()) name_unknown(output.shape, name);
    return outputs;
  } catch (const Error& error) {
    throw error.within(name);
  }
}

}  // namespace pare
