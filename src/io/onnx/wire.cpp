// The protobuf wire format, strictly.
#include "io/onnx/wire.h"

#include <cstring>
#include <limits>
#include <protozero/exception.hpp>
#include <protozero/varint.hpp>

#include "core/check.h"

namespace pare::onnx {

WireMessage::WireMessage(const std::string& file, std::string_view bytes)
    : file_(file), first_(bytes.data()), at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

WireMessage::WireMessage(const WireMessage& outer, const char* what, std::int64_t index)
    : outer_(&outer), what_(what), index_(index), file_(outer.file_), first_(outer.first_) {
  const std::string_view inner = outer.bytes();
  at_ = inner.data();
  end_ = inner.data() + inner.size();
}

std::string WireMessage::place() const {
  if (!outer_) return std::string(file_);
  std::string text = fmt::format("{}: {}", outer_->place(), what_);
  if (index_ >= 0) text += fmt::format(" {}", index_);
  if (!name_.empty()) text += fmt::format(" '{}'", name_);
  return text;
}

void WireMessage::corrupt(const std::string& text) const {
  fail(ErrorCode::corrupt_data, place(), "{} (byte {})", text, at_ - first_);
}

std::uint64_t WireMessage::varint(const char*& at, const char* end) const {
  try {
    return protozero::decode_varint(&at, end);
  } catch (const protozero::end_of_buffer_exception&) {
    corrupt("expected a whole number, got the end of the data");
  } catch (const protozero::varint_too_long_exception&) {
    corrupt("expected a number of at most ten bytes, got a longer one");
  }
}

bool WireMessage::next() {
  if (at_ == end_) return false;
  const std::uint64_t key = varint(at_, end_);
  const std::uint64_t field = key >> 3U;
  if (field == 0 || field > 0x1fffffffU)
    corrupt(fmt::format("expected a field's number, got {}", field));
  field_ = static_cast<std::uint32_t>(field);
  const auto left = static_cast<std::uint64_t>(end_ - at_);
  std::uint64_t bytes = 0;
  switch (key & 7U) {
    case 0:
      type_ = Type::varint;
      number_ = varint(at_, end_);
      return true;
    case 1:
      type_ = Type::fixed64;
      bytes = 8;
      break;
    case 2:
      type_ = Type::length;
      bytes = varint(at_, end_);
      break;
    case 5:
      type_ = Type::fixed32;
      bytes = 4;
      break;
    default:
      corrupt(fmt::format("expected a wire type of 0, 1, 2 or 5 in field {}, got {}", field_,
                          key & 7U));
  }
  const auto here = type_ == Type::length ? static_cast<std::uint64_t>(end_ - at_) : left;
  if (bytes > here)
    corrupt(fmt::format("expected {} bytes of field {}, got {}", bytes, field_, here));
  view_ = {at_, bytes};
  at_ += bytes;
  return true;
}

void WireMessage::expect(Type type) const {
  if (type_ != type)
    corrupt(fmt::format("expected wire type {} of field {}, got {}", static_cast<int>(type), field_,
                        static_cast<int>(type_)));
}

std::int64_t WireMessage::integer() const {
  expect(Type::varint);
  return static_cast<std::int64_t>(number_);
}

float WireMessage::real() const {
  expect(Type::fixed32);
  float value = 0;
  std::memcpy(&value, view_.data(), sizeof value);
  return value;
}

std::string_view WireMessage::bytes() const {
  expect(Type::length);
  return view_;
}

template <class T> void WireMessage::append_varints(std::vector<T>& out) const {
  if (type_ == Type::varint) {
    out.push_back(static_cast<T>(number_));
    return;
  }
  const std::string_view packed = bytes();
  const char* at = packed.data();
  const char* const end = at + packed.size();
  while (at != end) out.push_back(static_cast<T>(varint(at, end)));
}

template <class T> void WireMessage::append_fixed(std::vector<T>& out, Type single) const {
  if (type_ != single) expect(Type::length);
  if (view_.size() % sizeof(T) != 0)
    corrupt(fmt::format("expected a multiple of {} bytes in field {}, got {}", sizeof(T), field_,
                        view_.size()));
  const std::size_t count = out.size();
  out.resize(count + view_.size() / sizeof(T));
  if (!view_.empty()) std::memcpy(out.data() + count, view_.data(), view_.size());
}

void WireMessage::integers(std::vector<std::int64_t>& out) const { append_varints(out); }
void WireMessage::integers(std::vector<std::int32_t>& out) const { append_varints(out); }
void WireMessage::integers(std::vector<std::uint64_t>& out) const { append_varints(out); }
void WireMessage::reals(std::vector<float>& out) const { append_fixed(out, Type::fixed32); }
void WireMessage::reals(std::vector<double>& out) const { append_fixed(out, Type::fixed64); }

}  // namespace pare::onnx
