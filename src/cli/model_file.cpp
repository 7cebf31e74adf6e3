// Reads and writes models in the two formats.
#include "cli/model_file.h"

#include <fstream>

#include "cli/settings.h"
#include "pare/core/error.h"
#include "pare/io/graph_file.h"
#if __has_include("pare/io/onnx.h")
#include "pare/io/onnx.h"
#define PARE_CLI_ONNX 1
#else
#define PARE_CLI_ONNX 0
#endif

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
#if PARE_CLI_ONNX
  if (!is_pare(path)) return onnx::load(path);
#endif
  return io::load_graph(path);
}

void check_model_output(const std::string& path) {
  if (!path.ends_with(".pare") && !path.ends_with(".onnx"))
    throw UsageError("expected a model to write that ends in .pare or .onnx, got '" + path + "'");
}

void save_model(const Graph& graph, const std::string& path, const SaveModelOptions& options) {
  check_model_output(path);
  if (path.ends_with(".pare")) {
    io::save_graph(graph, path);
    return;
  }
#if PARE_CLI_ONNX
  onnx::save(graph, path, {.opset = options.opset});
#else
  static_cast<void>(options);
  throw Error(ErrorCode::unsupported,
              path + ": expected a .pare file, got one of ONNX, which this pare does not write");
#endif
}

}  // namespace pare::cli
