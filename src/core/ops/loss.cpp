// cross_entropy, kl_div and mse: scalars, averaged as PyTorch's defaults ("mean", "batchmean").
#include "pare/core/ops/loss.h"

#include <algorithm>
#include <vector>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/reduce_kernels.h"
#include "core/softmax_rows.h"

namespace pare {
namespace {

/// The sum of term(i) over [0, count), accumulated in double over fixed pieces.
template <class T, class Term> double sum_of_terms(std::int64_t count, Term term) {
  constexpr std::int64_t kPiece = 1024;
  const std::int64_t pieces = (count + kPiece - 1) / kPiece;
  std::vector<double> partial(static_cast<std::size_t>(pieces));
  double* sums = partial.data();
  parallel_for(0, pieces, kElementGrain / kPiece, [&](std::int64_t begin, std::int64_t end) {
    multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
      T values[kPiece];
      for (std::int64_t p = begin; p < end; ++p) {
        const std::int64_t first = p * kPiece;
        const std::int64_t n = std::min(kPiece, count - first);
        for (std::int64_t i = 0; i < n; ++i) values[i] = term(first + i);
        sums[p] = rows::total(values, n);
      }
    });
  });
  double sum = 0;
  for (const double s : partial) sum += s;
  return sum;
}

DType computed(DType d) { return is_half(d) ? DType::f32 : d; }

void check_floating(const InferArgs& args, int input) {
  PARE_CHECK(is_floating(args.dtype(input)), dtype_mismatch, args.call.op->name,
             "expected a floating type, got {}", args.dtype(input));
}

// ---- cross_entropy ----

void infer_cross_entropy(InferArgs& args) {
  check_floating(args, 0);
  const Shape& logits = args.shape(0);
  const Shape& labels = args.shape(1);
  PARE_CHECK(args.dtype(1) == DType::i64, dtype_mismatch, "cross_entropy",
             "expected i64 labels, got {}", args.dtype(1));
  PARE_CHECK(logits.rank() == 2 && labels.rank() == 1 && logits.same_axis(0, labels, 0),
             shape_mismatch, "cross_entropy",
             "expected logits [N, C] and labels [N], got {} and {}", logits, labels);
  args.output(0, {}, args.dtype(0));
  args.output(1, logits, args.dtype(0));
}

void check_labels(const std::int64_t* labels, std::int64_t count, std::int64_t classes) {
  for (std::int64_t i = 0; i < count; ++i) {
    PARE_CHECK(labels[i] >= 0 && labels[i] < classes, out_of_range, "cross_entropy",
               "expected labels from 0 to {}, got {} at index {}", classes - 1, labels[i], i);
  }
}

/// The losses and probabilities of rows [begin, end).
template <class T>
PARE_INLINE void long_rows(const T* x, T* probabilities, const std::int64_t* labels, double* loss,
                           std::int64_t classes, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const T* row = x + r * classes;
    T* __restrict p = probabilities + r * classes;
    const T m = rows::largest(row, classes);
    const double sum = rows::exponentials(row, p, classes, m);
    loss[r] = std::log(sum) - static_cast<double>(row[labels[r]] - m);
    const auto factor = static_cast<T>(1.0 / sum);
    for (std::int64_t c = 0; c < classes; ++c) p[c] *= factor;
  }
}

/// The same for rows of at most rows::kShort classes, many at a time.
template <class T>
PARE_INLINE void short_rows(const T* x, T* probabilities, const std::int64_t* labels, double* loss,
                            std::int64_t classes, std::int64_t begin, std::int64_t end) {
  using rows::kTile;
  T from[rows::kShort * kTile];
  T to[rows::kShort * kTile];
  T m[kTile];
  T sum[kTile];
  T log_sum[kTile];
  for (std::int64_t first = begin; first < end; first += kTile) {
    const std::int64_t width = std::min(kTile, end - first);
    rows::rows_to_columns(x + first * classes, from, classes, width);
    rows::column_exponentials(from, to, classes, kTile, width, m, sum);
    for (std::int64_t i = 0; i < width; ++i) {
      log_sum[i] = rows::logarithm(sum[i]);
      sum[i] = T(1) / sum[i];
    }
    for (std::int64_t i = 0; i < width; ++i) {
      const T label_logit = from[labels[first + i] * kTile + i];
      loss[first + i] = static_cast<double>(log_sum[i] - (label_logit - m[i]));
    }
    for (std::int64_t c = 0; c < classes; ++c)
      for (std::int64_t i = 0; i < width; ++i) to[c * kTile + i] *= sum[i];
    rows::columns_to_rows(to, probabilities + first * classes, classes, width);
  }
}

