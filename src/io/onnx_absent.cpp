// onnx::load, parse and save of a library that was built without ONNX (PARE_ONNX=OFF).
#include "core/check.h"
#include "pare/io/onnx.h"

namespace pare::onnx {
namespace {

[[noreturn]] void refuse(const char* where) {
  fail(ErrorCode::unsupported, where,
       "expected a library with ONNX, got one built with PARE_ONNX=OFF");
}

}  // namespace

Graph load(const std::filesystem::path&) { refuse("onnx::load"); }
Graph parse(std::span<const std::byte>) { refuse("onnx::parse"); }
void save(const Graph&, const std::filesystem::path&, const SaveOptions&) { refuse("onnx::save"); }

}  // namespace pare::onnx
