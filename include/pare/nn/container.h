// AnyModule and the containers of modules: modules as values.
#pragma once

#include <concepts>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "pare/nn/module.h"

namespace pare::nn {

class AnyModule;
class Sequential;

template <class T>
concept IsModule = std::derived_from<std::remove_cvref_t<T>, Module>;

/// A module of any type, held by value: copying it clones the module, assignment writes into the
/// tensors that are there where the types agree (else the old ones are retired).
class PARE_API AnyModule {
 public:
  template <IsModule T>
  AnyModule(T&& module)
      : module_(std::make_unique<std::remove_cvref_t<T>>(std::forward<T>(module))),
        clone_(&clone<std::remove_cvref_t<T>>),
        assign_(&assign<std::remove_cvref_t<T>>) {}
  AnyModule(const AnyModule& other) : clone_(other.clone_), assign_(other.assign_) {
    module_ = clone_(*other.module_);
  }
  AnyModule(AnyModule&&) noexcept = default;
  AnyModule& operator=(const AnyModule& other);
  AnyModule& operator=(AnyModule&& other);

  Module& operator*() const { return *module_; }
  Module* operator->() const { return module_.get(); }
  /// The module as what it is. Throws invalid_argument if it is of another type.
  template <IsModule T> T& as() const {
    T* const typed = dynamic_cast<T*>(module_.get());
    if (!typed) wrong_type();
    return *typed;
  }

 private:
  template <class T> static std::unique_ptr<Module> clone(const Module& from) {
    return std::make_unique<T>(static_cast<const T&>(from));
  }
  template <class T> static void assign(Module& to, const Module& from) {
    static_cast<T&>(to) = static_cast<const T&>(from);
  }
  [[noreturn]] void wrong_type() const;

  std::unique_ptr<Module> module_;
  std::unique_ptr<Module> (*clone_)(const Module& from);
  void (*assign_)(Module& to, const Module& from);
};

/// What the containers share: parts by name, in their order. Assignment writes into the parts that
/// are there where names and types agree; else it retires them all.
class PARE_API Parts : public Module {
 public:
  using Entry = std::pair<std::string, AnyModule>;

  /// Adds a part, named by its number.
  void add(AnyModule part);
  /// Throws invalid_argument for an empty name, one with a dot, or one that is taken.
  void add(std::string name, AnyModule part);

  int size() const { return static_cast<int>(entries_.size()); }
  std::span<const Entry> entries() const { return entries_; }
  /// Throws out_of_range.
  const AnyModule& operator[](int index) const;
  /// By name. Throws out_of_range.
  const AnyModule& operator[](std::string_view name) const;

  void members(Members& m) override;

 protected:
  Parts() = default;
  Parts(const Parts&) = default;
  Parts(Parts&&) = default;
  Parts& operator=(const Parts& other);
  Parts& operator=(Parts&& other);

 private:
  std::vector<Entry> entries_;
};

template <class Container, class... T>
concept PartsOf = (sizeof...(T) > 0) &&
                  !(sizeof...(T) == 1 && (std::same_as<std::remove_cvref_t<T>, Container> && ...));

/// Modules one after another, named "0", "1", … or as given:
/// `Sequential net{Linear{{.in = 784, .out = 30}}, Sigmoid{}, Linear{{.in = 30, .out = 10}}};`
/// `Sequential net{{"conv", Conv2d{{…}}}, {"relu", ReLU{}}};`
class PARE_API Sequential : public Parts {
 public:
  Sequential() = default;
  /// Throws invalid_argument for an empty name, one with a dot, or one given twice.
  Sequential(std::initializer_list<Entry> entries);
  template <IsModule... T>
  requires PartsOf<Sequential, T...>
  explicit Sequential(T&&... parts) { (add(AnyModule(std::forward<T>(parts))), ...); }

  Tensor forward(const Tensor& x) override;
  std::string kind() const override;
};

/// Modules that their owner calls one by one, named "0", "1", …:
/// `for (const auto& [name, layer] : layers.entries()) x = (*layer)(x);`
class PARE_API ModuleList : public Parts {
 public:
  ModuleList() = default;
  template <IsModule... T>
  requires PartsOf<ModuleList, T...>
  explicit ModuleList(T&&... parts) { (add(AnyModule(std::forward<T>(parts))), ...); }
  std::string kind() const override;
};

/// Modules by name that their owner calls one by one: `y = (*heads["classes"])(x);`
class PARE_API ModuleDict : public Parts {
 public:
  ModuleDict() = default;
  /// Throws as Sequential.
  ModuleDict(std::initializer_list<Entry> entries);
  std::string kind() const override;
};

}  // namespace pare::nn
