// The table of the ops that are read from ONNX files.
#include <span>
#include <vector>

#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

/// The lists of import_<family>.cpp, one line each, sorted.
std::vector<const std::span<const OpImport>*> families() {
  return {&kActivationImports,  &kAttentionImports,  &kConstantImports,      &kConvolutionImports,
          &kElementwiseImports, &kGridSampleImports, &kIndexingImports,      &kLossImports,
          &kMicrosoftImports,   &kMovementImports,   &kNormalizationImports, &kPoolingImports,
          &kProductImports,     &kQoperatorImports,  &kQuantizationImports,  &kRecurrentImports,
          &kReductionImports,   &kResampleImports};
}

}  // namespace

const OpImport* find_import(std::string_view domain, std::string_view op_type) {
  for (const std::span<const OpImport>* family : families())
    for (const OpImport& op : *family)
      if (op.op_type == op_type && op.domain == domain) return &op;
  return nullptr;
}

std::vector<OpImport> all_imports() {
  std::vector<OpImport> all;
  for (const std::span<const OpImport>* family : families())
    all.insert(all.end(), family->begin(), family->end());
  return all;
}

}  // namespace pare::onnx
