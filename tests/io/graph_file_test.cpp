// .pare files: what comes back, what is shared, what is refused.
#include "pare/io/graph_file.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "io/container_bytes.h"
#include "io/same_graph.h"
#include "pare/pare.h"
#include "temporary_folder.h"

namespace pare::io {
namespace {

using test::expect_error;
using test::expect_same;
using test::TemporaryFolder;

struct Net : nn::Module {
  nn::Conv2d conv1{{.in = 1, .out = 4, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d bn1{{.features = 4}};
  nn::MaxPool2d pool{{.kernel = 2}};
  nn::Linear fc{{.in = 4 * 4 * 4, .out = 5}};

  void members(nn::Members& m) override { m("conv1", conv1)("bn1", bn1)("fc", fc); }
  Tensor forward(const Tensor& x) override { return fc(flatten(pool(relu(bn1(conv1(x)))))); }
};

Tensor picture(std::uint64_t seed) { return Generator(seed).normal({3, 1, 8, 8}); }

Graph traced(const std::function<void(Net&)>& prepare = {}) {
  Generator generator(1);
  Net net;
  nn::initialize(net, generator);
  if (prepare) prepare(net);
  return trace(net, picture(2)).copy();
}

void expect_round_trip(const Graph& graph) {
  const TemporaryFolder folder;
  save_graph(graph, folder.path("a.pare"));
  const Graph back = load_graph(folder.path("a.pare"));
  expect_same(graph, back);
  save_graph(back, folder.path("b.pare"));
  EXPECT_EQ(folder.read("a.pare"), folder.read("b.pare"));
}

TEST(GraphFileTest, ATracedNetComesBack) {
  Graph graph = traced();
  graph.metadata()["note"] = "Größe, \"quoted\"\n";
  expect_round_trip(graph);
  const TemporaryFolder folder;
  save_graph(graph, folder.path("net.pare"));
  GraphFile file = load_graph_file(folder.path("net.pare"));
  EXPECT_EQ(file.producer, "pare " + std::string(version()));
  EXPECT_TRUE(file.notes.empty());
  const Tensor x = picture(3);
  EXPECT_EQ(file.graph(x).to_vector<float>(), graph(x).to_vector<float>());
  EXPECT_EQ(folder.files(), 1);
}

TEST(GraphFileTest, AnOnnxNameIsNoCheckpoints) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::invalid_argument, {"net.onnx", "onnx::save"},
               [&] { save(traced(), folder.path("net.onnx")); });
  EXPECT_EQ(folder.files(), 0);
}

TEST(GraphFileTest, NamesOfOutputsComeBack) {
  Graph graph = traced();
  graph.set_outputs(graph.outputs(), {"scores"});
  expect_round_trip(graph);
}

TEST(GraphFileTest, ItTrainsOn) {
  const TemporaryFolder folder;
  save_graph(traced(), folder.path("net.pare"));
  Graph graph = load_graph(folder.path("net.pare"));
  EXPECT_EQ(graph.named_parameters().size(), 6U);
  optim::SGD optimizer(graph.parameters(), {.lr = 0.05});
  const Tensor x = picture(4), labels = Tensor::from<std::int64_t>({0, 1, 2}, {3});
  ContextScope scope;
  scope->training = true;
  double first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    optimizer.zero_grad();
    const Tensor loss = cross_entropy(graph(x), labels);
    loss.backward();
    optimizer.step();
    (step == 0 ? first : last) = loss.item();
  }
  EXPECT_LT(last, 0.5 * first);
}

TEST(GraphFileTest, ExpressionsOfWeightsComeBack) {
  expect_round_trip(traced([](Net& net) {
    prune::l1_unstructured(net.fc, "weight", 0.5);
    prune::l1_unstructured(net.conv1, "weight", 0.25);
  }));
}

TEST(GraphFileTest, FrozenNetsComeBack) {
  Graph graph = traced();
  graph.eval();
  graph.set_leaves_trainable([](std::string_view name) { return name.starts_with("conv1"); },
                             false);
  expect_round_trip(graph);
}

TEST(GraphFileTest, QuantizedNetsComeBack) {
  for (const auto& config : {quantize::QConfig::x86(), quantize::QConfig::portable()}) {
    Graph prepared = quantize::prepare(traced(), config);
    prepared(picture(5));
    expect_round_trip(prepared);
    const auto [int8, report] = quantize::convert(prepared);
    expect_round_trip(int8);
    const TemporaryFolder folder;
    save_graph(int8, folder.path("int8.pare"));
    const Graph back = load_graph(folder.path("int8.pare"));
    const Tensor x = picture(6);
    EXPECT_EQ(compile(back, {.threads = 1}).run(x).to_vector<float>(),
              compile(int8, {.threads = 1}).run(x).to_vector<float>());
  }
  Graph qat = quantize::prepare_qat(traced(), quantize::QConfig::x86());
  qat(picture(5));
  expect_round_trip(qat);
}

TEST(GraphFileTest, PrunedNetsComeBack) {
  Graph graph = traced();
  prune::channels(graph, {.ratio = 0.5});
  expect_round_trip(graph);
}

TEST(GraphFileTest, ModelsOfOtherKindsComeBack) {
  Generator generator(3);
  models::GPT gpt({.vocab_size = 11, .block_size = 8, .n_layer = 2, .n_head = 2, .n_embd = 8});
  nn::initialize(gpt, generator);
  expect_round_trip(trace(gpt, Tensor::zeros({2, 8}, DType::i64)).copy());
  nn::LSTM lstm({.input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true});
  nn::initialize(lstm, generator);
  expect_round_trip(trace(lstm, Generator(4).normal({5, 2, 3}), {.symbolic_batch = false}).copy());
}

TEST(GraphFileTest, SharedTensorsAndOddOnesComeBack) {
  Graph graph;
  Shape symbolic{2};
  symbolic.append_symbol("time");
  const int x = graph.add_input("x", symbolic, DType::f32);
  const int unread = graph.add_input("unread", {4}, DType::boolean);
  EXPECT_EQ(unread, 1);
  const Tensor shared = Generator(1).normal({2, 1});
  const int a = graph.add_leaf(Graph::Kind::parameter, "a", shared, false);
  const int b = graph.add_leaf(Graph::Kind::constant, "b", shared);
  const Call add{&kAdd, kAdd.defaults ? kAdd.defaults() : Attributes()};
  const int y = graph.node(graph.add_node("y", add, {x, a})).outputs[0];
  const int z = graph.node(graph.add_node("z", add, {y, b})).outputs[0];
  std::vector<int> outputs{z, y, z};
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    const Tensor odd = Tensor::zeros({3, 0, 2}, dtype);
    outputs.push_back(graph.add_leaf(Graph::Kind::constant, traits(dtype).name, odd));
    Tensor few = Tensor::zeros({3}, dtype);
    outputs.push_back(graph.add_leaf(Graph::Kind::buffer, "few", few));
  }
  const Tensor last = Generator(2).normal({2, 3, 4, 5}).to(MemoryFormat::channels_last);
  outputs.push_back(graph.add_leaf(Graph::Kind::constant, "channels_last", last));
  graph.set_outputs(outputs);
  graph.compact();
  graph.verify();
  expect_round_trip(graph);
}

