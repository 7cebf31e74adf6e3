// Parameter and Buffer: copies clone, assignments write in place.
#include "core/check.h"
#include "nn/extras.h"
#include "nn/retire.h"
#include "pare/core/context.h"
#include "pare/nn/module.h"

namespace pare::nn {
namespace {

bool same_kind(const Tensor& a, const Tensor& b) {
  return a.defined() && b.defined() && a.dtype() == b.dtype() && a.shape() == b.shape();
}

// The same leaves and steps, so that one's values can be written into the other's tensors.
bool same_structure(const Expression& a, const Expression& b) {
  if (a.leaves.size() != b.leaves.size() || a.steps.size() != b.steps.size()) return false;
  for (std::size_t i = 0; i < a.leaves.size(); ++i) {
    const auto& x = a.leaves[i];
    const auto& y = b.leaves[i];
    if (x.suffix != y.suffix || x.trainable != y.trainable || !same_kind(x.value, y.value))
      return false;
  }
  for (std::size_t i = 0; i < a.steps.size(); ++i) {
    const auto& x = a.steps[i];
    const auto& y = b.steps[i];
    if (x.call.op != y.call.op || x.inputs != y.inputs || !(x.call.attributes == y.call.attributes))
      return false;
  }
  return true;
}

Expression cloned(const Expression& from, bool trainable) {
  Expression result = from;
  for (auto& leaf : result.leaves) {
    leaf.value = leaf.value.clone();
    if (leaf.trainable && trainable) leaf.value.set_requires_grad();
  }
  return result;
}

void copy_leaves(const Expression& from, Expression& to) {
  const NoGrad scope;
  for (std::size_t i = 0; i < to.leaves.size(); ++i)
    if (!to.leaves[i].value.same_as(from.leaves[i].value))
      to.leaves[i].value.copy_from(from.leaves[i].value);
}

}  // namespace

void retire(const Expression& old, const Expression& now) {
  for (const auto& leaf : old.leaves) {
    bool kept = false;
    for (const auto& other : now.leaves) kept = kept || other.value.same_as(leaf.value);
    if (!kept) leaf.value.impl()->retired = true;
  }
}

Parameter::Parameter(const Parameter& other)
    : shape_(other.shape_),
      dtype_(other.dtype_),
      used_(other.used_),
      trainable_(other.trainable_),
      expression_(cloned(other.expression_, other.trainable_)) {}

Parameter& Parameter::operator=(const Parameter& other) {
  if (this == &other) return *this;
  if (same_structure(expression_, other.expression_)) {
    shape_ = other.shape_;
    dtype_ = other.dtype_;
    used_ = other.used_;
    copy_leaves(other.expression_, expression_);
    set_trainable(other.trainable_);
    return *this;
  }
  return *this = Parameter(other);
}

Parameter& Parameter::operator=(Parameter&& other) {
  if (this == &other) return *this;
  if (initialized() && same_structure(expression_, other.expression_))
    return *this = static_cast<const Parameter&>(other);
  retire(expression_, other.expression_);
  shape_ = other.shape_;
  dtype_ = other.dtype_;
  used_ = other.used_;
  trainable_ = other.trainable_;
  expression_ = std::exchange(other.expression_, {});
  return *this;
}

const std::shared_ptr<internal::ParameterHooks>& Parameter::hooks() {
  if (!hooks_) hooks_ = std::make_shared<internal::ParameterHooks>();
  return hooks_;
}

// The value as something computed, whose gradient the hooks see. A trace has no use for it.
Tensor Parameter::hooked(Tensor value) const {
  if (hooks_->hooks.empty() || !context().grad || context().tracer || !value.requires_grad())
    return value;
  return pare::hooked(value, [hooks = hooks_](const Tensor& g) { return hooks->shown(g); });
}

Tensor Parameter::value() const {
  if (hooks_ && initialized()) [[unlikely]]
    return hooked(expression_.value());
  if (expression_.steps.empty() && !expression_.leaves.empty())
    return expression_.leaves.front().value;
  if (expression_.leaves.empty()) {
    PARE_CHECK(!used_, invalid_state, "Parameter",
               "expected a value, got a parameter of shape {} that has none yet; call "
               "initialize(net, generator) or load a checkpoint first, and list it in members()",
               shape_);
    return {};
  }
  return expression_.value();
}

void Parameter::set(const Tensor& value) {
  PARE_CHECK(value.defined(), invalid_argument, "Parameter::set",
             "expected a tensor, got an undefined one");
  PARE_CHECK(!used_ || value.shape() == shape_, shape_mismatch, "Parameter::set",
             "expected shape {}, got {}", shape_, value.shape());
  if (!used_) dtype_ = value.dtype();
  const NoGrad scope;
  Expression plain;
  if (initialized() && expression_.leaves.front().value.shape() == value.shape() &&
      expression_.leaves.front().value.dtype() == dtype_) {
    plain.leaves.push_back({"", expression_.leaves.front().value, true});
  } else {
    plain.leaves.push_back({"", Tensor::empty(value.shape(), dtype_), true});
  }
  plain.leaves.front().value.copy_from(value);
  retire(expression_, plain);
  expression_ = std::move(plain);
  shape_ = value.shape();
  used_ = true;
  set_trainable(trainable_);
}

void Parameter::replace(Expression expression, Shape shape) {
  retire(expression_, expression);
  expression_ = std::move(expression);
  shape_ = std::move(shape);
  used_ = true;
  set_trainable(trainable_);
}

void Parameter::set_trainable(bool on) {
  trainable_ = on;
  for (auto& leaf : expression_.leaves) {
    if (!is_floating(leaf.value.dtype())) continue;
    leaf.value.set_requires_grad(on && leaf.trainable);
    if (!on) leaf.value.zero_grad();
  }
}

Buffer::Buffer(const Buffer& other)
    : value_(other.value_.defined() ? other.value_.clone() : Tensor()) {}

Buffer& Buffer::operator=(const Buffer& other) {
  if (this == &other || value_.same_as(other.value_)) return *this;
  if (same_kind(value_, other.value_)) {
    value_.copy_from(other.value_);
  } else {
    value_ = other.value_.defined() ? other.value_.clone() : Tensor();
  }
  return *this;
}

Buffer& Buffer::operator=(Buffer&& other) {
  if (same_kind(value_, other.value_)) return *this = static_cast<const Buffer&>(other);
  value_ = std::move(other.value_);
  return *this;
}

}  // namespace pare::nn
