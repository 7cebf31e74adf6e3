// Writing the messages of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
#include "io/onnx/model_writer.h"

#include <protozero/pbf_writer.hpp>

#include "core/check.h"

namespace pare::onnx {
namespace {

using protozero::pbf_writer;

void write_pair(pbf_writer& outer, unsigned field, const std::string& key,
                const std::string& value) {
  pbf_writer pair(outer, field);
  pair.add_string(1, key);
  pair.add_string(2, value);
}

void write_tensor(pbf_writer out, const TensorProto& tensor) {
  out.add_packed_int64(1, tensor.dims.begin(), tensor.dims.end());
  out.add_int32(2, static_cast<std::int32_t>(tensor.type));
  if (!tensor.name.empty()) out.add_string(8, tensor.name);
  const TensorProto::External& external = tensor.external;
  if (external.location.empty()) {
    out.add_bytes(9, reinterpret_cast<const char*>(tensor.raw.data()), tensor.raw.size());
    return;
  }
  write_pair(out, 13, "location", external.location);
  write_pair(out, 13, "offset", std::to_string(external.offset));
  write_pair(out, 13, "length", std::to_string(external.length));
  out.add_enum(14, 1);
}

void write_value(pbf_writer out, const ValueInfo& value) {
  out.add_string(1, value.name);
  pbf_writer type(out, 2);
  pbf_writer tensor(type, 1);
  tensor.add_int32(1, static_cast<std::int32_t>(value.type));
  if (!value.has_shape) return;
  if (value.shape.empty()) {
    tensor.add_message(2, "", 0);  // a writer of nothing would leave the field out
    return;
  }
  pbf_writer shape(tensor, 2);
  for (const ValueInfo::Dimension& d : value.shape) {
    pbf_writer dimension(shape, 1);
    if (d.size >= 0)
      dimension.add_int64(1, d.size);
    else if (!d.symbol.empty())
      dimension.add_string(2, d.symbol);
  }
}

void write_attribute(pbf_writer out, const AttributeProto& a) {
  using Type = AttributeProto::Type;
  out.add_string(1, a.name);
  switch (a.type) {
    case Type::real:
      out.add_float(2, static_cast<float>(a.real));
      break;
    case Type::integer:
      out.add_int64(3, a.integer);
      break;
    case Type::string:
      out.add_string(4, a.string);
      break;
    case Type::tensor:
      write_tensor(pbf_writer(out, 5), a.tensors.front());
      break;
    case Type::reals:
      for (const double v : a.reals) out.add_float(7, static_cast<float>(v));
      break;
    case Type::integers:
      for (const std::int64_t v : a.integers) out.add_int64(8, v);
      break;
    case Type::strings:
      for (const std::string& v : a.strings) out.add_string(9, v);
      break;
    default:
      PARE_ASSERT(false);
  }
  out.add_enum(20, static_cast<std::int32_t>(a.type));
}

void write_node(pbf_writer out, const NodeProto& node) {
  for (const std::string& name : node.inputs) out.add_string(1, name);
  for (const std::string& name : node.outputs) out.add_string(2, name);
  if (!node.name.empty()) out.add_string(3, node.name);
  out.add_string(4, node.op_type);
  for (const AttributeProto& a : node.attributes) write_attribute(pbf_writer(out, 5), a);
  if (!node.domain.empty()) out.add_string(7, node.domain);
}

void write_graph(pbf_writer out, const GraphProto& graph) {
  for (const NodeProto& node : graph.nodes) write_node(pbf_writer(out, 1), node);
  out.add_string(2, graph.name);
  for (const TensorProto& tensor : graph.initializers) write_tensor(pbf_writer(out, 5), tensor);
  for (const ValueInfo& value : graph.inputs) write_value(pbf_writer(out, 11), value);
  for (const ValueInfo& value : graph.outputs) write_value(pbf_writer(out, 12), value);
  for (const ValueInfo& value : graph.values) write_value(pbf_writer(out, 13), value);
}

}  // namespace

std::string write_model(const ModelProto& model) {
  std::size_t bytes = 0;
  for (const TensorProto& tensor : model.graph.initializers)
    if (tensor.external.location.empty()) bytes += tensor.raw.size();
  std::string text;
  text.reserve(bytes + bytes / 16 + 65536);
  pbf_writer out(text);
  out.add_int64(1, model.ir_version);
  if (!model.producer_name.empty()) out.add_string(2, model.producer_name);
  if (!model.producer_version.empty()) out.add_string(3, model.producer_version);
  if (!model.doc.empty()) out.add_string(6, model.doc);
  write_graph(pbf_writer(out, 7), model.graph);
  for (const auto& [domain, version] : model.opsets) {
    pbf_writer opset(out, 8);
    opset.add_string(1, domain);
    opset.add_int64(2, version);
  }
  for (const auto& [key, value] : model.metadata) write_pair(out, 14, key, value);
  return text;
}

}  // namespace pare::onnx
