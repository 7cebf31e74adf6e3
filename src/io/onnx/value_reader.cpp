// Reading of tensors and types of values.
#include "io/onnx/value_reader.h"

#include "core/check.h"

namespace pare::onnx {
namespace {

std::int64_t parse_size(const WireMessage& message, const std::string& key,
                        const std::string& text) {
  std::int64_t value = 0;
  bool good = !text.empty() && text.size() <= 19;
  for (const char c : text) good = good && c >= '0' && c <= '9';
  for (std::size_t i = 0; good && i < text.size(); ++i)
    good = !__builtin_mul_overflow(value, std::int64_t{10}, &value) &&
           !__builtin_add_overflow(value, std::int64_t{text[i] - '0'}, &value);
  if (!good) message.corrupt(fmt::format("expected a number as {}, got '{}'", key, text));
  return value;
}

void read_external(const WireMessage& tensor, TensorProto::External& external) {
  const auto [key, value] = read_pair(WireMessage(tensor, "external data"));
  if (key == "location") external.location = value;
  if (key == "offset") external.offset = parse_size(tensor, key, value);
  if (key == "length") external.length = parse_size(tensor, key, value);
}

ValueInfo::Dimension read_dimension(WireMessage message) {
  ValueInfo::Dimension dimension;
  while (message.next()) {
    if (message.field() == 1) {
      dimension.size = message.integer();
      // Paddle writes −1 for what is not known.
      if (dimension.size < -1)
        message.corrupt(fmt::format("expected a size of at least 0, got {}", dimension.size));
    }
    if (message.field() == 2) dimension.symbol = message.text();
  }
  return dimension;
}

void read_tensor_type(WireMessage message, ValueInfo& value) {
  while (message.next()) {
    if (message.field() == 1) value.type = static_cast<ElementType>(message.integer());
    if (message.field() != 2) continue;
    value.has_shape = true;
    value.shape.clear();
    WireMessage shape(message, "shape");
    while (shape.next())
      if (shape.field() == 1)
        value.shape.push_back(
            read_dimension(WireMessage(shape, "dimension", ordinal(value.shape.size()))));
  }
}

}  // namespace

std::pair<std::string, std::string> read_pair(WireMessage message) {
  std::pair<std::string, std::string> pair;
  while (message.next()) {
    if (message.field() == 1) pair.first = message.text();
    if (message.field() == 2) pair.second = message.text();
  }
  return pair;
}

TensorProto read_tensor(WireMessage message) {
  TensorProto tensor;
  bool is_external = false;
  while (message.next()) {
    switch (message.field()) {
      case 1:
        message.integers(tensor.dims);
        break;
      case 2:
        tensor.type = static_cast<ElementType>(message.integer());
        break;
      case 3:
        message.corrupt("expected a whole tensor, got a segment of one");
      case 4:
        message.reals(tensor.floats);
        break;
      case 5:
        message.integers(tensor.int32s);
        break;
      case 6:
        tensor.strings.push_back(message.text());
        break;
      case 7:
        message.integers(tensor.int64s);
        break;
      case 8:
        tensor.name = message.text();
        message.set_name(tensor.name);
        break;
      case 9: {
        const std::string_view raw = message.bytes();
        tensor.raw = {reinterpret_cast<const std::byte*>(raw.data()), raw.size()};
        break;
      }
      case 10:
        message.reals(tensor.doubles);
        break;
      case 11:
        message.integers(tensor.uint64s);
        break;
      case 13:
        read_external(message, tensor.external);
        break;
      case 14:
        is_external = message.integer() == 1;
        break;
      default:
        break;
    }
  }
  for (const std::int64_t size : tensor.dims)
    if (size < 0) message.corrupt(fmt::format("expected sizes of at least 0, got {}", size));
  if (is_external && tensor.external.location.empty())
    message.corrupt("expected the location of external data, got none");
  if (!is_external) tensor.external = {};
  return tensor;
}

ValueInfo read_value(WireMessage message) {
  ValueInfo value;
  while (message.next()) {
    if (message.field() == 1) {
      value.name = message.text();
      message.set_name(value.name);
    }
    if (message.field() != 2) continue;
    WireMessage type(message, "type");
    while (type.next()) {
      switch (type.field()) {
        case 1:
          read_tensor_type(WireMessage(type, "tensor type"), value);
          break;
        case 4:
          value.other = "sequence";
          break;
        case 5:
          value.other = "map";
          break;
        case 7:
          value.other = "opaque";
          break;
        case 8:
          value.other = "sparse tensor";
          break;
        case 9:
          value.other = "optional";
          break;
        default:
          break;
      }
    }
  }
  if (value.name.empty()) message.corrupt("expected a name, got none");
  return value;
}

}  // namespace pare::onnx
