// pare quantize --dynamic: weights of 8 bits, activations quantized by the range they have.
#include "cli/dynamic.h"

#include <fmt/format.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/model_file.h"
#include "pare/core/context.h"
#include "pare/quantize/dynamic.h"

namespace pare::cli {
namespace {

Json document_of(const quantize::DynamicReport& report, const Graph& graph, std::uint64_t before,
                 std::uint64_t after) {
  Json layers = Json::array(), left = Json::array();
  for (const quantize::DynamicReport::Layer& layer : report.layers) {
    const bool own = layer.bytes_before > 0;
    layers.push_back({{"name", layer.name},
                      {"op", layer.op},
                      {"bits", layer.bits},
                      {"weights", layer.weights},
                      {"scales", layer.scales},
                      {"bytes_before", layer.bytes_before},
                      {"bytes_after", layer.bytes_after},
                      {"weight_sqnr_db", own ? Json(layer.weight_sqnr_db) : Json(nullptr)},
                      {"note", layer.note}});
  }
  for (const PassReport::Line& line : report.left) {
    const int node = graph.find_node(line.node);
    left.push_back({{"name", line.node},
                    {"op", node >= 0 ? graph.node(node).call.op->name : ""},
                    {"reason", line.text}});
  }
  return {{"quantized", report.layers.size()},
          {"float", left},
          {"bytes_before", before},
          {"bytes_after", after},
          {"layers", layers}};
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
  check_interrupt();
  save_model(result.graph, job.to);
  const auto before = std::filesystem::file_size(job.from);
  const auto after = std::filesystem::file_size(job.to);
  print(settings,
        quantize::to_string(result.report) + fmt::format("\n{}: {}\n{}: {}\n", job.from,
                                                         bytes_text(before), job.to,
                                                         bytes_text(after)),
        document_of(result.report, graph, before, after));
}

}  // namespace pare::cli
