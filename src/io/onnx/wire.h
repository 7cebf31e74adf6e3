// WireMessage: one protobuf message of a file, field by field; what is malformed is refused with
// its place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pare::onnx {

/// Errors are corrupt_data, "<file>: <outer>: <this>: expected …, got … (byte …)".
class WireMessage {
 public:
  /// The outermost one. `file` and `bytes` must outlive it.
  WireMessage(const std::string& file, std::string_view bytes);
  /// The present field of `outer` as a message; `index` where it is one of many, else −1.
  WireMessage(const WireMessage& outer, const char* what, std::int64_t index = -1);

  /// Goes to the next field, false at the end.
  bool next();
  std::uint32_t field() const { return field_; }

  // The present field; refused where it is of another wire type.
  std::int64_t integer() const;
  float real() const;
  std::string_view bytes() const;
  std::string text() const { return std::string(bytes()); }
  // Lists, packed or one by one: append.
  void integers(std::vector<std::int64_t>& out) const;
  void integers(std::vector<std::int32_t>& out) const;
  void integers(std::vector<std::uint64_t>& out) const;
  void reals(std::vector<float>& out) const;
  void reals(std::vector<double>& out) const;

  /// Known from here on as "node 3 'conv'".
  void set_name(std::string_view name) { name_ = name; }
  /// Where this is, for errors: "model.onnx: graph: node 3 'conv'".
  std::string place() const;
  [[noreturn]] void corrupt(const std::string& text) const;

 private:
  enum class Type : std::uint8_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };

  std::uint64_t varint(const char*& at, const char* end) const;
  void expect(Type type) const;
  template <class T> void append_varints(std::vector<T>& out) const;
  template <class T> void append_fixed(std::vector<T>& out, Type single) const;

  const WireMessage* outer_ = nullptr;
  const char* what_ = "";
  std::int64_t index_ = -1;
  std::string_view name_;
  std::string_view file_;
  const char* first_;  // of the file
  const char* at_;
  const char* end_;

  std::uint32_t field_ = 0;
  Type type_ = Type::varint;
  std::uint64_t number_ = 0;  // of a varint
  std::string_view view_;     // of the others
};

}  // namespace pare::onnx
