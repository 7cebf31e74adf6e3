// Options of `pare quantize` that search which layers stay float or have fewer bits.
#include "cli/mixed_precision.h"

#include "cli/measured_data.h"
#include "cli/progress.h"
#include "cli/report_json.h"
#include "pare/core/context.h"

namespace pare::cli {
namespace {

const char* name_of(quantize::SearchProgress::Stage stage) {
  using Stage = quantize::SearchProgress::Stage;
  if (stage == Stage::sensitivity) return "sensitivity";
  return stage == Stage::raise ? "search" : "give back";
}

}  // namespace

std::vector<const char*> add_mixed_precision_options(CLI::App* command,
                                                     MixedPrecisionFlags& flags) {
  command->add_option("--metric-drop", flags.metric_drop,
                      "Leave so few layers float that top-1 on --labels is at most so much below "
                      "the float model's (0.01: a point)");
  command->add_option("--min-sqnr", flags.sqnr_db,
                      "Leave so few layers float that the outputs have at least so many dB");
  command
      ->add_option("--weight-bytes", flags.weight_bytes,
                   "Give the least sensitive layers fewer of --weight-bits, so that the weights "
                   "take at most so many bytes")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--weight-bits", flags.weight_bits,
                   "Bits that a layer's weight may have, as 4,8; without --weight-bytes layers "
                   "begin with the fewest")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option("--evaluations", flags.evaluations,
                   "How many models the search measures at most; 0: as many as it takes")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--float-macs", flags.float_macs,
                   "Share of the multiply-accumulates that may stay float; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--input", flags.inputs,
                   "[name=]x.npy, for every input: what the search measures models on; the "
                   "calibration data without")
      ->allow_extra_args(false);
  add_label_options(command, flags.labels)
      ->description("Classes [N] of --input, or per token [N, T], for --metric-drop");
  return {"--metric-drop", "--min-sqnr",   "--weight-bytes", "--weight-bits",
          "--evaluations", "--float-macs", "--input",        "--labels"};
}

void check_flags(const MixedPrecisionFlags& flags) {
  if (flags.metric_drop && flags.labels.labels.empty())
    throw UsageError("--metric-drop: expected --labels with it");
  if (!flags.on() &&
      (!flags.inputs.empty() || !flags.labels.labels.empty() ||
       flags.weight_bits != std::vector<int>{8} || flags.evaluations > 0 || flags.float_macs < 1))
    throw UsageError(
        "expected --metric-drop, --min-sqnr or --weight-bytes with the options of a "
        "search, got none of them");
}

quantize::Searched run_search(const Graph& graph, const Inputs& calibration,
                              const quantize::QConfig& config, const MixedPrecisionFlags& flags,
                              std::int64_t batch, const Settings& settings) {
  const MeasuredData measured(graph, flags.inputs, flags.labels, batch);
  quantize::SearchOptions search{.config = config,
                                 .weight_bits = flags.weight_bits,
                                 .data = measured.batches(),
                                 .metric = measured.metric(),
                                 .metric_drop = flags.metric_drop,
                                 .sqnr_db = flags.sqnr_db,
                                 .budget = {.evaluations = flags.evaluations,
                                            .weight_bytes = flags.weight_bytes,
                                            .float_macs = flags.float_macs}};
  StagedProgress progress(settings);
  search.progress = [&](const quantize::SearchProgress& now) {
    return progress.show(name_of(now.stage), now.done, now.layers);
  };
  ContextScope scope;
  scope->grad = false;
  scope->threads = settings.threads;
  return quantize::search(graph, batches_of(calibration), search);
}

Json search_document(const quantize::SearchReport& report) {
  Json layers = Json::array(), steps = Json::array();
  for (const quantize::SearchReport::Layer& layer : report.layers)
    layers.push_back({{"name", layer.name},
                      {"op", layer.op},
                      {"weight_bits", layer.weight_bits},
                      {"weights", layer.weights},
                      {"macs", layer.macs},
                      {"alone_sqnr_db", layer.alone_sqnr_db},
                      {"sqnr_db", json_of(layer.sqnr_db)},
                      {"top1", json_of(layer.metric)}});
  for (const quantize::SearchReport::Step& step : report.steps)
    steps.push_back({{"layer", step.layer},
                     {"weight_bits", step.weight_bits},
                     {"kept", step.kept},
                     {"sqnr_db", step.sqnr_db},
                     {"top1", json_of(step.metric)}});
  return {{"reached", report.reached},
          {"stopped", report.stopped},
          {"evaluations", report.evaluations},
          {"sqnr_db", report.sqnr_db},
          {"top1", json_of(report.metric)},
          {"float_top1", json_of(report.float_metric)},
          {"weight_bytes", report.weight_bytes},
          {"float_macs", report.float_macs},
          {"layers", layers},
          {"steps", steps},
          {"left", left_of(report.left)}};
}

}  // namespace pare::cli
