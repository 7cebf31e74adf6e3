// Module, Parameter and Buffer: how a network is written.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pare/core/context.h"
#include "pare/core/expression.h"
#include "pare/core/generator.h"
#include "pare/core/op.h"
#include "pare/core/tensor.h"

namespace pare::nn {

namespace internal {
struct ParameterHooks;
struct ModuleExtras;
}  // namespace internal

/// A slot for a trained tensor, plain or computed from leaves (masked, fake-quantized, …).
/// Copying it clones the leaves; assignment writes into the existing tensors where the shapes and
/// the structure agree, so that optimizers and tied handles stay valid.
class PARE_API Parameter {
 public:
  Parameter() = default;
  /// Fixes the shape. Reading it before `initialize` (or loading) is an error.
  explicit Parameter(Shape shape, DType dtype = DType::f32)
      : shape_(std::move(shape)), dtype_(dtype), used_(true) {}
  Parameter(const Parameter& other);
  Parameter(Parameter&&) noexcept = default;
  Parameter& operator=(const Parameter& other);
  Parameter& operator=(Parameter&& other);

  /// The value: evaluates the expression. Throws invalid_state before initialization.
  operator Tensor() const { return value(); }
  Tensor value() const;
  /// Whether the slot is used at all (a layer without bias has an empty one, whose value is an
  /// undefined tensor).
  bool defined() const { return used_; }
  bool initialized() const { return !expression_.leaves.empty(); }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  /// Makes it one plain leaf holding `value`, in place where the first leaf has its shape; other
  /// leaves are retired. Throws shape_mismatch.
  void set(const Tensor& value);
  /// Structural edits go through this. The result must keep the parameter's shape.
  Expression& expression() { return expression_; }
  const Expression& expression() const { return expression_; }
  /// For a structural edit that changes the shape (removal of channels). Leaves that `expression`
  /// does not hold are retired.
  void replace(Expression expression, Shape shape);
  /// Frozen parameters want no gradient.
  void set_trainable(bool on);
  bool trainable() const { return trainable_; }
  /// Made where there are none; see nn::register_gradient_hook.
  const std::shared_ptr<internal::ParameterHooks>& hooks();

 private:
  Tensor hooked(Tensor value) const;
  Shape shape_;
  DType dtype_ = DType::f32;
  bool used_ = false;
  bool trainable_ = true;
  Expression expression_;
  std::shared_ptr<internal::ParameterHooks> hooks_;  ///< stay with this slot
};

/// A tensor that is saved with the module but not trained (running statistics). Copying clones;
/// assignment writes in place.
class PARE_API Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Tensor value) : value_(std::move(value)) {}
  Buffer(const Buffer& other);
  Buffer(Buffer&&) noexcept = default;
  Buffer& operator=(const Buffer& other);
  Buffer& operator=(Buffer&& other);
  operator const Tensor&() const { return value_; }
  const Tensor& value() const { return value_; }
  Tensor& value() { return value_; }
  bool defined() const { return value_.defined(); }

 private:
  Tensor value_;
};

class Module;

/// Sees the members of a module, in their order.
class PARE_API Members {
 public:
  virtual ~Members();
  Members& operator()(std::string_view name, Module& module);
  /// Slots that are not used (no bias) are passed over.
  Members& operator()(std::string_view name, Parameter& parameter) {
    if (parameter.defined()) on_parameter(name, parameter);
    return *this;
  }
  Members& operator()(std::string_view name, Buffer& buffer) {
    if (buffer.defined()) on_buffer(name, buffer);
    return *this;
  }
  /// A leaf tensor without a slot: what a Graph is made of.
  Members& leaf(std::string_view name, Tensor& tensor, bool trainable) {
    on_leaf(name, tensor, trainable);
    return *this;
  }

 protected:
  virtual void on_module(std::string_view name, Module& module) = 0;
  virtual void on_parameter(std::string_view name, Parameter& parameter) = 0;
  virtual void on_buffer(std::string_view name, Buffer& buffer) = 0;
  virtual void on_leaf(std::string_view name, Tensor& tensor, bool trainable) = 0;
};

/// A leaf of a parameter, or a buffer, with its dotted name ("layer1.0.conv1.weight_orig").
struct NamedTensor {
  std::string name;
  Tensor tensor;
  bool trainable;
};

