// Every op with every sample of its contract comes back from a .pare file.
#include <gtest/gtest.h>

#include <set>

#include "core/samples.h"
#include "io/same_graph.h"
#include "pare/io/graph_file.h"
#include "temporary_folder.h"

namespace pare::test {
namespace {

// Adds the sample's call on leaves: constants, and buffers where the op has state. Gives the node.
int add_call(Graph& graph, const Sample& s) {
  std::vector<int> inputs;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    if (!s.inputs[i].defined()) {
      inputs.push_back(-1);
      continue;
    }
    bool state = false;
    for (const StatePair& pair : s.call.op->state)
      state = state || pair.input == static_cast<int>(i);
    inputs.push_back(graph.add_leaf(state ? Graph::Kind::buffer : Graph::Kind::constant,
                                    std::to_string(graph.values().size()), s.inputs[i].clone()));
  }
  return graph.add_node(label(s), s.call, inputs);
}

// One file for all of them, since every file waits for the disk.
TEST(GraphFileContractTest, EveryCallComesBack) {
  const TemporaryFolder folder;
  std::set<const OpDef*> seen;
  Graph graph;
  std::vector<int> outputs;
  for (const Sample& s : samples()) {
    SCOPED_TRACE(label(s));
    const int n = add_call(graph, s);
    outputs.insert(outputs.end(), graph.node(n).outputs.begin(), graph.node(n).outputs.end());
    seen.insert(s.call.op);
  }
  for (const OpDef* op : all_ops()) EXPECT_TRUE(seen.contains(op)) << op->name;
  graph.set_outputs(std::move(outputs));
  graph.compact();
  io::save_graph(graph, folder.path("calls.pare"));
  expect_same(graph, io::load_graph(folder.path("calls.pare")));
}

}  // namespace
}  // namespace pare::test
