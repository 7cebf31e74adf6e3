// Writes docs/onnx_ops.md, the ops that are read from ONNX files, or checks that it is up to date.
//
// pare_onnx_ops_page [--check] <file>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "io/onnx/node_import.h"
#include "onnx/ops_notes.h"

namespace {

using pare::onnx::test::kNotes;
using pare::onnx::test::kRefused;
using pare::onnx::test::Note;

std::string title(std::string_view domain) {
  return domain.empty() ? "ai.onnx" : std::string(domain);
}

std::string note_of(std::string_view domain, std::string_view op) {
  for (const Note& note : kNotes)
    if (note.domain == domain && note.op == op) return std::string(note.text);
  return {};
}

std::string page() {
  std::map<std::string, std::set<std::string>> taken;
  for (const pare::onnx::OpImport& op : pare::onnx::all_imports())
    taken[std::string(op.domain)].insert(std::string(op.op_type));
  std::string out =
      "# ONNX ops\n\n"
      "What `pare::onnx::load` reads, of opsets 6 to 25. Written from the tables of the importers "
      "by\n"
      "`cmake --build build/release --target onnx_ops_page`; a test keeps it true. Half types are\n"
      "computed in f32 where pare's op knows that alone. Shapes, bounds, axes and counts may be\n"
      "computed where the graph runs.\n";
  for (const auto& [domain, ops] : taken) {
    out += fmt::format("\n## {}: {} ops\n\n| op | note |\n|---|---|\n", title(domain), ops.size());
    for (const std::string& op : ops) out += fmt::format("| {} | {} |\n", op, note_of(domain, op));
  }
  out += "\n## ai.onnx, refused by name\n\n| op | reason |\n|---|---|\n";
  for (const Note& note : kRefused) out += fmt::format("| {} | {} |\n", note.op, note.text);
  return out;
}

/// Names that are in both tables, or in the notes alone.
bool consistent() {
  bool good = true;
  const auto taken = pare::onnx::all_imports();
  const auto is_taken = [&](const Note& note) {
    return std::ranges::any_of(taken, [&](const pare::onnx::OpImport& op) {
      return op.domain == note.domain && op.op_type == note.op;
    });
  };
  for (const Note& note : kNotes)
    if (!is_taken(note)) {
      std::printf("%s has a note but is not read\n", std::string(note.op).c_str());
      good = false;
    }
  for (const Note& note : kRefused)
    if (is_taken(note)) {
      std::printf("%s is read and listed as refused\n", std::string(note.op).c_str());
      good = false;
    }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const bool check = argc == 3 && std::strcmp(argv[1], "--check") == 0;
  if (argc != 2 && !check) {
    std::printf("pare_onnx_ops_page [--check] <file>\n");
    return 2;
  }
  if (!consistent()) return 1;
  const std::string path = argv[argc - 1];
  if (!check) {
    std::ofstream(path) << page();
    return 0;
  }
  std::ifstream in(path);
  const std::string found{std::istreambuf_iterator<char>(in), {}};
  if (found == page()) return 0;
  std::printf("%s is not what the tables say: build the target onnx_ops_page\n", path.c_str());
  return 1;
}
