// An ONNX file in memory: its protobuf messages as plain structs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace pare::onnx {

/// TensorProto.DataType.
enum class ElementType : std::int32_t {
  undefined = 0,
  f32 = 1,
  u8 = 2,
  i8 = 3,
  u16 = 4,
  i16 = 5,
  i32 = 6,
  i64 = 7,
  string = 8,
  boolean = 9,
  f16 = 10,
  f64 = 11,
  u32 = 12,
  u64 = 13,
  complex64 = 14,
  complex128 = 15,
  bf16 = 16,
  f8e4m3fn = 17,
  f8e4m3fnuz = 18,
  f8e5m2 = 19,
  f8e5m2fnuz = 20,
  u4 = 21,
  i4 = 22,
  f4e2m1 = 23,
  f8e8m0 = 24,
  u2 = 25,
  i2 = 26,
};

/// A TensorProto. Its elements lie in exactly one of the members below `dims`.
struct TensorProto {
  std::string name;
  ElementType type = ElementType::undefined;
  std::vector<std::int64_t> dims;
  std::span<const std::byte> raw;  ///< little-endian; kept alive by Model::memory
  std::vector<float> floats;
  std::vector<std::int32_t> int32s;  ///< also the smaller integers, bool, f16 and bf16 as bits
  std::vector<std::int64_t> int64s;
  std::vector<double> doubles;
  std::vector<std::uint64_t> uint64s;
  std::vector<std::string> strings;
  struct External {
    std::string location;  ///< relative to the model's folder; empty: the data is in the file
    std::int64_t offset = 0;
    std::int64_t length = -1;  ///< −1: as long as dims and type say
  };
  External external;
};

struct ValueInfo {
  struct Dimension {
    std::int64_t size = -1;  ///< −1: see symbol
    std::string symbol;      ///< dim_param; empty: nothing is known
  };
  std::string name;
  ElementType type = ElementType::undefined;
  bool has_shape = false;
  std::vector<Dimension> shape;
  std::string other;  ///< "sequence", "map", "optional", "sparse tensor" where it is no tensor
};

struct GraphProto;

/// An AttributeProto; one of the members is meant, as `type` says.
struct AttributeProto {
  enum class Type : std::int32_t {
    undefined = 0,
    real = 1,
    integer = 2,
    string = 3,
    tensor = 4,
    graph = 5,
    reals = 6,
    integers = 7,
    strings = 8,
    tensors = 9,
    graphs = 10,
    sparse_tensor = 11,
    other = 100,  ///< type_proto, lists of what is above
  };
  std::string name;
  std::string reference;  ///< ref_attr_name: the function's attribute that it stands for
  Type type = Type::undefined;
  double real = 0;
  std::int64_t integer = 0;
  std::string string;
  std::vector<double> reals;
  std::vector<std::int64_t> integers;
  std::vector<std::string> strings;
  std::vector<TensorProto> tensors;                 ///< one for Type::tensor
  std::vector<std::shared_ptr<GraphProto>> graphs;  ///< one for Type::graph
};

struct NodeProto {
  std::string name, op_type, domain, overload;
  std::vector<std::string> inputs, outputs;  ///< "" for one left out
  std::vector<AttributeProto> attributes;
};

struct GraphProto {
  std::string name;
  std::vector<NodeProto> nodes;
  std::vector<TensorProto> initializers;
  std::vector<ValueInfo> inputs, outputs, values;
  bool sparse_initializers = false;  ///< it has some, which are not read
};

struct FunctionProto {
  std::string name, domain, overload;
  std::vector<std::string> inputs, outputs;
  std::vector<std::string> attributes;   ///< those without a default
  std::vector<AttributeProto> defaults;  ///< those with one
  std::vector<NodeProto> nodes;
  std::map<std::string, std::int64_t> opsets;  ///< by domain, "" for ai.onnx
};

struct ModelProto {
  std::int64_t ir_version = 0;
  std::map<std::string, std::int64_t> opsets;  ///< by domain, "" for ai.onnx
  std::string producer_name, producer_version, doc;
  std::map<std::string, std::string> metadata;
  GraphProto graph;
  std::vector<FunctionProto> functions;
  std::shared_ptr<const void> memory;  ///< what the raw spans lie in
};

}  // namespace pare::onnx
