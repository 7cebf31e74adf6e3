// Value inputs: tensors that stand for a call's attributes where they are given.
#include "core/ops/value_inputs.h"

#include "core/check.h"
#include "core/ops/onnx_integers.h"

namespace pare {
namespace {

constexpr const char* kUnknown = "?:";  ///< begins no name that a file or a person would give

std::vector<std::int64_t> integers_of(const Tensor& t, const char* where, const char* what) {
  PARE_CHECK(t.dtype() == DType::i64 || t.dtype() == DType::i32, dtype_mismatch, where,
             "expected {} of i64 or i32, got {}", what, t.dtype());
  PARE_CHECK(t.rank() <= 1, shape_mismatch, where, "expected {} of at most one axis, got {}", what,
             t.shape());
  if (t.dtype() == DType::i64) return t.to_vector<std::int64_t>();
  const std::vector<std::int32_t> narrow = t.to_vector<std::int32_t>();
  return {narrow.begin(), narrow.end()};
}

/// A call's gradient as if its attributes had said it.
class BoundBackward final : public BackwardArgs {
 public:
  BoundBackward(BackwardArgs& args, const Call& call) : args_(args), call_(call) {}
  const Call& call() const override { return call_; }
  bool training() const override { return args_.training(); }
  int inputs() const override { return 1; }
  bool needs(int i) const override { return i == 0 && args_.needs(0); }
  bool has_input(int i) const override { return i == 0; }
  const Shape& input_shape(int i) const override { return args_.input_shape(i); }
  DType input_dtype(int i) const override { return args_.input_dtype(i); }
  MemoryFormat input_format(int i) const override { return args_.input_format(i); }
  const Tensor& input(int i) const override { return args_.input(i); }
  const Tensor& output(int i) const override { return args_.output(i); }
  const Tensor& grad_output(int i) const override { return args_.grad_output(i); }
  void set(int i, Tensor gradient) override { args_.set(i, std::move(gradient)); }

