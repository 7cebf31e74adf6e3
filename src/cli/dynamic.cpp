// pare quantize --dynamic: weights of 8 bits, activations quantized by the range they have.
#include "cli/dynamic.h"

#include "cli/command.h"
#include "cli/model_file.h"
#include "cli/report_json.h"
#include "pare/core/context.h"
#include "pare/quantize/dynamic.h"

namespace pare::cli {
namespace {

Json document_of(const quantize::DynamicReport& report, const Graph& graph,
                 const FileSizes& files) {
  Json document = coded_document(report, graph, files);
  document["layers"] = Json::array();
  for (const quantize::DynamicReport::Layer& layer : report.layers) {
    document["layers"].push_back(coded_layer(layer));
    document["layers"].back()["note"] = layer.note;
  }
  return document;
}

}  // namespace

void add_dynamic_options(CLI::App* command, DynamicFlags& flags) {
  CLI::Option* const on =
      command->add_flag("--dynamic", flags.on,
                        "Weights of 8 bits, activations quantized by the range that they have as "
                        "the model runs: no calibration");
  command
      ->add_flag("--one-range", flags.one_range,
                 "With --dynamic: one range for all of an activation, not one for each row; ONNX "
                 "Runtime is fast on those")
      ->needs(on);
  command->add_flag("--mse", flags.mse, "With --dynamic: scales of weights by least squares")
      ->needs(on);
}

void run_dynamic(const DynamicFlags& flags, const DynamicJob& job, const Settings& settings) {
  check_model_output(job.to);
  const Graph graph = load_model(job.from);
  ContextScope scope;
  scope->threads = settings.threads;
  const quantize::Dynamic result =
      quantize::dynamic(graph, {.ops = job.ops,
                                .names = job.layers,
                                .exclude = job.exclude,
                                .per_row = !flags.one_range,
                                .weight_qmax = job.weight_qmax,
                                .weight_observer = flags.mse ? quantize::WeightObserver::mse
                                                             : quantize::WeightObserver::min_max,
                                .embedding_bits = job.embedding_bits});
  const FileSizes files = replace_model(job.from, result.graph, job.to, {.opset = job.opset});
  print(settings, quantize::to_string(result.report) + "\n" + to_string(files),
        document_of(result.report, graph, files));
}

}  // namespace pare::cli
