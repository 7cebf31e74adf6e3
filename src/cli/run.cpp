// pare run: a model on tensors from files.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/runner.h"
#include "cli/tensors.h"
#include "pare/core/error.h"
#include "pare/io/npy.h"

namespace pare::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model, output;
  std::vector<std::string> inputs;
  std::int64_t batch = 32;
  RunnerOptions runner;
};

// Names such as "/fc/Gemm_output_0" hold no folders here.
std::vector<std::string> file_names(const Graph& graph) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (std::string name : graph.output_names()) {
    std::ranges::replace(name, '/', '_');
    if (name.starts_with('.')) name.front() = '_';
    if (!taken.insert(name).second)
      throw Error(
          ErrorCode::unsupported,
          fmt::format("outputs: expected names that make different files, got '{}' twice", name));
    names.push_back(name + ".npy");
  }
  return names;
}

// All files or none: they get their names once each is written.
class Folder {
 public:
  explicit Folder(const fs::path& path) : path_(path) {
    std::error_code error;
    made_ = fs::create_directories(path_, error);
    if (error || !fs::is_directory(path_))
      throw Error(ErrorCode::io_error,
                  fmt::format("{}: expected a folder, or a name to make one, got '{}'",
                              path_.string(), error ? error.message() : "something else"));
  }
  ~Folder() {
    std::error_code ignored;
    for (const fs::path& file : written_) fs::remove(file, ignored);
    if (made_ && !done_) fs::remove(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void write(const std::string& name, const Tensor& tensor) {
    const fs::path file = path_ / ("." + name + ".part");
    io::save_npy(file.string(), tensor);
    written_.push_back(file);
    names_.push_back(name);
  }
  void finish() {
    for (std::size_t i = 0; i < names_.size(); ++i) fs::rename(written_[i], path_ / names_[i]);
    written_.clear();
    done_ = true;
  }

 private:
  fs::path path_;
  bool made_ = false, done_ = false;
  std::vector<fs::path> written_;
  std::vector<std::string> names_;
};

void run(const Options& options, const Settings& settings) {
  const Graph graph = load_model(options.model);
  const Inputs inputs(graph, options.inputs, options.batch);
  const std::vector<std::string> files = file_names(graph);
  Runner runner(graph, options.runner, settings);
  std::vector<Tensors> parts;
  {
    Progress progress(settings, "run", inputs.samples());
    for (std::int64_t b = 0; b < inputs.batches(); ++b) {
      parts.push_back(runner(inputs.get(b)));
      progress.advance(inputs.samples_of(b));
    }
  }
  const Tensors outputs = inputs.join(graph, parts);
  const std::vector<std::string> names = graph.output_names();
  Json described = Json::array();
  std::string text;
  Folder folder(options.output);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    check_interrupt();
    const std::string& name = names[k];
    const Tensor& tensor = outputs[k];
    folder.write(files[k], tensor);
    const std::string file = (fs::path(options.output) / files[k]).string();
    text += fmt::format("{}: {}{} in {}\n", name, traits(tensor.dtype()).name,
                        tensor.shape().to_string(), file);
    described.push_back({{"name", name},
                         {"shape", tensor.shape().to_vector()},
                         {"dtype", traits(tensor.dtype()).name},
                         {"file", file}});
  }
  folder.finish();
  print(settings, text, {{"outputs", described}});
}

}  // namespace

void add_run(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, settings, "run", "Runs a model and writes its outputs",
                  "pare run resnet18.onnx --input pictures.npy --output results");
  command->add_option("MODEL", options->model, "A .onnx or .pare file")->required();
  command->add_option("--input", options->inputs, "[name=]x.npy, for every input")
      ->required()
      ->allow_extra_args(false);
  command->add_option("--output", options->output, "A folder for <output>.npy")->required();
  command->add_option("--batch", options->batch, "Samples that run together")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  add_runner_options(command, options->runner);
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
