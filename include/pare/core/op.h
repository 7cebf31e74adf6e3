// OpDef: everything pare knows about an op, in one record; Call: an op with its attributes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pare/core/attributes.h"
#include "pare/core/context.h"
#include "pare/core/export.h"
#include "pare/core/tensor.h"

namespace pare {

struct OpDef;
class InferArgs;
class BackwardArgs;
class ChannelLinks;
class ChannelResize;
class OnnxEmitter;
struct KernelList;

/// What the tape records, what a graph node is, what a plan step runs.
struct Call {
  const OpDef* op = nullptr;
  Attributes attributes;
};

/// Shape, dtype and, where known, value of the inputs of a call; takes those of its outputs.
class PARE_API InferArgs {
 public:
  struct Input {
    const Shape* shape;  ///< null for an optional input that was left out
    DType dtype;
    const Tensor* value;  ///< null where it is not known
    /// Where it is not: what a graph's shape arithmetic knows of the elements, as numbers and
    /// expressions of symbols ("3", "height-1"), "" for an element that is unknown. Else null.
    const std::vector<std::string>* sizes = nullptr;
  };
  struct Output {
    Shape shape;
    DType dtype = DType::f32;
    bool produced = false;
  };
  InferArgs(const Call& c, std::span<const Input> inputs, std::span<Output> outputs, bool train)
      : call(c), training(train), inputs_(inputs), outputs_(outputs) {}

  const Call& call;
  const bool training;
  int inputs() const { return static_cast<int>(inputs_.size()); }
  bool has(int i) const { return i < inputs() && inputs_[static_cast<std::size_t>(i)].shape; }
  const Shape& shape(int i) const { return *inputs_[static_cast<std::size_t>(i)].shape; }
  DType dtype(int i) const { return inputs_[static_cast<std::size_t>(i)].dtype; }
  /// The input's elements, or null where only its shape is known.
  const Tensor* value(int i) const { return inputs_[static_cast<std::size_t>(i)].value; }
  /// What is known of the input's elements where not all are; null where nothing is.
  const std::vector<std::string>* sizes(int i) const {
    return inputs_[static_cast<std::size_t>(i)].sizes;
  }
  /// States an output. One that is not stated is not produced (state and saved outputs in eval).
  void output(int i, const Shape& shape, DType dtype) {
    auto& out = outputs_[static_cast<std::size_t>(i)];
    out.shape = shape;
    out.dtype = dtype;
    out.produced = true;
  }

