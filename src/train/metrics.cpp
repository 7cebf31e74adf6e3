// Accuracy, evaluation and the words for progress.
#include "pare/train/metrics.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>

#include "core/check.h"
#include "pare/core/context.h"
#include "pare/core/ops/loss.h"
#include "train/accumulator.h"

namespace pare::train {
namespace {

std::string accuracy_text(double accuracy) {
  return std::isnan(accuracy) ? "" : fmt::format("  accuracy {:.2f} %", 100 * accuracy);
}

std::string errors_text(const Metrics& m) {
  return std::isnan(m.mean_absolute_error)
             ? ""
             : fmt::format("  MAE {:.4g}  R2 {:.4g}", m.mean_absolute_error, m.r2);
}

std::string clock_text(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(std::clamp(seconds, 0.0, 1e9)));
  if (total < 3600) return fmt::format("{}:{:02}", total / 60, total % 60);
  return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
}

}  // namespace

Loss::Loss()
    : function_([](const Tensor& output, const Batch& batch) {
        return cross_entropy(output, batch.y);
      }) {}

std::int64_t count_correct(const Tensor& output, const Tensor& labels) {
  const bool classes = output.defined() && labels.defined() && output.rank() == 2 &&
                       output.dtype() == DType::f32 && labels.rank() == 1 &&
                       labels.dtype() == DType::i64 && labels.dim(0) == output.dim(0) &&
                       output.dim(1) > 0;
  if (!classes) return -1;
  const std::int64_t width = output.dim(1);
  const float* row = output.data<float>();
  const std::int64_t* label = labels.data<std::int64_t>();
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < output.dim(0); ++i, row += width) {
    if (std::max_element(row, row + width) - row == label[i]) ++correct;
  }
  return correct;
}

Metrics evaluate(nn::Module& module, data::Loader& data, const Loss& loss) {
  return evaluate(module, data, EvaluateOptions{.loss = loss});
}

Metrics evaluate(nn::Module& module, data::Loader& data, const EvaluateOptions& options) {
  ContextScope scope;
  scope->training = false;
  scope->observing = false;
  scope->grad = false;
  Accumulator sum;
  for (const Batch& batch : data) {
    const Tensor output = output_of(module, batch, options.forward);
    sum.add(checked_item(options.loss(output, batch), "train::evaluate"), output, batch);
  }
  return sum.metrics();
}

std::string to_string(const Metrics& m) {
  const std::string bad =
      m.non_finite > 0 ? fmt::format(", {} batches without a finite loss", m.non_finite) : "";
  return fmt::format("loss {:.4g}{}{}  ({} samples, {:.1f} s{})", m.loss, accuracy_text(m.accuracy),
                     errors_text(m), m.samples, m.seconds, bad);
}

std::string to_string(const Progress& p) {
  constexpr std::int64_t kWidth = 20;
  const std::int64_t done = p.batches > 0 ? p.batch * kWidth / p.batches : kWidth;
  std::string bar(static_cast<std::size_t>(std::clamp<std::int64_t>(done, 0, kWidth)), '=');
  if (done < kWidth) bar += '>';
  bar.resize(kWidth, ' ');
  std::string text =
      fmt::format("epoch {}/{} [{}] {}/{}  loss {:.4g}{}  {:.0f}/s", p.epoch, p.epochs, bar,
                  p.batch, p.batches, p.loss, accuracy_text(p.accuracy), p.samples_per_second);
  if (p.seconds_left > 0) text += fmt::format("  {} left", clock_text(p.seconds_left));
  if (!p.finite) text += fmt::format("  batch loss {}", p.batch_loss);
  if (p.validation) {
    text += fmt::format("  validation loss {:.4g}{}", p.validation->loss,
                        accuracy_text(p.validation->accuracy));
  }
  return text;
}

}  // namespace pare::train
