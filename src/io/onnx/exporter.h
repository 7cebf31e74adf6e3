// From a Graph to a ModelProto.
#pragma once

#include <map>
#include <set>
#include <string>

#include "io/onnx/model.h"
#include "pare/graph/graph.h"

namespace pare::onnx {

/// Float leaves that are not trained are named in this entry of the metadata, one per line, so that
/// they are constants again when the file is read.
inline constexpr const char* kConstantsKey = "pare.constants";
std::set<std::string> constants_named(const std::map<std::string, std::string>& metadata);

/// LSTM, GRU and RNN nodes whose rows are rounded (dynamic_quantize), which ONNX cannot say, are
/// named in this entry, one per line.
inline constexpr const char* kRoundedRowsKey = "pare.dynamic_quantize";
std::set<std::string> rounded_rows_named(const std::map<std::string, std::string>& metadata);

/// The model in opset 13 to 25, or in the lowest that holds it for 0; its memory owns the tensors.
/// In an opset that was asked for codes of weights are packed where it has their type.
/// `matmul_nbits`: products with stored weights as MatMulNBits of com.microsoft where they have its
/// form. `file` is for errors. Throws unsupported with all nodes that have no form in that opset.
ModelProto export_graph(const Graph& graph, int opset, const std::string& file,
                        bool matmul_nbits = false);

}  // namespace pare::onnx
