// Attributes: an op's typed, immutable settings, which list their fields once.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <typeinfo>
#include <vector>

#include "pare/core/dtype.h"
#include "pare/core/export.h"
#include "pare/core/ref.h"

namespace pare {

/// Sees every field of an attribute struct: printing, comparing, files and ONNX are visitors.
/// A visitor that reads leaves the fields as they are; one that restores from a file sets them.
class PARE_API AttributeVisitor {
 public:
  virtual ~AttributeVisitor();
  virtual void operator()(const char* name, bool& value) = 0;
  virtual void operator()(const char* name, std::int64_t& value) = 0;
  virtual void operator()(const char* name, double& value) = 0;
  virtual void operator()(const char* name, std::string& value) = 0;
  virtual void operator()(const char* name, DType& value) = 0;
  virtual void operator()(const char* name, std::vector<std::int64_t>& value) = 0;
  virtual void operator()(const char* name, std::vector<double>& value) = 0;
  /// Arrays of fixed length.
  virtual void operator()(const char* name, std::span<std::int64_t> value) = 0;
  template <std::size_t N> void operator()(const char* name, std::array<std::int64_t, N>& value) {
    (*this)(name, std::span<std::int64_t>(value));
  }
};

namespace detail {
struct PARE_API AttributeBox : RefCounted {
  explicit AttributeBox(const std::type_info& t) : type(&t) {}
  virtual ~AttributeBox();
  virtual void visit(AttributeVisitor& visitor) = 0;
  virtual Ref<AttributeBox> copy() const = 0;
  static void destroy(AttributeBox* box);
  const std::type_info* type;
};
template <class T> struct AttributeBoxOf final : AttributeBox {
  explicit AttributeBoxOf(T v) : AttributeBox(typeid(T)), value(std::move(v)) {}
  void visit(AttributeVisitor& visitor) override { value.fields(visitor); }
  Ref<AttributeBox> copy() const override {
    return Ref<AttributeBox>(new AttributeBoxOf<T>(value));
  }
  T value;
};
}  // namespace detail

/// Holds any struct with `void fields(AttributeVisitor& visit) { visit("stride", stride); … }`.
/// Copies share; empty for an op without settings.
class PARE_API Attributes {
 public:
  Attributes() = default;
  template <class T> static Attributes of(T value) {
    Attributes a;
    a.box_ = detail::Ref<detail::AttributeBox>(new detail::AttributeBoxOf<T>(std::move(value)));
    return a;
  }
  /// The struct. Throws `internal` if it is another one.
  template <class T> const T& as() const {
    if (!box_ || (box_->type != &typeid(T) && *box_->type != typeid(T))) wrong_type(typeid(T));
    return static_cast<const detail::AttributeBoxOf<T>&>(*box_).value;
  }
  explicit operator bool() const { return static_cast<bool>(box_); }
  /// Shows every field to a reading visitor.
  void visit(AttributeVisitor& reader) const {
    if (box_) box_->visit(reader);
  }
  /// A copy whose fields `writer` has set.
  Attributes rewritten(AttributeVisitor& writer) const;
  /// "stride=[1, 1], groups=1"; exact, so that equal texts mean equal attributes.
  std::string to_string() const;
  bool operator==(const Attributes& other) const;

 private:
  [[noreturn]] void wrong_type(const std::type_info& asked) const;
  detail::Ref<detail::AttributeBox> box_;
};

}  // namespace pare
