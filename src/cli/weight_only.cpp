// pare quantize --weight-only: weights as codes of a few bits, activations in float.
#include "cli/weight_only.h"

#include <optional>
#include <utility>

#include "cli/command.h"
#include "cli/measured_data.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/report_json.h"
#include "cli/tensors.h"
#include "pare/core/context.h"
#include "pare/quantize/weight_only.h"

namespace pare::cli {
namespace {

constexpr int kBits = 4;

Json document_of(const quantize::WeightOnlyReport& report, const Graph& graph,
                 const WeightOnlyFlags& flags, const FileSizes& files) {
  Json document = coded_document(report, graph, files);
  document["weights"] = flags.weights;
  document["bits"] = flags.bits.value_or(kBits);
  document["group"] = flags.group;
  document["layers"] = Json::array();
  for (const quantize::WeightOnlyReport::Layer& layer : report.layers) {
    Json line = coded_layer(layer);
    line["nearest_sqnr_db"] = json_of(layer.nearest_sqnr_db);
    line["output_sqnr_db"] = json_of(layer.output_sqnr_db);
    line["gptq"] = layer.gptq;
    line["note"] = layer.note;
    document["layers"].push_back(std::move(line));
  }
  return document;
}

}  // namespace

void add_weight_only_options(CLI::App* command, WeightOnlyFlags& flags) {
  CLI::Option* const on = command->add_flag(
      "--weight-only", flags.on, "Weights alone become codes; the layers compute in float");
  const auto with_it = [&](CLI::Option* option) { return option->needs(on); };
  with_it(
      command->add_option("--weights", flags.weights, "codes (integers with scales), bf16 or f16"))
      ->capture_default_str()
      ->check(CLI::IsMember({"codes", "bf16", "f16"}));
  with_it(command->add_flag("--matmul-nbits", flags.matmul_nbits,
                            "Layers as ONNX Runtime's MatMulNBits where they have its form"));
  command->add_option("--bits", flags.bits, "Of a weight: 2 to 8; 8 without, 4 with --weight-only")
      ->check(CLI::Range(2, 8));
  // Those that --dynamic takes too are checked by the command.
  command
      ->add_option("--embedding-bits", flags.embedding_bits,
                   "Of tables that are looked up: 2 to 8; with --dynamic 0 leaves them float")
      ->capture_default_str()
      ->check(CLI::Range(0, 8));
  with_it(command->add_option("--group", flags.group,
                              "Weights along the input axis that share a scale; 0: one scale "
                              "for each output channel"))
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  with_it(command->add_flag("--affine", flags.affine, "Zero points: ranges that are not around 0"));
  with_it(command->add_flag("--gptq", flags.gptq,
                            "Codes by GPTQ, with --calibration, instead of the nearest"));
  with_it(command->add_option("--damping", flags.damping,
                              "Of GPTQ: the part of the moments' mean that is added to them"))
      ->capture_default_str();
  command->add_option("--op", flags.ops, "Ops whose weights are quantized: linear, …; all")
      ->allow_extra_args(false);
  command
      ->add_option("--layer", flags.layers,
                   "Nodes to quantize, by name; * and ? match; without it all")
      ->allow_extra_args(false);
}

void run_weight_only(const WeightOnlyFlags& flags, const WeightOnlyJob& job,
                     const Settings& settings) {
  if (flags.gptq && job.calibration.empty())
    throw UsageError("--gptq: expected --calibration with it");
  const bool codes = flags.weights == "codes";
  if (!codes && flags.gptq) throw UsageError("--gptq: expected --weights codes with it");
  if (!codes && flags.matmul_nbits)
    throw UsageError("--matmul-nbits: expected --weights codes with it");
  if (flags.matmul_nbits && !job.to.ends_with(".onnx"))
    throw UsageError("--matmul-nbits: expected a model to write that ends in .onnx, got '" +
                     job.to + "'");
  check_model_output(job.to);
  const Graph graph = load_model(job.from);
  using quantize::WeightFormat;
  quantize::WeightOnlyOptions options{.format = codes                    ? WeightFormat::codes
                                                : flags.weights == "f16" ? WeightFormat::f16
                                                                         : WeightFormat::bf16,
                                      .bits = flags.bits.value_or(kBits),
                                      .embedding_bits = flags.embedding_bits,
                                      .group_size = flags.group,
                                      .symmetric = !flags.affine,
                                      .gptq = flags.gptq,
                                      .damping = flags.damping,
                                      .seed = settings.seed,
                                      .ops = flags.ops,
                                      .names = flags.layers,
                                      .exclude = job.exclude};
  std::optional<Inputs> inputs;
  if (!job.calibration.empty()) {
    inputs.emplace(graph, job.calibration, job.batch ? job.batch : batch_for(graph),
                   "--calibration");
    options.data = batches_of(*inputs);
  }
  ContextScope scope;
  scope->threads = settings.threads;
  StagedProgress progress(settings);
  options.progress = [&](const quantize::LayerProgress& now) {
    return progress.show("quantize", now.done, now.layers);
  };
  const quantize::WeightOnly result = quantize::weight_only(graph, options);
  progress.end();
  const FileSizes files = replace_model(job.from, result.graph, job.to,
                                        {.opset = job.opset, .matmul_nbits = flags.matmul_nbits});
  print(settings, quantize::to_string(result.report) + "\n" + to_string(files),
        document_of(result.report, graph, flags, files));
}

}  // namespace pare::cli
