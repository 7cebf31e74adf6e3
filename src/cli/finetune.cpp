// pare finetune: trains a model on, plainly, beside a teacher, or with fake-quantization.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/qat_options.h"
#include "cli/report_json.h"
#include "cli/scores.h"
#include "cli/tensors.h"
#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/core/ops.h"
#include "pare/data/dataset.h"
#include "pare/distill/soft_targets.h"
#include "pare/nn/tie.h"
#include "pare/optim/adam.h"
#include "pare/optim/sgd.h"
#include "pare/quantize/convert.h"
#include "pare/train/fit.h"

namespace pare::cli {
namespace {

struct Options {
  std::string from, to;
  std::vector<std::string> inputs, validation_inputs;
  LabelOptions labels;
  std::string validation_labels;
  std::int64_t epochs = 1, batch = 32;
  std::string optimizer = "sgd", schedule = "cosine";
  std::optional<double> rate, weight_decay;
  double momentum = 0.9, clip_norm = 0;
  std::string teacher;
  double temperature = 4, alpha = 0.9;
  std::vector<std::string> freeze;
  QATOptions qat;
  int opset = 0;
};

// A model as its training sees it: logits [N, C] of a batch.
class Logits {
 public:
  Logits(const Graph& graph, const std::string& output)
      : output_(output_number(graph, output)),
        probabilities_(gives_probabilities(graph, graph.outputs().at(output_))) {}
  Tensor operator()(nn::Module& module, const Tensor& x) const {
    const Tensor y = module.run({x}).at(output_);
    // Softmax of these logarithms gives the probabilities again.
    const Tensor logits = probabilities_ ? log(clamp(y, 1e-30, 1.0)) : y;
    return logits.rank() == 2 ? logits : reshape(logits, {-1, logits.dim(logits.rank() - 1)});
  }

