// Writes a graph as bytes.
#include <bit>
#include <unordered_map>

#include "core/check.h"
#include "core/little_endian.h"
#include "io/container.h"
#include "io/graph_encoding.h"

namespace pare::io {
namespace {

using little_endian::append;

void append_text(std::string& out, std::string_view text) {
  append(out, text.size(), 4);
  out += text;
}

void append_type(std::string& out, DType dtype) {
  append(out, static_cast<std::uint64_t>(traits(dtype).onnx), 1);
}

void append_integer(std::string& out, std::int64_t value) {
  append(out, static_cast<std::uint64_t>(value), 8);
}

class AttributeWriter final : public AttributeVisitor {
 public:
  using AttributeVisitor::operator();
  void operator()(const char* name, bool& v) override {
    begin(name, 0);
    append(text, v ? 1 : 0, 1);
  }
  void operator()(const char* name, std::int64_t& v) override {
    begin(name, 1);
    append_integer(text, v);
  }
  void operator()(const char* name, double& v) override {
    begin(name, 2);
    append(text, std::bit_cast<std::uint64_t>(v), 8);
  }
  void operator()(const char* name, std::string& v) override {
    begin(name, 3);
    append_text(text, v);
  }
  void operator()(const char* name, DType& v) override {
    begin(name, 4);
    append_type(text, v);
  }
  void operator()(const char* name, std::vector<std::int64_t>& v) override {
    (*this)(name, std::span<std::int64_t>(v));
  }
  void operator()(const char* name, std::vector<double>& v) override {
    begin(name, 6);
    append(text, v.size(), 4);
    for (const double x : v) append(text, std::bit_cast<std::uint64_t>(x), 8);
  }
  void operator()(const char* name, std::span<std::int64_t> v) override {
    begin(name, 5);
    append(text, v.size(), 4);
    for (const std::int64_t x : v) append_integer(text, x);
  }

  std::string text;
  std::uint64_t count = 0;

 private:
  void begin(const char* name, unsigned type) {
    append_text(text, name);
    append(text, type, 1);
    ++count;
  }
};

// Numbers the tensors of the leaves, each once, and states their places.
class TensorTable {
 public:
  explicit TensorTable(Tensors& tensors) : tensors_(tensors) {}

  std::uint64_t number_of(const Tensor& tensor) {
    const auto [at, fresh] = numbers_.try_emplace(tensor.impl(), tensors_.size());
    if (!fresh) return at->second;
    tensors_.push_back(tensor);
    append_type(text_, tensor.dtype());
    append(text_, tensor.channels_last() ? 1 : 0, 1);
    append(text_, static_cast<std::uint64_t>(tensor.rank()), 1);
    for (int a = 0; a < tensor.rank(); ++a) append_integer(text_, tensor.dim(a));
    end_ = aligned(end_);
    append(text_, end_, 8);
    end_ += tensor.bytes();
    return at->second;
  }

  std::string text() const {
    std::string all;
    append(all, tensors_.size(), 4);
    return all + text_;
  }

 private:
  Tensors& tensors_;
  std::unordered_map<const detail::TensorImpl*, std::size_t> numbers_;
  std::string text_;
  std::uint64_t end_ = 0;
};

void append_shape(std::string& out, const Shape& shape) {
  append(out, static_cast<std::uint64_t>(shape.rank()), 1);
  for (int a = 0; a < shape.rank(); ++a) {
    append(out, shape.symbolic(a) ? 1 : 0, 1);
    if (shape.symbolic(a)) {
      append_text(out, shape.symbol(a));
    } else {
      append_integer(out, shape[a]);
    }
  }
}

void append_value(std::string& out, const Graph::Value& value, TensorTable& tensors) {
  append(out, static_cast<std::uint64_t>(value.kind), 1);
  append_text(out, value.name);
  if (value.kind == Graph::Kind::input) {
    append_type(out, value.dtype);
    append_shape(out, value.shape);
  } else if (value.is_leaf()) {
    append(out, value.trainable ? 1 : 0, 1);
    append(out, tensors.number_of(value.tensor), 4);
  }
}

void append_numbers(std::string& out, const std::vector<int>& values) {
  append(out, values.size(), 4);
  for (const int v : values) append(out, static_cast<std::uint32_t>(v), 4);
}

void append_output_names(std::string& out, const Graph& graph) {
  const std::vector<std::string> names = graph.output_names();
  bool own = false;
  for (std::size_t k = 0; k < names.size(); ++k)
    own = own || names[k] != graph.value(graph.outputs()[k]).name;
  append(out, own ? names.size() : 0, 4);
  for (std::size_t k = 0; own && k < names.size(); ++k) append_text(out, names[k]);
}

void append_node(std::string& out, const Graph::Node& node) {
  append_text(out, node.name);
  append_text(out, node.call.op->name);
  AttributeWriter writer;
  node.call.attributes.visit(writer);
  append(out, writer.count, 4);
  out += writer.text;
  append_numbers(out, node.inputs);
}

}  // namespace

static_assert(static_cast<int>(Graph::Kind::result) == 4, "kinds are written by their numbers");

std::string encode_graph(const Graph& graph, Tensors& tensors) {
  TensorTable table(tensors);
  std::string values, nodes;
  append(values, graph.values().size(), 4);
  for (const Graph::Value& value : graph.values()) append_value(values, value, table);
  append(nodes, graph.nodes().size(), 4);
  for (const Graph::Node& node : graph.nodes()) append_node(nodes, node);
  append_numbers(nodes, graph.outputs());
  append_output_names(nodes, graph);
  return table.text() + values + nodes;
}

std::string encode_texts(const std::map<std::string, std::string>& texts) {
  std::string out;
  append(out, texts.size(), 4);
  for (const auto& [key, value] : texts) {
    append_text(out, key);
    append_text(out, value);
  }
  return out;
}

}  // namespace pare::io