// The hidden output keeps the probabilities, from which the gradient follows without another exp.
void forward_cross_entropy(const Call& call, std::span<const Tensor> inputs,
                           std::span<Tensor> outputs, const Context& context) {
  const Tensor& logits = inputs[0];
  if (is_half(logits.dtype())) return forward_through_float(call, inputs, outputs, context);
  const std::int64_t batch = logits.dim(0);
  const std::int64_t classes = logits.dim(1);
  const auto* labels = inputs[1].data<std::int64_t>();
  check_labels(labels, batch, classes);
  Tensor scratch =
      outputs[1].defined() ? outputs[1] : Tensor::empty(logits.shape(), logits.dtype());
  visit_float(logits.dtype(), "cross_entropy", [&](auto type) {
    using T = decltype(type);
    const T* x = logits.data<T>();
    T* probabilities = scratch.mutable_data<T>();
    std::vector<double> losses(static_cast<std::size_t>(batch));
    double* loss = losses.data();
    const std::int64_t grain = kElementGrain / 4 / std::max<std::int64_t>(1, classes) + 1;
    parallel_for(0, batch, grain, [&](std::int64_t begin, std::int64_t end) {
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
        if (classes <= rows::kShort)
          short_rows(x, probabilities, labels, loss, classes, begin, end);
        else
          long_rows(x, probabilities, labels, loss, classes, begin, end);
      });
    });
    double mean = 0;
    for (const double l : losses) mean += l;
    *outputs[0].mutable_data<T>() = static_cast<T>(mean / static_cast<double>(batch));
  });
}

void backward_cross_entropy(BackwardArgs& args) {
  if (!args.needs(0)) return;
  const DType dtype = computed(args.input_dtype(0));
  const Tensor saved = in_dtype(args.output(1), dtype);
  const auto* labels = args.input(1).data<std::int64_t>();
  const std::int64_t batch = saved.dim(0);
  const std::int64_t classes = saved.dim(1);
  const double scale = args.grad_output(0).item() / static_cast<double>(batch);
  Tensor out = Tensor::empty(saved.shape(), dtype);
  visit_float(dtype, "cross_entropy", [&](auto type) {
    using T = decltype(type);
    const auto factor = static_cast<T>(scale);
    T* dx = out.mutable_data<T>();
    map_contiguous(saved.data<T>(), dx, out.elements(),
                   [factor](T p) PARE_INLINE_LAMBDA { return p * factor; });
    for (std::int64_t r = 0; r < batch; ++r) dx[r * classes + labels[r]] -= factor;
  });
  args.set(0, in_dtype(out, args.input_dtype(0)));
}

// ---- kl_div and mse: two tensors of one shape ----

void infer_pair(InferArgs& args) {
  const char* where = args.call.op->name;
  check_floating(args, 0);
  PARE_CHECK(args.dtype(0) == args.dtype(1), dtype_mismatch, where,
             "expected both inputs of one dtype, got {} and {}", args.dtype(0), args.dtype(1));
  PARE_CHECK(args.shape(0) == args.shape(1), shape_mismatch, where,
             "expected inputs of one shape, got {} and {}", args.shape(0), args.shape(1));
  args.output(0, {}, args.dtype(0));
}

struct SquaredDifference {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return (a - b) * (a - b); }
};
template <class T> struct MseGradient {
  T factor;
  PARE_INLINE T operator()(T a, T b) const { return (a - b) * factor; }
};

struct Divergence {
  template <class T> PARE_INLINE T operator()(T log_input, T target) const {
    const T term = target * (rows::logarithm(target) - log_input);
    return target == T(0) ? T(0) : term;
  }
};
template <class T> struct DivergenceOfInput {
  T factor;
  PARE_INLINE T operator()(T, T target) const { return -target * factor; }
};
/// At target = 0, where the slope is infinite, that of the other term alone.
template <class T> struct DivergenceOfTarget {
  T factor;
  PARE_INLINE T operator()(T log_input, T target) const {
    const T slope = rows::logarithm(target) + T(1) - log_input;
    return (target == T(0) ? -log_input : slope) * factor;
  }
};

