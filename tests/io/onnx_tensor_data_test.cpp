// Elements of tensors in ONNX files: raw, typed, external; what disagrees.
#include "io/onnx/tensor_data.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "core/packed_codes.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace pare::onnx {
namespace {

TensorProto proto(ElementType type, std::vector<std::int64_t> dims) {
  TensorProto p;
  p.name = "w";
  p.type = type;
  p.dims = std::move(dims);
  return p;
}
Tensor read(const TensorProto& p) { return to_tensor(p, "m.onnx: w", nullptr); }

TEST(OnnxTensorData, TypedData) {
  TensorProto p = proto(ElementType::f32, {2});
  p.floats = {1.5F, -2};
  EXPECT_EQ(read(p).to_vector<float>(), (std::vector<float>{1.5F, -2}));
  p = proto(ElementType::f64, {});
  p.doubles = {0.1};
  EXPECT_EQ(read(p).item(), 0.1);
  p = proto(ElementType::i64, {1, 2});
  p.int64s = {-1, std::int64_t{1} << 40};
  EXPECT_EQ(read(p).to_vector<std::int64_t>(), p.int64s);
  p = proto(ElementType::i8, {3});
  p.int32s = {-128, 0, 127};
  EXPECT_EQ(read(p).to_vector<std::int8_t>(), (std::vector<std::int8_t>{-128, 0, 127}));
  p = proto(ElementType::f16, {2});
  p.int32s = {0x3c00, 0xc000};
  EXPECT_EQ(read(p).to(DType::f32).to_vector<float>(), (std::vector<float>{1, -2}));
  p = proto(ElementType::bf16, {1});
  p.int32s = {0x3f80};
  EXPECT_EQ(read(p).to(DType::f32).item(), 1);
  p = proto(ElementType::boolean, {3});
  p.int32s = {0, 1, 7};
  EXPECT_EQ(read(p).to(DType::i64).to_vector<std::int64_t>(), (std::vector<std::int64_t>{0, 1, 1}));
  p = proto(ElementType::u4, {3});
  p.int32s = {0x21, 0x03};
  const Tensor packed = read(p);
  EXPECT_EQ(packed.dtype(), DType::u4);
  EXPECT_EQ(static_cast<const std::uint8_t*>(packed.raw())[0], 0x21);
  p = proto(ElementType::i2, {5});
  p.int32s = {0xe4, 0x02};
  const Tensor four_in_a_byte = read(p);
  EXPECT_EQ(four_in_a_byte.dtype(), DType::i2);
  EXPECT_EQ(code_values(four_in_a_byte), (std::vector<std::int32_t>{0, 1, -2, -1, -2}));
}

TEST(OnnxTensorData, RawDataOfEveryType) {
  for (int d = 0; d < kDTypeCount; ++d) {
    const auto dtype = static_cast<DType>(d);
    const Tensor tensor = Tensor::empty({3, 5}, dtype);
    Tensor filled = tensor;
    auto* bytes = static_cast<std::uint8_t*>(filled.mutable_raw());
    for (std::size_t i = 0; i < filled.bytes(); ++i)
      bytes[i] = static_cast<std::uint8_t>(dtype == DType::boolean ? i % 2 : i * 37 % 251);
    const Tensor back = read(to_proto("w", filled));
    ASSERT_EQ(back.dtype(), dtype);
    ASSERT_EQ(back.shape(), filled.shape());
    EXPECT_EQ(std::memcmp(back.raw(), filled.raw(), filled.bytes()), 0) << traits(dtype).name;
  }
}

TEST(OnnxTensorData, UnsignedNumbersBecomeSignedWhereTheyFit) {
  TensorProto p = proto(ElementType::u32, {1});
  p.uint64s = {4294967295U};
  EXPECT_EQ(read(p).item(), 4294967295.0);
  const std::uint64_t values[] = {7, std::uint64_t{1} << 63U};
  p = proto(ElementType::u64, {1});
  p.raw = std::as_bytes(std::span(values).first(1));
  EXPECT_EQ(read(p).to_vector<std::int64_t>(), (std::vector<std::int64_t>{7}));
  p.dims = {2};
  p.raw = std::as_bytes(std::span(values));
  EXPECT_ERROR(read(p), unsupported, "m.onnx: w: expected values below 2^63 of UINT64, got 92233");
}

TEST(OnnxTensorData, RefusesWhatDisagrees) {
  TensorProto p = proto(ElementType::f32, {2});
  p.floats = {1};
  EXPECT_ERROR(read(p), corrupt_data,
               "m.onnx: w: expected 2 elements of FLOAT as dims say, got 1 numbers");
  p.floats = {};
  EXPECT_ERROR(read(p), corrupt_data, "got 0 numbers");
  p.doubles = {1, 2};
  EXPECT_ERROR(read(p), corrupt_data, "expected 2 numbers in float_data and nothing elsewhere");
  const std::byte raw[7] = {};
  p = proto(ElementType::f32, {2});
  p.raw = raw;
  EXPECT_ERROR(read(p), corrupt_data, "as dims say, got 7 bytes");
  p.raw = std::span(raw).first(4);
  p.floats = {1, 2};
  EXPECT_ERROR(read(p), corrupt_data, "expected raw data or typed data, got both");
  p = proto(ElementType::i8, {1});
  p.int32s = {128};
  EXPECT_ERROR(read(p), corrupt_data, "expected values that the type holds, got 128 at 0");
  for (const auto& dims :
       std::vector<std::vector<std::int64_t>>{{std::int64_t{1} << 40, std::int64_t{1} << 40},
                                              {0, std::numeric_limits<std::int64_t>::max(), 2},
                                              {std::int64_t{1} << 61}})
    EXPECT_ERROR(read(proto(ElementType::f32, dims)), corrupt_data,
                 "expected sizes of a tensor that memory can hold");
  // Much is said, little is there: nothing is allocated.
  EXPECT_ERROR(read(proto(ElementType::f32, {std::int64_t{1} << 50})), corrupt_data,
               "got 0 numbers");
  EXPECT_ERROR(read(proto(ElementType::f32, {1, 1, 1, 1, 1, 1, 1, 1, 1})), unsupported,
               "expected at most 8 axes, got 9");
  EXPECT_ERROR(read(proto(ElementType::string, {1})), unsupported, "got STRING");
  EXPECT_ERROR(read(proto(ElementType::f8e4m3fn, {1})), unsupported, "got FLOAT8E4M3FN");
  EXPECT_ERROR(read(proto(static_cast<ElementType>(77), {1})), unsupported, "got type 77");
}

class OnnxExternalData : public ::testing::Test {
 protected:
  OnnxExternalData() {
    std::filesystem::create_directories(folder_.path("model/sub"));
    std::ofstream(folder_.path("model/sub/w.data"), std::ios::binary) << "abcdefgh";
    std::ofstream(folder_.path("secret"), std::ios::binary) << "abcdefgh";
    data_.emplace(folder_.path("model/m.onnx"));
  }
  Tensor read(const std::string& location, std::int64_t offset = 0, std::int64_t length = -1) {
    TensorProto p = proto(ElementType::u8, {4});
    p.external = {location, offset, length};
    return to_tensor(p, "m.onnx: w", &*data_);
  }
  test::TemporaryFolder folder_;
  std::optional<ExternalData> data_;
};

TEST_F(OnnxExternalData, IsReadFromTheModelsFolder) {
  EXPECT_EQ(read("sub/w.data", 2, 4).to_vector<std::uint8_t>(),
            (std::vector<std::uint8_t>{'c', 'd', 'e', 'f'}));
  EXPECT_EQ(read("./sub/w.data", 4).to_vector<std::uint8_t>()[0], 'e');
}

TEST_F(OnnxExternalData, IsNotReadFromElsewhere) {
  EXPECT_ERROR(read("../secret"), corrupt_data,
               "m.onnx: w: expected external data in the model's folder");
  EXPECT_ERROR(read("sub/../../secret"), corrupt_data, "in the model's folder");
  EXPECT_ERROR(read(folder_.path("secret")), corrupt_data, "in the model's folder");
  EXPECT_ERROR(read(std::string("sub\0x", 5)), corrupt_data, "in the model's folder");
  std::filesystem::create_symlink("../secret", folder_.path("model/link"));
  EXPECT_ERROR(read("link"), corrupt_data, "got 'link', which leads to");
  std::filesystem::create_directory_symlink("..", folder_.path("model/up"));
  EXPECT_ERROR(read("up/secret"), corrupt_data, "which leads to");
  std::filesystem::create_symlink("sub/w.data", folder_.path("model/inside"));
  EXPECT_EQ(read("inside").to_vector<std::uint8_t>()[0], 'a');
  TensorProto p = proto(ElementType::u8, {4});
  p.external.location = "sub/w.data";
  EXPECT_ERROR(to_tensor(p, "m.onnx: w", nullptr), unsupported,
               "got external data in 'sub/w.data'");
}

TEST_F(OnnxExternalData, MustBeThere) {
  EXPECT_ERROR(read("none"), io_error, "expected external data in 'none', got 'No such file");
  EXPECT_ERROR(read("sub"), io_error, "expected a regular file");
  EXPECT_ERROR(read("sub/w.data", 5), corrupt_data,
               "expected 4 bytes at 5 of 'sub/w.data', got a file of 8");
  EXPECT_ERROR(read("sub/w.data", std::numeric_limits<std::int64_t>::max()), corrupt_data,
               "a file of 8");
  EXPECT_ERROR(read("sub/w.data", 0, 5), corrupt_data,
               "expected 4 bytes of external data, got a length of 5");
  TensorProto huge = proto(ElementType::u8, {std::int64_t{1} << 50});
  huge.external.location = "sub/w.data";
  EXPECT_ERROR(to_tensor(huge, "m.onnx: w", &*data_), corrupt_data, "a file of 8");
}

TEST_F(OnnxExternalData, MayBeCutBetweenTwoTensors) {
  EXPECT_EQ(read("sub/w.data", 4).to_vector<std::uint8_t>()[0], 'e');
  std::filesystem::resize_file(folder_.path("model/sub/w.data"), 6);
  EXPECT_EQ(read("sub/w.data", 2).to_vector<std::uint8_t>()[0], 'c');
  EXPECT_ERROR(read("sub/w.data", 4), io_error, "expected 4 bytes of external data, got 2");
}

TEST_F(OnnxExternalData, IsNotReadOverAndOver) {
  for (int i = 0; i < 8; ++i) read("sub/w.data");
  EXPECT_ERROR(read("sub/w.data"), corrupt_data, "got its 8 bytes over and over");
}

}  // namespace
}  // namespace pare::onnx
