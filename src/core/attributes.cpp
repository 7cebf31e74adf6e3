// Attributes: visiting, printing, comparing.
#include "pare/core/attributes.h"

#include <limits>

#include "core/check.h"

namespace pare {
namespace {

// Writes every field, doubles with all their digits.
class Printer final : public AttributeVisitor {
 public:
  void operator()(const char* name, bool& v) override { add(name, v ? "true" : "false"); }
  void operator()(const char* name, std::int64_t& v) override { add(name, std::to_string(v)); }
  void operator()(const char* name, double& v) override { add(name, fmt::format("{}", v)); }
  void operator()(const char* name, std::string& v) override { add(name, '"' + v + '"'); }
  void operator()(const char* name, DType& v) override { add(name, traits(v).name); }
  void operator()(const char* name, std::vector<std::int64_t>& v) override {
    add(name, '[' + listed(v) + ']');
  }
  void operator()(const char* name, std::vector<double>& v) override {
    add(name, '[' + listed(v) + ']');
  }
  void operator()(const char* name, std::span<std::int64_t> v) override {
    add(name, '[' + listed(v) + ']');
  }
  std::string text;

 private:
  void add(const char* name, const std::string& value) {
    if (!text.empty()) text += ", ";
    text += name;
    text += '=';
    text += value;
  }
};

}  // namespace

AttributeVisitor::~AttributeVisitor() = default;

namespace detail {
AttributeBox::~AttributeBox() = default;
void AttributeBox::destroy(AttributeBox* box) { delete box; }
}  // namespace detail

Attributes Attributes::rewritten(AttributeVisitor& writer) const {
  Attributes out;
  if (!box_) return out;
  out.box_ = box_->copy();
  out.box_->visit(writer);
  return out;
}

std::string Attributes::to_string() const {
  Printer printer;
  visit(printer);
  return printer.text;
}

bool Attributes::operator==(const Attributes& other) const {
  if (box_ == other.box_) return true;
  if (!box_ || !other.box_ || *box_->type != *other.box_->type) return false;
  return to_string() == other.to_string();
}

void Attributes::wrong_type(const std::type_info& asked) const {
  fail(ErrorCode::internal, "attributes", "expected {}, got {}", asked.name(),
       box_ ? box_->type->name() : "none");
}

}  // namespace pare
