// AdaRound's relaxation: codes go up or down by a sigmoid that gradients move, towards 0 or 1.
#include "quantize/relaxed_rounding.h"

#include <algorithm>
#include <cmath>

#include "core/ops/gemm.h"
#include "pare/core/generator.h"
#include "pare/core/parallel.h"

namespace pare::quantize {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

constexpr std::int64_t kStepsUntilAsked = 50;
constexpr float kStretch = 1.2F, kShift = -0.1F;  // of the sigmoid, so that it reaches 0 and 1

float clip(const RelaxedProblem& p, float y) {
  return std::clamp(y, static_cast<float>(p.low), static_cast<float>(p.high));
}

// Adam's moments of some numbers.
struct Moments {
  explicit Moments(std::size_t n) : first(n, 0), second(n, 0) {}
  std::vector<float> first, second;
};

class Relaxation {
 public:
  Relaxation(const RelaxedProblem& problem, const RoundedProduct& start,
             const std::vector<double>& targets, const RelaxationOptions& options, bool correct)
      : p_(problem),
        o_(options),
        correct_(correct),
        result_(start),
        floor_(start.codes.size()),
        v_(start.codes.size()),
        soft_(start.codes.size()),
        gradient_(start.codes.size()),
        of_v_(start.codes.size()),
        of_bias_(start.bias.size()) {
    for (std::size_t i = 0; i < v_.size(); ++i) {
      if (targets[i] == 0) {  // pruned: h is 0 and, that far out, has no slope
        v_[i] = -30;
        continue;
      }
      const double target = targets[i] / static_cast<double>(scale(i));
      const double code = start.codes[i];
      double below = target >= code ? code : code - 1;
      // Both codes must be there.
      below = std::clamp(below, static_cast<double>(p_.qmin), static_cast<double>(p_.qmax - 1));
      floor_[i] = static_cast<float>(below);
      // Between where the target lies and the code that is there already.
      const double part = std::clamp((target - below + (code - below)) / 2, 0.02, 0.98);
      v_[i] = static_cast<float>(-std::log(1.2 / (part + 0.1) - 1));
    }
    samples_ = static_cast<std::int64_t>(p_.outputs.size()) / p_.rows;
  }

  RoundedProduct run(Generator generator, const std::function<bool()>& go_on) {
    const std::int64_t batch = std::min(o_.batch, samples_);
    x_.resize(at(batch * p_.columns));
    y_.resize(at(batch * p_.rows));
    wanted_.resize(y_.size());
    // In units in which the loss at the start is one for each code, as the regularizer is.
    const double loss = product_loss(p_, result_) * static_cast<double>(batch);
    unit_ = loss > 0 ? static_cast<float>(static_cast<double>(p_.rows * p_.columns) / loss) : 1;
    const double warm = o_.warm_start * static_cast<double>(o_.iterations);
    for (std::int64_t i = 0; i < o_.iterations; ++i) {
      if (i % kStepsUntilAsked == 0 && go_on && !go_on()) break;
      draw(batch, generator);
      const auto now = static_cast<double>(i);
      // Half a cosine from the first β to the last, once the net has settled without it.
      const double part = (now - warm) / std::max(1.0, static_cast<double>(o_.iterations) - warm);
      const double beta = now < warm ? 0
                                     : o_.last_beta + (o_.first_beta - o_.last_beta) *
                                                          (1 + std::cos(part * M_PI)) / 2;
      step(batch, i, static_cast<float>(beta));
    }
    for (std::size_t i = 0; i < v_.size(); ++i)
      result_.codes[i] = static_cast<double>(floor_[i] + (rounded_up(v_[i]) >= 0.5F ? 1.0F : 0.0F));
    return std::move(result_);
  }

 private:
  float scale(std::size_t i) const { return result_.scales[i / at(p_.columns)]; }
  static float sigmoid(float v) { return 1.0F / (1.0F + std::exp(-v)); }
  static float rounded_up(float v) {
    return std::clamp(kStretch * sigmoid(v) + kShift, 0.0F, 1.0F);
  }

  void draw(std::int64_t batch, Generator& generator) {
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto s =
          static_cast<std::int64_t>(generator.below(static_cast<std::uint64_t>(samples_)));
      std::copy_n(p_.inputs.begin() + s * p_.columns, p_.columns, x_.begin() + b * p_.columns);
      std::copy_n(p_.outputs.begin() + s * p_.rows, p_.rows, wanted_.begin() + b * p_.rows);
    }
  }

