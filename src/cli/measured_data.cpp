// What commands measure nets on: samples, and labels for top-1.
#include "cli/measured_data.h"

#include "cli/settings.h"

namespace pare::cli {

quantize::Batches batches_of(const Inputs& inputs) {
  return {inputs.batches(), [&](std::int64_t batch) {
            check_interrupt();
            return inputs.get(batch);
          }};
}

quantize::Batches batches_of(const Inputs& inputs, Progress& progress) {
  return {inputs.batches(), [&](std::int64_t batch) {
            progress.advance(inputs.samples_of(batch));
            return inputs.get(batch);
          }};
}

MeasuredData::MeasuredData(const Graph& graph, const std::vector<std::string>& paths,
                           const LabelOptions& labels, std::int64_t batch) {
  if (!labels.labels.empty() && paths.empty())
    throw UsageError("--labels: expected --input, which they are for");
  if (!paths.empty()) inputs_.emplace(graph, paths, batch);
  if (!labels.labels.empty()) labels_.emplace(graph, labels, inputs_->samples());
}

std::optional<quantize::Batches> MeasuredData::batches() const {
  if (!inputs_) return {};
  return batches_of(*inputs_);
}

std::function<double(const Plan& plan)> MeasuredData::metric() const {
  if (!labels_) return {};
  return [this](const Plan& plan) {
    Score score;
    for (std::int64_t b = 0; b < inputs_->batches(); ++b) {
      check_interrupt();
      labels_->add(score, *inputs_, b, plan.run(inputs_->get(b)));
    }
    return score.share(static_cast<double>(score.top1));
  };
}

}  // namespace pare::cli
