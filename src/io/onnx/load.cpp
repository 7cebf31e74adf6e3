// onnx::load and onnx::parse.
#include "core/check.h"
#include "io/onnx/importer.h"
#include "io/onnx/model_reader.h"
#include "pare/io/onnx.h"

namespace pare::onnx {

Graph load(const std::filesystem::path& path) {
  const ModelProto model = read_model_file(path.string());
  ExternalData external(path);
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  return import_model(model, {.file = path.string(),
                              .external = &external,
                              .bytes = error ? 0 : static_cast<std::size_t>(bytes)});
}

Graph parse(std::span<const std::byte> bytes) {
  constexpr const char* kName = "onnx::parse";
  return import_model(read_model(kName, bytes, nullptr), {.file = kName, .bytes = bytes.size()});
}

}  // namespace pare::onnx