 private:
  std::size_t output_;
  bool probabilities_;
};

data::Loader loader_of(const Graph& graph, const Inputs& inputs, const LabelOptions& labels,
                       const Options& options, const Settings& settings, bool training) {
  const Shape& shape = graph.value(graph.inputs().at(0)).shape;
  const bool fixed = shape.rank() > 0 && !shape.symbolic(0);
  data::LoaderOptions loading{.batch_size = fixed ? shape[0] : options.batch,
                              .shuffle = training,
                              .drop_last = fixed,
                              .seed = settings.seed};
  const Shape& logits = graph.value(graph.outputs().at(output_number(graph, labels.output))).shape;
  const int last = logits.rank() - 1;
  std::optional<std::int64_t> classes;
  if (last >= 0 && !logits.symbolic(last)) classes = logits[last];
  return {data::TensorDataset(inputs.only(), load_labels(labels, inputs.samples(), classes)),
          loading};
}

std::unique_ptr<optim::Optimizer> optimizer_of(const Tensors& parameters, const Options& o) {
  if (o.optimizer == "adam")
    return std::make_unique<optim::Adam>(optim::decay_groups(
        parameters, optim::AdamOptions{.lr = o.rate.value_or(1e-4),
                                       .weight_decay = o.weight_decay.value_or(0)}));
  if (o.optimizer == "adamw")
    return std::make_unique<optim::AdamW>(optim::decay_groups(
        parameters, optim::AdamWOptions{.lr = o.rate.value_or(1e-4),
                                        .weight_decay = o.weight_decay.value_or(1e-2)}));
  return std::make_unique<optim::SGD>(optim::decay_groups(
      parameters, optim::SGDOptions{.lr = o.rate.value_or(1e-3),
                                    .momentum = o.momentum,
                                    .weight_decay = o.weight_decay.value_or(1e-4)}));
}

optim::Schedule schedule_of(const Options& o) {
  if (o.schedule == "cosine")
    return optim::CosineAnnealingLR{.T_max = std::max<std::int64_t>(o.epochs, 1)};
  // A tenth of the rate after each third of the epochs.
  if (o.schedule == "step") return optim::StepLR{.step_size = (o.epochs + 2) / 3};
  return {};
}

// A number that is not finite is null in JSON.
Json epoch_json(const train::EpochRecord& epoch) {
  const train::Metrics& watched = epoch.validation ? *epoch.validation : epoch.train;
  return {{"loss", watched.loss},
          {"top1", watched.accuracy},
          {"seconds", epoch.train.seconds + (epoch.validation ? epoch.validation->seconds : 0)},
          {"train_loss", epoch.train.loss},
          {"train_top1", epoch.train.accuracy},
          {"learning_rate", epoch.learning_rate}};
}

// Trains `graph` in place.
train::History learn(Graph& graph, const Options& options, const Settings& settings) {
  const Inputs inputs(graph, options.inputs, options.batch);
  data::Loader loader = loader_of(graph, inputs, options.labels, options, settings, true);
  std::optional<Inputs> validation_inputs;
  std::optional<data::Loader> validation;
  if (!options.validation_inputs.empty()) {
    validation_inputs.emplace(graph, options.validation_inputs, options.batch,
                              "--validation-input");
    LabelOptions labels = options.labels;
    labels.labels = options.validation_labels;
    validation.emplace(loader_of(graph, *validation_inputs, labels, options, settings, false));
  }
  const Logits logits(graph, options.labels.output);
  std::optional<Graph> teacher;
  std::optional<Logits> teacher_logits;
  if (!options.teacher.empty()) {
    teacher = load_model(options.teacher);
    teacher_logits.emplace(*teacher, options.labels.output);
  }
  const train::Loss loss = [&](const Tensor& output, const data::Batch& batch) {
    const Tensor labels = reshape(batch.y, {-1});
    // Validation looks at the labels alone, with a teacher too.
    if (!teacher || !context().training) return cross_entropy(output, labels);
    Tensor target;
    {
      ContextScope scope;
      scope->training = scope->observing = scope->grad = false;
      target = (*teacher_logits)(*teacher, batch.x);
    }
    return distill::soft_target_loss(output, target, labels,
                                     {.temperature = options.temperature, .alpha = options.alpha});
  };
  const auto optimizer = optimizer_of(graph.parameters(), options);
  ContextScope scope;
  scope->threads = settings.threads;
  Progress progress(settings, "finetune", options.epochs * inputs.samples());
  std::int64_t batches = 0;
  try {
    return train::fit(
        graph, loader,
        {.epochs = options.epochs,
         .optimizer = optimizer.get(),
         .schedule = schedule_of(options),
         .loss = loss,
         .forward = [&](nn::Module& module,
                        const data::Batch& batch) { return logits(module, batch.x); },
         .clip_norm = options.clip_norm,
         .validation = validation ? &*validation : nullptr,
         .seed = settings.seed,
         .begin_epoch = options.qat.freeze.observers || options.qat.freeze.batch_norm
                            ? quantize::freeze_schedule(graph, options.qat.freeze)
                            : nullptr,
         .progress =
             [&](const train::Progress& now) {
               if (!now.finite)
                 throw Error(ErrorCode::invalid_state,
                             fmt::format("finetune: expected a finite loss, got {} in "
                                         "epoch {}; a smaller --lr may help",
                                         now.batch_loss, now.epoch));
               if (!now.validation)
                 progress.advance(
                     std::min(loader.options().batch_size,
                              inputs.samples() - (now.batch - 1) * loader.options().batch_size));
               check_interrupt();
               ++batches;
               return true;
             }});
  } catch (const Error& error) {
    // Observers meet what is not finite before a loss does; the data is finite.
    const bool diverged = batches > 0 && error.code() == ErrorCode::invalid_argument &&
                          error.message().find("expected finite") != std::string::npos;
    if (!diverged) throw;
    throw Error(ErrorCode::invalid_state, error.message() + "; a smaller --lr may help");
  }
}

// A file does not say of its constants which are weights. No weight is as low as what is added to
// scores to hide them.
bool is_mask(const Graph& graph, int leaf) {
  constexpr float kHides = -1e4F;
  const Graph::Value& value = graph.value(leaf);
  if (value.kind != Graph::Kind::parameter || value.dtype != DType::f32) return false;
  const std::vector<int> readers = graph.readers(leaf);
  return !readers.empty() &&
         std::ranges::all_of(readers, [&](int n) { return graph.node(n).call.op == &kAdd; }) &&
         std::ranges::any_of(value.tensor.to_vector<float>(), [](float v) { return v <= kHides; });
}

// Freezes masks and what the options name; gives the names of what was trainable before.
std::vector<std::string> freeze_leaves(Graph& graph, const std::vector<std::string>& patterns) {
  std::vector<int> before;
  for (int v = 0; v < static_cast<int>(graph.values().size()); ++v)
    if (graph.value(v).trainable) before.push_back(v);
  for (const int v : before)
    if (is_mask(graph, v)) nn::freeze(graph, graph.value(v).name);
  for (const std::string& pattern : patterns) nn::freeze(graph, pattern);
  std::vector<std::string> names;
  for (const int v : before)
    if (!graph.value(v).trainable) names.push_back(graph.value(v).name);
  return names;
}

// After the last step no loss has told of them.
void check_weights(const Graph& graph) {
  for (const Graph::Value& value : graph.values()) {
    if (!value.trainable || value.dtype != DType::f32) continue;
    for (const float w : value.tensor.to_vector<float>())
      if (!std::isfinite(w))
        throw Error(ErrorCode::invalid_state,
                    fmt::format("finetune: expected finite weights after the last step, got {} in "
                                "'{}'; a smaller --lr may help",
                                w, value.name));
  }
}

std::string table(const train::History& history) {
  std::string text = fmt::format("{:>5} {:>12} {:>9} {:>12} {:>9} {:>8}\n", "epoch", "train loss",
                                 "top-1", "validation", "top-1", "seconds");
  for (std::size_t e = 0; e < history.epochs.size(); ++e) {
    const train::EpochRecord& epoch = history.epochs[e];
    text += fmt::format("{:>5} {:>12.5f} {:>9.4f}", e + 1, epoch.train.loss, epoch.train.accuracy);
    text += epoch.validation ? fmt::format(" {:>12.5f} {:>9.4f}", epoch.validation->loss,
                                           epoch.validation->accuracy)
                             : fmt::format(" {:>12} {:>9}", "", "");
    text += fmt::format(" {:>8.1f}{}\n", epoch.train.seconds,
                        static_cast<int>(e) == history.best_epoch ? "  best" : "");
  }
  return text;
}

void run(const Options& options, const Settings& settings) {
  check_model_output(options.to);
  check_opset(options.opset, options.to);
  if (options.validation_inputs.empty() != options.validation_labels.empty())
    throw UsageError("--validation-input and --validation-labels: expected both or neither");
  check_qat_options(options.qat, options.epochs);
  TrainedGraph trained = graph_to_train(load_model(options.from), options.qat, options.from);
  Graph& graph = trained.graph;
  const std::vector<std::string> frozen = freeze_leaves(graph, options.freeze);
  if (graph.parameters().empty())
    throw Error(ErrorCode::invalid_argument, "--freeze: expected weights left to train, got none");
  const train::History history = learn(graph, options, settings);
  check_weights(graph);
  Json epochs = Json::array();
  for (const train::EpochRecord& epoch : history.epochs) epochs.push_back(epoch_json(epoch));
  // Without validation the model is that of the last epoch.
  const int best =
      history.best_epoch >= 0 ? history.best_epoch : static_cast<int>(history.epochs.size()) - 1;
  Json document{{"epochs", epochs}, {"best", best + 1}};
  document["frozen"] = frozen;
  std::string text = table(history);
  if (!frozen.empty()) text += fmt::format("frozen: {}\n", fmt::join(frozen, ", "));
  if (trained.left) {
    document["untrained"] = left_of(*trained.left);
    if (!trained.left->empty()) text += fmt::format("untrained: {}\n", reasons_of(*trained.left));
  }
  if (trained.converts) {
    quantize::Converted converted = quantize::convert(graph);
    const Json left = left_of(converted.report);
    document["quantized"] = converted.report.nodes.size() - left.size();
    document["float"] = left;
    graph = std::move(converted.graph);
  }
  save_model(graph, options.to, {.opset = options.opset});
  print(settings, text, document);
}

}  // namespace

void add_finetune(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = add_command(
      app, settings, "finetune", "Trains a classifier on: plainly, beside a teacher, or to int8",
      "pare finetune net.onnx -o net.int8.onnx --qat --input x.npy --labels y.npy --epochs 3");
  command->add_option("MODEL", options->from, "A .onnx or .pare file")->required();
  command->add_option("-o,--output", options->to, "The file to write, .onnx or .pare")->required();
  command->add_option("--input", options->inputs, "[name=]x.npy: what to train on")
      ->required()
      ->allow_extra_args(false);
  add_label_options(command, options->labels)->required();
  add_opset_option(command, options->opset);
  command
      ->add_option("--validation-input", options->validation_inputs,
                   "[name=]x.npy: what the best epoch is chosen by")
      ->allow_extra_args(false);
  command->add_option("--validation-labels", options->validation_labels, "Its classes");
  command->add_option("--epochs", options->epochs, "How often all samples are seen")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--batch", options->batch, "Samples of a step")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--optimizer", options->optimizer, "Who takes the steps")
      ->capture_default_str()
      ->check(CLI::IsMember({"sgd", "adam", "adamw"}));
  command->add_option("--lr", options->rate, "Rate; 1e-3 of sgd, 1e-4 of the others without")
      ->check(CLI::PositiveNumber);
  command->add_option("--momentum", options->momentum, "Of sgd")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--weight-decay", options->weight_decay,
                   "Of matrices and kernels; 1e-4 of sgd, 1e-2 of adamw without")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--schedule", options->schedule, "Of the rate over the epochs")
      ->capture_default_str()
      ->check(CLI::IsMember({"constant", "cosine", "step"}));
  command
      ->add_option("--freeze", options->freeze,
                   "Weights that stay as they are, by name; * and ? match; masks do anyway")
      ->allow_extra_args(false);
  command
      ->add_option("--clip-norm", options->clip_norm,
                   "Largest norm of all gradients together; 0: any")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  CLI::Option* const teacher =
      command->add_option("--teacher", options->teacher, "A model whose answers are learned too");
  command->add_option("--temperature", options->temperature, "Softens both")
      ->capture_default_str()
      ->check(CLI::PositiveNumber)
      ->needs(teacher);
  command->add_option("--alpha", options->alpha, "The teacher's share of the loss")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0))
      ->needs(teacher);
  add_qat_options(command, options->qat);
  command->callback([command, options, &settings] {
    options->qat.given = given_qat_options(*command);
    run(*options, settings);
  });
}

}  // namespace pare::cli
