// Ties between parameters, freezing by name, and counts.
#include "pare/nn/tie.h"

#include <algorithm>
#include <unordered_set>

#include "core/check.h"
#include "nn/extras.h"
#include "nn/retire.h"

namespace pare::nn {
namespace {

Parameter* find_parameter(Module& module, const std::string& name) {
  Parameter* found = nullptr;
  module.for_each_parameter([&](const std::string& candidate, Parameter& parameter) {
    if (candidate == name) found = &parameter;
  });
  return found;
}

Parameter& checked_parameter(Module& module, const std::string& name) {
  Parameter* const parameter = find_parameter(module, name);
  PARE_CHECK(parameter, invalid_argument, "tie", "expected the name of a parameter, got '{}'",
             name);
  PARE_CHECK(parameter->expression().steps.empty(), invalid_argument, "tie",
             "expected a plain parameter, got '{}', which is computed from {} leaves", name,
             parameter->expression().leaves.size());
  return *parameter;
}

const Tensor& leaf_of(const Parameter& parameter) {
  return parameter.expression().leaves.front().value;
}

// Gives `parameter`, and all that is tied to it already, the leaf of `with`.
std::vector<Replacement> join(Module& module, Parameter& parameter, const Parameter& with) {
  const Tensor old = leaf_of(parameter);
  const Tensor now = leaf_of(with);
  if (old.same_as(now)) return {};
  module.for_each_parameter([&](const std::string&, Parameter& other) {
    if (!other.expression().steps.empty() || !other.initialized() || !leaf_of(other).same_as(old))
      return;
    const Expression before = other.expression();
    other.expression().leaves.front().value = now;
    retire(before, other.expression());
    other.set_trainable(with.trainable());
  });
  return {{.old = old, .now = now, .kept = {}}};
}

// Whether the pattern is the name's or that of a part around it.
bool covers(std::string_view pattern, std::string_view name) {
  if (matches(pattern, name)) return true;
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos;
       dot = name.find('.', dot + 1))
    if (matches(pattern, name.substr(0, dot))) return true;
  return false;
}

// The name of the part that a parameter is a member of.
std::string part_of(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

std::int64_t set_trainable(Module& module, std::string_view pattern, bool on, const char* where) {
  std::unordered_set<std::string> left;  // parts with a parameter that the pattern passes over
  std::unordered_set<std::string> touched;
  std::unordered_set<const void*> leaves;
  std::int64_t count = 0;
  module.for_each_parameter([&](const std::string& name, Parameter& parameter) {
    if (!covers(pattern, name)) {
      left.insert(part_of(name));
      return;
    }
    touched.insert(part_of(name));
    parameter.set_trainable(on);
    for (const auto& leaf : parameter.expression().leaves) leaves.insert(leaf.value.impl());
    ++count;
  });
  // What is tied to these.
  module.for_each_parameter([&](const std::string&, Parameter& parameter) {
    if (parameter.trainable() != on && parameter.initialized() &&
        leaves.contains(leaf_of(parameter).impl()))
      parameter.set_trainable(on);
  });
  bool parts = false;
  module.for_each_module([&](const std::string& name, Module& part) {
    const std::string prefix = name.empty() ? "" : name + ".";
    count += part.set_leaves_trainable(
        [&](std::string_view leaf) { return covers(pattern, prefix + std::string(leaf)); }, on);
    const bool all = touched.contains(name) && !left.contains(name);
    if (!all && !covers(pattern, name)) return;
    part.set_mode(on);
    parts = true;
  });
  PARE_CHECK(count > 0 || parts, invalid_argument, where,
             "expected a pattern of parameters' or parts' names, got '{}', which matches none",
             pattern);
  return count;
}

}  // namespace

void internal::ModuleExtras::settle(Module& owner) {
  if (!pending) return;
  pending = false;  // the walks below come here again
  for (const auto& [name, with] : ties) {
    Parameter* const a = find_parameter(owner, name);
    Parameter* const b = find_parameter(owner, with);
    // The structure of a copy may have been changed before its first use.
    if (!a || !b || a->shape() != b->shape()) continue;
    if (!a->expression().steps.empty() || !b->expression().steps.empty()) continue;
    if (a->initialized() && b->initialized()) {
      join(owner, *a, *b);
    } else {
      pending = true;
    }
  }
}

std::vector<Replacement> tie(Module& module, const std::string& name, const std::string& with) {
  Parameter& a = checked_parameter(module, name);
  const Parameter& b = checked_parameter(module, with);
  PARE_CHECK(&a != &b, invalid_argument, "tie", "expected two parameters, got '{}' twice", name);
  PARE_CHECK(a.shape() == b.shape(), shape_mismatch, "tie",
             "expected '{}' to be of shape {} as '{}' is, got {}", name, b.shape(), with,
             a.shape());
  PARE_CHECK(a.dtype() == b.dtype(), dtype_mismatch, "tie",
             "expected '{}' to be {} as '{}' is, got {}", name, b.dtype(), with, a.dtype());
  internal::ModuleExtras& extras = module.extras().get();
  extras.ties.emplace_back(name, with);
  if (a.initialized() && b.initialized()) return join(module, a, b);
  extras.pending = true;
  return {};
}

bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0;
  std::size_t star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::int64_t freeze(Module& module, std::string_view pattern) {
  return set_trainable(module, pattern, false, "freeze");
}

std::int64_t unfreeze(Module& module, std::string_view pattern) {
  return set_trainable(module, pattern, true, "unfreeze");
}

ParameterCount count_parameters(Module& module) {
  ParameterCount count;
  std::unordered_set<const void*> seen;
  std::unordered_set<const void*> parameters;
  module.for_each_parameter([&](const std::string&, Parameter& parameter) {
    for (const auto& leaf : parameter.expression().leaves) parameters.insert(leaf.value.impl());
  });
  for (const NamedTensor& named : module.state()) {
    if (!seen.insert(named.tensor.impl()).second) continue;
    const std::int64_t elements = named.tensor.elements();
    if (named.trainable) {
      count.trainable += elements;
    } else if (parameters.contains(named.tensor.impl())) {
      count.frozen += elements;
    } else {
      count.buffers += elements;
    }
  }
  return count;
}

}  // namespace pare::nn
