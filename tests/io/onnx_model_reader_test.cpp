// Reading the messages of ONNX files, malformed ones above all.
#include "io/onnx/model_reader.h"

#include <gtest/gtest.h>

#include <fstream>

#include "expect_error.h"
#include "io/proto.h"
#include "temporary_folder.h"

namespace pare::onnx {
namespace {

using test::Proto;

ModelProto read(const Proto& proto) { return read_model("m.onnx", proto.span(), nullptr); }

/// A model of one graph.
Proto model_of(const Proto& graph) {
  return Proto().integer(1, 8).message(8, Proto().integer(2, 17)).message(7, graph);
}
Proto node_of(const std::string& op) {
  return Proto().text(1, "x").text(2, "y").text(3, "n0").text(4, op);
}
/// An input "x" of these dimensions.
Proto input_of(const Proto& shape) {
  return Proto().text(1, "x").message(2,
                                      Proto().message(1, Proto().integer(1, 1).message(2, shape)));
}

TEST(OnnxModelReader, ReadsWhatIsThere) {
  const Proto attribute = Proto().text(1, "alpha").real(2, 0.5F).integer(20, 1);
  const Proto old_attribute = Proto().text(1, "axis").integer(3, -1);
  const Proto shape =
      Proto().message(1, Proto().text(2, "batch")).message(1, Proto().integer(1, 3));
  const Proto weight =
      Proto().integer(1, 2).integer(2, 1).text(8, "w").text(9, std::string(8, '\0'));
  const ModelProto model = read(
      model_of(Proto()
                   .text(2, "g")
                   .message(1, node_of("LeakyRelu").message(5, attribute).message(5, old_attribute))
                   .message(5, weight)
                   .message(11, input_of(shape))
                   .message(12, Proto().text(1, "y")))
          .text(2, "maker")
          .message(14, Proto().text(1, "key").text(2, "value")));
  EXPECT_EQ(model.opsets.at(""), 17);
  EXPECT_EQ(model.producer_name, "maker");
  EXPECT_EQ(model.metadata.at("key"), "value");
  const GraphProto& graph = model.graph;
  ASSERT_EQ(graph.nodes.size(), 1U);
  EXPECT_EQ(graph.nodes[0].op_type, "LeakyRelu");
  EXPECT_EQ(graph.nodes[0].attributes[0].real, 0.5);
  EXPECT_EQ(graph.nodes[0].attributes[1].type, AttributeProto::Type::integer);
  EXPECT_EQ(graph.nodes[0].attributes[1].integer, -1);
  ASSERT_EQ(graph.inputs[0].shape.size(), 2U);
  EXPECT_EQ(graph.inputs[0].shape[0].symbol, "batch");
  EXPECT_EQ(graph.inputs[0].shape[1].size, 3);
  EXPECT_EQ(graph.initializers[0].raw.size(), 8U);
}

TEST(OnnxModelReader, TakesListsPackedAndOneByOne) {
  const Proto packed = Proto().text(1, Proto().varint(2).varint(3).bytes).integer(1, 4);
  const ModelProto model = read(model_of(Proto().message(5, Proto(packed).text(8, "w"))));
  EXPECT_EQ(model.graph.initializers[0].dims, (std::vector<std::int64_t>{2, 3, 4}));
}

// Every beginning of a file is an error or, between two fields, a smaller model; never a crash.
TEST(OnnxModelReader, SurvivesEveryCut) {
  const Proto whole = model_of(
      Proto().message(1, node_of("Relu")).message(11, input_of(Proto().message(1, Proto()))));
  int errors = 0;
  for (std::size_t size = 0; size < whole.bytes.size(); ++size) {
    const std::string cut = whole.bytes.substr(0, size);
    try {
      read(Proto{cut});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt_data) << error.what();
      EXPECT_TRUE(error.message().starts_with("m.onnx: ")) << error.what();
      ++errors;
    }
  }
  EXPECT_EQ(errors, static_cast<int>(whole.bytes.size()));
}

// Every byte of a file changed to every other: an error or another model.
TEST(OnnxModelReader, SurvivesEveryChangedByte) {
  const Proto whole =
      model_of(Proto().message(1, node_of("Relu")).message(5, Proto().integer(1, 1).integer(2, 1)));
  for (std::size_t at = 0; at < whole.bytes.size(); ++at)
    for (int value = 0; value < 256; ++value) {
      Proto changed = whole;
      changed.bytes[at] = static_cast<char>(value);
      try {
        read(changed);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::corrupt_data) << error.what();
      }
    }
}

