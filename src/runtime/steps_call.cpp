// Primitives, and any other call through its op's own kernels.
#include <cstring>
#include <string_view>

#include "core/check.h"
#include "core/ops/recurrent.h"
#include "pare/core/error.h"
#include "runtime/program.h"
#include "runtime/recurrent_weight.h"
#include "runtime/steps.h"
#include "runtime/weights.h"

namespace pare::runtime {
namespace {

class PrimitiveState final : public StepState {
 public:
  explicit PrimitiveState(std::unique_ptr<Execution> e) : execution(std::move(e)) {}
  std::unique_ptr<Execution> execution;
};

class PrimitiveStep final : public Step {
 public:
  PrimitiveStep(int from, int to, std::shared_ptr<const Packed> packed)
      : from_(from), to_(to), packed_(std::move(packed)) {
    reads = {from};
    writes = {to};
    info.kernel = packed_->primitive->name();
    info.slow = packed_->primitive->slow();
  }
  std::unique_ptr<StepState> bind(const Frame& /*frame*/) const override {
    return std::make_unique<PrimitiveState>(packed_->primitive->execution(packed_->constants));
  }
  std::size_t scratch_bytes() const override { return packed_->primitive->scratch_bytes(); }
  void run(const Frame& frame, StepState* state) const override {
    static_cast<PrimitiveState*>(state)->execution->run(frame.at<const std::byte>(from_),
                                                        frame.at<std::byte>(to_), frame.scratch);
  }

 private:
  int from_, to_;
  std::shared_ptr<const Packed> packed_;
};

// Tensors over the slots. Inputs and outputs of the graph lie elsewhere in each run, so that the
// addresses are set anew before each.
class CallState final : public StepState {
 public:
  Tensors inputs, outputs;
};

struct Operand {
  int slot;
  Shape shape;
  DType dtype;
  MemoryFormat format;
  Tensor constant;
};

std::vector<Operand> describe(const Program& program, const std::vector<int>& slots) {
  std::vector<Operand> operands;
  for (const int slot : slots) {
    if (slot < 0) {
      operands.push_back({-1, {}, DType::f32, MemoryFormat::row_major, {}});
      continue;
    }
    const Slot& s = program.slots[static_cast<std::size_t>(slot)];
    operands.push_back({slot, s.shape, s.dtype, s.format, s.constant});
  }
  return operands;
}

Tensors tensors_over(const std::vector<Operand>& operands, const Frame& frame) {
  Tensors result;
  for (const Operand& o : operands)
    result.push_back(o.slot < 0 ? Tensor()
                                : Tensor::wrap(frame.at<std::byte>(o.slot), o.shape, o.dtype,
                                               nullptr, o.format));
  return result;
}

void move_to(const Frame& frame, const std::vector<Operand>& operands, Tensors& tensors) {
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (operands[i].slot >= 0)
      tensors[i].impl()->storage->data = frame.at<std::byte>(operands[i].slot);
}

class CallStep final : public Step {
 public:
  CallStep(const Program& program, const Call& call, const std::vector<int>& inputs,
           const std::vector<int>& outputs)
      : call_(call), inputs_(describe(program, inputs)), outputs_(describe(program, outputs)) {
    for (const int slot : inputs)
      if (slot >= 0) reads.push_back(slot);
    for (const int slot : outputs)
      if (slot >= 0) writes.push_back(slot);
    info.kernel = try_run(info.slow);
  }
  std::unique_ptr<StepState> bind(const Frame& frame) const override {
    auto state = std::make_unique<CallState>();
    state->inputs = tensors_over(inputs_, frame);
    state->outputs = tensors_over(outputs_, frame);
    return state;
  }
  void run(const Frame& frame, StepState* state) const override {
    auto& mine = *static_cast<CallState*>(state);
    move_to(frame, inputs_, mine.inputs);
    move_to(frame, outputs_, mine.outputs);
    try {
      forward(call_, mine.inputs, mine.outputs, context());
    } catch (const Error& error) {
      throw error.within(info.node);
    }
  }

 private:
  // Which kernel runs depends on shapes and formats alone: one run on zeros tells.
  const char* try_run(bool& slow) const {
    slow = true;
    if (!call_.op->kernels) return "reference";
    const auto make = [](const std::vector<Operand>& operands) {
      Tensors result;
      for (const Operand& o : operands)
        result.push_back(o.slot < 0             ? Tensor()
                         : o.constant.defined() ? o.constant
                                                : Tensor::zeros(o.shape, o.dtype, o.format));
      return result;
    };
    Tensors outputs = make(outputs_);
    const char* name = "reference";
    try {
      forward(call_, make(inputs_), outputs, context(), &name);
    } catch (const Error&) {
      // Zeros are no values of such an operand (a scale that is computed).
    }
    slow = name == std::string_view("reference");
    return name;
  }

