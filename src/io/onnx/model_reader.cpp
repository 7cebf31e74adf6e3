// Reading the messages of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
#include "io/onnx/model_reader.h"

#include "core/check.h"
#include "io/container.h"
#include "io/file_reader.h"
#include "io/npy_format.h"
#include "io/onnx/value_reader.h"

namespace pare::onnx {
namespace {

constexpr int kMaxDepth = 32;

void read_opset(WireMessage message, std::map<std::string, std::int64_t>& opsets) {
  std::string domain;
  std::int64_t version = 0;
  while (message.next()) {
    if (message.field() == 1) domain = message.text();
    if (message.field() == 2) version = message.integer();
  }
  if (domain == "ai.onnx") domain.clear();
  if (!opsets.emplace(domain, version).second)
    message.corrupt(fmt::format("expected one version of the domain '{}', got two", domain));
}

GraphProto read_graph(WireMessage message, int depth);

/// What the fields say, where the attribute names no type (version 1 of the format).
AttributeProto::Type type_of(const AttributeProto& a, bool has_real, bool has_integer) {
  using Type = AttributeProto::Type;
  if (has_real) return Type::real;
  if (has_integer) return Type::integer;
  if (!a.tensors.empty()) return Type::tensor;
  if (!a.graphs.empty()) return Type::graph;
  if (!a.reals.empty()) return Type::reals;
  if (!a.integers.empty()) return Type::integers;
  if (!a.strings.empty()) return Type::strings;
  return Type::string;
}

AttributeProto read_attribute(WireMessage message, int depth) {
  using Type = AttributeProto::Type;
  AttributeProto a;
  bool has_real = false;
  bool has_integer = false;
  while (message.next()) {
    switch (message.field()) {
      case 1:
        a.name = message.text();
        message.set_name(a.name);
        break;
      case 2:
        a.real = static_cast<double>(message.real());
        has_real = true;
        break;
      case 3:
        a.integer = message.integer();
        has_integer = true;
        break;
      case 4:
        a.string = message.text();
        break;
      case 5:
      case 10:
        a.tensors.push_back(read_tensor(WireMessage(message, "tensor", ordinal(a.tensors.size()))));
        break;
      case 6:
      case 11:
        a.graphs.push_back(std::make_shared<GraphProto>(
            read_graph(WireMessage(message, "graph", ordinal(a.graphs.size())), depth + 1)));
        break;
      case 7: {
        std::vector<float> reals;
        message.reals(reals);
        a.reals.insert(a.reals.end(), reals.begin(), reals.end());
        break;
      }
      case 8:
        message.integers(a.integers);
        break;
      case 9:
        a.strings.push_back(message.text());
        break;
      case 20: {
        const std::int64_t type = message.integer();
        a.type = type >= 0 && type <= 11 ? static_cast<Type>(type) : Type::other;
        break;
      }
      case 21:
        a.reference = message.text();
        break;
      default:
        break;
    }
  }
  if (a.name.empty()) message.corrupt("expected a name, got none");
  if (a.type == Type::undefined) a.type = type_of(a, has_real, has_integer);
  if (a.reference.empty() && ((a.type == Type::tensor && a.tensors.size() != 1) ||
                              (a.type == Type::graph && a.graphs.size() != 1)))
    message.corrupt("expected one tensor or graph, as its type says, got none or several");
  return a;
}

NodeProto read_node(WireMessage message, int depth) {
  NodeProto node;
  while (message.next()) {
    switch (message.field()) {
      case 1:
        node.inputs.push_back(message.text());
        break;
      case 2:
        node.outputs.push_back(message.text());
        break;
      case 3:
        node.name = message.text();
        message.set_name(node.name);
        break;
      case 4:
        node.op_type = message.text();
        break;
      case 5:
        node.attributes.push_back(read_attribute(
            WireMessage(message, "attribute", ordinal(node.attributes.size())), depth));
        break;
      case 7:
        node.domain = message.text();
        if (node.domain == "ai.onnx") node.domain.clear();
        break;
      case 8:
        node.overload = message.text();
        break;
      default:
        break;
    }
  }
  if (node.op_type.empty()) message.corrupt("expected an op_type, got none");
  return node;
}

GraphProto read_graph(WireMessage message, int depth) {
  if (depth > kMaxDepth)
    message.corrupt(fmt::format("expected graphs nested at most {} deep, got more", kMaxDepth));
  GraphProto graph;
  while (message.next()) {
    switch (message.field()) {
      case 1:
        graph.nodes.push_back(
            read_node(WireMessage(message, "node", ordinal(graph.nodes.size())), depth));
        break;
      case 2:
        graph.name = message.text();
        break;
      case 5:
        graph.initializers.push_back(
            read_tensor(WireMessage(message, "initializer", ordinal(graph.initializers.size()))));
        if (graph.initializers.back().name.empty())
          message.corrupt("expected initializers with names, got one without");
        break;
      case 11:
        graph.inputs.push_back(
            read_value(WireMessage(message, "input", ordinal(graph.inputs.size()))));
        break;
      case 12:
        graph.outputs.push_back(
            read_value(WireMessage(message, "output", ordinal(graph.outputs.size()))));
        break;
      case 13:
        graph.values.push_back(
            read_value(WireMessage(message, "value", ordinal(graph.values.size()))));
        break;
      case 15:
        static_cast<void>(message.bytes());
        graph.sparse_initializers = true;
        break;
      default:
        break;
    }
  }
  return graph;
}

FunctionProto read_function(WireMessage message) {
  FunctionProto function;
  while (message.next()) {
    switch (message.field()) {
      case 1:
        function.name = message.text();
        message.set_name(function.name);
        break;
      case 4:
        function.inputs.push_back(message.text());
        break;
      case 5:
        function.outputs.push_back(message.text());
        break;
      case 6:
        function.attributes.push_back(message.text());
        break;
      case 7:
        function.nodes.push_back(
            read_node(WireMessage(message, "node", ordinal(function.nodes.size())), 1));
        break;
      case 9:
        read_opset(WireMessage(message, "opset"), function.opsets);
        break;
      case 10:
        function.domain = message.text();
        if (function.domain == "ai.onnx") function.domain.clear();
        break;
      case 11:
        function.defaults.push_back(read_attribute(
            WireMessage(message, "attribute", ordinal(function.defaults.size())), 1));
        break;
      case 13:
        function.overload = message.text();
        break;
      default:
        break;
    }
  }
  if (function.name.empty()) message.corrupt("expected a name, got none");
  return function;
}

}  // namespace

ModelProto read_model(const std::string& file, std::span<const std::byte> bytes,
                      std::shared_ptr<const void> memory) {
  WireMessage message(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  ModelProto model;
  model.memory = std::move(memory);
  bool has_graph = false;
  while (message.next()) {
    switch (message.field()) {
      case 1:
        model.ir_version = message.integer();
        break;
      case 2:
        model.producer_name = message.text();
        break;
      case 3:
        model.producer_version = message.text();
        break;
      case 6:
        model.doc = message.text();
        break;
      case 7:
        if (has_graph) message.corrupt("expected one graph, got two");
        model.graph = read_graph(WireMessage(message, "graph"), 1);
        has_graph = true;
        break;
      case 8:
        read_opset(WireMessage(message, "opset"), model.opsets);
        break;
      case 14: {
        auto [key, value] = read_pair(WireMessage(message, "metadata"));
        model.metadata.insert_or_assign(std::move(key), std::move(value));
        break;
      }
      case 25:
        model.functions.push_back(
            read_function(WireMessage(message, "function", ordinal(model.functions.size()))));
        break;
      default:
        break;
    }
  }
  if (!has_graph) message.corrupt("expected an ONNX model with a graph, got none");
  return model;
}

namespace {

/// Other files that are given for ONNX, by how they begin.
void check_kind(const std::string& path, std::string_view bytes) {
  const char* const other = io::is_container(bytes) ? "a .pare file, which io::load_graph reads"
                            : bytes.starts_with(io::kNpyMark) ? "an array of NumPy's"
                            : bytes.starts_with("PK\x03\x04") ? "a zip file"
                                                              : nullptr;
  PARE_CHECK(!other, corrupt_data, path, "expected an ONNX file, got {}", other);
}

}  // namespace

ModelProto read_model_file(const std::string& path) {
  io::FileReader reader(path);
  const auto size = static_cast<std::size_t>(reader.size());
  // Not initialised: the file's bytes follow.
  std::shared_ptr<std::byte[]> bytes(new (std::nothrow) std::byte[size]);
  if (!bytes) fail_out_of_memory(path, size);
  reader.read(bytes.get(), size, "the model");
  check_kind(path, {reinterpret_cast<const char*>(bytes.get()), size});
  return read_model(path, {bytes.get(), size}, bytes);
}

}  // namespace pare::onnx