  void step(std::int64_t batch, std::int64_t iteration, float beta) {
    const std::int64_t k = p_.columns, n = p_.rows;
    parallel_for(0, n, 1 + 4096 / k, [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = at(begin * k); i < at(end * k); ++i)
        soft_[i] = (floor_[i] + rounded_up(v_[i])) * scale(i);
    });
    parallel_gemm(batch, n, k, {x_.data(), k}, {soft_.data(), k, true}, y_.data(), n, false);
    // y becomes the gradient of the loss by it.
    std::vector<float> of_bias(at(n), 0);
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t r = 0; r < n; ++r) {
        float& y = y_[at(b * n + r)];
        const float given = y + result_.bias[at(r)];
        const float error = clip(p_, given) - clip(p_, wanted_[at(b * n + r)]);
        const bool passes =
            given > static_cast<float>(p_.low) && given < static_cast<float>(p_.high);
        y = passes ? error : 0.0F;
        of_bias[at(r)] += y;
      }
    parallel_gemm(n, k, batch, {y_.data(), n, true}, {x_.data(), k}, gradient_.data(), k, false);
    const float rate = static_cast<float>(o_.learning_rate);
    const float correction1 = 1 - std::pow(0.9F, static_cast<float>(iteration + 1));
    const float correction2 = 1 - std::pow(0.999F, static_cast<float>(iteration + 1));
    const auto adam = [&](Moments& m, std::size_t i, float g) {
      m.first[i] = 0.9F * m.first[i] + 0.1F * g;
      m.second[i] = 0.999F * m.second[i] + 0.001F * g * g;
      return (m.first[i] / correction1) / (std::sqrt(m.second[i] / correction2) + 1e-8F);
    };
    const auto weight = static_cast<float>(o_.regularization);
    parallel_for(0, n, 1 + 4096 / k, [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = at(begin * k); i < at(end * k); ++i) {
        const float s = sigmoid(v_[i]);
        const float h = kStretch * s + kShift;
        const float slope = h > 0 && h < 1 ? kStretch * s * (1 - s) : 0.0F;
        float g = 2 * unit_ * gradient_[i] * scale(i);
        if (beta > 0 && slope > 0) {
          const float side = 2 * h - 1;
          g -= weight * 2 * beta * std::pow(std::fabs(side), beta - 1) * (side < 0 ? -1.0F : 1.0F);
        }
        v_[i] -= rate * adam(of_v_, i, g * slope);
      }
    });
    if (!correct_) return;
    for (std::size_t r = 0; r < at(n); ++r)
      // In steps of a code's worth of output.
      result_.bias[r] -= 0.1F * rate * bias_unit(r) * adam(of_bias_, r, of_bias[r]);
  }

  // What one code of the row's largest input is worth.
  float bias_unit(std::size_t r) const { return result_.scales[r] * input_size(); }
  float input_size() const {
    if (input_size_ == 0) {
      double sum = 0;
      for (const float x : p_.inputs) sum += static_cast<double>(x) * static_cast<double>(x);
      input_size_ = static_cast<float>(
          std::sqrt(sum / std::max(1.0, static_cast<double>(p_.inputs.size()))) + 1e-12);
    }
    return input_size_;
  }

  const RelaxedProblem& p_;
  const RelaxationOptions& o_;
  const bool correct_;
  RoundedProduct result_;
  std::vector<float> floor_, v_, soft_, gradient_;  // rows × columns
  std::vector<float> x_ = {}, y_ = {}, wanted_ = {};
  Moments of_v_, of_bias_;
  std::int64_t samples_ = 0;
  float unit_ = 1;
  mutable float input_size_ = 0;
};

// What the codes give for the samples [samples × rows], without the biases.
std::vector<float> products(const RelaxedProblem& p, const RoundedProduct& product) {
  const std::int64_t samples = static_cast<std::int64_t>(p.outputs.size()) / p.rows;
  std::vector<float> w(product.codes.size()), y(p.outputs.size());
  for (std::size_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<float>(product.codes[i]) * product.scales[i / at(p.columns)];
  parallel_gemm(samples, p.rows, p.columns, {p.inputs.data(), p.columns},
                {w.data(), p.columns, true}, y.data(), p.rows, false);
  return y;
}

// The bias that leaves the mean of the clipped outputs as it should be, by a few steps of Newton's
// method: what rounding h at the end changed.
void correct_means(const RelaxedProblem& p, RoundedProduct& product) {
  const std::int64_t samples = static_cast<std::int64_t>(p.outputs.size()) / p.rows;
  const std::vector<float> y = products(p, product);
  for (std::int64_t r = 0; r < p.rows; ++r)
    for (int turn = 0; turn < 4; ++turn) {
      double error = 0, passing = 0;
      for (std::int64_t s = 0; s < samples; ++s) {
        const float given = y[at(s * p.rows + r)] + product.bias[at(r)];
        if (given <= static_cast<float>(p.low) || given >= static_cast<float>(p.high)) continue;
        error += static_cast<double>(given - clip(p, p.outputs[at(s * p.rows + r)]));
        ++passing;
      }
      if (passing == 0) break;
      product.bias[at(r)] -= static_cast<float>(error / passing);
    }
}

}  // namespace

double product_loss(const RelaxedProblem& p, const RoundedProduct& product) {
  const std::int64_t samples = static_cast<std::int64_t>(p.outputs.size()) / p.rows;
  const std::vector<float> y = products(p, product);
  double loss = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const float error = clip(p, y[i] + product.bias[i % at(p.rows)]) - clip(p, p.outputs[i]);
    loss += static_cast<double>(error) * static_cast<double>(error);
  }
  return loss / static_cast<double>(std::max<std::int64_t>(samples, 1));
}

RoundedProduct relax(const RelaxedProblem& problem, const RoundedProduct& start,
                     const std::vector<double>& targets, const RelaxationOptions& options,
                     bool correct, std::uint64_t seed, const std::function<bool()>& go_on) {
  RoundedProduct best = start;
  auto consider = [&, least = product_loss(problem, start)](RoundedProduct tried) mutable {
    if (correct) correct_means(problem, tried);
    if (const double loss = product_loss(problem, tried); loss < least) {
      least = loss;
      best = std::move(tried);
    }
  };
  consider(start);
  // Less than f32 sums are rounded by is nothing to gain.
  double power = 0;
  for (const float y : problem.outputs) power += static_cast<double>(y) * static_cast<double>(y);
  constexpr double kRounding = 1e-11;
  const std::int64_t samples = static_cast<std::int64_t>(problem.outputs.size()) / problem.rows;
  if (product_loss(problem, best) * static_cast<double>(samples) <= kRounding * power) return best;
  consider(Relaxation(problem, start, targets, options, correct).run(Generator(seed), go_on));
  return best;
}

}  // namespace pare::quantize
