// ctc_loss: forward and backward sums over alignments, in logarithms.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/dtype_switch.h"
#include "core/multiversion.h"
#include "core/ops/loss_terms.h"
#include "core/ops/reduced.h"
#include "core/vector_special.h"
#include "pare/core/ops/ctc.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

enum Input : int { kLogProbs, kTargets, kInputLengths, kTargetLengths };
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Sums are kept as logarithms to base 2. That of nothing is finite, so that differences are
// numbers, and far below what sums of finite inputs reach.
constexpr double kNever = -1e300;
constexpr double kHardlyEver = -1e299;
constexpr double kLog2E = 1.4426950408889634;

const CtcLossAttributes& attributes_of(const Call& call) {
  return call.attributes.as<CtcLossAttributes>();
}

LossReduction reduction_of(const Call& call) {
  return loss_reduction(attributes_of(call).reduction, "ctc_loss");
}

void infer_ctc(InferArgs& args) {
  const auto& a = attributes_of(args.call);
  const LossReduction reduction = reduction_of(args.call);
  check_floating(args, kLogProbs);
  const Shape& x = args.shape(kLogProbs);
  const Shape& targets = args.shape(kTargets);
  PARE_CHECK(x.rank() == 3, shape_mismatch, "ctc_loss", "expected log_probs [T, N, C], got {}", x);
  PARE_CHECK(a.blank >= 0 && a.blank < x[2], out_of_range, "ctc_loss",
             "expected a blank from 0 to {}, got {}", x[2] - 1, a.blank);
  for (int i = kTargets; i <= kTargetLengths; ++i)
    PARE_CHECK(args.dtype(i) == DType::i64 || args.dtype(i) == DType::i32, dtype_mismatch,
               "ctc_loss", "expected i64 or i32 as input {}, got {}", i, args.dtype(i));
  PARE_CHECK(targets.rank() == 1 || (targets.rank() == 2 && targets.same_axis(0, x, 1)),
             shape_mismatch, "ctc_loss",
             "expected targets [N, S] or all in a row for log_probs {}, got {}", x, targets);
  for (const int i : {static_cast<int>(kInputLengths), static_cast<int>(kTargetLengths)})
    PARE_CHECK(args.shape(i).rank() == 1 && args.shape(i).same_axis(0, x, 1), shape_mismatch,
               "ctc_loss", "expected a length for each sample of log_probs {}, got {}", x,
               args.shape(i));
  Shape loss;
  if (reduction == LossReduction::none) loss.append(x, 1);
  args.output(0, loss, args.dtype(kLogProbs));
}

/// The checked operands as numbers.
struct Problem {
  Problem(const CtcLossAttributes& a, const Tensor& log_probs, const Tensor& targets,
          const Tensor& input_lengths, const Tensor& target_lengths)
      : steps(log_probs.dim(0)),
        batch(log_probs.dim(1)),
        classes(log_probs.dim(2)),
        labels(in_dtype(targets, DType::i64).to_vector<std::int64_t>()),
        inputs(in_dtype(input_lengths, DType::i64).to_vector<std::int64_t>()),
        lengths(in_dtype(target_lengths, DType::i64).to_vector<std::int64_t>()) {
    const bool rows = targets.rank() == 2;
    const std::int64_t width = rows ? targets.dim(1) : static_cast<std::int64_t>(labels.size());
    std::int64_t next = 0;
    for (std::int64_t n = 0; n < batch; ++n) {
      const std::int64_t length = lengths[static_cast<std::size_t>(n)];
      const std::int64_t given = inputs[static_cast<std::size_t>(n)];
      PARE_CHECK(given >= 0 && given <= steps, out_of_range, "ctc_loss",
                 "expected input lengths from 0 to {}, got {} of sample {}", steps, given, n);
      PARE_CHECK(length >= 0 && length <= (rows ? width : width - next), out_of_range, "ctc_loss",
                 "expected target lengths from 0 to {}, got {} of sample {}",
                 rows ? width : width - next, length, n);
      first.push_back(rows ? n * width : next);
      next += length;
      for (std::int64_t i = 0; i < length; ++i) {
        const std::int64_t label = labels[static_cast<std::size_t>(first.back() + i)];
        PARE_CHECK(label >= 0 && label < classes && label != a.blank, out_of_range, "ctc_loss",
                   "expected labels from 0 to {} other than the blank {}, got {} of sample {}",
                   classes - 1, a.blank, label, n);
      }
    }
  }
  std::int64_t steps, batch, classes;
  std::vector<std::int64_t> labels, inputs, lengths, first;
};

/// log2(2^a + 2^b + 2^c); NaN where one of them is.
PARE_INLINE double joined(double a, double b, double c) {
  const double high = a > b ? a : b;
  const double m = high > c ? high : c;
  // 2^-60 is less than the last digit of the sum. NaN passes.
  const auto term = [m](double v) PARE_INLINE_LAMBDA {
    const double below = v - m;
    return vec::two_to(below < -60 ? -60 : below);
  };
  const double sum = term(a) + term(b) + term(c);
  // log2_of makes a number of NaN.
  return sum == sum ? m + vec::log2_of(sum) : sum;
}

