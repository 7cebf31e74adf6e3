// Saves and loads graphs in .pare files.
#include "pare/io/graph_file.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "core/check.h"
#include "io/container.h"
#include "io/file_reader.h"
#include "io/graph_encoding.h"
#include "pare/core/context.h"
#include "pare/io/checkpoint.h"
#include "pare/version.h"

namespace pare::io {
namespace {

constexpr const char* kGraph = "graph";
constexpr const char* kTensors = "tensors";
constexpr const char* kMetadata = "metadata";
constexpr const char* kAbout = "about";
constexpr const char* kProducer = "producer";

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Sections that this version reads; one that the file does not have is null.
class Sections {
 public:
  Sections(const FileSource& source, std::vector<std::string>& notes)
      : source_(source), all_(read_table(source)) {
    std::vector<std::string> refused;
    for (const Section& section : all_) {
      if (find_known(section)) continue;
      if (section.required) {
        refused.push_back("'" + section.name + "'");
        continue;
      }
      SectionReader reader(source, section);
      reader.skip(section.bytes);
      reader.finish();
      notes.push_back(
          fmt::format("section '{}' of {} bytes, which this version does not know, "
                      "passed over",
                      section.name, section.bytes));
    }
    PARE_CHECK(refused.empty(), unsupported, source.name,
               "expected sections that this version of pare knows, got {}", listed(refused));
  }

  const Section& needed(const char* name) const {
    for (const Section& section : all_)
      if (section.name == name) return section;
    fail(ErrorCode::corrupt_data, source_.name, "expected a section '{}', got none", name);
  }

  bool has(const char* name) const {
    return std::ranges::find(all_, name, &Section::name) != all_.end();
  }

  std::string text(const char* name) const {
    const Section& section = needed(name);
    std::string out(section.bytes, '\0');
    SectionReader reader(source_, section);
    reader.read(out.data(), out.size());
    reader.finish();
    return out;
  }

 private:
  static bool find_known(const Section& section) {
    static constexpr std::string_view kKnown[] = {kGraph, kTensors, kMetadata, kAbout};
    return std::ranges::find(kKnown, section.name) != std::end(kKnown);
  }

  const FileSource& source_;
  std::vector<Section> all_;
};

void check_bools(const std::string& place, const Tensor& tensor) {
  if (tensor.dtype() != DType::boolean) return;
  const auto* const bytes = static_cast<const unsigned char*>(tensor.raw());
  for (std::size_t i = 0; i < tensor.bytes(); ++i)
    PARE_CHECK(bytes[i] <= 1, corrupt_data, place, "element {}: expected a bool, 0 or 1, got {}", i,
               bytes[i]);
}

Tensors read_tensors(const FileSource& source, const Section& section,
                     const std::vector<TensorPlace>& places) {
  SectionReader reader(source, section);
  Tensors tensors;
  tensors.reserve(places.size());
  for (const TensorPlace& place : places) {
    const std::uint64_t at = section.bytes - reader.left();
    reader.read_zeros(place.offset - at);
    Tensor tensor = Tensor::empty(place.shape, place.dtype, place.format);
    PARE_ASSERT(tensor.bytes() == place.bytes);
    reader.read(tensor.mutable_raw(), place.bytes);
    check_bools(fmt::format("{}: tensor {}", section_place(source, section), tensors.size()),
                tensor);
    tensors.push_back(std::move(tensor));
  }
  reader.finish();
  return tensors;
}

// Puts the graph together; whatever is not legal in it is an Error of the file.
class Assembly {
 public:
  Assembly(const std::string& where, EncodedGraph encoded, Tensors tensors)
      : where_(where), encoded_(std::move(encoded)), tensors_(std::move(tensors)) {}

  Graph run() {
    check_names();
    try {
      for (std::size_t v = 0; v < encoded_.values.size();) v = add(v);
      PARE_CHECK(next_ == encoded_.nodes.size(), corrupt_data, "nodes",
                 "expected {} of them to have outputs among the values, got {}",
                 encoded_.nodes.size(), next_);
      check_operands("outputs", encoded_.outputs, graph_.values().size(), 0);
      if (encoded_.output_names.empty())
        graph_.set_outputs(encoded_.outputs);
      else
        graph_.set_outputs(encoded_.outputs, encoded_.output_names);
      graph_.verify();
    } catch (const Error& error) {
      if (error.code() == ErrorCode::out_of_memory) throw;
      throw Error(ErrorCode::corrupt_data, where_ + ": " + error.message());
    }
    return std::move(graph_);
  }

 private:
  // The graph would make names unique where a file has one twice.
  void check_names() const {
    std::set<std::string_view> values, nodes;
    for (const auto& value : encoded_.values)
      PARE_CHECK(!value.name.empty() && values.insert(value.name).second, corrupt_data, where_,
                 "expected values of different names, got '{}' twice", value.name);
    for (const auto& node : encoded_.nodes)
      PARE_CHECK(!node.name.empty() && nodes.insert(node.name).second, corrupt_data, where_,
                 "expected nodes of different names, got '{}' twice", node.name);
  }

  static void check_operands(std::string_view what, const std::vector<int>& operands,
                             std::size_t values, int least) {
    for (const int v : operands)
      PARE_CHECK(v >= least && v < static_cast<int>(values), corrupt_data, what,
                 "expected values that stand before it, below {}, got number {}", values, v);
  }

