// Reads a graph from bytes.
#include <algorithm>
#include <set>

#include "core/check.h"
#include "io/byte_reader.h"
#include "io/container.h"
#include "io/graph_encoding.h"

namespace pare::io {
namespace {

DType read_type(ByteReader& in) {
  const std::string at = in.place();
  const int number = in.u8();
  for (int i = 0; i < kDTypeCount; ++i)
    if (traits(static_cast<DType>(i)).onnx == number) return static_cast<DType>(i);
  fail(ErrorCode::corrupt_data, at, "expected an element type, got number {}", number);
}

int read_rank(ByteReader& in) {
  const std::string at = in.place();
  const int rank = in.u8();
  PARE_CHECK(rank <= Shape::kMaxRank, corrupt_data, at, "expected at most {} axes, got {}",
             Shape::kMaxRank, rank);
  return rank;
}

std::int64_t read_size(ByteReader& in) {
  const std::string at = in.place();
  const std::int64_t size = in.i64();
  PARE_CHECK(size >= 0, corrupt_data, at, "expected an axis of at least 0 elements, got {}", size);
  return size;
}

// One attribute as the file states it; which member is meant depends on the type.
struct StatedAttribute {
  std::uint8_t type = 0;
  bool truth = false;
  std::int64_t integer = 0;
  double number = 0;
  std::string text;
  DType dtype = DType::f32;
  std::vector<std::int64_t> integers;
  std::vector<double> numbers;
};
using StatedAttributes = std::map<std::string, StatedAttribute>;

StatedAttribute read_attribute(ByteReader& in) {
  StatedAttribute a;
  const std::string at = in.place();
  a.type = in.u8();
  switch (a.type) {
    case 0:
      a.truth = in.truth();
      break;
    case 1:
      a.integer = in.i64();
      break;
    case 2:
      a.number = in.f64();
      break;
    case 3:
      a.text = in.text();
      break;
    case 4:
      a.dtype = read_type(in);
      break;
    case 5:
      a.integers.resize(in.count(8, "integers"));
      for (std::int64_t& v : a.integers) v = in.i64();
      break;
    case 6:
      a.numbers.resize(in.count(8, "numbers"));
      for (double& v : a.numbers) v = in.f64();
      break;
    default:
      fail(ErrorCode::corrupt_data, at, "expected a type of attributes, 0 to 6, got {}", a.type);
  }
  return a;
}

// Sets the fields that the file states; others (of later versions of an op) keep their defaults.
class AttributeSetter final : public AttributeVisitor {
 public:
  AttributeSetter(const std::string& place, const StatedAttributes& stated)
      : place_(place), stated_(stated) {}
  using AttributeVisitor::operator();
  void operator()(const char* name, bool& v) override {
    if (const auto* a = find(name, 0)) v = a->truth;
  }
  void operator()(const char* name, std::int64_t& v) override {
    if (const auto* a = find(name, 1)) v = a->integer;
  }
  void operator()(const char* name, double& v) override {
    if (const auto* a = find(name, 2)) v = a->number;
  }
  void operator()(const char* name, std::string& v) override {
    if (const auto* a = find(name, 3)) v = a->text;
  }
  void operator()(const char* name, DType& v) override {
    if (const auto* a = find(name, 4)) v = a->dtype;
  }
  void operator()(const char* name, std::vector<std::int64_t>& v) override {
    if (const auto* a = find(name, 5)) v = a->integers;
  }
  void operator()(const char* name, std::vector<double>& v) override {
    if (const auto* a = find(name, 6)) v = a->numbers;
  }
  void operator()(const char* name, std::span<std::int64_t> v) override {
    const auto* a = find(name, 5);
    if (a == nullptr) return;
    PARE_CHECK(a->integers.size() == v.size(), corrupt_data, place_,
               "expected {} numbers as '{}', got {}", v.size(), name, a->integers.size());
    std::ranges::copy(a->integers, v.begin());
  }
  const std::set<std::string>& seen() const { return seen_; }

 private:
  const StatedAttribute* find(const char* name, std::uint8_t type) {
    seen_.insert(name);
    const auto at = stated_.find(name);
    if (at == stated_.end()) return nullptr;
    PARE_CHECK(at->second.type == type, corrupt_data, place_,
               "expected attribute '{}' of type {}, got {}", name, type, at->second.type);
    return &at->second;
  }

  const std::string& place_;
  const StatedAttributes& stated_;
  std::set<std::string> seen_;
};

class Decoder {
 public:
  Decoder(const std::string& where, std::string_view bytes, std::uint64_t tensor_bytes)
      : where_(where), in_(where, bytes), tensor_bytes_(tensor_bytes) {}

  EncodedGraph run() {
    read_tensors();
    read_values();
    const std::size_t nodes = in_.count(16, "nodes");
    graph_.nodes.reserve(nodes);
    for (std::size_t n = 0; n < nodes; ++n) read_node();
    graph_.outputs = read_numbers("outputs");
    graph_.output_names.resize(in_.count(4, "names of outputs"));
    for (std::string& name : graph_.output_names) name = in_.text();
    in_.expect_end();
    PARE_CHECK(refused_.empty(), unsupported, where_,
               "expected what this version of pare has, got {}", listed(refused_));
    return std::move(graph_);
  }