TEST(GraphFileTest, AnEmptyGraphComesBack) { expect_round_trip(Graph()); }

TEST(GraphFileTest, WhatNoOutputNeedsIsLeftOut) {
  Graph graph = traced();
  graph.add_leaf(Graph::Kind::constant, "dead", Tensor::zeros({1000}));
  const TemporaryFolder folder;
  save_graph(graph, folder.path("net.pare"));
  const Graph back = load_graph(folder.path("net.pare"));
  EXPECT_EQ(back.find_value("dead"), -1);
  EXPECT_GE(graph.find_value("dead"), 0);
  graph.compact();
  expect_same(graph, back);
}

TEST(GraphFileTest, ThePathsEndingSaysWhatIsWritten) {
  const TemporaryFolder folder;
  Graph graph = traced();
  const Graph& constant = graph;
  nn::Module& module = graph;
  for (const auto& save_one :
       {std::function<void(const std::string&)>([&](const std::string& p) { save(graph, p); }),
        std::function<void(const std::string&)>([&](const std::string& p) { save(constant, p); }),
        std::function<void(const std::string&)>([&](const std::string& p) { save(module, p); })}) {
    save_one(folder.path("net.pare"));
    expect_same(graph, load_graph(folder.path("net.pare")));
    save_one(folder.path("net.safetensors"));
    EXPECT_EQ(load_tensors(folder.path("net.safetensors")).tensors.size(), 8U);
    Graph other = traced();
    EXPECT_TRUE(load(other, folder.path("net.safetensors")).missing.empty());
  }
  Net net;
  EXPECT_ERROR(save(net, folder.path("module.pare")), invalid_argument, "module.pare", "Graph");
  EXPECT_ERROR(load(graph, folder.path("net.pare")), unsupported, "net.pare", "load_graph");
  EXPECT_ERROR(load_graph(folder.path("net.safetensors")), corrupt_data, "net.safetensors",
               "expected a .pare file");
  EXPECT_ERROR(load_graph(folder.path("none.pare")), io_error, "none.pare");
  EXPECT_ERROR(save_graph(graph, folder.path("none/net.pare")), io_error, "none/net.pare");
}