/// now[s] = joined of the states that may come before s at the last step, plus its own input. Two
/// impossible states lie before the first; skip is kNever where s − 2 may not come before s.
PARE_INLINE void step_body(std::int64_t count, const double* last, const double* skip,
                           const double* own, double* now) {
  double* __restrict to = now;
  for (std::int64_t s = 0; s < count; ++s)
    to[s] = joined(last[s], last[s - 1], last[s - 2] + skip[s]) + own[s];
}
PARE_MULTIVERSION(void, step,
                  (std::int64_t count, const double* last, const double* skip, const double* own,
                   double* now),
                  (count, last, skip, own, now))

/// posterior[s] = 2^(alpha + beta + total), what is next to nothing 0; then, in `beta`, the step
/// `own` is taken back: joined of the states that may come after s. Two impossible ones lie behind.
PARE_INLINE void step_back_body(std::int64_t count, const double* alpha, const double* skip,
                                const double* own, double total, double* beta, double* posterior,
                                double* scratch) {
  double* __restrict p = posterior;
  double* __restrict after = scratch;
  for (std::int64_t s = 0; s < count; ++s) {
    const double power = alpha[s] + beta[s] + total;
    p[s] = power < -86 ? 0 : vec::two_to(power < -86 ? -86 : power);
  }
  for (std::int64_t s = 0; s < count; ++s) after[s] = beta[s] + own[s];
  double* __restrict before = beta;
  for (std::int64_t s = 0; s < count; ++s)
    before[s] = joined(after[s], after[s + 1], after[s + 2] + skip[s + 2]);
}
PARE_MULTIVERSION(void, step_back,
                  (std::int64_t count, const double* alpha, const double* skip, const double* own,
                   double total, double* beta, double* posterior, double* scratch),
                  (count, alpha, skip, own, total, beta, posterior, scratch))

/// One sample: its target with blanks around each label, and sums over the alignments up to a step.
template <class T> class Sample {
 public:
  Sample(const Problem& p, std::int64_t n, std::int64_t blank, const T* log_probs)
      : steps_(p.inputs[static_cast<std::size_t>(n)]),
        stride_(p.batch * p.classes),
        x_(log_probs + n * p.classes) {
    const std::int64_t length = p.lengths[static_cast<std::size_t>(n)];
    for (std::int64_t i = 0; i < length; ++i) {
      states_.push_back(blank);
      states_.push_back(
          p.labels[static_cast<std::size_t>(p.first[static_cast<std::size_t>(n)] + i)]);
    }
    states_.push_back(blank);
    skip_.assign(states_.size() + 2, kNever);
    for (std::size_t s = 3; s < states_.size(); s += 2)  // from label to another label
      if (states_[s] != states_[s - 2]) skip_[s] = 0;
    forward();
  }
  /// −ln of the target's probability.
  double loss() const {
    if (steps_ == 0) return states_.size() == 1 ? 0.0 : kInfinity;
    const double* last = alpha(steps_ - 1) + count();
    const double sum = joined(last[-1], last[-2], kNever);  // a blank alone has kNever before it
    return sum <= kHardlyEver ? kInfinity : -sum / kLog2E;
  }
  /// gradient[t, class] −= factor · the probability of the class at step t, given the target.
  void subtract_posterior(double factor, T* gradient) const {
    const std::size_t states = states_.size();
    const double total = loss() * kLog2E;
    // Of a target that is impossible no probability is known.
    if (std::isinf(total)) factor = std::numeric_limits<double>::quiet_NaN();
    // What comes after a state at a step; it does not hold the step itself.
    std::vector<double> beta(states, kNever);
    std::vector<double> after(states + 2, kNever);
    std::vector<double> posterior(states);
    std::vector<double> own(states);
    beta[states - 1] = 0;
    if (states > 1) beta[states - 2] = 0;
    for (std::int64_t t = steps_; t-- > 0;) {
      take(t, own.data());
      step_back(count(), alpha(t), skip_.data(), own.data(), total, beta.data(), posterior.data(),
                after.data());
      T* to = gradient + t * stride_;
      double blank = 0;
      for (std::size_t s = 0; s < states; s += 2) blank += posterior[s];
      to[states_[0]] -= static_cast<T>(factor * blank);
      for (std::size_t s = 1; s < states; s += 2)
        to[states_[s]] -= static_cast<T>(factor * posterior[s]);
    }
  }

 private:
  std::int64_t count() const { return static_cast<std::int64_t>(states_.size()); }
  /// The sums of step t; two impossible states lie before them.
  const double* alpha(std::int64_t t) const {
    return alpha_.data() + static_cast<std::size_t>(t) * (states_.size() + 2) + 2;
  }
  /// The inputs of all states at step t; NaN passes.
  void take(std::int64_t t, double* own) const {
    const T* x = x_ + t * stride_;
    for (const std::int64_t state : states_) {
      const double v = static_cast<double>(x[state]) * kLog2E;
      *own++ = v < kNever ? kNever : v;
    }
  }
  void forward() {
    const std::size_t row = states_.size() + 2;
    alpha_.assign(static_cast<std::size_t>(steps_) * row, kNever);
    std::vector<double> own(states_.size());
    for (std::int64_t t = 0; t < steps_; ++t) {
      double* now = alpha_.data() + static_cast<std::size_t>(t) * row + 2;
      take(t, own.data());
      if (t > 0) {
        step(count(), alpha(t - 1), skip_.data(), own.data(), now);
        continue;
      }
      now[0] = own[0];
      if (states_.size() > 1) now[1] = own[1];
    }
  }

  std::int64_t steps_, stride_;
  const T* x_;
  std::vector<std::int64_t> states_;
  std::vector<double> skip_;   // [state], two more behind
  std::vector<double> alpha_;  // [step][2 + state]
};

