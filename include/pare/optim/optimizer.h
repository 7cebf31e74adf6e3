// Optimizer: what every update rule shares.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pare/core/replacement.h"
#include "pare/core/tensor.h"

namespace pare::optim {

/// Tensors by name, as a checkpoint holds them.
using NamedState = std::vector<std::pair<std::string, Tensor>>;

/// Holds handles of the parameters (`net.parameters()`) and what it remembers of each.
class PARE_API Optimizer {
 public:
  virtual ~Optimizer();

  /// Updates all parameters that have a gradient, in place. Throws invalid_state, having changed
  /// nothing, if one of them was replaced by a structural edit: call `rebuild` then.
  void step();
  /// Drops the gradients.
  void zero_grad();
  double learning_rate() const { return learning_rate_; }
  /// Throws invalid_argument for a negative or non-finite rate.
  void set_learning_rate(double rate);
  /// The parameters' handles, in the order given.
  Tensors parameters() const;
  /// Follows a structural edit: puts the new tensors in the place of the old ones and cuts what is
  /// remembered of them alike (it starts anew where `kept` does not explain the new shape). What
  /// this optimizer does not hold is passed over; a Replacement without `old` adds its tensor.
  /// Throws invalid_argument for a tensor that cannot be trained, out_of_range for a kept index.
  void rebuild(std::span<const Replacement> replacements);

  /// What is remembered: "learning_rate" and, by the parameter's number, "0.step" and what the rule
  /// adds ("0.momentum_buffer"), in PyTorch's names. The tensors are copies.
  NamedState state() const;
  /// Takes over such a state. Throws invalid_argument for a name that is not one of this
  /// optimizer's and shape_mismatch, having changed nothing.
  void load_state(const NamedState& state);

 protected:
  static constexpr std::size_t kMostStates = 3;
  /// One parameter's update: f32 arrays of `count` elements in one order.
  struct Update {
    float* value;
    const float* gradient;
    std::array<float*, kMostStates> state;  ///< as many as `state_names`
    std::int64_t count;
    std::int64_t step;  ///< 1 for the first
  };

  /// Throws invalid_argument for no parameters, for one that is not an f32 leaf that requires a
  /// gradient, or that is given twice. At most kMostStates names.
  Optimizer(const char* kind, Tensors parameters, double learning_rate,
            std::vector<const char*> state_names);
  Optimizer(const Optimizer&) = delete;
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(const Optimizer&) = delete;
  Optimizer& operator=(Optimizer&&) = default;

  virtual void update(const Update& update) = 0;

 private:
  struct Slot {
    Tensor parameter;
    std::array<Tensor, kMostStates> state;  ///< undefined before the first step
    std::int64_t step = 0;
  };
  void check(const Tensor& parameter) const;
  void advance(Slot& slot);

  const char* kind_;
  double learning_rate_ = 0;
  std::vector<const char*> state_names_;
  std::vector<Slot> slots_;
};

}  // namespace pare::optim
