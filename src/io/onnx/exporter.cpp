// The export of a graph through the ONNX forms of its ops.
#include "io/onnx/exporter.h"

#include <algorithm>
#include <sstream>
#include <unordered_set>

#include "core/check.h"
#include "core/ops/recurrent.h"
#include "io/onnx/export_dynamic.h"
#include "io/onnx/matmul_nbits.h"
#include "io/onnx/node_emitter.h"
#include "io/onnx/pack_codes.h"
#include "io/onnx/tensor_data.h"
#include "pare/core/ops.h"
#include "pare/version.h"

namespace pare::onnx {
namespace {

/// No op needs more than this, 2-bit codes apart.
constexpr int kUsualOpset = 21;

/// The version of the file format that came with an opset.
std::int64_t ir_version_of(int opset) {
  if (opset <= 14) return 7;
  if (opset <= 18) return 8;
  if (opset <= 20) return 9;
  return opset <= 22 ? 10 : opset - 12;
}

ValueInfo info_of(const Graph::Value& value, const std::string& name) {
  ValueInfo info;
  info.name = name;
  info.type = element_type(value.dtype);
  info.has_shape = true;
  for (int a = 0; a < value.shape.rank(); ++a) {
    if (value.shape.symbolic(a))
      info.shape.push_back({-1, value.shape.symbol(a)});
    else
      info.shape.push_back({value.shape[a], ""});
  }
  return info;
}

struct Refusals {
  std::string text;
  int count = 0;
};

class Exporter {
 public:
  Exporter(const Graph& graph, int opset, const NBitsProducts& nbits)
      : graph_(graph), nbits_(nbits), draft_(graph, opset) {}

  ModelProto run(Refusals& refusals) {
    std::string rounded;
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      const int n = static_cast<int>(i);
      const Graph::Node& node = graph_.node(n);
      if (nbits_.needless.contains(n)) continue;
      if (const auto product = nbits_.products.find(n); product != nbits_.products.end()) {
        add_product(node, product->second);
        continue;
      }
      try {
        NodeEmitter emitter(node, draft_);
        emitter.run();
        if (quantizes_dynamically(node.call) && !emitter.has_input(kWeightHr))
          rounded += (rounded.empty() ? "" : "\n") + emitter.named(node.call.op->onnx.op_type);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::unsupported) throw error.within(node.name);
        refusals.text +=
            fmt::format("\n  '{}' ({}): {}", node.name, node.call.op->name, error.message());
        ++refusals.count;
      }
    }
    ModelProto model;
    model.ir_version = ir_version_of(draft_.opset());
    model.opsets[""] = draft_.opset();
    if (!nbits_.products.empty()) model.opsets["com.microsoft"] = 1;
    model.producer_name = "pare";
    model.producer_version = version();
    model.metadata = graph_.metadata();
    if (!rounded.empty()) model.metadata[kRoundedRowsKey] = rounded;
    model.graph.name = "graph";
    for (const int v : graph_.inputs())
      model.graph.inputs.push_back(info_of(graph_.value(v), graph_.value(v).name));
    add_outputs(model.graph);
    add_leaves(model);
    std::ranges::move(draft_.made, std::back_inserter(model.graph.nodes));
    std::ranges::move(draft_.constants, std::back_inserter(model.graph.initializers));
    model.memory = draft_.memory();
    return model;
  }

 private:
  void add_product(const Graph::Node& node, const MatMulNBits& product) {
    NodeProto& made = draft_.made.emplace_back();
    made.name = draft_.fresh_node(node.name);
    made.op_type = "MatMulNBits";
    made.domain = "com.microsoft";
    const std::string& weight = graph_.value(node.inputs[1]).name;
    const auto constant = [&](const char* suffix, const Tensor& tensor) {
      if (!tensor.defined()) return std::string();
      const std::string name = draft_.fresh(weight + suffix);
      draft_.constants.push_back(draft_.keep(name, tensor));
      return name;
    };
    made.inputs = {graph_.value(product.x).name, constant("/codes", product.codes),
                   constant("/scales", product.scales),
                   constant("/zero_points", product.zero_points)};
    if (product.bias >= 0) {
      made.inputs.emplace_back();
      made.inputs.push_back(graph_.value(product.bias).name);
    }
    while (made.inputs.back().empty()) made.inputs.pop_back();
    made.outputs = {graph_.value(node.outputs[0]).name};
    const auto attribute = [&](const char* name, std::int64_t value) {
      AttributeProto& a = made.attributes.emplace_back();
      a.name = name;
      a.type = AttributeProto::Type::integer;
      a.integer = value;
    };
    attribute("K", product.inputs);
    attribute("N", product.outputs);
    attribute("bits", product.bits);
    attribute("block_size", product.block);
  }