/// Σ f(a, b) / divisor into a scalar.
template <class F>
void forward_pair(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context, std::int64_t divisor) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  const Tensor other = in_format(inputs[1], inputs[0].format());
  visit_float(inputs[0].dtype(), call.op->name, [&](auto type) {
    using T = decltype(type);
    const T* a = inputs[0].data<T>();
    const T* b = other.data<T>();
    const double sum = sum_of_terms<T>(
        inputs[0].elements(), [=](std::int64_t i) PARE_INLINE_LAMBDA { return F{}(a[i], b[i]); });
    *outputs[0].mutable_data<T>() = static_cast<T>(sum / static_cast<double>(divisor));
  });
}

/// Gives input i the gradient make(scale)(a, b) of every element.
template <template <class> class F> void give_pair(BackwardArgs& args, int i, double scale) {
  if (!args.needs(i)) return;
  const DType dtype = computed(args.input_dtype(i));
  const Tensor a = in_dtype(args.input(0), dtype);
  const Tensor b = in_format(in_dtype(args.input(1), dtype), a.format());
  Tensor out = Tensor::empty(a.shape(), dtype, a.format());
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    zip_contiguous(a.data<T>(), b.data<T>(), out.mutable_data<T>(), out.elements(),
                   F<T>{static_cast<T>(scale)});
  });
  args.set(i, in_dtype(out, args.input_dtype(i)));
}

}  // namespace

constinit const OpDef kCrossEntropy = {
    .name = "cross_entropy",
    .min_inputs = 2,
    .max_inputs = 2,
    .hidden_outputs = 1,
    .infer = infer_cross_entropy,
    .forward = forward_cross_entropy,
    .backward = backward_cross_entropy,
    .saves_inputs = 1U << 1U,
    .saves_outputs = 1U << 1U,
    .onnx = {.op_type = "SoftmaxCrossEntropyLoss", .emit = [](const Call&, OnnxEmitter& e) {
               e.node("SoftmaxCrossEntropyLoss", {e.input(0), e.input(1)}, {e.output(0)})
                   .attribute("reduction", "mean");
             }}};

constinit const OpDef kKlDiv = {
    .name = "kl_div",
    .min_inputs = 2,
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer =
        [](InferArgs& args) {
          PARE_CHECK(args.shape(0).rank() >= 1, shape_mismatch, "kl_div",
                     "expected inputs [N, …], got {}", args.shape(0));
          infer_pair(args);
        },
    .forward =
        [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
           const Context& context) {
          forward_pair<Divergence>(call, inputs, outputs, context, inputs[0].dim(0));
        },
    .backward =
        [](BackwardArgs& args) {
          const double scale =
              args.grad_output(0).item() / static_cast<double>(args.input_shape(0)[0]);
          give_pair<DivergenceOfInput>(args, 0, scale);
          give_pair<DivergenceOfTarget>(args, 1, scale);
        },
    .saves_inputs = 3};

constinit const OpDef kMse = {
    .name = "mse",
    .min_inputs = 2,
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_pair,
    .forward =
        [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
           const Context& context) {
          forward_pair<SquaredDifference>(call, inputs, outputs, context, inputs[0].elements());
        },
    .backward =
        [](BackwardArgs& args) {
          const double scale = 2.0 * args.grad_output(0).item() /
                               static_cast<double>(args.input_shape(0).elements());
          give_pair<MseGradient>(args, 0, scale);
          give_pair<MseGradient>(args, 1, -scale);
        },
    .saves_inputs = 3};

Tensor cross_entropy(const Tensor& logits, const Tensor& labels) {
  return apply({&kCrossEntropy, {}}, detail::Borrowed(logits, labels));
}
Tensor kl_div(const Tensor& log_input, const Tensor& target) {
  return apply({&kKlDiv, {}}, detail::Borrowed(log_input, target));
}
Tensor mse(const Tensor& input, const Tensor& target) {
  return apply({&kMse, {}}, detail::Borrowed(input, target));
}

}  // namespace pare
