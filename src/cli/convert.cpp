// pare convert: a model from one format to the other.
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model_file.h"

namespace pare::cli {
namespace {

struct Options {
  std::string from, to;
  int opset = 0;
  bool matmul_nbits = false;
};

void run(const Options& options, const Settings& settings) {
  check_model_output(options.to);
  check_opset(options.opset, options.to);
  if (options.matmul_nbits && !options.to.ends_with(".onnx"))
    throw UsageError("--matmul-nbits: expected a model to write that ends in .onnx, got '" +
                     options.to + "'");
  const Graph graph = load_model(options.from);
  const FileSizes files =
      replace_model(options.from, graph, options.to,
                    {.opset = options.opset, .matmul_nbits = options.matmul_nbits});
  print(settings, to_string(files), {{"bytes_before", files.before}, {"bytes_after", files.after}});
}

}  // namespace

void add_convert(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = add_command(app, settings, "convert", "From .onnx to .pare or back",
                                        "pare convert resnet18.onnx resnet18.pare");
  command->add_option("FROM", options->from, "The model to read")->required();
  command->add_option("TO", options->to, "The model to write, .onnx or .pare")->required();
  add_opset_option(command, options->opset);
  command->add_flag("--matmul-nbits", options->matmul_nbits,
                    "Of ONNX: products with codes as ONNX Runtime's MatMulNBits");
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
