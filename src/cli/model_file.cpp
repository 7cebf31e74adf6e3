// Reads and writes models in the two formats.
#include "cli/model_file.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "cli/settings.h"
#include "pare/core/error.h"
#include "pare/io/graph_file.h"
#include "pare/io/onnx.h"

namespace pare::cli {
namespace {

// .pare begins with a mark; ONNX has none.
bool is_pare(const std::string& path) {
  constexpr std::string_view kMark = "\x89pare";
  std::string start(kMark.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  return file.gcount() == static_cast<std::streamsize>(kMark.size()) && start == kMark;
}

}  // namespace

Graph load_model(const std::string& path) {
  return is_pare(path) ? io::load_graph(path) : onnx::load(path);
}

void check_model_output(const std::string& path) {
  if (!path.ends_with(".pare") && !path.ends_with(".onnx"))
    throw UsageError("expected a model to write that ends in .pare or .onnx, got '" + path + "'");
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty() && !std::filesystem::is_directory(folder, error))
    throw Error(ErrorCode::io_error,
                path + ": expected a folder to write it in, got none of the name '" +
                    folder.string() + "'");
}

void add_opset_option(CLI::App* command, int& opset) {
  command
      ->add_option("--opset", opset,
                   "Of ONNX, 13 to 25; the lowest that holds the graph without. From 21 on codes "
                   "of weights that fit in 4 bits are packed, from 25 on those of 2")
      ->check(CLI::Range(13, 25));
}

void check_opset(int opset, const std::string& path) {
  if (opset != 0 && !path.ends_with(".onnx"))
    throw UsageError("--opset: expected a model to write that ends in .onnx, got '" + path + "'");
}

void save_model(const Graph& graph, const std::string& path, const SaveModelOptions& options) {
  check_model_output(path);
  if (path.ends_with(".pare")) {
    io::save_graph(graph, path);
    return;
  }
  onnx::save(graph, path, {.opset = options.opset, .matmul_nbits = options.matmul_nbits});
}

FileSizes replace_model(const std::string& from, const Graph& graph, const std::string& to,
                        const SaveModelOptions& options) {
  FileSizes files{from, to, std::filesystem::file_size(from)};
  check_interrupt();
  save_model(graph, to, options);
  files.after = std::filesystem::file_size(to);
  return files;
}

std::string to_string(const FileSizes& files) {
  return fmt::format("{}: {}\n{}: {}\n", files.from, bytes_text(files.before), files.to,
                     bytes_text(files.after));
}

}  // namespace pare::cli