  Call call_;
  std::vector<Operand> inputs_, outputs_;
};

/// A layer's packed weights, as its forward pass asks for them.
class PackedCodes final : public RecurrentCodes {
 public:
  explicit PackedCodes(const std::vector<std::shared_ptr<Packed>>& weights)
      : weights_(weights.begin(), weights.end()) {}
  void multiply(const WeightBlock& block, std::int64_t rows, const float* a, float* c,
                std::int64_t c_stride) const override {
    for (const auto& packed : weights_) {
      const auto& weight = static_cast<const RecurrentWeight&>(*packed->primitive);
      for (std::size_t b = 0; b < weight.blocks().size(); ++b)
        if (weight.blocks()[b] == block)
          return weight.multiply(packed->constants, b, rows, a, c, c_stride);
    }
    PARE_ASSERT(false);
  }
  const RecurrentWeight& first() const {
    return static_cast<const RecurrentWeight&>(*weights_.front()->primitive);
  }
  /// What stands in the place of weights: their shapes.
  void give_shapes(Tensors& inputs) const {
    static std::byte nothing{};
    for (const auto& packed : weights_) {
      const auto& weight = static_cast<const RecurrentWeight&>(*packed->primitive);
      inputs[static_cast<std::size_t>(weight.blocks().front().input)] =
          Tensor::wrap(&nothing, weight.shape(), DType::i8, nullptr);
    }
  }

 private:
  std::vector<std::shared_ptr<const Packed>> weights_;
};

class RecurrentStep final : public Step {
 public:
  RecurrentStep(const Program& program, const Call& call, const std::vector<int>& inputs,
                const std::vector<int>& outputs,
                const std::vector<std::shared_ptr<Packed>>& weights)
      : call_(call),
        inputs_(describe(program, inputs)),
        outputs_(describe(program, outputs)),
        codes_(weights) {
    for (const int slot : inputs)
      if (slot >= 0) reads.push_back(slot);
    for (const int slot : outputs)
      if (slot >= 0) writes.push_back(slot);
    info.kernel = codes_.first().name();
  }
  std::unique_ptr<StepState> bind(const Frame& frame) const override {
    auto state = std::make_unique<CallState>();
    state->inputs = tensors_over(inputs_, frame);
    state->outputs = tensors_over(outputs_, frame);
    codes_.give_shapes(state->inputs);
    return state;
  }
  void run(const Frame& frame, StepState* state) const override {
    auto& mine = *static_cast<CallState*>(state);
    move_to(frame, inputs_, mine.inputs);
    move_to(frame, outputs_, mine.outputs);
    RecurrentEngine engine = kPlainEngine;
    engine.codes = &codes_;
    try {
      recurrent_forward(engine, call_, mine.inputs, mine.outputs);
    } catch (const Error& error) {
      throw error.within(info.node);
    }
  }

 private:
  Call call_;
  std::vector<Operand> inputs_, outputs_;
  PackedCodes codes_;
};

class IntegerStep final : public Step {
 public:
  IntegerStep(const Program& program, const IntegerCall& integer, const Call& call,
              const std::vector<int>& inputs, int output)
      : integer_(integer), call_(call), inputs_(describe(program, inputs)), output_(output) {
    reads = inputs;
    writes = {output};
    info.kernel = "integer reference";
    info.slow = true;
  }
  std::unique_ptr<StepState> bind(const Frame& frame) const override {
    auto state = std::make_unique<CallState>();
    state->inputs = tensors_over(inputs_, frame);
    return state;
  }
  void run(const Frame& frame, StepState* state) const override {
    auto& mine = *static_cast<CallState*>(state);
    move_to(frame, inputs_, mine.inputs);
    const Tensor y = run_integer(integer_, call_, mine.inputs).to(MemoryFormat::row_major);
    std::memcpy(frame.at<std::byte>(output_), y.raw(), y.bytes());
  }

 private:
  IntegerCall integer_;
  Call call_;
  std::vector<Operand> inputs_;
  int output_;
};

}  // namespace

std::unique_ptr<Step> primitive_step(int from, int to, std::shared_ptr<const Packed> packed) {
  return std::make_unique<PrimitiveStep>(from, to, std::move(packed));
}

std::unique_ptr<Step> call_step(const Program& program, const Call& call,
                                const std::vector<int>& inputs, const std::vector<int>& outputs) {
  return std::make_unique<CallStep>(program, call, inputs, outputs);
}

std::unique_ptr<Step> recurrent_step(const Program& program, const Call& call,
                                     const std::vector<int>& inputs,
                                     const std::vector<int>& outputs,
                                     const std::vector<std::shared_ptr<Packed>>& weights) {
  return std::make_unique<RecurrentStep>(program, call, inputs, outputs, weights);
}

std::unique_ptr<Step> integer_step(const Program& program, const IntegerCall& integer,
                                   const Call& call, const std::vector<int>& inputs, int output) {
  return std::make_unique<IntegerStep>(program, integer, call, inputs, output);
}

}  // namespace pare::runtime