 private:
  BackwardArgs& args_;
  const Call& call_;
};

}  // namespace

Values::Values(const InferArgs& args) {
  for (int i = 1; i < args.inputs(); ++i)
    if (args.has(i)) tensors_[static_cast<std::size_t>(i)] = args.value(i);
}

Values::Values(std::span<const Tensor> inputs) {
  for (std::size_t i = 1; i < inputs.size(); ++i)
    if (inputs[i].defined()) tensors_[i] = &inputs[i];
}

Values::Values(const BackwardArgs& args) {
  for (int i = 1; i < args.inputs(); ++i)
    if (args.has_input(i)) tensors_[static_cast<std::size_t>(i)] = &args.input(i);
}

std::vector<std::int64_t> Values::integers(int i, const char* where, const char* what) const {
  return integers_of((*this)[i], where, what);
}

std::int64_t Values::integer(int i, const char* where, const char* what) const {
  const std::vector<std::int64_t> all = integers(i, where, what);
  PARE_CHECK(all.size() == 1, shape_mismatch, where, "expected {} of one element, got {}", what,
             all.size());
  return all[0];
}

void infer_values(const ValueForm& form, InferArgs& args) {
  bool given = false;
  for (int i = 1; i < args.inputs(); ++i) {
    if (!args.has(i)) continue;
    given = true;
    if (!args.value(i)) return form.unknown(args);
  }
  if (!given) return form.infer(args);
  const Call call{args.call.op, form.bind(args.call, args.shape(0), Values(args))};
  const InferArgs::Input x{&args.shape(0), args.dtype(0), args.value(0)};
  std::vector<InferArgs::Output> outputs(static_cast<std::size_t>(call.op->outputs()));
  InferArgs bound(call, std::span(&x, 1), outputs, args.training);
  form.infer(bound);
  for (std::size_t k = 0; k < outputs.size(); ++k)
    if (outputs[k].produced) args.output(static_cast<int>(k), outputs[k].shape, outputs[k].dtype);
}

void forward_values(const ValueForm& form, const Call& call, std::span<const Tensor> inputs,
                    std::span<Tensor> outputs, const Context& context) {
  bool given = false;
  for (std::size_t i = 1; i < inputs.size(); ++i) given = given || inputs[i].defined();
  if (!given) return form.forward(call, inputs, outputs, context);
  const Call bound{call.op, form.bind(call, inputs[0].shape(), Values(inputs))};
  const InferArgs::Input x{&inputs[0].shape(), inputs[0].dtype(), nullptr};
  std::vector<InferArgs::Output> made(static_cast<std::size_t>(call.op->outputs()));
  InferArgs args(bound, std::span(&x, 1), made, context.training);
  form.infer(args);
  PARE_CHECK(made[0].shape == outputs[0].shape(), shape_mismatch, call.op->name,
             "expected values that make {}, got such of {}", outputs[0].shape(), made[0].shape);
  form.forward(bound, inputs.first(1), outputs, context);
}

void backward_values(const ValueForm& form, BackwardArgs& args) {
  bool given = false;
  for (int i = 1; i < args.inputs(); ++i) given = given || args.has_input(i);
  if (!given) return form.backward(args);
  const Call call{args.call().op, form.bind(args.call(), args.input_shape(0), Values(args))};
  BoundBackward bound(args, call);
  form.backward(bound);
}

bool has_value_inputs(const InferArgs& args) {
  for (int i = 1; i < args.inputs(); ++i)
    if (args.has(i)) return true;
  return false;
}

bool has_value_inputs(const ChannelLinks& links) {
  for (int i = 1; i < 5; ++i)
    if (links.has(in(i))) return true;
  return false;
}

bool has_value_inputs(const OnnxEmitter& emitter) {
  for (int i = 1; i < 5; ++i)
    if (emitter.has_input(i)) return true;
  return false;
}

std::string integers_or_input(OnnxEmitter& emitter, int i,
                              const std::vector<std::int64_t>& otherwise) {
  if (!emitter.has_input(i)) return onnx_integers(emitter, otherwise);
  if (emitter.input_dtype(i) == DType::i64) return emitter.input(i);
  std::string wide = emitter.temporary();
  emitter.node("Cast", {emitter.input(i)}, {wide})
      .attribute("to", std::int64_t{traits(DType::i64).onnx});
  return wide;
}

KnownSizes known_sizes(const InferArgs& args, int i, const char* what) {
  const char* where = args.call.op->name;
  const Shape& shape = args.shape(i);
  if (const Tensor* value = args.value(i)) {
    KnownSizes sizes;
    for (const std::int64_t n : integers_of(*value, where, what)) sizes.emplace_back(n);
    return sizes;
  }
  PARE_CHECK(args.dtype(i) == DType::i64 || args.dtype(i) == DType::i32, dtype_mismatch, where,
             "expected {} of i64 or i32, got {}", what, args.dtype(i));
  PARE_CHECK(shape.rank() <= 1, shape_mismatch, where, "expected {} of at most one axis, got {}",
             what, shape);
  if (const std::vector<std::string>* known = args.sizes(i)) {
    KnownSizes sizes;
    for (const std::string& text : *known)
      sizes.push_back(text.empty() ? std::nullopt : std::optional(SizeExpression::parse(text)));
    return sizes;
  }
  PARE_CHECK(!shape.symbolic(), unsupported, where,
             "expected {} whose number of elements is known in advance, got {}", what, shape);
  return KnownSizes(static_cast<std::size_t>(shape.elements()));
}

void append_unknown(Shape& shape) { shape.append_symbol(kUnknown + std::to_string(shape.rank())); }

void set_unknown(Shape& shape, int axis) {
  shape.set_symbol(axis, kUnknown + std::to_string(axis));
}

bool is_unknown(const std::string& symbol) { return symbol.starts_with(kUnknown); }

}  // namespace pare
