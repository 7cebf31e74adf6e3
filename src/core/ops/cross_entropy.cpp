// cross_entropy of logits and labels: weights of classes, an ignored label, smoothed targets.
#include <algorithm>
#include <vector>

#include "core/ops/class_labels.h"
#include "core/ops/loss_terms.h"
#include "core/ops/reduced.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/loss.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

const CrossEntropyAttributes& attributes_of(const Call& call) {
  return call.attributes.as<CrossEntropyAttributes>();
}

void infer_cross_entropy(InferArgs& args) {
  const auto& a = attributes_of(args.call);
  PARE_CHECK(a.label_smoothing >= 0 && a.label_smoothing <= 1, invalid_argument, "cross_entropy",
             "expected label_smoothing from 0 to 1, got {}", a.label_smoothing);
  infer_labelled(args, "logits", loss_reduction(a.reduction, "cross_entropy"));
  args.output(1, args.shape(0), args.dtype(0));
}

/// The losses and probabilities of rows [begin, end), whatever weighs them.
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

/// Adds to a row's loss the share of the smoothed target: Σ w·(−log p) / C.
template <class T>
double smoothed(double loss, double share, const ClassLabels& labels, const T* row, const T* weight,
                std::int64_t r) {
  const std::int64_t classes = labels.classes;
  const auto label = labels.of(r);
  const double log_sum = loss + static_cast<double>(row[label]);
  double all = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    const double term = log_sum - static_cast<double>(row[c]);
    all += weight ? static_cast<double>(weight[c]) * term : term;
  }
  const double own = weight ? static_cast<double>(weight[label]) * loss : loss;
  return (1.0 - share) * own + share / static_cast<double>(classes) * all;
}

// The hidden output keeps the probabilities, from which the gradient follows without another exp.
void forward_cross_entropy(const Call& call, std::span<const Tensor> inputs,
                           std::span<Tensor> outputs, const Context& context) {
  const Tensor& logits = inputs[0];
  if (is_half(logits.dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto& a = attributes_of(call);
  const ClassLabels labels("cross_entropy", inputs[1], logits.dim(1), a.ignore_index);
  const std::int64_t batch = labels.count;
  const std::int64_t classes = labels.classes;
  Tensor scratch =
      outputs[1].defined() ? outputs[1] : Tensor::empty(logits.shape(), logits.dtype());
  visit_float(logits.dtype(), "cross_entropy", [&](auto type) {
    using T = decltype(type);
    const T* x = logits.data<T>();
    const T* weight = weight_of<T>(inputs);
    T* probabilities = scratch.mutable_data<T>();
    std::vector<double> losses(static_cast<std::size_t>(batch));
    double* loss = losses.data();
    const std::int64_t* label = labels.data();
    const std::int64_t grain = kElementGrain / 4 / std::max<std::int64_t>(1, classes) + 1;
    parallel_for(0, batch, grain, [&](std::int64_t begin, std::int64_t end) {
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
        if (classes <= rows::kShort)
          short_rows(x, probabilities, label, loss, classes, begin, end);
        else
          long_rows(x, probabilities, label, loss, classes, begin, end);
      });
      for (std::int64_t r = begin; r < end; ++r) {
        if (labels.ignored(r))
          loss[r] = 0;
        else if (a.label_smoothing > 0)
          loss[r] = smoothed(loss[r], a.label_smoothing, labels, x + r * classes, weight, r);
        else if (weight)
          loss[r] *= static_cast<double>(weight[label[r]]);
      }
    });
    give_losses<T>(loss_reduction(a.reduction, "cross_entropy"), labels, weight, losses,
                   outputs[0]);
  });
}

/// Σ over the targets' shares t of w·t·(p − [own class]), times the gradient of the row's loss.
template <class T>
void row_gradient(const ClassLabels& labels, const T* weight, double total_weight, double smoothing,
                  double factor, std::int64_t r, const T* p, T* dx) {
  const std::int64_t classes = labels.classes;
  if (labels.ignored(r)) {
    std::fill(dx, dx + classes, T(0));
    return;
  }
  const std::int64_t label = labels.of(r);
  const double own = (1.0 - smoothing) * (weight ? static_cast<double>(weight[label]) : 1.0);
  const double even = smoothing / static_cast<double>(classes);
  const auto slope = static_cast<T>(factor * (own + even * total_weight));
  for (std::int64_t c = 0; c < classes; ++c) dx[c] = p[c] * slope;
  if (smoothing > 0) {
    const auto each = static_cast<T>(factor * even);
    for (std::int64_t c = 0; c < classes; ++c) dx[c] -= weight ? each * weight[c] : each;
  }
  dx[label] -= static_cast<T>(factor * own);
}

