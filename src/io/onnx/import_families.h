// The lists of importers, one per family of ops.
#pragma once

#include "io/onnx/node_import.h"

namespace pare::onnx {

extern const std::span<const OpImport> kActivationImports, kAttentionImports, kConstantImports,
    kConvolutionImports, kElementwiseImports, kGridSampleImports, kIndexingImports, kLossImports,
    kMicrosoftImports, kMovementImports, kNormalizationImports, kPoolingImports, kProductImports,
    kQoperatorImports, kQuantizationImports, kRecurrentImports, kReductionImports, kResampleImports;

}  // namespace pare::onnx
