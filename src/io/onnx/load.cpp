// onnx::load and onnx::parse.
#include <fstream>
#include <string_view>

#include "core/check.h"
#include "io/onnx/importer.h"
#include "io/onnx/model_reader.h"
#include "pare/io/onnx.h"

namespace pare::onnx {

namespace {

/// Other files that are given for ONNX, by their first bytes.
void check_kind(const std::string& path) {
  struct Kind {
    std::string_view mark;
    const char* what;
  };
  static constexpr Kind kKinds[] = {{"\x89pare", "a .pare file, which io::load_graph reads"},
                                    {"\x93NUMPY", "an array of NumPy's"},
                                    {"PK\x03\x04", "a zip file"}};
  std::string start(8, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  for (const auto& [mark, what] : kKinds)
    PARE_CHECK(!start.starts_with(mark), corrupt_data, path, "expected an ONNX file, got {}", what);
}

}  // namespace

Graph load(const std::filesystem::path& path) {
  check_kind(path.string());
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
