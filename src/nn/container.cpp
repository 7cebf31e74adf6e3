// AnyModule and the containers of modules: modules as values.
#include "pare/nn/container.h"

#include <algorithm>
#include <typeinfo>

#include "core/check.h"
#include "nn/retire.h"

namespace pare::nn {
namespace {

bool same_type(const Module& a, const Module& b) { return typeid(a) == typeid(b); }

}  // namespace

AnyModule& AnyModule::operator=(const AnyModule& other) {
  if (this == &other) return *this;
  if (module_ && other.module_ && same_type(*module_, *other.module_)) {
    assign_(*module_, *other.module_);
    return *this;
  }
  return *this = AnyModule(other);
}

AnyModule& AnyModule::operator=(AnyModule&& other) {
  if (this == &other) return *this;
  if (module_ && other.module_ && same_type(*module_, *other.module_)) {
    assign_(*module_, *other.module_);
    return *this;
  }
  if (module_) retire(*module_);
  module_ = std::move(other.module_);
  clone_ = other.clone_;
  assign_ = other.assign_;
  return *this;
}

void AnyModule::wrong_type() const {
  fail(ErrorCode::invalid_argument, "AnyModule::as",
       "expected the type of the module that is held, a {}, got another", module_->kind());
}

Parts& Parts::operator=(const Parts& other) {
  if (this == &other) return *this;
  Module::operator=(other);
  const bool same = std::equal(entries_.begin(), entries_.end(), other.entries_.begin(),
                               other.entries_.end(), [](const Entry& a, const Entry& b) {
                                 return a.first == b.first && same_type(*a.second, *b.second);
                               });
  if (!same) {
    std::vector<Entry> copies = other.entries_;
    retire(*this);
    entries_.swap(copies);
    return *this;
  }
  for (std::size_t i = 0; i < entries_.size(); ++i) entries_[i].second = other.entries_[i].second;
  return *this;
}

// Moving would leave optimizers with tensors that nothing reads any more.
Parts& Parts::operator=(Parts&& other) {
  if (entries_.empty()) {
    entries_.swap(other.entries_);
    return *this;
  }
  return *this = static_cast<const Parts&>(other);
}

void Parts::add(AnyModule part) { add(std::to_string(size()), std::move(part)); }

void Parts::add(std::string name, AnyModule part) {
  PARE_CHECK(!name.empty() && name.find('.') == std::string::npos, invalid_argument, kind(),
             "expected a name without dots, got '{}'", name);
  for (const auto& entry : entries_)
    PARE_CHECK(entry.first != name, invalid_argument, kind(),
               "expected names that differ, got '{}' twice", name);
  entries_.emplace_back(std::move(name), std::move(part));
}

const AnyModule& Parts::operator[](int index) const {
  PARE_CHECK(index >= 0 && index < size(), out_of_range, kind(),
             "expected a part from 0 to {}, got {}", size() - 1, index);
  return entries_[static_cast<std::size_t>(index)].second;
}

const AnyModule& Parts::operator[](std::string_view name) const {
  for (const auto& entry : entries_)
    if (entry.first == name) return entry.second;
  fail(ErrorCode::out_of_range, kind(), "expected the name of a part, got '{}'", name);
}

void Parts::members(Members& m) {
  for (auto& [name, part] : entries_) m(name, *part);
}

Sequential::Sequential(std::initializer_list<Entry> entries) {
  for (const auto& [name, part] : entries) add(name, part);
}

Tensor Sequential::forward(const Tensor& x) {
  Tensor y = x;
  for (const auto& entry : entries()) y = (*entry.second)(y);
  return y;
}

std::string Sequential::kind() const { return "Sequential"; }

std::string ModuleList::kind() const { return "ModuleList"; }

ModuleDict::ModuleDict(std::initializer_list<Entry> entries) {
  for (const auto& [name, part] : entries) add(name, part);
}

std::string ModuleDict::kind() const { return "ModuleDict"; }

}  // namespace pare::nn
