// pare evaluate: how well a classifier does on labelled samples.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/runner.h"
#include "cli/tensors.h"
#include "pare/core/error.h"
#include "pare/core/ops.h"
#include "pare/io/npy.h"
#include "pare/train/confusion.h"

namespace pare::cli {
namespace {

struct Options {
  std::string model, labels, output;
  std::vector<std::string> inputs;
  std::int64_t batch = 32, label_offset = 0;
  RunnerOptions runner;
};

// Sums over what was added.
struct Score {
  std::int64_t top1 = 0, top5 = 0, count = 0;
  double loss = 0;
};

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

// Some models end in a softmax: their numbers are probabilities already.
bool gives_probabilities(const Graph& graph, int value) {
  const int producer = graph.value(value).producer;
  return producer >= 0 && graph.node(producer).call.op == &kSoftmax;
}

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

void add(Score& score, const Tensor& logits, const Tensor& labels, bool probabilities) {
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

Tensor load_labels(const Options& options, std::int64_t samples) {
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
  for (std::int64_t i = 0; i < out.elements(); ++i) data[i] += options.label_offset;
  return out;
}

void run(const Options& options, const Settings& settings) {
  const Graph graph = load_model(options.model);
  const std::size_t number = output_number(graph, options.output);
  const bool probabilities = gives_probabilities(graph, graph.outputs().at(number));
  const Inputs inputs(graph, options.inputs, options.batch);
  const Tensor labels = load_labels(options, inputs.samples());
  ContextScope scope;
  scope->grad = false;
  Runner runner(graph, options.runner, settings);
  Score score;
  {
    Progress progress(settings, "evaluate", inputs.samples());
    for (std::int64_t b = 0; b < inputs.batches(); ++b) {
      const Tensors outputs = runner(inputs.get(b));
      const std::int64_t begin = inputs.begin_of(b), count = inputs.samples_of(b);
      Tensor output = outputs.at(number);
      if (output.rank() > 0 && output.dim(0) > count) output = rows(output, 0, count);
      const Tensor own = rows(labels, begin, begin + count);
      try {
        add(score, as_rows(output, own), own, probabilities);
      } catch (const Error& error) {
        throw error.within(fmt::format("{}: samples from {}", options.labels, begin));
      }
      progress.advance(count);
    }
  }
  const auto share = [&](double sum) {
    return score.count > 0 ? sum / static_cast<double>(score.count) : std::nan("");
  };
  const double top1 = share(static_cast<double>(score.top1)),
               top5 = share(static_cast<double>(score.top5)), loss = share(score.loss);
  const bool tokens = score.count != inputs.samples();
  print(
      settings,
      fmt::format("top-1 {:.4f}, top-5 {:.4f}, cross-entropy {:.4f}, {} samples{}\n", top1, top5,
                  loss, inputs.samples(), tokens ? fmt::format(" of {} labels", score.count) : ""),
      {{"top1", top1},
       {"top5", top5},
       {"loss", loss},
       {"samples", inputs.samples()},
       {"labels", score.count}});
}

}  // namespace

void add_evaluate(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, settings, "evaluate", "Top-1, top-5 and cross-entropy on labelled samples",
                  "pare evaluate mobilenetv2.onnx --input x.npy --labels y.npy --label-offset 1");
  command->add_option("MODEL", options->model, "A .onnx or .pare file")->required();
  command->add_option("--input", options->inputs, "[name=]x.npy, for every input")
      ->required()
      ->allow_extra_args(false);
  command->add_option("--labels", options->labels, "Classes [N], or per token [N, T]")->required();
  command->add_option("--label-offset", options->label_offset, "Added to every label");
  command->add_option("--output-name", options->output, "Of the logits; the first output without");
  command->add_option("--batch", options->batch, "Samples that run together")
      ->check(CLI::Range(1, 1 << 20));
  add_runner_options(command, options->runner);
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