 private:
  std::span<const Input> inputs_;
  std::span<Output> outputs_;
};

/// Writes the (preallocated, in the format that apply chose) outputs. Undefined tensors stand for
/// inputs left out and outputs not produced.
using ForwardFunction = void (*)(const Call& call, std::span<const Tensor> inputs,
                                 std::span<Tensor> outputs, const Context& context);
using BackwardFunction = void (*)(BackwardArgs& args);

/// A faster way to run an op, tried before the op's own reference. Returns false where it does not
/// apply, having written nothing.
struct ForwardKernel {
  const char* name;
  bool (*run)(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
              const Context& context);
  /// On a CPU that has_bf16: multiplies f32 operands in bf16 where context().precision says so.
  bool bf16 = false;
};
struct BackwardKernel {
  const char* name;
  bool (*run)(BackwardArgs& args);
  bool bf16 = false;
};
/// Best first; src/kernels.cpp composes them.
struct KernelList {
  std::span<const ForwardKernel> forward;
  std::span<const BackwardKernel> backward;
};

/// The gradient of one call on the tape.
class PARE_API BackwardArgs {
 public:
  virtual ~BackwardArgs();
  virtual const Call& call() const = 0;
  virtual bool training() const = 0;  ///< context().training at the time of the forward call
  virtual int inputs() const = 0;
  /// Whether a gradient of input i is wanted.
  virtual bool needs(int i) const = 0;
  virtual bool has_input(int i) const = 0;
  virtual const Shape& input_shape(int i) const = 0;
  virtual DType input_dtype(int i) const = 0;
  virtual MemoryFormat input_format(int i) const = 0;
  /// A saved input or output: one that the OpDef declares. Throws invalid_state if it was changed
  /// in place since.
  virtual const Tensor& input(int i) const = 0;
  virtual const Tensor& output(int i) const = 0;
  /// Gradient of visible output i; undefined where nothing flowed into it.
  virtual const Tensor& grad_output(int i) const = 0;
  /// Gives the gradient of input i (of its shape; in either memory format; may be a grad_output
  /// itself, since whoever accumulates copies what is shared).
  virtual void set(int i, Tensor gradient) = 0;
};

/// Facts on how an op stands to quantization (policy, such as which observer, is elsewhere).
struct QuantizationFact {
  enum class Kind : std::uint8_t {
    none,              ///< stays float
    own_range,         ///< its output gets a range of its own (conv, linear, add, …)
    same_as_input,     ///< its output has its input's scale and zero point (reshape, max pooling)
    all_inputs_share,  ///< all inputs and the output share one range (concat)
    fused_activation,  ///< disappears into the op before it (relu, relu6)
    fixed,             ///< its output's range is known (sigmoid, softmax: 1/256, 0)
  };
  Kind kind = Kind::none;
  int weight_input = -1;  ///< the input that is quantized per channel, −1: none
  int weight_axis = 0;    ///< its channel axis
  int bias_input = -1;
  double scale = 0;  ///< of a fixed range, for unsigned 8 bits
  int zero_point = 0;
};

/// One operand of a call, in the rules on channels.
struct Operand {
  bool is_output = false;
  int index = 0;
};
inline constexpr Operand in(int index) { return {false, index}; }
inline constexpr Operand out(int index) { return {true, index}; }

/// Takes an op's statement of which indices of which axes must be kept or cut together.
class PARE_API ChannelLinks {
 public:
  virtual ~ChannelLinks();
  virtual bool has(Operand operand) const = 0;
  virtual const Shape& shape(Operand operand) const = 0;
  /// Index k of axis a of x belongs with index k of axis b of y, for every k.
  virtual void tie(Operand x, int a, Operand y, int b) = 0;
  /// Index i of axis a of x belongs with index j of axis b of y.
  virtual void tie_at(Operand x, int a, std::int64_t i, Operand y, int b, std::int64_t j) = 0;
  /// The axes are summed against one another index by index: they belong together, and a cut index
  /// contributes nothing to the result.
  virtual void reduce(Operand x, int a, Operand y, int b) = 0;
};

/// What a removal keeps of the operands of a call whose attributes must follow.
class PARE_API ChannelResize {
 public:
  virtual ~ChannelResize();
  /// Shapes before the cut.
  virtual const Shape& shape(Operand operand) const = 0;
  /// The kept indices of an axis, ascending, or null where all are kept.
  virtual const std::vector<std::int64_t>* kept(Operand operand, int axis) const = 0;
};

/// How channels are coupled through an op.
struct ChannelFact {
  enum class Kind : std::uint8_t {
    barrier,      ///< nothing may be cut on either side
    elementwise,  ///< broadcast: index to index, aligned from the right
    movement,     ///< found by running the op's own forward on labels
    rule,         ///< `rule` says it; axes that it does not mention are fixed
  };
  Kind kind = Kind::barrier;
  void (*rule)(const Call& call, ChannelLinks& links) = nullptr;
  /// Rewrites the attributes for smaller operands. False: they cannot say it (irregular slice).
  /// Null: they need no change.
  bool (*resize)(Call& call, const ChannelResize& resize) = nullptr;
  /// Statistics run over the cut axis (layer norm, softmax, mean): removed is not zeroed.
  bool statistics = false;
};

/// Takes an op's ONNX nodes (the exporter, or a test).
class PARE_API OnnxEmitter {
 public:
  /// Attributes of the node begun last.
  class PARE_API Node {
   public:
    virtual ~Node();
    virtual Node& attribute(const char* name, std::int64_t value) = 0;
    virtual Node& attribute(const char* name, double value) = 0;
    virtual Node& attribute(const char* name, const char* value) = 0;
    virtual Node& attribute(const char* name, std::span<const std::int64_t> values) = 0;
    virtual Node& attribute(const char* name, std::span<const double> values) = 0;
    virtual Node& attribute(const char* name, std::span<const std::string> values) = 0;
    virtual Node& attribute(const char* name, const Tensor& value) = 0;
  };
  virtual ~OnnxEmitter();
  virtual int opset() const = 0;
  virtual bool has_input(int i) const = 0;
  virtual std::string input(int i) const = 0;  ///< its name; "" for one left out
  virtual std::string output(int i) const = 0;
  virtual const Shape& input_shape(int i) const = 0;
  virtual const Shape& output_shape(int i) const = 0;
  virtual DType input_dtype(int i) const = 0;
  virtual std::string constant(const Tensor& value) = 0;  ///< an initializer; returns its name
  virtual std::string temporary() = 0;                    ///< a fresh value name
  virtual Node& node(const char* op_type, std::vector<std::string> inputs,
                     std::vector<std::string> outputs) = 0;
};

/// `emit` null: one node `op_type` of the visible inputs and outputs, without attributes.
struct OnnxForm {
  const char* op_type = nullptr;  ///< null: cannot be exported
  int opset = 13;                 ///< lowest that has it in this form
  void (*emit)(const Call& call, OnnxEmitter& emitter) = nullptr;
};

struct StatePair {
  int output;
  int input;
};

/// Which memory format an op's operands get (apply converts what does not fit).
enum class FormatRule : std::uint8_t {
  row_major,  ///< knows row-major only
  keep,       ///< outputs of rank 3 to 5 are channels-last where an input of their rank is
};

struct OpDef {
  const char* name;
  int min_inputs = 1;
  int max_inputs = 1;  ///< −1: any number
  int visible_outputs = 1;
  int hidden_outputs = 0;                 ///< after the visible ones: saved for backward
  std::span<const StatePair> state = {};  ///< their outputs come last, one each
  FormatRule format = FormatRule::row_major;
  void (*infer)(InferArgs& args) = nullptr;
  ForwardFunction forward = nullptr;
  /// Instead of forward where the output can share the input's memory; may return an undefined
  /// tensor to decline.
  Tensor (*view)(const Call& call, const Tensor& input, const Shape& shape) = nullptr;
  BackwardFunction backward = nullptr;  ///< null: not differentiable
  std::uint32_t saves_inputs = 0;       ///< bit i: backward reads input i
  std::uint32_t saves_outputs = 0;
  std::uint32_t products = 0;  ///< bit i: input i is multiplied in Context::precision
  const KernelList* kernels = nullptr;
  Attributes (*defaults)() = nullptr;  ///< null: no attributes
  ChannelFact channels = {};
  QuantizationFact quantization = {};
  OnnxForm onnx = {};