TEST(OnnxModelReader, NamesThePlaceOfWhatIsMalformed) {
  EXPECT_ERROR(read(Proto{}), corrupt_data,
               "m.onnx: expected an ONNX model with a graph, got none");
  EXPECT_ERROR(read(Proto{"this is a text, no model"}), corrupt_data, "m.onnx: expected");
  EXPECT_ERROR(read(model_of(Proto().message(1, Proto().integer(4, 7)))), corrupt_data,
               "m.onnx: graph: node 0", "expected wire type 2 of field 4, got 0");
  EXPECT_ERROR(read(model_of(Proto().message(1, Proto().text(3, "conv")))), corrupt_data,
               "graph: node 0 'conv': expected an op_type, got none");
  EXPECT_ERROR(read(model_of(Proto().message(5, Proto().text(8, "w").integer(1, -2)))),
               corrupt_data, "initializer 0 'w': expected sizes of at least 0, got -2");
  EXPECT_ERROR(
      read(model_of(Proto().message(11, input_of(Proto().message(1, Proto().integer(1, -2)))))),
      corrupt_data, "input 0 'x'", "expected a size of at least 0, got -2");
  EXPECT_ERROR(read(model_of(Proto().text(2, "g")).message(7, Proto())), corrupt_data,
               "expected one graph, got two");
  EXPECT_ERROR(read(model_of({}).message(8, Proto().integer(2, 9))), corrupt_data,
               "expected one version of the domain '', got two");
  EXPECT_ERROR(read(model_of(Proto().message(5, Proto()))), corrupt_data,
               "expected initializers with names");
  EXPECT_ERROR(read(model_of(Proto().message(5, Proto().text(8, "w").text(4, "abc")))),
               corrupt_data, "expected a multiple of 4 bytes in field 4, got 3");
  Proto endless;
  endless.bytes = std::string(11, '\xff');
  EXPECT_ERROR(read(endless), corrupt_data, "expected a number of at most ten bytes");
  EXPECT_ERROR(read(Proto().key(0, 0).varint(1)), corrupt_data, "expected a field's number, got 0");
  EXPECT_ERROR(read(Proto().key(3, 3)), corrupt_data, "expected a wire type of 0, 1, 2 or 5");
  // A length that only 32 bits of would fit.
  EXPECT_ERROR(read(Proto().key(2, 2).varint((std::uint64_t{1} << 32U) + 1).varint(65)),
               corrupt_data, "expected 4294967297 bytes of field 2, got 1");
  EXPECT_ERROR(read(model_of(Proto().message(5, Proto().text(8, "w").integer(14, 1).message(
                                                    13, Proto().text(1, "offset").text(2, "-4"))))),
               corrupt_data, "expected a number as offset, got '-4'");
}

TEST(OnnxModelReader, RefusesGraphsNestedWithoutEnd) {
  Proto graph;
  for (int depth = 0; depth < 2000; ++depth)
    graph = Proto().message(
        1, Proto().text(4, "If").message(5, Proto().text(1, "then_branch").message(6, graph)));
  EXPECT_ERROR(read(model_of(graph)), corrupt_data, "expected graphs nested at most 32 deep");
}

TEST(OnnxModelReader, ReadsFiles) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("m.onnx");
  std::ofstream(path, std::ios::binary) << model_of(Proto().text(2, "g")).bytes;
  EXPECT_EQ(read_model_file(path).graph.name, "g");
  EXPECT_ERROR(read_model_file(folder.path("none.onnx")), io_error,
               "none.onnx: expected a regular file");
  EXPECT_ERROR(read_model_file(folder.path(".")), io_error, "expected a regular file");
}

}  // namespace
}  // namespace pare::onnx
