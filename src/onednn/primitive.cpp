// A plan's primitive on oneDNN: constants in the caller's memory, arguments built once per caller.
#include "onednn/primitive.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/aligned.h"
#include "core/check.h"
#include "core/threads.h"
#include "onednn/unpack.h"

namespace pare::onednn {
namespace {

/// Where each constant lies in the caller's block.
struct Places {
  std::size_t bias, multipliers, zero_point, end;
  explicit Places(const Step& s)
      : bias(aligned(s.weights.get_size())),
        multipliers(bias + aligned(s.bias_values.size() * sizeof(float))),
        zero_point(multipliers + aligned(s.requantization.multipliers.size() * sizeof(float))),
        end(zero_point + 64) {}
};

dnnl::memory memory_at(const Desc& desc, const void* data) {
  return {desc, engine(), const_cast<void*>(data)};
}

/// What `call` gives; oneDNN's own error, which callers do not know, as ours.
template <class Call> auto with_our_errors(const char* what, Call&& call) {
  try {
    return call();
  } catch (const dnnl::error& error) {
    fail(ErrorCode::internal, "oneDNN", "expected {}, got {}", what, error.message);
  }
}

class OnednnExecution final : public runtime::Execution {
 public:
  OnednnExecution(const Step& step, const std::byte* constants)
      : primitive_(step.primitive),
        source_(step.source, engine(), nullptr),
        destination_(step.destination, engine(), nullptr),
        scratchpad_(step.scratchpad, engine(), nullptr) {
    const Places at(step);
    const auto hold = [&](int argument, const Desc& desc, const void* data) {
      constants_.push_back(memory_at(desc, data));
      arguments_.push_back({argument, constants_.back().get()});
    };
    arguments_ = {{DNNL_ARG_SRC, source_.get()},
                  {DNNL_ARG_DST, destination_.get()},
                  {DNNL_ARG_SCRATCHPAD, scratchpad_.get()}};
    hold(DNNL_ARG_WEIGHTS, step.weights, constants);
    if (!step.bias_values.empty()) hold(DNNL_ARG_BIAS, step.bias, constants + at.bias);
    if (!kVersion3) return;
    const auto& how = step.requantization;
    if (!how.multipliers.empty()) {
      const auto count = static_cast<dnnl::memory::dim>(how.multipliers.size());
      hold(kMultipliersArgument, Desc({count}, Type::f32, Tag::a), constants + at.multipliers);
    }
    if (how.source_zero_point != 0)
      hold(DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC, Desc({1}, Type::s32, Tag::a),
           constants + at.zero_point);
  }

  void run(const void* source, void* destination, void* scratch) override {
    source_.set_data_handle(const_cast<void*>(source));
    destination_.set_data_handle(destination);
    scratchpad_.set_data_handle(scratch);
    execute(primitive_, arguments_);
  }

 private:
  dnnl::primitive primitive_;
  dnnl::memory source_, destination_, scratchpad_;
  std::vector<dnnl::memory> constants_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

class OnednnPrimitive final : public runtime::Primitive {
 public:
  explicit OnednnPrimitive(Step step)
      : step_(std::move(step)), elements_(step_.weight.elements()), dtype_(step_.weight.dtype()) {}

  std::string name() const override { return step_.name; }
  bool slow() const override {
    return step_.name.find("ref") != std::string::npos ||
           step_.name.find("gemm") != std::string::npos;
  }
  std::size_t constant_bytes() const override { return Places(step_).end; }
  std::size_t scratch_bytes() const override { return step_.scratchpad.get_size(); }

  void fill(void* constants) override {
    PARE_ASSERT(step_.weight.defined());
    auto* base = static_cast<std::byte*>(constants);
    const Places at(step_);
    Tensor weight = step_.weight;
    if (step_.weight_factor != 1) {
      weight = weight.clone();
      auto* w = weight.mutable_data<std::int8_t>();
      const std::int64_t count = weight.elements();
      for (std::int64_t i = 0; i < count; ++i)
        w[i] = static_cast<std::int8_t>(w[i] * step_.weight_factor);
    }
    {
      const ThreadScope threads;
      with_our_errors("the weights in its order", [&] {
        dnnl::memory from = memory_at(step_.weights_given, weight.raw());
        dnnl::memory to = memory_at(step_.weights, base);
        const dnnl::reorder reorder(from, to);
        execute(reorder, {{DNNL_ARG_FROM, from.get()}, {DNNL_ARG_TO, to.get()}});
      });
    }
    const auto copy = [&](std::size_t offset, const std::vector<float>& values) {
      if (!values.empty()) std::memcpy(base + offset, values.data(), values.size() * sizeof(float));
    };
    copy(at.bias, step_.bias_values);
    copy(at.multipliers, step_.requantization.multipliers);
    const std::int32_t zero_point = step_.requantization.source_zero_point;
    std::memcpy(base + at.zero_point, &zero_point, sizeof zero_point);
    step_.weight = {};
  }

  // Weights times a factor lie as they were where oneDNN halves them; where it does not, whoever
  // asks sees that they are others.
  Tensor weight(const void* constants) const override {
    Tensor out = Tensor::empty({elements_}, dtype_);
    if (!unpack(step_.weights, constants, step_.weights_given, out.mutable_raw())) return {};
    return out;
  }
  // The gaps between the parts are zero.
  bool same(const void* a, const void* b) const override {
    return std::memcmp(a, b, constant_bytes()) == 0;
  }