  // Gives the number of the value that comes next.
  std::size_t add(std::size_t v) {
    EncodedGraph::Value& value = encoded_.values[v];
    if (value.kind == Graph::Kind::result) return add_node(v);
    if (value.kind == Graph::Kind::input) {
      graph_.add_input(value.name, value.shape, value.dtype);
    } else {
      Tensor tensor = tensors_[value.tensor];
      if (value.trainable) tensor.set_requires_grad();
      graph_.add_leaf(value.kind, value.name, std::move(tensor), value.trainable);
    }
    name(v);
    return v + 1;
  }

  std::size_t add_node(std::size_t v) {
    PARE_CHECK(next_ < encoded_.nodes.size(), corrupt_data, encoded_.values[v].name,
               "expected a node that gives it, got none");
    EncodedGraph::Node& node = encoded_.nodes[next_++];
    const OpDef& op = *node.call.op;
    const int count = static_cast<int>(node.inputs.size());
    PARE_CHECK(count >= op.min_inputs && (op.max_inputs < 0 || count <= op.max_inputs),
               corrupt_data, node.name, "expected {} to {} inputs of {}, got {}", op.min_inputs,
               op.max_inputs, op.name, count);
    check_operands(node.name, node.inputs, v, -1);
    for (int i = 0; i < std::min(count, op.min_inputs); ++i)
      PARE_CHECK(node.inputs[static_cast<std::size_t>(i)] >= 0, corrupt_data, node.name,
                 "expected input {} of {}, got none", i, op.name);
    const std::size_t end = v + static_cast<std::size_t>(op.visible_outputs);
    PARE_CHECK(end <= encoded_.values.size(), corrupt_data, node.name,
               "expected {} outputs, got the last value before them", op.visible_outputs);
    const int n = graph_.add_node(node.name, std::move(node.call), std::move(node.inputs));
    graph_.edit_node(n).name = node.name;
    for (std::size_t output = v; output < end; ++output) {
      PARE_CHECK(encoded_.values[output].kind == Graph::Kind::result, corrupt_data, node.name,
                 "expected {} outputs, got '{}', which is none", op.visible_outputs,
                 encoded_.values[output].name);
      name(output);
    }
    return end;
  }

  void name(std::size_t v) {
    graph_.edit_value(static_cast<int>(v)).name = encoded_.values[v].name;
  }

  const std::string& where_;
  EncodedGraph encoded_;
  Tensors tensors_;
  Graph graph_;
  std::size_t next_ = 0;  // node
};

GraphFile read(const FileSource& source) {
  const NoGrad off;
  GraphFile file;
  const Sections sections(source, file.notes);
  const Section& data = sections.needed(kTensors);
  const auto place = [&](const char* name) { return section_place(source, sections.needed(name)); };
  std::map<std::string, std::string> about, metadata;
  if (sections.has(kAbout)) about = decode_texts(place(kAbout), sections.text(kAbout));
  if (const auto at = about.find(kProducer); at != about.end()) file.producer = at->second;
  if (sections.has(kMetadata)) metadata = decode_texts(place(kMetadata), sections.text(kMetadata));
  const std::string where = place(kGraph);
  EncodedGraph encoded = decode_graph(where, sections.text(kGraph), data.bytes);
  Tensors tensors = read_tensors(source, data, encoded.tensors);
  file.graph = Assembly(where, std::move(encoded), std::move(tensors)).run();
  file.graph.metadata() = std::move(metadata);
  return file;
}

}  // namespace

void save_graph(const Graph& graph, const std::string& path) {
  const NoGrad off;
  Graph compact = graph.share();
  Tensors tensors;
  try {
    compact.compact();
    compact.verify();
  } catch (const Error& error) {
    throw error.within(path);
  }
  const std::string encoded = encode_graph(compact, tensors);
  const std::string metadata = encode_texts(compact.metadata());
  const std::string about = encode_texts({{kProducer, fmt::format("pare {}", version())}});
  static constexpr std::byte kZeros[kSectionAlignment]{};
  SectionPieces data{.name = kTensors, .required = true};
  std::uint64_t end = 0;
  for (const Tensor& tensor : tensors) {
    data.pieces.emplace_back(kZeros, aligned(end) - end);
    data.pieces.emplace_back(static_cast<const std::byte*>(tensor.raw()), tensor.bytes());
    end = aligned(end) + tensor.bytes();
  }
  const SectionPieces sections[] = {
      {.name = kAbout, .pieces = {bytes_of(about)}},
      {.name = kMetadata, .pieces = {bytes_of(metadata)}},
      {.name = kGraph, .required = true, .pieces = {bytes_of(encoded)}},
      std::move(data)};
  write_container(path, sections);
}

GraphFile load_graph_file(const std::string& path) {
  FileReader file(path);
  return read({path, file.size(), [&](std::uint64_t at, void* out, std::uint64_t bytes) {
                 file.seek(at);
                 file.read(out, bytes, "a .pare file");
               }});
}

Graph load_graph(const std::string& path) { return load_graph_file(path).graph; }

GraphFile parse_graph(std::span<const std::byte> bytes, const std::string& name) {
  return read({name, bytes.size(), [&](std::uint64_t at, void* out, std::uint64_t count) {
                 if (count > 0) std::memcpy(out, bytes.data() + at, count);
               }});
}

void save(const Graph& graph, const std::string& path) {
  Graph shared = graph.share();
  save(static_cast<nn::Module&>(shared), path);
}

}  // namespace pare::io
