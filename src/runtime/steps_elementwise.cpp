// Elementwise runs: every op on a block of all its operands, block after block.
#include <algorithm>

#include "core/aligned.h"
#include "core/broadcast.h"
#include "pare/core/ops.h"
#include "runtime/elementwise.h"

namespace pare::runtime {
namespace {

// Elements of a block: a few of them stay in the second cache. Blocks for the first one took
// longer: the ops' calls, and the beginnings of their loops, cost more than the second cache.
constexpr std::int64_t kBlock = 16384;

// The axes of a tensor, the outermost in memory first.
std::vector<int> memory_order(int rank, MemoryFormat format) {
  std::vector<int> axes;
  for (int a = 0; a < rank; ++a)
    if (format == MemoryFormat::row_major || a != 1) axes.push_back(a);
  if (format == MemoryFormat::channels_last) axes.push_back(1);
  return axes;
}

// Whether the operand has elements of its own along an axis of the result.
bool moves(const Shape& operand, const Shape& result, int axis) {
  const int own = axis - (result.rank() - operand.rank());
  return own >= 0 && operand[own] != 1;
}

// Neighbouring axes along which each operand either moves or repeats.
struct Axis {
  std::int64_t size;
  std::vector<bool> moves;  // by operand
};

std::vector<Axis> axes_of(const ElementwiseSpec& spec) {
  std::vector<Axis> axes;
  for (const int a : memory_order(spec.shape.rank(), spec.format)) {
    if (spec.shape[a] == 1) continue;
    Axis axis{spec.shape[a], {}};
    for (const auto& operand : spec.operands)
      axis.moves.push_back(moves(operand.shape, spec.shape, a));
    if (!axes.empty() && axes.back().moves == axis.moves)
      axes.back().size *= axis.size;
    else
      axes.push_back(std::move(axis));
  }
  if (axes.empty()) axes.push_back({1, std::vector<bool>(spec.operands.size(), true)});
  return axes;
}

// Where each intermediate result lies in the scratch memory: a buffer is free again when the last
// op that reads it has run.
struct Buffers {
  std::vector<int> of;  // by operation; −1: the last, which writes to the destination
  int count = 0;
};

Buffers assign_buffers(const std::vector<ElementwiseSpec::Operation>& operations) {
  std::vector<std::size_t> last_read(operations.size(), 0);
  for (std::size_t k = 0; k < operations.size(); ++k)
    for (const int input : operations[k].inputs)
      if (input < 0) last_read[static_cast<std::size_t>(~input)] = k;
  Buffers buffers{std::vector<int>(operations.size(), -1), 0};
  std::vector<int> free;
  for (std::size_t k = 0; k + 1 < operations.size(); ++k) {
    if (free.empty()) free.push_back(buffers.count++);
    buffers.of[k] = free.back();
    free.pop_back();
    // Only now: an op does not write over what it reads.
    for (std::size_t j = 0; j < k; ++j)
      if (last_read[j] == k) free.push_back(buffers.of[j]);
  }
  return buffers;
}

// Tensors over a block, of all operands and results. Their addresses are set before each block.
struct Block {
  Tensors operands;
  std::vector<Tensors> inputs;  // by operation; they share memory with the others
  Tensors results;
};

void point(const Tensor& tensor, std::byte* to) { tensor.impl()->storage->data = to; }

// The blocks of one thread: they have one of two lengths.
struct Worker {
  Block shorter, longer;
};

class ElementwiseState final : public StepState {
 public:
  std::vector<Worker> workers;
};

class ElementwiseStep final : public Step {
 public:
  explicit ElementwiseStep(const ElementwiseSpec& spec)
      : spec_(spec), axes_(axes_of(spec)), buffers_(assign_buffers(spec.operations)) {
    for (const auto& operand : spec_.operands) reads.push_back(operand.slot);
    writes = {spec_.to};
    info.kernel = "elementwise";
    split();
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(workers_ * buffers_.count) * buffer_bytes_;
  }

  std::unique_ptr<StepState> bind(const Frame& frame) const override {
    auto state = std::make_unique<ElementwiseState>();
    for (std::int64_t w = 0; w < workers_; ++w)
      state->workers.push_back({make(frame, w, along_ / chunks_), make(frame, w, longest())});
    return state;
  }

  void run(const Frame& frame, StepState* state) const override {
    auto& workers = static_cast<ElementwiseState*>(state)->workers;
    const std::int64_t blocks = outer_ * chunks_;
    const Context& context = pare::context();
    parallel_for(0, workers_, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t w = begin; w < end; ++w)
        for (std::int64_t b = blocks * w / workers_; b < blocks * (w + 1) / workers_; ++b)
          run_block(frame, workers[static_cast<std::size_t>(w)], b, context);
    });
  }