  std::unique_ptr<runtime::Execution> execution(const void* constants) const override {
    return with_our_errors("memory objects", [&]() -> std::unique_ptr<runtime::Execution> {
      return std::make_unique<OnednnExecution>(step_, static_cast<const std::byte*>(constants));
    });
  }

 private:
  Step step_;
  std::int64_t elements_;  // of the weight
  DType dtype_;
};

dnnl::algorithm algorithm_of(runtime::Activation activation) {
  using enum runtime::Activation;
  switch (activation) {
    case none:
      break;
    case sigmoid:
      return dnnl::algorithm::eltwise_logistic;
    case tanh:
      return dnnl::algorithm::eltwise_tanh;
    case silu:
      return dnnl::algorithm::eltwise_swish;
    case hardswish:
      return dnnl::algorithm::eltwise_hardswish;
    case gelu:
      return dnnl::algorithm::eltwise_gelu_erf;
    case gelu_tanh:
      return dnnl::algorithm::eltwise_gelu_tanh;
    case leaky_relu:
      return dnnl::algorithm::eltwise_relu;
    case elu:
      return dnnl::algorithm::eltwise_elu;
  }
  return dnnl::algorithm::undef;
}

}  // namespace

std::unique_ptr<runtime::Primitive> make_primitive(Step step) {
  return std::make_unique<OnednnPrimitive>(std::move(step));
}

bool within_seven_bits(const Tensor& weight) {
  const auto* w = weight.data<std::int8_t>();
  return std::all_of(w, w + weight.elements(), [](int v) { return v >= -63 && v <= 63; });
}

Type type_of(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return Type::u8;
    case DType::i8:
      return Type::s8;
    case DType::i32:
      return Type::s32;
    case DType::f32:
      return Type::f32;
    case DType::bf16:
      return Type::bf16;
    default:
      return Type::undef;
  }
}

Int8Form int8_form(const Int8Problem& p) {
  const auto channels = static_cast<std::size_t>(p.weight.dim(0));
  const std::size_t per_channel =
      static_cast<std::size_t>(p.weight.elements()) / std::max<std::size_t>(1, channels);
  const bool fold = p.source.zero_point != 0 && !p.padded;
  const double scale = p.destination.dtype == DType::f32 ? 1 : p.destination.scale;
  const double zero = p.destination.dtype == DType::f32 ? 0 : p.destination.zero_point;
  Int8Form form;
  form.weight_factor = p.halved ? 2 : 1;
  if (!fold) form.requantization.source_zero_point = p.source.zero_point;

  std::vector<double> exact(p.weight_scales.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    exact[i] = p.source.scale * p.weight_scales[i] / scale;
    form.requantization.multipliers.push_back(static_cast<float>(exact[i]) /
                                              static_cast<float>(form.weight_factor));
  }
  if (!p.bias.defined() && !fold && zero == 0) return form;
  const auto* w = p.weight.data<std::int8_t>();
  const std::int32_t* bias = p.bias.defined() ? p.bias.data<std::int32_t>() : nullptr;
  for (std::size_t o = 0; o < channels; ++o) {
    std::int64_t sum = bias ? bias[o] : 0;
    if (fold) {
      std::int64_t weights = 0;
      for (std::size_t i = 0; i < per_channel; ++i) weights += w[o * per_channel + i];
      sum -= p.source.zero_point * weights;
    }
    const double m = exact[exact.size() > 1 ? o : 0];
    const double in_sums = (static_cast<double>(sum) + zero / m) * form.weight_factor;
    form.bias.push_back(
        static_cast<float>(kVersion3 ? static_cast<double>(sum) * m + zero : in_sums));
  }
  return form;
}

void set_epilogue(dnnl::primitive_attr& attr, const runtime::Epilogue& epilogue,
                  const runtime::Encoding& destination) {
  dnnl::post_ops ops;
  const bool real = destination.real();
  const double scale = real ? 1 : destination.scale;
  if (epilogue.residual) {
    const auto& other = epilogue.residual_encoding;
    const bool quantized = !other.real();
    ops.append_sum(static_cast<float>((quantized ? other.scale : 1) / scale),
                   quantized ? other.zero_point : 0, type_of(other.dtype));
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double low = epilogue.low;
  double high = epilogue.high;
  if (!real) {
    // The destination's zero point is in the bias already.
    low = low / scale + destination.zero_point;
    high = high / scale + destination.zero_point;
    if (low <= traits(destination.dtype).lowest) low = -kInfinity;
    if (high >= traits(destination.dtype).highest) high = kInfinity;
  }
  if (low == 0 && high == kInfinity) {
    append_eltwise(ops, dnnl::algorithm::eltwise_relu);
  } else if (low > -kInfinity || high < kInfinity) {
    constexpr double kMost = std::numeric_limits<float>::max();
    append_eltwise(ops, dnnl::algorithm::eltwise_clip, static_cast<float>(std::max(low, -kMost)),
                   static_cast<float>(std::min(high, kMost)));
  }
  if (epilogue.activation != runtime::Activation::none)
    append_eltwise(ops, algorithm_of(epilogue.activation), static_cast<float>(epilogue.alpha));
  attr.set_post_ops(ops);
}

}  // namespace pare::onednn