void backward_cross_entropy(BackwardArgs& args) {
  if (!args.needs(0)) return;
  const auto& a = attributes_of(args.call());
  const DType dtype = computed_type(args.input_dtype(0));
  const Tensor saved = in_dtype(args.output(1), dtype);
  Tensor out = Tensor::empty(saved.shape(), dtype);
  const ClassLabels labels("cross_entropy", args.input(1), out.dim(1), a.ignore_index);
  const Tensor weights = args.has_input(2) ? in_dtype(args.input(2), dtype) : Tensor();
  const LossReduction reduction = loss_reduction(a.reduction, "cross_entropy");
  visit_float(dtype, "cross_entropy", [&](auto type) {
    using T = decltype(type);
    const T* weight = weights.defined() ? weights.data<T>() : nullptr;
    double total = static_cast<double>(labels.classes);
    if (weight) {
      total = 0;
      for (std::int64_t c = 0; c < labels.classes; ++c) total += static_cast<double>(weight[c]);
    }
    const std::vector<double> factors =
        row_factors<T>(reduction, labels, weight, args.grad_output(0));
    const T* p = saved.data<T>();
    T* dx = out.mutable_data<T>();
    const std::int64_t grain = kElementGrain / std::max<std::int64_t>(1, labels.classes) + 1;
    parallel_for(0, labels.count, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        row_gradient(labels, weight, total, a.label_smoothing, factors[static_cast<std::size_t>(r)],
                     r, p + r * labels.classes, dx + r * labels.classes);
    });
  });
  args.set(0, in_dtype(out, args.input_dtype(0)));
}

void emit_cross_entropy(const Call& call, OnnxEmitter& e) {
  const auto& a = attributes_of(call);
  PARE_CHECK(a.label_smoothing == 0, unsupported, "cross_entropy",
             "expected no label smoothing for ONNX, got {}", a.label_smoothing);
  std::vector<std::string> inputs{e.input(0), e.input(1)};
  if (e.has_input(2)) inputs.push_back(e.input(2));
  e.node("SoftmaxCrossEntropyLoss", std::move(inputs), {e.output(0)})
      .attribute("reduction", a.reduction.c_str())
      .attribute("ignore_index", a.ignore_index);
}

bool are_probabilities(const Tensor& logits, const Tensor& targets) {
  return logits.defined() && targets.defined() && is_floating(targets.dtype()) &&
         targets.shape() == logits.shape();
}

/// Of ops that exist: log_softmax has nearly all of the work.
Tensor cross_entropy_of_probabilities(const Tensor& logits, const Tensor& targets,
                                      const CrossEntropyOptions& options) {
  const LossReduction reduction = loss_reduction(options.reduction, "cross_entropy");
  const double share = options.label_smoothing;
  PARE_CHECK(share >= 0 && share <= 1, invalid_argument, "cross_entropy",
             "expected label_smoothing from 0 to 1, got {}", share);
  PARE_CHECK(logits.rank() >= 1 && logits.dtype() == targets.dtype(), dtype_mismatch,
             "cross_entropy", "expected probabilities of type {}, got {}", logits.dtype(),
             targets.dtype());
  const int axis = logits.rank() > 1 ? 1 : 0;
  const std::int64_t classes = logits.dim(axis);
  Tensor wanted = targets;
  if (share > 0) wanted = wanted * (1 - share) + share / static_cast<double>(classes);
  if (options.weight.defined()) {
    PARE_CHECK(options.weight.shape() == Shape{classes}, shape_mismatch, "cross_entropy",
               "expected class weights [{}], got {}", classes, options.weight.shape());
    std::vector<std::int64_t> shape(static_cast<std::size_t>(logits.rank()), 1);
    shape[static_cast<std::size_t>(axis)] = classes;
    wanted = wanted * reshape(options.weight, shape);
  }
  const Tensor loss = neg(sum(wanted * log_softmax(logits, axis), {axis}));
  if (reduction == LossReduction::none) return loss;
  return reduction == LossReduction::sum ? sum(loss) : mean(loss);
}

}  // namespace

constinit const OpDef kCrossEntropy = {
    .name = "cross_entropy",
    .min_inputs = 2,
    .max_inputs = 3,
    .hidden_outputs = 1,
    .infer = infer_cross_entropy,
    .forward = forward_cross_entropy,
    .backward = backward_cross_entropy,
    .saves_inputs = 6,
    .saves_outputs = 1U << 1U,
    .defaults = [] { return Attributes::of(CrossEntropyAttributes{}); },
    .onnx = {.op_type = "SoftmaxCrossEntropyLoss", .emit = emit_cross_entropy}};

Tensor cross_entropy(const Tensor& logits, const Tensor& labels) {
  return cross_entropy(logits, labels, {});
}
Tensor cross_entropy(const Tensor& logits, const Tensor& labels,
                     const CrossEntropyOptions& options) {
  if (are_probabilities(logits, labels))
    return cross_entropy_of_probabilities(logits, labels, options);
  const Call call{&kCrossEntropy,
                  Attributes::of(CrossEntropyAttributes{options.label_smoothing,
                                                        options.ignore_index, options.reduction})};
  return apply_to_classes(call, logits, labels, options.weight);
}

}  // namespace pare
