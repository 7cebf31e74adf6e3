// Step: one kernel of a program, bound to the slots that it reads and writes.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "pare/runtime/plan.h"

namespace pare::runtime {

/// What a step keeps for one caller (memory objects, argument maps, tensors over the arena).
class StepState {
 public:
  virtual ~StepState() = default;
};

/// Addresses of all slots, and scratch memory, of one caller.
struct Frame {
  std::vector<std::byte*> address;
  std::byte* scratch = nullptr;

  template <class T> T* at(int slot) const {
    return reinterpret_cast<T*>(address[static_cast<std::size_t>(slot)]);
  }
};

class Step {
 public:
  virtual ~Step() = default;
  /// Called once per caller, when all slots but the graph's inputs and outputs have addresses.
  virtual std::unique_ptr<StepState> bind(const Frame& frame) const;
  virtual std::size_t scratch_bytes() const { return 0; }
  /// Does not allocate.
  virtual void run(const Frame& frame, StepState* state) const = 0;

  std::vector<int> reads;   // slots
  std::vector<int> writes;  // slots
  /// A slot that the step reads through its destination: the destination takes its place where
  /// nobody reads it later, else gets a copy first.
  int residual = -1;
  /// The input of the graph of which the step does nothing but change the memory format.
  int turned_input = -1;
  PlanStep info;
};

}  // namespace pare::runtime