TEST(GraphFileTest, IllegalGraphsAreNotWritten) {
  const TemporaryFolder folder;
  Graph graph = traced();
  graph.edit_node(0).name = graph.node(1).name;
  EXPECT_ERROR(save_graph(graph, folder.path("net.pare")), internal, "net.pare", "twice");
  EXPECT_EQ(folder.files(), 0);
}

struct File : test::ContainerBytes {
  GraphFile parse() const {
    return parse_graph(std::as_bytes(std::span(bytes.data(), bytes.size())), "file");
  }
};

File file_of(const Graph& graph) {
  const TemporaryFolder folder;
  save_graph(graph, folder.path("net.pare"));
  return {{folder.read("net.pare")}};
}

Graph small() {
  Graph graph;
  const int x = graph.add_input("x", {2, 3}, DType::f32);
  Tensor ones = Tensor::ones({3});
  const int w = graph.add_leaf(Graph::Kind::parameter, "w", ones.set_requires_grad(), true);
  const int t = graph.add_leaf(Graph::Kind::constant, "t", Tensor::zeros({3}, DType::boolean));
  const Call mul{&kMul, kMul.defaults ? kMul.defaults() : Attributes()};
  const int y = graph.node(graph.add_node("y", mul, {x, w})).outputs[0];
  graph.set_outputs({y, t});
  graph.compact();
  return graph;
}

TEST(GraphFileTest, EveryFlippedBitIsFound) {
  const File good = file_of(small());
  EXPECT_NO_THROW(good.parse());
  for (std::size_t bit = 0; bit < 8 * good.bytes.size(); ++bit) {
    File bad = good;
    bad.bytes[bit / 8] = static_cast<char>(bad.bytes[bit / 8] ^ (1 << (bit % 8)));
    try {
      bad.parse();
      ADD_FAILURE() << "bit " << bit;
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::corrupt_data || error.code() == ErrorCode::unsupported)
          << error.what();
      EXPECT_TRUE(error.message().starts_with("file: ")) << error.what();
    }
  }
}

