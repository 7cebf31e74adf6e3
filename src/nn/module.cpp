// Module: everything that follows from the list of members.
#include "pare/nn/module.h"

#include <unordered_set>

#include "core/check.h"
#include "nn/extras.h"
#include "nn/retire.h"

namespace pare::nn {

Members::~Members() = default;
Module::~Module() = default;

namespace {

// Walks down without making names, for what runs at every step of training.
class Walk : public Members {
 protected:
  void on_module(std::string_view, Module& module) override { module.members(*this); }
  void on_parameter(std::string_view, Parameter&) override {}
  void on_buffer(std::string_view, Buffer&) override {}
  void on_leaf(std::string_view, Tensor&, bool) override {}
};

// Walks down with the dotted names of what it meets.
class NamedWalk : public Members {
 protected:
  std::string path(std::string_view name) const {
    return prefix_.empty() ? std::string(name) : prefix_ + "." + std::string(name);
  }
  void on_module(std::string_view name, Module& module) override {
    std::string saved = path(name);
    prefix_.swap(saved);
    enter(prefix_, module);
    module.members(*this);
    leave(prefix_, module);
    prefix_.swap(saved);
  }
  void on_parameter(std::string_view, Parameter&) override {}
  void on_buffer(std::string_view, Buffer&) override {}
  void on_leaf(std::string_view, Tensor&, bool) override {}
  virtual void enter(const std::string&, Module&) {}
  virtual void leave(const std::string&, Module&) {}