 private:
  // A block takes some of the indices of one axis and all of those inside it; of the axes outside
  // one index each. Blocks are of equal length or differ by one index: the ops' loops treat a
  // handful of elements in another way than many.
  void split() {
    for (split_ = axes_.size() - 1; split_ > 0; --split_) {
      if (inner_ * axes_[split_].size > kBlock) break;
      inner_ *= axes_[split_].size;
    }
    along_ = axes_[split_].size;
    for (std::size_t a = 0; a < split_; ++a) outer_ *= axes_[a].size;
    if (spec_.shape.elements() == 0) {
      outer_ = 0;
      return;
    }
    const std::int64_t most = kBlock / inner_;
    chunks_ = (along_ + most - 1) / most;
    workers_ = std::clamp<std::int64_t>(spec_.shape.elements() / kElementGrain, 1, max_threads());
    if (outer_ == 1)  // as many blocks for each
      chunks_ = std::min(along_, (chunks_ + workers_ - 1) / workers_ * workers_);
    buffer_bytes_ = aligned(static_cast<std::size_t>(longest() * inner_) * sizeof(float));
    for (std::size_t k = 0; k < spec_.operands.size(); ++k) {
      std::vector<std::int64_t> strides(split_ + 1);
      std::int64_t step = 1;
      for (std::size_t a = axes_.size(); a-- > 0;) {
        if (a <= split_) strides[a] = axes_[a].moves[k] ? step : 0;
        if (axes_[a].moves[k]) step *= axes_[a].size;
      }
      strides_.push_back(std::move(strides));
    }
  }

  std::int64_t longest() const { return (along_ + chunks_ - 1) / chunks_; }

  Block make(const Frame& frame, std::int64_t worker, std::int64_t length) const {
    const auto shape_of = [&](auto moving) {
      Shape shape;
      for (std::size_t a = split_; a < axes_.size(); ++a) {
        const std::int64_t size = a == split_ ? length : axes_[a].size;
        shape.append(moving(axes_[a]) ? size : 1);
      }
      return shape;
    };
    Block block;
    for (std::size_t k = 0; k < spec_.operands.size(); ++k)
      block.operands.push_back(
          Tensor::wrap(nullptr, shape_of([&](const Axis& axis) { return axis.moves[k]; }),
                       spec_.operands[k].dtype, nullptr));
    const Shape whole = shape_of([](const Axis&) { return true; });
    std::byte* scratch =
        frame.scratch + static_cast<std::size_t>(worker * buffers_.count) * buffer_bytes_;
    for (std::size_t k = 0; k < spec_.operations.size(); ++k) {
      const auto& operation = spec_.operations[k];
      block.inputs.emplace_back();
      for (const int input : operation.inputs)
        block.inputs.back().push_back(input < 0 ? block.results[static_cast<std::size_t>(~input)]
                                                : block.operands[static_cast<std::size_t>(input)]);
      const int buffer = buffers_.of[k];
      block.results.push_back(Tensor::wrap(
          buffer < 0 ? nullptr : scratch + static_cast<std::size_t>(buffer) * buffer_bytes_, whole,
          operation.dtype, nullptr));
    }
    return block;
  }

  void run_block(const Frame& frame, Worker& worker, std::int64_t number,
                 const Context& context) const {
    const std::int64_t chunk = number % chunks_;
    const std::int64_t begin = along_ * chunk / chunks_;
    const std::int64_t length = along_ * (chunk + 1) / chunks_ - begin;
    Block& block = length == longest() ? worker.longer : worker.shorter;
    for (std::size_t k = 0; k < spec_.operands.size(); ++k) {
      std::int64_t offset = begin * strides_[k][split_];
      std::int64_t rest = number / chunks_;
      for (std::size_t a = split_; a-- > 0; rest /= axes_[a].size)
        offset += rest % axes_[a].size * strides_[k][a];
      const auto& operand = spec_.operands[k];
      const auto size = static_cast<std::int64_t>(traits(operand.dtype).bits / 8);
      point(block.operands[k], frame.at<std::byte>(operand.slot) + offset * size);
    }
    const std::int64_t offset = (number / chunks_ * along_ + begin) * inner_;
    point(block.results.back(), reinterpret_cast<std::byte*>(frame.at<float>(spec_.to) + offset));
    for (std::size_t k = 0; k < spec_.operations.size(); ++k) {
      const Call& call = spec_.operations[k].call;
      call.op->forward(call, block.inputs[k], {&block.results[k], 1}, context);
    }
  }

  ElementwiseSpec spec_;
  std::vector<Axis> axes_;
  Buffers buffers_;
  std::size_t split_ = 0;    // the axis that blocks divide
  std::int64_t along_ = 1;   // its size
  std::int64_t inner_ = 1;   // elements of one of its indices
  std::int64_t outer_ = 1;   // the product of the sizes outside it
  std::int64_t chunks_ = 1;  // blocks along it
  std::int64_t workers_ = 1;
  std::size_t buffer_bytes_ = 0;
  std::vector<std::vector<std::int64_t>> strides_;  // by operand: of the axes up to split_
};

}  // namespace

bool is_elementwise(const OpDef& op) {
  return op.channels.kind == ChannelFact::Kind::elementwise && !op.channels.statistics &&
         op.format == FormatRule::keep && op.outputs() == 1 && !op.kernels && !op.view &&
         &op != &kToFormat;
}

bool in_order_of(const Shape& operand, const Shape& result, MemoryFormat format) {
  int before = -1;
  for (const int axis : memory_order(result.rank(), format)) {
    if (!moves(operand, result, axis)) continue;
    if (axis < before) return false;
    before = axis;
  }
  return true;
}

std::unique_ptr<Step> elementwise_step(const ElementwiseSpec& spec) {
  return std::make_unique<ElementwiseStep>(spec);
}

}  // namespace pare::runtime
