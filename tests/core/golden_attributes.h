// Attributes of golden cases: their fields from a list of numbers.
#pragma once

#include <algorithm>
#include <vector>

#include "pare/core/op.h"

namespace pare::test {

/// The attributes of `op` with its fields set in their order: one number each, an array its
/// elements, a vector its length and its elements.
inline Attributes attributes_from(const OpDef& op, const std::vector<double>& numbers) {
  struct Writer final : AttributeVisitor {
    explicit Writer(const std::vector<double>& n) : numbers(n) {}
    const std::vector<double>& numbers;
    std::size_t next = 0;
    double take() { return numbers.at(next++); }
    std::int64_t take_integer() { return static_cast<std::int64_t>(take()); }
    void operator()(const char*, bool& v) override { v = take() != 0; }
    void operator()(const char*, std::int64_t& v) override { v = take_integer(); }
    void operator()(const char*, double& v) override { v = take(); }
    void operator()(const char*, std::string&) override { take(); }
    void operator()(const char*, DType&) override { take(); }
    void operator()(const char*, std::vector<std::int64_t>& v) override {
      v.resize(static_cast<std::size_t>(take_integer()));
      std::generate(v.begin(), v.end(), [&] { return take_integer(); });
    }
    void operator()(const char*, std::vector<double>& v) override {
      v.resize(static_cast<std::size_t>(take_integer()));
      std::generate(v.begin(), v.end(), [&] { return take(); });
    }
    void operator()(const char*, std::span<std::int64_t> v) override {
      std::generate(v.begin(), v.end(), [&] { return take_integer(); });
    }
  } writer(numbers);
  return op.defaults().rewritten(writer);
}

}  // namespace pare::test