 private:
  std::string prefix_;
};

// Calls see(name, tensor, trainable) for every leaf and buffer.
template <class See> class StateWalk final : public NamedWalk {
 public:
  explicit StateWalk(See see) : see_(std::move(see)) {}

 private:
  void on_parameter(std::string_view name, Parameter& parameter) override {
    PARE_CHECK(parameter.initialized(), invalid_state, path(name),
               "expected a value, got a parameter of shape {} that has none yet; call "
               "initialize(net, generator) or load a checkpoint first",
               parameter.shape());
    for (auto& leaf : parameter.expression().leaves)
      see_(path(name) + leaf.suffix, leaf.value, leaf.trainable && parameter.trainable());
  }
  void on_buffer(std::string_view name, Buffer& buffer) override {
    see_(path(name), buffer.value(), false);
  }
  void on_leaf(std::string_view name, Tensor& tensor, bool trainable) override {
    see_(path(name), tensor, trainable);
  }
  See see_;
};

template <class See> void for_each_state(Module& module, See see) {
  module.settle();
  StateWalk<See> walk(std::move(see));
  module.members(walk);
}

}  // namespace

void Module::members(Members&) {}
void Module::reset(Generator&) {}
void Module::set_mode(bool) {}
std::string Module::kind() const { return "Module"; }

Tensor Module::forward(const Tensor&) {
  fail(ErrorCode::invalid_state, kind(),
       "expected a module that overrides forward(x), got one that does not; call run if it has "
       "that");
}

Tensors Module::run(const Tensors& inputs) {
  PARE_CHECK(inputs.size() == 1, invalid_argument, kind(), "expected one input, got {}",
             inputs.size());
  return {(*this)(inputs.front())};
}

bool Module::has_value(std::string_view) const { return false; }
bool Module::has_leaf(std::string_view) const { return false; }
std::int64_t Module::set_leaves_trainable(const std::function<bool(std::string_view)>&, bool) {
  return 0;
}

Tensor Module::called(const Tensor& x) {
  settle();
  Tracer* const tracer = context().tracer;
  if (tracer) tracer->begin_part(this);
  Tensor result = forward(x);
  if (extras_) result = extras_.get().shown("", std::move(result));
  if (tracer) tracer->end_part(this, result);
  return result;
}

void Module::settle_ties() { extras_.get().settle(*this); }

Members& Members::operator()(std::string_view name, Module& module) {
  module.settle();
  on_module(name, module);
  return *this;
}

Tensors Module::parameters() {
  Tensors result;
  for (auto& named : named_parameters()) result.push_back(std::move(named.tensor));
  return result;
}

std::vector<NamedTensor> Module::named_parameters() {
  std::vector<NamedTensor> result;
  std::unordered_set<const void*> seen;
  for_each_state(*this, [&](std::string name, Tensor& tensor, bool trainable) {
    if (trainable && seen.insert(tensor.impl()).second)
      result.push_back({std::move(name), tensor, true});
  });
  return result;
}

std::vector<NamedTensor> Module::named_buffers() {
  std::vector<NamedTensor> result;
  std::unordered_set<const void*> seen;
  for_each_state(*this, [&](std::string name, Tensor& tensor, bool trainable) {
    if (!trainable && seen.insert(tensor.impl()).second)
      result.push_back({std::move(name), tensor, false});
  });
  return result;
}

std::vector<NamedTensor> Module::state() {
  std::vector<NamedTensor> result;
  for_each_state(*this, [&](std::string name, Tensor& tensor, bool trainable) {
    result.push_back({std::move(name), tensor, trainable});
  });
  return result;
}

void Module::for_each_module(const std::function<void(const std::string&, Module&)>& visit) {
  class Visit final : public NamedWalk {
   public:
    explicit Visit(const std::function<void(const std::string&, Module&)>& f) : f_(f) {}

   private:
    void enter(const std::string& name, Module& module) override { f_(name, module); }
    const std::function<void(const std::string&, Module&)>& f_;
  };
  visit("", *this);
  settle();
  Visit walk(visit);
  members(walk);
}

void Module::for_each_parameter(const std::function<void(const std::string&, Parameter&)>& visit) {
  class Visit final : public NamedWalk {
   public:
    explicit Visit(const std::function<void(const std::string&, Parameter&)>& f) : f_(f) {}

   private:
    void on_parameter(std::string_view name, Parameter& parameter) override {
      f_(path(name), parameter);
    }
    const std::function<void(const std::string&, Parameter&)>& f_;
  };
  settle();
  Visit walk(visit);
  members(walk);
}

void Module::for_each_buffer(const std::function<void(const std::string&, Buffer&)>& visit) {
  class Visit final : public NamedWalk {
   public:
    explicit Visit(const std::function<void(const std::string&, Buffer&)>& f) : f_(f) {}

   private:
    void on_buffer(std::string_view name, Buffer& buffer) override { f_(path(name), buffer); }
    const std::function<void(const std::string&, Buffer&)>& f_;
  };
  settle();
  Visit walk(visit);
  members(walk);
}

void Module::set_mode_all(bool train) {
  for_each_module([train](const std::string&, Module& module) { module.set_mode(train); });
}

void Module::zero_grad() {
  class Zero final : public Walk {
    void on_parameter(std::string_view, Parameter& parameter) override {
      for (auto& leaf : parameter.expression().leaves) leaf.value.zero_grad();
    }
    void on_leaf(std::string_view, Tensor& tensor, bool) override { tensor.zero_grad(); }
  };
  settle();
  Zero walk;
  members(walk);
}

void initialize(Module& module, Generator& generator) {
  class Reset final : public NamedWalk {
   public:
    explicit Reset(Generator& g) : generator_(g) {}

   private:
    void leave(const std::string&, Module& part) override { part.reset(generator_); }
    Generator& generator_;
  };
  Reset walk(generator);
  module.members(walk);
  module.reset(generator);
  module.for_each_parameter([](const std::string& name, Parameter& parameter) {
    PARE_CHECK(parameter.initialized(), invalid_state, "initialize",
               "expected the reset() of its module to set '{}' of shape {}, got no value", name,
               parameter.shape());
  });
  module.settle();
}

void retire(Module& module) {
  module.for_each_parameter(
      [](const std::string&, Parameter& parameter) { retire(parameter.expression(), {}); });
}

}  // namespace pare::nn
