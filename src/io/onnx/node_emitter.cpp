// Nodes of a graph as nodes of an ONNX file that is being made.
#include "io/onnx/node_emitter.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace pare::onnx {
namespace {

/// The first opset in which an op takes a type; what is not here always did.
int first_opset(std::string_view op, DType dtype) {
  const bool small = !is_floating(dtype) && traits(dtype).bits < 32;
  if (small && (op == "Add" || op == "Sub" || op == "Mul" || op == "Div")) return 14;
  if (small && op == "Pow") return kHighestOpset + 1;
  if (is_floating(dtype) && traits(dtype).bits == 16 && op == "CumSum") return 14;
  if (dtype != DType::f32 && op == "Celu") return kHighestOpset + 1;
  return kLowestOpset;
}

}  // namespace

void NodeEmitter::run() {
  const OnnxForm& form = node_.call.op->onnx;
  try {
    if (!form.op_type) {
      const bool observes = std::string_view(node_.call.op->name).starts_with("observe_");
      throw Error(ErrorCode::unsupported,
                  observes ? "it has no form in ONNX, which quantize::convert gives it"
                           : "it has no form in ONNX");
    }
    if (form.opset > draft_.opset())
      throw Error(ErrorCode::unsupported,
                  fmt::format("{} needs opset {}", form.op_type, form.opset));
    if (form.emit)
      form.emit(node_.call, *this);
    else
      emit_plainly(form.op_type);
  } catch (const Error&) {
    draft_.made.resize(first_);
    draft_.constants.resize(constants_);
    throw;
  }
  name_nodes();
}

std::string NodeEmitter::named(std::string_view op_type) const {
  const auto own = draft_.made.begin() + static_cast<std::ptrdiff_t>(first_);
  const auto found = std::ranges::find(own, draft_.made.end(), op_type, &NodeProto::op_type);
  return found == draft_.made.end() ? std::string() : found->name;
}

OnnxEmitter::Node& NodeEmitter::node(const char* op_type, std::vector<std::string> inputs,
                                     std::vector<std::string> outputs) {
  check_type(op_type, inputs);
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
  while (!outputs.empty() && outputs.back().empty()) outputs.pop_back();
  NodeProto& made = draft_.made.emplace_back();
  made.op_type = op_type;
  made.inputs = std::move(inputs);
  made.outputs = std::move(outputs);
  return *this;
}

void NodeEmitter::check_type(std::string_view op, const std::vector<std::string>& inputs) const {
  for (int i = 0; i < static_cast<int>(node_.inputs.size()); ++i) {
    if (!has_input(i) || std::ranges::find(inputs, input(i)) == inputs.end()) continue;
    const int since = first_opset(op, input_dtype(i));
    if (since > kHighestOpset)
      throw Error(ErrorCode::unsupported, fmt::format("{} does not take {}", op, input_dtype(i)));
    if (since > draft_.opset())
      throw Error(ErrorCode::unsupported,
                  fmt::format("{} of {} needs opset {}", op, input_dtype(i), since));
  }
}

void NodeEmitter::emit_plainly(const char* op_type) {
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  for (int i = 0; i < static_cast<int>(node_.inputs.size()); ++i) inputs.push_back(input(i));
  for (int i = 0; i < static_cast<int>(node_.outputs.size()); ++i) outputs.push_back(output(i));
  node(op_type, std::move(inputs), std::move(outputs));
}

void NodeEmitter::name_nodes() {
  const std::string result = output(0);
  for (std::size_t n = first_; n < draft_.made.size(); ++n) {
    NodeProto& made = draft_.made[n];
    const bool is_main = std::ranges::find(made.outputs, result) != made.outputs.end();
    made.name = draft_.fresh_node(is_main ? node_.name : node_.name + "/" + made.op_type);
  }
}

}  // namespace pare::onnx