TEST(GraphFileTest, EveryTruncationIsFound) {
  const File good = file_of(small());
  for (std::size_t length = 0; length < good.bytes.size(); ++length) {
    const File bad{{good.bytes.substr(0, length)}};
    EXPECT_ERROR(bad.parse(), corrupt_data, "file: ");
  }
  EXPECT_ERROR((File{{good.bytes + '\0'}}.parse()), corrupt_data, "that the header states");
}

// Any byte of the graph's own section changed, with checksums that hold: an Error or a legal graph.
TEST(GraphFileTest, ChangedBytesWithRightChecksumsAreErrorsOrLegal) {
  const File good = file_of(small());
  const std::size_t begin = good.offset("graph"), count = good.size("graph");
  int legal = 0, refused = 0;
  for (std::size_t i = 0; i < count; ++i)
    for (const int value : {0, 1, 2, 127, 255}) {
      File bad = good;
      bad.bytes[begin + i] = static_cast<char>(value);
      bad.mend();
      try {
        bad.parse().graph.verify();
        ++legal;
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ErrorCode::corrupt_data ||
                    error.code() == ErrorCode::unsupported)
            << error.what();
        EXPECT_TRUE(error.message().starts_with("file: section '")) << error.what();
        ++refused;
      }
    }
  EXPECT_GT(legal, 50);
  EXPECT_GT(refused, 500);
}

TEST(GraphFileTest, WrongNumbersAreNamed) {
  const File good = file_of(small());
  const auto expect = [&](ErrorCode code, std::initializer_list<std::string> words, auto change) {
    File bad = good;
    change(bad);
    bad.mend();
    expect_error(code, words, [&] { bad.parse(); });
  };
  constexpr ErrorCode corrupt = ErrorCode::corrupt_data;
  const std::size_t graph = good.offset("graph");
  // tensors: count; f32, row-major, rank 1, 3, offset 0; bool …
  expect(corrupt, {"tensors", "4294967295"}, [&](File& f) { f.put(graph, 0xFFFFFFFF, 4); });
  expect(corrupt, {"tensor 0", "within"}, [&](File& f) { f.put(graph + 7, 1000, 8); });
  expect(corrupt, {"at least 0 elements", "-1"}, [&](File& f) { f.put(graph + 7, ~0ULL, 8); });
  expect(corrupt, {"tensor 0", "within"}, [&](File& f) { f.put(graph + 7, 1ULL << 62, 8); });
  expect(corrupt, {"tensor 0", "byte 0 of the tensors"},
         [&](File& f) { f.put(graph + 15, 64, 8); });
  expect(corrupt, {"element type", "99"}, [&](File& f) { f.put(graph + 4, 99, 1); });
  expect(corrupt, {"3 to 5 axes"}, [&](File& f) { f.put(graph + 5, 1, 1); });
  expect(corrupt, {"at most 8 axes"}, [&](File& f) { f.put(graph + 6, 9, 1); });
  // Behind the outputs' numbers no names; the last number is the constant's, −1 is none.
  const std::size_t end = graph + good.size("graph") - 4;
  expect(corrupt, {"outputs", "number 17"}, [&](File& f) { f.put(end - 4, 17, 4); });
  expect(corrupt, {"outputs", "number -1"}, [&](File& f) { f.put(end - 4, ~0ULL, 4); });
  // The node's own output as its input: a cycle. Its inputs stand before the 12 bytes of outputs.
  expect(corrupt, {"y", "that stand before it"}, [&](File& f) { f.put(end - 16, 2, 4); });
  expect(corrupt, {"y", "expected input 1"}, [&](File& f) { f.put(end - 16, ~0ULL, 4); });
  expect(corrupt, {"names of outputs", "2"}, [&](File& f) { f.put(end, 2, 4); });
  // Elements of the bool, behind w's 12 bytes.
  const std::size_t tensors = good.offset("tensors");
  expect(corrupt, {"tensor 1", "0 or 1, got 2"}, [&](File& f) { f.put(tensors + 64, 2, 1); });
  expect(corrupt, {"byte 12", "expected 0"}, [&](File& f) { f.put(tensors + 12, 1, 1); });
  expect(ErrorCode::unsupported, {"version", "got 2"}, [&](File& f) { f.put(8, 2, 4); });
  expect(corrupt, {"'graph'", "got none"}, [](File& f) {
    f.bytes[f.entry("graph")] = 'G';
    f.put(f.entry("Graph") + 8, 0, 4);
  });
}

