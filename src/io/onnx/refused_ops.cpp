// Families of ops that are refused as such.
#include "io/onnx/refused_ops.h"

namespace pare::onnx {

const char* reason_to_refuse(const NodeProto& node) {
  const std::string& op = node.op_type;
  if (node.domain.starts_with("ai.onnx.ml")) return "classical machine learning is not read";
  if (node.domain.starts_with("ai.onnx.preview.training") ||
      node.domain.starts_with("ai.onnx.training"))
    return "training ops are not read";
  if (!node.domain.empty()) return nullptr;
  if (op == "Loop" || op == "Scan") return "control flow is not read";
  if (op.starts_with("Sequence") || op == "ConcatFromSequence" || op == "SplitToSequence")
    return "sequences are not read";
  if (op.starts_with("Optional")) return "optional values are not read";
  if (op.starts_with("String") || op == "RegexFullMatch" || op == "TfIdfVectorizer" ||
      op == "LabelEncoder")
    return "strings are not read";
  return nullptr;
}

}  // namespace pare::onnx
