// Graphs in files: .pare, pare's own container.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/graph/graph.h"

namespace pare::io {

/// What a .pare file holds.
struct GraphFile {
  Graph graph;
  std::string producer;            ///< who wrote it: "pare 0.1.0"
  std::vector<std::string> notes;  ///< what was passed over, such as sections of later versions
};

/// Writes the graph, whole and self-describing, whatever the path's ending: nodes with their
/// attributes, shapes with symbols, names, metadata and all tensors (one that several values share
/// is written once). What no output needs is left out; hooks are not saved. The file appears whole
/// or not at all. Throws io_error, and what Graph::verify throws for a graph that is not legal.
PARE_API void save_graph(const Graph& graph, const std::string& path);

/// The graph of a .pare file: the one that was saved, as Graph::compact leaves it. Nothing is
/// allocated that the file's size does not bear out. Throws io_error; corrupt_data naming file and
/// place for anything that is not as the format says (docs/cli.md), checksums included; unsupported
/// for files of later versions that cannot be read without knowing what is new, and for ops that
/// this version does not have, with all of them.
PARE_API Graph load_graph(const std::string& path);
/// The same with what the file says besides.
PARE_API GraphFile load_graph_file(const std::string& path);
/// The same from memory; errors call it `name`.
PARE_API GraphFile parse_graph(std::span<const std::byte> bytes, const std::string& name);

/// The path's ending says what is written: a graph into ".pare" as save_graph does, its values
/// alone into any other (a checkpoint, safetensors), as save(nn::Module&) does, which keeps to the
/// same rule. Throws invalid_argument for ".onnx", which onnx::save writes.
PARE_API void save(const Graph& graph, const std::string& path);

}  // namespace pare::io