  /// An input or a leaf that is an output of another name, or an output that stands twice, is a
  /// copy.
  void add_outputs(GraphProto& proto) {
    const std::vector<std::string> names = graph_.output_names();
    std::unordered_set<int> seen;
    for (std::size_t k = 0; k < names.size(); ++k) {
      const int v = graph_.outputs()[k];
      const Graph::Value& value = graph_.value(v);
      std::string name = value.name;
      const bool again = !seen.insert(v).second;
      if (again || (value.kind != Graph::Kind::result && names[k] != value.name)) {
        name =
            names[k] == value.name ? draft_.fresh(value.name + "/output") : draft_.fresh(names[k]);
        NodeProto& copy = draft_.made.emplace_back();
        copy.name = draft_.fresh_node(name);
        copy.op_type = "Identity";
        copy.inputs = {value.name};
        copy.outputs = {name};
      }
      proto.outputs.push_back(info_of(value, name));
    }
  }

  void add_leaves(ModelProto& model) {
    std::unordered_set<std::string_view> read;
    for (const NodeProto& node : draft_.made) read.insert(node.inputs.begin(), node.inputs.end());
    for (const auto& output : model.graph.outputs) read.insert(output.name);
    std::string constants;
    for (const Graph::Value& value : graph_.values()) {
      if (!value.is_leaf() || !read.contains(value.name)) continue;
      model.graph.initializers.push_back(draft_.keep(value.name, value.tensor));
      if (is_floating(value.dtype) && value.shape.rank() > 0 &&
          value.kind != Graph::Kind::parameter)
        constants += (constants.empty() ? "" : "\n") + value.name;
    }
    if (!constants.empty()) model.metadata[kConstantsKey] = constants;
  }

  const Graph& graph_;
  const NBitsProducts& nbits_;
  Draft draft_;
};

/// The lowest opset whose forms the graph's ops claim.
int lowest_opset(const Graph& graph, const NBitsProducts& nbits) {
  int lowest = kLowestOpset;
  for (const Graph::Node& node : graph.nodes())
    if (node.call.op->onnx.op_type)
      lowest = std::max(lowest, std::min(node.call.op->onnx.opset, kUsualOpset));
  const auto written = [&](int reader) { return !nbits.needless.contains(reader); };
  for (int v = 0; v < static_cast<int>(graph.values().size()); ++v)
    if (const Graph::Value& value = graph.value(v);
        traits(value.dtype).bits < 8 && std::ranges::any_of(graph.readers(v), written))
      lowest = std::max(lowest, traits(value.dtype).bits < 4 ? kHighestOpset : kUsualOpset);
  return lowest;
}

/// Values get the names of the outputs that they are, which may have been those of values that a
/// pass replaced.
void name_outputs(Graph& graph) {
  const std::vector<std::string> names = graph.output_names();
  std::unordered_set<int> seen;
  for (std::size_t k = 0; k < names.size(); ++k) {
    const int v = graph.outputs()[k];
    if (graph.value(v).kind != Graph::Kind::result || !seen.insert(v).second ||
        graph.value(v).name == names[k])
      continue;
    const int other = graph.find_value(names[k]);
    if (other >= 0 && graph.value(other).kind != Graph::Kind::result) continue;
    if (other >= 0) graph.edit_value(other).name = graph.unique_name(names[k] + "/value");
    graph.edit_value(v).name = names[k];
  }
}

std::set<std::string> lines_of(const std::map<std::string, std::string>& metadata,
                               const char* key) {
  std::set<std::string> names;
  if (const auto at = metadata.find(key); at != metadata.end()) {
    std::istringstream lines(at->second);
    for (std::string line; std::getline(lines, line);) names.insert(line);
  }
  return names;
}

}  // namespace

std::set<std::string> constants_named(const std::map<std::string, std::string>& metadata) {
  return lines_of(metadata, kConstantsKey);
}
std::set<std::string> rounded_rows_named(const std::map<std::string, std::string>& metadata) {
  return lines_of(metadata, kRoundedRowsKey);
}

ModelProto export_graph(const Graph& graph, int opset, const std::string& file, bool matmul_nbits) {
  PARE_CHECK(opset == 0 || (opset >= kLowestOpset && opset <= kHighestOpset), invalid_argument,
             "onnx::save", "expected an opset of {} to {}, or 0, got {}", kLowestOpset,
             kHighestOpset, opset);
  Graph ordered = with_integer_products(graph.share());
  name_outputs(ordered);
  ordered.verify();
  const NBitsProducts nbits(ordered, matmul_nbits);
  pack_codes(ordered, opset);
  const int first = opset == 0 ? lowest_opset(ordered, nbits) : opset;
  const int last = opset == 0 ? std::max(first, kUsualOpset) : opset;
  for (int version = first;; ++version) {
    Refusals refusals;
    ModelProto model = Exporter(ordered, version, nbits).run(refusals);
    if (refusals.count == 0) return model;
    PARE_CHECK(version < last, unsupported, file,
               "expected ops that opset {} of ONNX can say, got {} node{} that it cannot:{}",
               version, refusals.count, refusals.count == 1 ? "" : "s", refusals.text);
  }
}

}  // namespace pare::onnx
