// Parts of ONNX files for tests, made field by field.
#pragma once

#include <string>
#include <vector>

#include "io/proto.h"

namespace pare::test {

inline Proto onnx_node(const std::string& op, const std::vector<std::string>& inputs,
                       const std::vector<std::string>& outputs, const std::string& name = "",
                       const std::string& domain = "") {
  Proto node;
  for (const std::string& input : inputs) node.text(1, input);
  for (const std::string& output : outputs) node.text(2, output);
  if (!name.empty()) node.text(3, name);
  node.text(4, op);
  if (!domain.empty()) node.text(7, domain);
  return node;
}

/// An attribute that is a graph.
inline Proto onnx_branch(const std::string& name, const Proto& graph) {
  return Proto().text(1, name).message(6, graph).integer(20, 5);
}

/// A value of this type (1: f32) and shape, "batch" or "3" each.
inline Proto onnx_value(const std::string& name, const std::vector<std::string>& shape,
                        int type = 1) {
  Proto tensor = Proto().integer(1, type);
  Proto dimensions;
  for (const std::string& d : shape) {
    const bool is_number = !d.empty() && (d[0] == '-' || (d[0] >= '0' && d[0] <= '9'));
    dimensions.message(1, d.empty()   ? Proto()
                          : is_number ? Proto().integer(1, std::stoll(d))
                                      : Proto().text(2, d));
  }
  tensor.message(2, dimensions);
  return Proto().text(1, name).message(2, Proto().message(1, tensor));
}
inline Proto onnx_output(const std::string& name) { return Proto().text(1, name); }

inline Proto onnx_floats(const std::string& name, const std::vector<std::int64_t>& dims,
                         const std::vector<float>& values) {
  Proto tensor;
  for (const std::int64_t d : dims) tensor.integer(1, d);
  tensor.integer(2, 1).text(8, name);
  for (const float v : values) tensor.real(4, v);
  return tensor;
}
inline Proto onnx_bool(const std::string& name, bool value) {
  return Proto().integer(2, 9).text(8, name).integer(5, value ? 1 : 0);
}

/// A model of this graph, of opset 17.
inline Proto onnx_model(const Proto& graph, int opset = 17) {
  return Proto().integer(1, 8).message(8, Proto().integer(2, opset)).message(7, graph);
}
/// Nodes, inputs, initializers and outputs of a graph, in the order of their fields.
struct OnnxGraph {
  Proto proto;
  OnnxGraph& node(const Proto& p) { return add(1, p); }
  OnnxGraph& initializer(const Proto& p) { return add(5, p); }
  OnnxGraph& input(const Proto& p) { return add(11, p); }
  OnnxGraph& output(const Proto& p) { return add(12, p); }

 private:
  OnnxGraph& add(int field, const Proto& p) {
    proto.message(field, p);
    return *this;
  }
};

}  // namespace pare::test