TEST(GraphFileTest, UnknownOpsAndAttributesAreNamedTogether) {
  Graph graph;
  const int x = graph.add_input("x", {2, 3}, DType::f32);
  int y = graph.node(graph.add_node("first", {&kRelu, {}}, {x})).outputs[0];
  y = graph.node(graph.add_node("second", {&kSoftmax, kSoftmax.defaults()}, {y})).outputs[0];
  y = graph.node(graph.add_node("third", {&kTanh, {}}, {y})).outputs[0];
  graph.set_outputs({y});
  File file = file_of(graph);
  for (const std::string word : {"relu", "axis", "tanh"}) {
    const std::size_t at =
        file.bytes.find(std::string{static_cast<char>(word.size()), 0, 0, 0} + word);
    ASSERT_NE(at, std::string::npos) << word;
    file.bytes[at + 4] = 'X';
  }
  file.mend();
  EXPECT_ERROR(file.parse(), unsupported, "the op 'Xelu' of node 'first'",
               "the attribute 'Xxis' of node 'second' (softmax)", "the op 'Xanh' of node 'third'");
}

TEST(GraphFileTest, UnknownSectionsArePassedOverWithANote) {
  File file = file_of(small());
  const std::size_t about = file.entry("about");
  file.bytes.replace(about, 5, "later");
  file.mend();
  const GraphFile renamed = file.parse();
  expect_same(small(), renamed.graph);
  EXPECT_EQ(renamed.producer, "");
  ASSERT_EQ(renamed.notes.size(), 1U);
  EXPECT_NE(renamed.notes[0].find("'later'"), std::string::npos);

  // A fifth section at the end.
  File longer = file_of(small());
  const std::size_t count = longer.number(12, 4), size = longer.bytes.size();
  std::string moved = longer.bytes.substr(0, 32 + 32 * count);
  std::string entry("codes\0\0\0", 8);
  moved += entry + std::string(24, '\0');
  const std::size_t shift = (moved.size() + 63) / 64 * 64 - longer.offset("about");
  moved.resize((moved.size() + 63) / 64 * 64, '\0');
  moved += longer.bytes.substr(longer.offset("about"));
  File five{{moved}};
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = 32 + 32 * i + 16;
    five.put(at, five.number(at, 8) + shift, 8);
  }
  five.bytes.resize((size + shift + 63) / 64 * 64, '\0');
  const std::size_t begin = five.bytes.size();
  five.bytes += "unknown";
  five.put(32 + 32 * count + 16, begin, 8);
  five.put(32 + 32 * count + 24, 7, 8);
  five.put(12, count + 1, 4);
  five.put(16, five.bytes.size(), 8);
  five.mend();
  const GraphFile parsed = five.parse();
  expect_same(small(), parsed.graph);
  ASSERT_EQ(parsed.notes.size(), 1U);
  EXPECT_NE(parsed.notes[0].find("'codes' of 7 bytes"), std::string::npos);
  // Damage in what is passed over is damage, too.
  File damaged = five;
  damaged.bytes.back() = 'X';
  EXPECT_ERROR(damaged.parse(), corrupt_data, "section 'codes'", "check sum");
  // One that must be known is not passed over.
  five.put(32 + 32 * count + 8, 1, 4);
  five.mend();
  EXPECT_ERROR(five.parse(), unsupported, "'codes'");
}

}  // namespace
}  // namespace pare::io