 private:
  void read_tensors() {
    const std::size_t count = in_.count(11, "tensors");
    graph_.tensors.reserve(count);
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string place = fmt::format("{}: tensor {}", where_, i);
      TensorPlace tensor;
      tensor.dtype = read_type(in_);
      const bool channels_last = in_.truth();
      tensor.format = channels_last ? MemoryFormat::channels_last : MemoryFormat::row_major;
      const int rank = read_rank(in_);
      PARE_CHECK(!channels_last || (rank >= 3 && rank <= 5), corrupt_data, place,
                 "expected 3 to 5 axes of a channels-last one, got {}", rank);
      std::uint64_t elements = 1;
      bool fits = true;
      for (int a = 0; a < rank; ++a) {
        tensor.shape.append(read_size(in_));
        const auto size = static_cast<std::uint64_t>(tensor.shape[a]);
        fits = !__builtin_mul_overflow(elements, size, &elements) && fits;
      }
      std::uint64_t bits = 0;
      const auto each = static_cast<std::uint64_t>(traits(tensor.dtype).bits);
      fits = fits && !__builtin_mul_overflow(elements, each, &bits);
      tensor.bytes = bits / 8 + (bits % 8 != 0 ? 1 : 0);
      tensor.offset = in_.u64();
      PARE_CHECK(tensor.offset == aligned(end), corrupt_data, place,
                 "expected it at byte {} of the tensors, got {}", aligned(end), tensor.offset);
      PARE_CHECK(
          fits && tensor.offset <= tensor_bytes_ && tensor.bytes <= tensor_bytes_ - tensor.offset,
          corrupt_data, place, "expected {} {} within {} bytes of tensors, got more", tensor.dtype,
          tensor.shape, tensor_bytes_);
      end = tensor.offset + tensor.bytes;
      graph_.tensors.push_back(std::move(tensor));
    }
    PARE_CHECK(end == tensor_bytes_, corrupt_data, where_,
               "expected tensors of {} bytes together, got {}", end, tensor_bytes_);
  }

  void read_values() {
    const std::size_t count = in_.count(5, "values");
    graph_.values.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string place = in_.place();
      EncodedGraph::Value value;
      const int kind = in_.u8();
      PARE_CHECK(kind <= static_cast<int>(Graph::Kind::result), corrupt_data, place,
                 "expected a kind of values, 0 to 4, got {}", kind);
      value.kind = static_cast<Graph::Kind>(kind);
      value.name = in_.text();
      if (value.kind == Graph::Kind::input) {
        value.dtype = read_type(in_);
        read_shape(value.shape);
      } else if (value.kind != Graph::Kind::result) {
        value.trainable = in_.truth();
        value.tensor = in_.u32();
        PARE_CHECK(value.tensor < graph_.tensors.size(), corrupt_data, place,
                   "expected a tensor below {} for '{}', got {}", graph_.tensors.size(), value.name,
                   value.tensor);
        value.dtype = graph_.tensors[value.tensor].dtype;
        PARE_CHECK(
            !value.trainable || (value.kind == Graph::Kind::parameter && is_floating(value.dtype)),
            corrupt_data, place, "expected a floating parameter to be trained, got '{}'",
            value.name);
      }
      graph_.values.push_back(std::move(value));
    }
  }

  void read_shape(Shape& shape) {
    const int rank = read_rank(in_);
    for (int a = 0; a < rank; ++a) {
      if (!in_.truth()) {
        shape.append(read_size(in_));
        continue;
      }
      const std::string at = in_.place();
      const std::string symbol = in_.text();
      PARE_CHECK(!symbol.empty(), corrupt_data, at, "expected a symbol's name, got none");
      shape.append_symbol(symbol);
    }
  }

  void read_node() {
    EncodedGraph::Node node;
    node.name = in_.text();
    const std::string op = in_.text();
    node.call.op = find_op(op);
    const std::string place = fmt::format("{}: node '{}' ({})", where_, node.name, op);
    StatedAttributes stated;
    const std::size_t count = in_.count(6, "attributes");
    for (std::size_t i = 0; i < count; ++i) {
      std::string name = in_.text();
      const bool fresh = stated.emplace(name, read_attribute(in_)).second;
      PARE_CHECK(fresh, corrupt_data, place, "expected every attribute once, got '{}' twice", name);
    }
    node.inputs = read_numbers("inputs");
    if (node.call.op == nullptr) {
      refused_.push_back(fmt::format("the op '{}' of node '{}'", op, node.name));
    } else {
      set_attributes(node, place, stated);
    }
    graph_.nodes.push_back(std::move(node));
  }

  void set_attributes(EncodedGraph::Node& node, const std::string& place,
                      const StatedAttributes& stated) {
    AttributeSetter setter(place, stated);
    if (node.call.op->defaults != nullptr)
      node.call.attributes = node.call.op->defaults().rewritten(setter);
    for (const auto& [name, value] : stated)
      if (!setter.seen().contains(name))
        refused_.push_back(fmt::format("the attribute '{}' of node '{}' ({})", name, node.name,
                                       node.call.op->name));
  }

  std::vector<int> read_numbers(std::string_view what) {
    std::vector<int> numbers(in_.count(4, what));
    for (int& n : numbers) n = in_.i32();
    return numbers;
  }

  const std::string& where_;
  ByteReader in_;
  std::uint64_t tensor_bytes_;
  EncodedGraph graph_;
  std::vector<std::string> refused_;
};

}  // namespace

EncodedGraph decode_graph(const std::string& where, std::string_view bytes,
                          std::uint64_t tensor_bytes) {
  return Decoder(where, bytes, tensor_bytes).run();
}

std::map<std::string, std::string> decode_texts(const std::string& where, std::string_view bytes) {
  ByteReader in(where, bytes);
  std::map<std::string, std::string> texts;
  const std::size_t count = in.count(8, "pairs of text");
  for (std::size_t i = 0; i < count; ++i) {
    const std::string at = in.place();
    std::string key = in.text();
    const bool fresh = texts.emplace(key, in.text()).second;
    PARE_CHECK(fresh, corrupt_data, at, "expected every key once, got '{}' twice", key);
  }
  in.expect_end();
  return texts;
}

}  // namespace pare::io
