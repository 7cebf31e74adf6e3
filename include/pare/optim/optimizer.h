// Optimizer: what every update rule shares.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pare/core/replacement.h"
#include "pare/core/tensor.h"

namespace pare::optim {

/// Tensors by name, as a checkpoint holds them.
using NamedState = std::vector<std::pair<std::string, Tensor>>;

/// Parameters with settings of their own:
/// `optim::SGD sgd({{.parameters = body, .options = {.lr = 0.01}}, {.parameters = head}});`
template <class Options> struct ParameterGroup {
  Tensors parameters;
  Options options = {};
};

struct StepOptions {
  /// Multiplies every gradient as it is read: 1 / batches of an accumulated one, or the factor of
  /// clipping, without a pass of its own.
  double gradient_scale = 1;
};

/// Holds handles of the parameters (`net.parameters()`), in one group or several, and what it
/// remembers of each.
class PARE_API Optimizer {
 public:
  virtual ~Optimizer();

  /// Updates all parameters that have a gradient, in place. Throws invalid_state, having changed
  /// nothing, if one of them was replaced by a structural edit: call `rebuild` then.
  /// invalid_argument for a scale that is not finite.
  void step(const StepOptions& options = {});
  /// Drops the gradients.
  void zero_grad();
  /// The rule's name ("AdamW").
  const char* kind() const { return kind_; }
  /// Number of parameter groups, at least 1.
  int groups() const { return static_cast<int>(groups_.size()); }
  /// Of a group. Throws out_of_range.
  double learning_rate(int group = 0) const { return groups_[checked(group)].learning_rate; }
  /// Of all groups. Throws invalid_argument for a negative or non-finite rate.
  void set_learning_rate(double rate);
  /// Of one. Throws that and out_of_range.
  void set_learning_rate(double rate, int group);
  /// The parameters' handles, group after group, in the order given.
  Tensors parameters() const;
  /// Those of a group. Throws out_of_range.
  Tensors parameters(int group) const;
  /// Follows a structural edit: puts the new tensors in the place of the old ones and cuts what is
  /// remembered of them alike (it starts anew where `kept` does not explain the new shape). What
  /// this optimizer does not hold is passed over; a Replacement without `old` adds its tensor to
  /// the first group. Throws invalid_argument for a tensor that cannot be trained, out_of_range for
  /// a kept index.
  void rebuild(std::span<const Replacement> replacements);

  /// Gives the parameters the names under which `state` has what is remembered of them; what this
  /// optimizer does not hold is passed over. Throws invalid_argument for an empty name or one given
  /// to two parameters.
  void set_names(const NamedState& names);
  /// The same: `optimizer.set_names(net.named_parameters());`
  template <class Named> void set_names(const std::vector<Named>& named) {
    NamedState names;
    for (const Named& one : named) names.emplace_back(one.name, one.tensor);
    set_names(names);
  }

  /// What is remembered: "learning_rate" (of further groups "learning_rate.1", …) and, by the
  /// parameter's name, or its number where it has none, "fc.weight.step" and what the rule adds
  /// ("fc.weight.momentum_buffer"), in PyTorch's names. The tensors are copies.
  NamedState state() const;
  /// Takes over such a state: training goes on bit for bit. Throws invalid_argument for a name that
  /// is not one of this optimizer's or half of what belongs together, and shape_mismatch, having
  /// changed nothing.
  void load_state(const NamedState& state);

 protected:
  static constexpr std::size_t kMostStates = 3;
  struct Group {
    double learning_rate;
    std::vector<const char*> state_names;
  };
  /// One parameter's update: f32 arrays of `count` elements in one order.
  struct Update {
    float* value;
    const float* gradient;
    std::array<float*, kMostStates> state;  ///< as many as `state_names`, the others null
    std::int64_t count;
    std::int64_t step;  ///< 1 for the first
    std::size_t group;
    double learning_rate;
    float gradient_scale;
  };

  /// Throws invalid_argument for no parameters, for one that is not an f32 leaf that requires a
  /// gradient, or that is given twice. One Tensors for each group; at most kMostStates names.
  Optimizer(const char* kind, std::vector<Tensors> parameters, std::vector<Group> groups);
  Optimizer(const Optimizer&) = delete;
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(const Optimizer&) = delete;
  Optimizer& operator=(Optimizer&&) = default;

  virtual void update(const Update& update) = 0;
  /// The group's index. Throws out_of_range.
  std::size_t checked(int group) const;

 private:
  struct Slot {
    Tensor parameter;
    std::array<Tensor, kMostStates> state;  ///< undefined before the first step
    std::int64_t step = 0;
    std::size_t group = 0;
    std::string name = {};  ///< empty: its number
  };
  void check(const Tensor& parameter) const;
  void check_rate(double rate) const;
  std::string prefix(std::size_t slot) const;
  bool take(std::vector<Slot>& slots, const std::string& name, const Tensor& tensor) const;
  void advance(Slot& slot, float gradient_scale);

  const char* kind_;
  std::vector<Group> groups_;
  std::vector<Slot> slots_;
};

/// An optimizer with one Options for each of its groups.
template <class Options> class GroupedOptimizer : public Optimizer {
 public:
  using ParameterGroups = std::vector<ParameterGroup<Options>>;
  /// Settings of a group. Throws out_of_range.
  const Options& options(int group = 0) const { return options_[checked(group)]; }

 protected:
  using StateNames = std::vector<const char*> (*)(const Options& options);
  GroupedOptimizer(const char* kind, const ParameterGroups& groups, StateNames names)
      : Optimizer(kind, parameters_of(groups), groups_of(groups, names)) {
    for (const auto& group : groups) options_.push_back(group.options);
  }
  const Options& options(const Update& u) const { return options_[u.group]; }

 private:
  static std::vector<Tensors> parameters_of(const ParameterGroups& groups) {
    std::vector<Tensors> result;
    for (const auto& group : groups) result.push_back(group.parameters);
    return result;
  }
  static std::vector<Group> groups_of(const ParameterGroups& groups, StateNames names) {
    std::vector<Group> result;
    for (const auto& group : groups) result.push_back({group.options.lr, names(group.options)});
    return result;
  }
  std::vector<Options> options_;
};

/// Two groups with the same settings, but no weight decay for biases and the scales and shifts of
/// norms (whatever has less than two axes): `optim::AdamW adamw(optim::decay_groups(
/// net.parameters(), optim::AdamWOptions{.lr = 1e-3}));` A group without parameters is left out.
template <class Options>
std::vector<ParameterGroup<Options>> decay_groups(const Tensors& parameters,
                                                  const Options& options = {}) {
  std::vector<ParameterGroup<Options>> groups(2, {{}, options});
  groups[1].options.weight_decay = 0;
  for (const Tensor& parameter : parameters)
    groups[parameter.rank() >= 2 ? 0 : 1].parameters.push_back(parameter);
  if (groups[1].parameters.empty()) groups.pop_back();
  if (groups.size() > 1 && groups[0].parameters.empty()) groups.erase(groups.begin());
  return groups;
}

}  // namespace pare::optim