namespace internal {

/// What a module has besides its members: hooks and ties. Hooks stay with the object they were
/// put on; ties go along with copies, where they hold from the first use on.
class PARE_API Extras {
 public:
  Extras() = default;
  Extras(const Extras& other) {
    if (other.extras_) take_ties(other);
  }
  Extras(Extras&&) noexcept = default;
  Extras& operator=(const Extras& other) {
    if (this != &other && other.extras_) take_ties(other);
    return *this;
  }
  Extras& operator=(Extras&& other) noexcept {
    if (!extras_) extras_ = std::move(other.extras_);
    return *this;
  }
  ~Extras() = default;
  explicit operator bool() const { return extras_ != nullptr; }
  const std::shared_ptr<ModuleExtras>& shared() const { return extras_; }
  /// Made where there are none.
  ModuleExtras& get();

 private:
  void take_ties(const Extras& other);
  std::shared_ptr<ModuleExtras> extras_;
};

}  // namespace internal

/// Base of everything with parameters: write a struct, list its members, override forward.
class PARE_API Module {
 public:
  virtual ~Module();

  /// Lists parts, parameters and buffers: `m("conv1", conv1)("fc", fc);`
  virtual void members(Members& m);
  /// Overridden by what has one input and one output. Throws invalid_state where it is not.
  virtual Tensor forward(const Tensor& x);
  /// Overridden by what has any other number; else it is forward.
  virtual Tensors run(const Tensors& inputs);
  /// Calls forward and the hooks, and tells the tracer, if there is one, where this part begins and
  /// ends.
  Tensor operator()(const Tensor& x) {
    if (context().tracer || extras_) [[unlikely]]
      return called(x);
    return forward(x);
  }
  /// Gives this module's own parameters their first values; parts have their own.
  virtual void reset(Generator& generator);
  /// Sets the attributes by which a part is frozen (batch norm's statistics); parts have their own.
  virtual void set_mode(bool train);
  /// The field's word for this kind of layer ("Conv2d"), for tables.
  virtual std::string kind() const;

  /// The trainable leaves, each once, in the order of `members`. This and the next three throw
  /// invalid_state, naming the parameter, before `initialize`.
  Tensors parameters();
  /// The same with their names; one that is tied to another has the first one's.
  std::vector<NamedTensor> named_parameters();
  /// The buffers and the leaves that are not trained (masks, frozen parameters).
  std::vector<NamedTensor> named_buffers();
  /// All leaves and buffers by name, tied ones under each of their names: what a checkpoint holds.
  std::vector<NamedTensor> state();
  /// Calls visit(dotted name, module) for this ("") and all parts.
  void for_each_module(const std::function<void(const std::string&, Module&)>& visit);
  void for_each_parameter(const std::function<void(const std::string&, Parameter&)>& visit);
  void for_each_buffer(const std::function<void(const std::string&, Buffer&)>& visit);
  /// Thaws or freezes what set_mode governs, in all parts.
  void train() { set_mode_all(true); }
  void eval() { set_mode_all(false); }
  /// Drops all gradients.
  void zero_grad();
  /// Renews, in a copy of a module with tied parameters, the ties (nn::tie); whatever walks over
  /// the members does so first.
  void settle() {
    if (extras_) [[unlikely]]
      settle_ties();
  }
  /// Whether hooks can be put on values of this module that are no parts of it (those of a Graph).
  virtual bool has_value(std::string_view name) const;
  /// Whether it has a leaf without a slot of that name (a Graph's parameter).
  virtual bool has_leaf(std::string_view name) const;
  /// Freezes or thaws leaves without a slot (a Graph's) whose names are chosen; returns how many.
  virtual std::int64_t set_leaves_trainable(
      const std::function<bool(std::string_view name)>& chosen, bool on);
  /// Where hooks and ties are kept.
  internal::Extras& extras() { return extras_; }

 protected:
  Module() = default;
  Module(const Module&) = default;
  Module(Module&&) = default;
  Module& operator=(const Module&) = default;
  Module& operator=(Module&&) = default;

 private:
  void set_mode_all(bool train);
  Tensor called(const Tensor& x);
  void settle_ties();
  internal::Extras extras_;
};

/// Gives every parameter of the module its first value (PyTorch's defaults): the parts' `reset`
/// first, then the whole's. Throws invalid_state naming a parameter that no reset has set.
PARE_API void initialize(Module& module, Generator& generator);

/// One line per part: name, kind, output shape for `example` ("-" for a part that was not called as
/// a function), own parameters; totals at the end. Runs the module without training it.
PARE_API std::string summary(Module& module, const Tensor& example);

}  // namespace pare::nn
