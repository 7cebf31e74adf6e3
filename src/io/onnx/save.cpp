// onnx::save.
#include <array>

#include "core/check.h"
#include "io/atomic_file.h"
#include "io/onnx/exporter.h"
#include "io/onnx/model_writer.h"
#include "pare/io/onnx.h"

namespace pare::onnx {
namespace {

/// What protobuf holds in one message, with room for what is not tensors.
constexpr std::int64_t kLargest = (std::int64_t{1} << 31) - (std::int64_t{64} << 20);
/// Smaller tensors stay in the model, where shape inference looks for them.
constexpr std::size_t kSmall = 1024;
/// Where tensors begin in the file of data, for those who map it.
constexpr std::size_t kAlignment = 4096;

void write_apart(io::AtomicFile& file, const std::string& name, GraphProto& graph) {
  static constexpr std::array<char, kAlignment> kZeros{};
  std::size_t at = 0;
  for (TensorProto& tensor : graph.initializers) {
    if (tensor.raw.size() < kSmall) continue;
    const std::size_t gap = (kAlignment - at % kAlignment) % kAlignment;
    file.write(kZeros.data(), gap);
    at += gap;
    file.write(tensor.raw.data(), tensor.raw.size());
    tensor.external = {name, static_cast<std::int64_t>(at),
                       static_cast<std::int64_t>(tensor.raw.size())};
    at += tensor.raw.size();
  }
}

}  // namespace

void save(const Graph& graph, const std::filesystem::path& path, const SaveOptions& options) {
  ModelProto model = export_graph(graph, options.opset, path.string(), options.matmul_nbits);
  std::int64_t bytes = 0;
  for (const TensorProto& tensor : model.graph.initializers)
    bytes += static_cast<std::int64_t>(tensor.raw.size());
  io::AtomicFile file(path.string());
  if (bytes <= std::min(options.external_above, kLargest)) {
    const std::string text = write_model(model);
    file.write(text.data(), text.size());
    file.commit();
    return;
  }
  io::AtomicFile data(path.string() + ".data");
  write_apart(data, path.filename().string() + ".data", model.graph);
  const std::string text = write_model(model);
  file.write(text.data(), text.size());
  data.commit();
  file.commit();
}

}  // namespace pare::onnx
