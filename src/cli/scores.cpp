// Top-1, top-5 and cross-entropy of a classifier's outputs.
#include "cli/scores.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <vector>

#include "cli/settings.h"
#include "pare/core/error.h"
#include "pare/core/ops.h"
#include "pare/io/npy.h"
#include "pare/train/confusion.h"

namespace pare::cli {
namespace {

// Logits [N, C], or with labels [N, T] of [N, T, C]: [N·T, C]; axes of one element behind C go.
Tensor as_rows(const Tensor& output, const Tensor& labels) {
  const int leading = labels.rank();
  bool good = output.rank() > leading && is_floating(output.dtype());
  for (int a = 0; good && a < leading; ++a) good = output.dim(a) == labels.dim(a);
  for (int a = leading + 1; good && a < output.rank(); ++a) good = output.dim(a) == 1;
  if (!good || output.dim(leading) == 0)
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("evaluate: expected logits with the classes behind the axes of the "
                            "labels {}, got {} {}",
                            labels.shape().to_string(), traits(output.dtype()).name,
                            output.shape().to_string()));
  return reshape(output.to(MemoryFormat::row_major).to(DType::f32), {-1, output.dim(leading)});
}

void add_logits(Score& score, const Tensor& logits, const Tensor& labels, bool probabilities) {
  const Tensor flat = reshape(labels, {-1});
  const std::int64_t classes = logits.dim(1);
  score.top1 += train::count_top_k(logits, flat, 1);
  score.top5 += train::count_top_k(logits, flat, std::min<std::int64_t>(5, classes));
  score.count += flat.dim(0);
  if (!probabilities) {
    score.loss += cross_entropy(logits, flat, {.reduction = "sum"}).item();
    return;
  }
  const float* p = logits.data<float>();
  const std::int64_t* label = flat.data<std::int64_t>();
  for (std::int64_t i = 0; i < flat.dim(0); ++i)
    score.loss -= std::log(std::max(static_cast<double>(p[i * classes + label[i]]), 1e-38));
}

}  // namespace

std::size_t output_number(const Graph& graph, const std::string& name) {
  if (name.empty()) return 0;
  std::string names;
  const std::vector<std::string> own = graph.output_names();
  for (std::size_t k = 0; k < own.size(); ++k) {
    if (own[k] == name) return k;
    names += (names.empty() ? "" : ", ") + own[k];
  }
  throw UsageError(fmt::format("--output-name: expected one of {}, got '{}'", names, name));
}

bool gives_probabilities(const Graph& graph, int value) {
  const int producer = graph.value(value).producer;
  return producer >= 0 && graph.node(producer).call.op == &kSoftmax;
}

Tensor load_labels(const LabelOptions& options, std::int64_t samples,
                   std::optional<std::int64_t> classes) {
  const Tensor labels = io::load_npy(options.labels);
  if (is_floating(labels.dtype()) || labels.rank() < 1)
    throw Error(ErrorCode::dtype_mismatch,
                fmt::format("{}: expected whole numbers for labels, got {}{}", options.labels,
                            traits(labels.dtype()).name, labels.shape().to_string()));
  if (labels.dim(0) != samples)
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: expected labels for {} samples, got {}", options.labels, samples,
                            labels.shape().to_string()));
  Tensor out = labels.to(DType::i64).clone();
  std::int64_t* const data = out.mutable_data<std::int64_t>();
  for (std::int64_t i = 0; i < out.elements(); ++i) {
    data[i] += options.offset;
    const bool known = data[i] >= 0 && data[i] < classes.value_or(data[i] + 1);
    if (classes && !known && data[i] != CrossEntropyAttributes{}.ignore_index)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: expected labels from 0 to {}, got {} at element {}",
                              options.labels, *classes - 1, data[i], i));
  }
  return out;
}

CLI::Option* add_label_options(CLI::App* command, LabelOptions& options) {
  CLI::Option* const labels =
      command->add_option("--labels", options.labels, "Classes [N], or per token [N, T]");
  command->add_option("--label-offset", options.offset, "Added to every label")
      ->capture_default_str();
  command->add_option("--output-name", options.output, "Of the logits; the first output without");
  return labels;
}

double Score::share(double sum) const {
  return count > 0 ? sum / static_cast<double>(count) : std::nan("");
}

Labels::Labels(const Graph& graph, const LabelOptions& options, std::int64_t samples)
    : path_(options.labels),
      output_(output_number(graph, options.output)),
      probabilities_(gives_probabilities(graph, graph.outputs().at(output_))),
      labels_(load_labels(options, samples)) {}

void Labels::add(Score& score, const Inputs& inputs, std::int64_t batch,
                 const Tensors& outputs) const {
  const std::int64_t begin = inputs.begin_of(batch), count = inputs.samples_of(batch);
  Tensor output = outputs.at(output_);
  if (output.rank() > 0 && output.dim(0) > count) output = rows(output, 0, count);
  const Tensor own = rows(labels_, begin, begin + count);
  try {
    add_logits(score, as_rows(output, own), own, probabilities_);
  } catch (const Error& error) {
    throw error.within(fmt::format("{}: samples from {}", path_, begin));
  }
}

}  // namespace pare::cli
