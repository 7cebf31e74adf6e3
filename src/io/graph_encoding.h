// A graph as bytes, without its tensors' elements: the section "graph" of .pare files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare::io {

// Numbers are little-endian; text is u32 bytes and the bytes; lists are u32 count and the items.
// Element types are ONNX's numbers of them, u8.
//   tensors: type; format u8 (1: channels-last); shape: rank u8, sizes u64; offset u64 in the
//            section "tensors": each at the next multiple of 64, zeros between
//   values:  kind u8 (0 input, 1 parameter, 2 buffer, 3 constant, 4 result); name; of an input:
//            type, rank u8, per axis u8 (1: symbol) and u64 or the symbol's name; of a leaf:
//            trained u8, tensor u32; of a result nothing: the nodes' outputs in their order
//   nodes:   name; op; attributes: name, type u8 (0 bool u8, 1 integer i64, 2 number f64, 3 text,
//            4 element type, 5 list of integers, 6 list of numbers), value; inputs: i32, values'
//            numbers, −1 for one left out
//   outputs: i32; their names, or none for those of the values
// Every value stands behind what it is computed from.

/// Where a tensor lies.
struct TensorPlace {
  DType dtype = DType::f32;
  MemoryFormat format = MemoryFormat::row_major;
  Shape shape;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
};

/// A graph as its file states it: nothing is checked but that it can be read.
struct EncodedGraph {
  struct Value {
    Graph::Kind kind = Graph::Kind::input;
    std::string name;
    DType dtype = DType::f32;
    Shape shape;  ///< of an input
    bool trainable = false;
    std::uint32_t tensor = 0;  ///< of a leaf
  };
  struct Node {
    std::string name;
    Call call;
    std::vector<int> inputs;
  };
  std::vector<TensorPlace> tensors;
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<int> outputs;
  std::vector<std::string> output_names;  ///< empty: those of the values
};

/// The bytes, and the tensors in the order in which their places are stated. `graph` is compact.
std::string encode_graph(const Graph& graph, Tensors& tensors);

/// `tensor_bytes` is the size of the section "tensors". Throws corrupt_data beginning with `where`,
/// and unsupported with all ops and attributes that this version does not have.
EncodedGraph decode_graph(const std::string& where, std::string_view bytes,
                          std::uint64_t tensor_bytes);

/// Pairs of text: u32 count, then key and value of each.
std::string encode_texts(const std::map<std::string, std::string>& texts);
std::map<std::string, std::string> decode_texts(const std::string& where, std::string_view bytes);

}  // namespace pare::io