  constexpr int outputs() const {
    return visible_outputs + hidden_outputs + static_cast<int>(state.size());
  }
};

/// Every op, in the order of src/core/ops.def.
PARE_API std::span<const OpDef* const> all_ops();
/// Null if there is none of that name.
PARE_API const OpDef* find_op(std::string_view name);

/// Shapes and dtypes of all outputs; checks the inputs. Throws what the op's infer throws.
PARE_API std::vector<InferArgs::Output> infer(const Call& call,
                                              std::span<const InferArgs::Input> inputs,
                                              bool training = false);

/// Runs `call` into preallocated outputs: its kernels in order, then the reference. No tape.
/// `name`, where given, receives the name of the kernel that ran.
PARE_API void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                      const Context& context, const char** name = nullptr);

/// Infers, runs, puts on the tape, stores state, tells the tracer; the first visible output.
/// Write pare::apply where an argument is a std::vector, lest std::apply be found.
PARE_API Tensor apply(const Call& call, std::span<const Tensor> inputs);
/// The same, all visible outputs.
PARE_API Tensors apply_all(const Call& call, std::span<const Tensor> inputs);

/// Is told of everything that apply does in its context.
class PARE_API Tracer {
 public:
  virtual ~Tracer();
  virtual void record(const Call& call, std::span<const Tensor> inputs,
                      std::span<const Tensor> visible_outputs) = 0;
  /// `result` stands for the same value as `source` (a change of memory format).
  virtual void alias(const Tensor& result, const Tensor& source) = 0;
  /// The name of the node that comes next (a graph tells its own).
  virtual void name_next(const std::string& name) = 0;
  /// What is recorded from here on belongs to `part` (a module), until its end with its result.
  virtual void begin_part(const void* /*part*/) {}
  virtual void end_part(const void* /*part*/, const Tensor& /*result*/) {}
};

namespace detail {
/// Inputs for apply without touching their reference counts.
template <std::size_t N> class Borrowed {
 public:
  template <class... T> explicit Borrowed(const T&... tensors) {
    static_assert(sizeof...(T) == N && sizeof(Tensor) == sizeof(void*));
    std::size_t i = 0;
    ((pointers_[i++] = tensors.impl()), ...);
  }
  operator std::span<const Tensor>() const {  // NOLINT(google-explicit-constructor)
    return {reinterpret_cast<const Tensor*>(pointers_), N};
  }

 private:
  void* pointers_[N];
};
template <class... T> Borrowed(const T&...) -> Borrowed<sizeof...(T)>;
}  // namespace detail

}  // namespace pare