/// What a sample's loss is divided by under the reduction.
double divisor(LossReduction reduction, const Problem& p, std::int64_t n) {
  if (reduction != LossReduction::mean) return 1;
  const std::int64_t length = std::max<std::int64_t>(1, p.lengths[static_cast<std::size_t>(n)]);
  return static_cast<double>(length * p.batch);
}

void forward_ctc(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& context) {
  if (is_half(inputs[kLogProbs].dtype()))
    return forward_through_float(call, inputs, outputs, context);
  const auto& a = attributes_of(call);
  const LossReduction reduction = reduction_of(call);
  const Problem p(a, inputs[kLogProbs], inputs[kTargets], inputs[kInputLengths],
                  inputs[kTargetLengths]);
  visit_float(inputs[kLogProbs].dtype(), "ctc_loss", [&](auto type) {
    using T = decltype(type);
    std::vector<double> losses(static_cast<std::size_t>(p.batch));
    parallel_for(0, p.batch, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n) {
        const double loss = Sample<T>(p, n, a.blank, inputs[kLogProbs].data<T>()).loss();
        losses[static_cast<std::size_t>(n)] = a.zero_infinity && std::isinf(loss) ? 0 : loss;
      }
    });
    T* y = outputs[0].mutable_data<T>();
    double sum = 0;
    for (std::int64_t n = 0; n < p.batch; ++n) {
      const double loss = losses[static_cast<std::size_t>(n)];
      if (reduction == LossReduction::none) y[n] = static_cast<T>(loss);
      sum += loss / divisor(reduction, p, n);
    }
    if (reduction == LossReduction::none) return;
    const bool of_nothing = reduction == LossReduction::mean && p.batch == 0;
    *y = of_nothing ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(sum);
  });
}

void backward_ctc(BackwardArgs& args) {
  if (!args.needs(kLogProbs)) return;
  const auto& a = attributes_of(args.call());
  const LossReduction reduction = reduction_of(args.call());
  const DType dtype = computed_type(args.input_dtype(kLogProbs));
  const Tensor x = in_dtype(args.input(kLogProbs), dtype);
  const Problem p(a, x, args.input(kTargets), args.input(kInputLengths),
                  args.input(kTargetLengths));
  const Tensor g = in_dtype(args.grad_output(0), DType::f64);
  const auto* given = g.data<double>();
  Tensor dx = Tensor::zeros(x.shape(), dtype);
  visit_float(dtype, "ctc_loss", [&](auto type) {
    using T = decltype(type);
    T* to = dx.mutable_data<T>();
    parallel_for(0, p.batch, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n) {
        const Sample<T> sample(p, n, a.blank, x.data<T>());
        if (a.zero_infinity && std::isinf(sample.loss())) continue;
        const double factor =
            given[reduction == LossReduction::none ? n : 0] / divisor(reduction, p, n);
        sample.subtract_posterior(factor, to + n * p.classes);
      }
    });
  });
  args.set(kLogProbs, in_dtype(dx, args.input_dtype(kLogProbs)));
}

}  // namespace

constinit const OpDef kCtcLoss = {.name = "ctc_loss",
                                  .min_inputs = 4,
                                  .max_inputs = 4,
                                  .infer = infer_ctc,
                                  .forward = forward_ctc,
                                  .backward = backward_ctc,
                                  .saves_inputs = 0b1111,
                                  .defaults = [] { return Attributes::of(CtcLossAttributes{}); }};

Tensor ctc_loss(const CtcOperands& operands, const CtcLossAttributes& attributes) {
  const Call call{&kCtcLoss, Attributes::of(attributes)};
  const Tensor& x = operands.log_probs;
  const auto apply_to = [&](const Tensor& log_probs, const Tensor& inputs, const Tensor& targets) {
    return apply(call, detail::Borrowed(log_probs, operands.targets, inputs, targets));
  };
  if (!x.defined() || x.rank() != 2)
    return apply_to(x, operands.input_lengths, operands.target_lengths);
  const auto one = [](const Tensor& t) {
    return t.defined() && t.rank() == 0 ? reshape(t, {1}) : t;
  };
  const Tensor loss = apply_to(reshape(x, {0, 1, x.dim(1)}), one(operands.input_lengths),
                               one(operands.target_lengths));
  return loss.rank() == 1 ? reshape(loss, {}) : loss;
}

}  // namespace pare
