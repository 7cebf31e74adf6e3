// Prints docs/layers.md from the records of the ops and from runs of the modules; with --check and
// a file, says where that file is another.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "pare/core/error.h"
#include "structure/layers/modules.h"

namespace {

using namespace pare;
using docs::ModuleRow;

std::string quantization_of(const QuantizationFact& fact) {
  switch (fact.kind) {
    case QuantizationFact::Kind::none:
      return "float";
    case QuantizationFact::Kind::own_range:
      return fact.weight_input >= 0 ? "own range, int8 weight" : "own range";
    case QuantizationFact::Kind::same_as_input:
      return "same as input";
    case QuantizationFact::Kind::all_inputs_share:
      return "shared by all inputs";
    case QuantizationFact::Kind::fused_activation:
      return "fused into the op before";
    case QuantizationFact::Kind::fixed:
      return "fixed range";
  }
  return {};
}

std::string channels_of(const ChannelFact& fact) {
  std::string text;
  switch (fact.kind) {
    case ChannelFact::Kind::barrier:
      text = "barrier";
      break;
    case ChannelFact::Kind::elementwise:
      text = "index to index";
      break;
    case ChannelFact::Kind::movement:
      text = "moved";
      break;
    case ChannelFact::Kind::rule:
      text = "rule";
      break;
  }
  if (fact.resize) text += ", attributes follow";
  if (fact.statistics) text += ", statistics";
  return text;
}

std::string inputs_of(const OpDef& op) {
  if (op.max_inputs < 0) return std::to_string(op.min_inputs) + " or more";
  if (op.max_inputs == op.min_inputs) return std::to_string(op.min_inputs);
  return std::to_string(op.min_inputs) + " to " + std::to_string(op.max_inputs);
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// Reshapes and the like around an op do not make a module another one.
bool is_made_of(const ModuleRow& row, const std::string& op) {
  return row.ops.size() == 1 && row.ops.front() == op;
}

// What derives from Module in the public headers, found as "struct PARE_API Name … : [public]
// Base".
std::set<std::string> declared_modules() {
  std::set<std::string> names;
  std::set<std::string> bases;
  for (const auto& file : std::filesystem::directory_iterator(PARE_NN_HEADERS)) {
    std::ifstream in(file.path());
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::string keyword, macro, name, colon, base;
      words >> keyword >> macro >> name >> colon;
      if (colon == "final") words >> colon;
      if ((keyword != "struct" && keyword != "class") || macro != "PARE_API" || colon != ":")
        continue;
      words >> base;
      if (base == "public") words >> base;
      if (base == "Members") continue;
      names.insert(name);
      bases.insert(base);
    }
  }
  for (const std::string& base : bases) names.erase(base);
  return names;
}

std::string page() {
  docs::ModuleList list;
  docs::add_activations(list);
  docs::add_layers(list);
  docs::add_losses(list);

  std::ostringstream out;
  out << "# Ops and layers\n\n"
         "Written by a program from the records of the ops (include/pare/core/op.h); a test fails "
         "where\n"
         "it is out of date. To write it again: `cmake --build build/release --target "
         "layers_page`.\n\n"
         "- Backward: whether gradients flow through it.\n"
         "- ONNX: the node it is exported as, with the lowest opset; \"…\" where it takes several "
         "nodes\n"
         "  or attributes, \"–\" where it cannot be exported.\n"
         "- Quantization: how its output is represented in an int8 graph.\n"
         "- Channels: how pruning follows channels through it. A barrier keeps all of them on "
         "both\n"
         "  sides; \"statistics\": it computes over them, so that removed is not zeroed.\n"
         "- Module: that of pare::nn which is this op alone.\n\n"
         "| op | inputs | outputs | backward | ONNX | quantization | channels | module |\n"
         "|---|---|---|---|---|---|---|---|\n";
  for (const OpDef* const op : all_ops()) {
    std::vector<std::string> modules;
    for (const ModuleRow& row : list.rows())
      if (is_made_of(row, op->name)) modules.push_back("`" + row.kind + "`");
    std::string onnx = "–";
    if (op->onnx.op_type)
      onnx = std::string(op->onnx.op_type) + (op->onnx.emit ? " … " : " ") +
             std::to_string(op->onnx.opset);
    out << "| `" << op->name << "` | " << inputs_of(*op) << " | " << op->visible_outputs << " | "
        << (op->backward ? "yes" : "no") << " | " << onnx << " | "
        << quantization_of(op->quantization) << " | " << channels_of(op->channels) << " | "
        << join(modules) << " |\n";
  }
  out << "\n## Modules of several ops\n\n| module | ops |\n|---|---|\n";
  std::set<std::string> left = declared_modules();
  for (const ModuleRow& row : list.rows()) {
    left.erase(row.kind);
    if (row.ops.size() == 1) continue;
    std::vector<std::string> ops;
    for (const std::string& op : row.ops) ops.push_back("`" + op + "`");
    out << "| `" << row.kind << "` | " << (ops.empty() ? "–" : join(ops)) << " |\n";
  }
  std::vector<std::string> others;
  for (const std::string& name : left) others.push_back("`" + name + "`");
  if (!others.empty()) out << "\nFurther modules: " << join(others) << ".\n";
  return out.str();
}

int check(const std::string& text, const char* path) {
  std::ifstream file(path);
  std::istringstream expected(text);
  std::string found_line, line;
  for (int number = 1;; ++number) {
    const bool more = static_cast<bool>(std::getline(expected, line));
    const bool found = static_cast<bool>(std::getline(file, found_line));
    if (!more && !found) return 0;
    if (more && found && line == found_line) continue;
    std::printf(
        "%s:%d is out of date (build the target layers_page)\n  expected: %s\n  found:    %s\n",
        path, number, more ? line.c_str() : "the end", found ? found_line.c_str() : "the end");
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string text = page();
    if (argc > 2 && std::string(argv[1]) == "--check") return check(text, argv[2]);
    if (argc > 1) {
      std::ofstream(argv[1]) << text;
      return 0;
    }
    std::fputs(text.c_str(), stdout);
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
