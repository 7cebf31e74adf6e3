// Elements of tensors in ONNX files: raw, typed and external.
#include "io/onnx/tensor_data.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "core/check.h"

namespace pare::onnx {
namespace {

constexpr const char* kNames[] = {
    "UNDEFINED",      "FLOAT",    "UINT8",        "INT8",           "UINT16",
    "INT16",          "INT32",    "INT64",        "STRING",         "BOOL",
    "FLOAT16",        "DOUBLE",   "UINT32",       "UINT64",         "COMPLEX64",
    "COMPLEX128",     "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2",
    "FLOAT8E5M2FNUZ", "UINT4",    "INT4",         "FLOAT4E2M1",     "FLOAT8E8M0",
    "UINT2",          "INT2"};

/// How often the regions of one file may be asked for in all.
constexpr std::uint64_t kReads = 4;

std::size_t typed_count(const TensorProto& p) {
  return p.floats.size() + p.int32s.size() + p.int64s.size() + p.doubles.size() + p.uint64s.size() +
         p.strings.size();
}

/// The number of elements; refuses what does not fit 62 bits, be it behind a size of 0.
std::int64_t count_elements(const TensorProto& p, const std::string& place) {
  std::int64_t positive = 1;
  bool empty = false;
  for (const std::int64_t size : p.dims) {
    empty = empty || size == 0;
    PARE_CHECK(size >= 0 &&
                   !__builtin_mul_overflow(positive, std::max<std::int64_t>(size, 1), &positive) &&
                   positive < std::int64_t{1} << 59,
               corrupt_data, place, "expected sizes of a tensor that memory can hold, got [{}]",
               listed(p.dims));
  }
  return empty ? 0 : positive;
}

std::size_t byte_count(std::int64_t elements, int bits) {
  return (static_cast<std::size_t>(elements) * static_cast<std::size_t>(bits) + 7) / 8;
}

/// Widens or narrows typed data; values that the type does not hold are wrong.
template <class To, class From>
void copy_values(const std::vector<From>& from, To* out, const std::string& place) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    out[i] = static_cast<To>(from[i]);
    PARE_CHECK(static_cast<From>(out[i]) == from[i], corrupt_data, place,
               "expected values that the type holds, got {} at {}", from[i], i);
  }
}

std::size_t packed_bytes(std::size_t elements, int bits) {
  const auto in_a_byte = static_cast<std::size_t>(8 / bits);
  return (elements + in_a_byte - 1) / in_a_byte;
}

/// A byte in each number, as raw data has it.
void copy_packed(const std::vector<std::int32_t>& from, std::byte* out) {
  for (std::size_t i = 0; i < from.size(); ++i)
    out[i] = static_cast<std::byte>(static_cast<std::uint32_t>(from[i]) & 0xffU);
}

class TypedData {
 public:
  TypedData(const TensorProto& proto, const std::string& place, std::size_t elements)
      : proto_(proto), place_(place), elements_(elements) {}

  void write(Tensor& out) const {
    switch (out.dtype()) {
      case DType::f32:
        return copy(proto_.floats, out.mutable_data<float>(), "float_data");
      case DType::f64:
        return copy(proto_.doubles, out.mutable_data<double>(), "double_data");
      case DType::i64:
        return copy(proto_.int64s, out.mutable_data<std::int64_t>(), "int64_data");
      case DType::i32:
        return narrow(out.mutable_data<std::int32_t>());
      case DType::i16:
        return narrow(out.mutable_data<std::int16_t>());
      case DType::u16:
      case DType::f16:
      case DType::bf16:
        return narrow(static_cast<std::uint16_t*>(out.mutable_raw()));
      case DType::i8:
        return narrow(out.mutable_data<std::int8_t>());
      case DType::u8:
        return narrow(out.mutable_data<std::uint8_t>());
      case DType::boolean:
        expect(proto_.int32s.size(), elements_, "int32_data");
        std::ranges::transform(proto_.int32s, out.mutable_data<bool>(),
                               [](std::int32_t v) { return v != 0; });
        return;
      case DType::i4:
      case DType::u4:
      case DType::i2:
      case DType::u2:
        expect(proto_.int32s.size(), packed_bytes(elements_, traits(out.dtype()).bits),
               "int32_data");
        return copy_packed(proto_.int32s, static_cast<std::byte*>(out.mutable_raw()));
    }
  }

  void expect(std::size_t found, std::size_t wanted, const char* what) const {
    PARE_CHECK(found == wanted && typed_count(proto_) == found, corrupt_data, place_,
               "expected {} numbers in {} and nothing elsewhere, got {} of {}", wanted, what, found,
               typed_count(proto_));
  }

 private:
  template <class T> void copy(const std::vector<T>& from, T* out, const char* what) const {
    expect(from.size(), elements_, what);
    std::ranges::copy(from, out);
  }
  template <class T> void narrow(T* out) const {
    expect(proto_.int32s.size(), elements_, "int32_data");
    copy_values(proto_.int32s, out, place_);
  }

  const TensorProto& proto_;
  const std::string& place_;
  std::size_t elements_;
};

/// Reads u32 and u64 as i64.
Tensor read_unsigned(const TensorProto& p, const std::string& place, const Shape& shape,
                     ExternalData* external) {
  const auto count = static_cast<std::size_t>(shape.elements());
  const std::size_t width = p.type == ElementType::u32 ? 4 : 8;
  std::optional<ExternalData::Region> apart;
  if (!p.external.location.empty()) apart = external->find(p, place, count * width);
  std::vector<std::uint64_t> values(count);
  if (apart || !p.raw.empty()) {
    std::vector<std::byte> bytes(count * width);
    if (apart)
      apart->read(bytes.data());
    else
      std::ranges::copy(p.raw, bytes.begin());
    for (std::size_t i = 0; i < count; ++i)
      std::memcpy(&values[i], bytes.data() + i * width, width);
  } else {
    TypedData(p, place, count).expect(p.uint64s.size(), count, "uint64_data");
    values = p.uint64s;
  }
  Tensor out = Tensor::empty(shape, DType::i64);
  for (std::size_t i = 0; i < count; ++i) {
    PARE_CHECK(values[i] <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
               unsupported, place, "expected values below 2^63 of {}, got {}", name_of(p.type),
               values[i]);
    out.mutable_data<std::int64_t>()[i] = static_cast<std::int64_t>(values[i]);
  }
  return out;
}

}  // namespace

std::optional<DType> dtype_of(ElementType type) {
  for (int d = 0; d < kDTypeCount; ++d)
    if (traits(static_cast<DType>(d)).onnx == static_cast<int>(type)) return static_cast<DType>(d);
  return std::nullopt;
}

ElementType element_type(DType dtype) { return static_cast<ElementType>(traits(dtype).onnx); }

std::string name_of(ElementType type) {
  const auto i = static_cast<std::size_t>(type);
  return i < std::size(kNames) ? kNames[i]
                               : fmt::format("type {}", static_cast<std::int32_t>(type));
}

ExternalData::ExternalData(const std::filesystem::path& model) {
  std::error_code error;
  const std::filesystem::path folder = model.parent_path();
  folder_ = std::filesystem::canonical(folder.empty() ? "." : folder, error);
}

ExternalData::Region ExternalData::find(const TensorProto& tensor, const std::string& place,
                                        std::size_t bytes) {
  const std::filesystem::path asked(tensor.external.location);
  bool inside = asked.is_relative() && tensor.external.location.find('\0') == std::string::npos;
  for (const auto& part : asked) inside = inside && part != "..";
  PARE_CHECK(inside, corrupt_data, place,
             "expected external data in the model's folder, got the location '{}'",
             tensor.external.location);
  std::error_code error;
  const std::filesystem::path file = std::filesystem::canonical(folder_ / asked, error);
  PARE_CHECK(!error, io_error, place, "expected external data in '{}', got '{}'",
             tensor.external.location, error.message());
  const auto [folder_end, file_end] =
      std::mismatch(folder_.begin(), folder_.end(), file.begin(), file.end());
  PARE_CHECK(folder_end == folder_.end() && file_end != file.end(), corrupt_data, place,
             "expected external data in the model's folder, got '{}', which leads to '{}'",
             tensor.external.location, file.string());

  if (!file_ || file_->path() != file.string()) file_.emplace(file.string());
  const std::uint64_t size = file_->size();
  const TensorProto::External& where = tensor.external;
  const auto offset = static_cast<std::uint64_t>(where.offset);
  PARE_CHECK(where.length < 0 || static_cast<std::uint64_t>(where.length) == bytes, corrupt_data,
             place, "expected {} bytes of external data, got a length of {}", bytes, where.length);
  PARE_CHECK(offset <= size && bytes <= size - offset, corrupt_data, place,
             "expected {} bytes at {} of '{}', got a file of {}", bytes, offset, where.location,
             size);
  std::uint64_t& total = found_[file];
  total += bytes;
  PARE_CHECK(total / kReads <= size, corrupt_data, place,
             "expected tensors of their own in '{}', got its {} bytes over and over",
             where.location, size);
  return {*file_, offset, bytes};
}

Tensor to_tensor(const TensorProto& p, const std::string& place, ExternalData* external) {
  const std::int64_t elements = count_elements(p, place);
  PARE_CHECK(p.dims.size() <= static_cast<std::size_t>(Shape::kMaxRank), unsupported, place,
             "expected at most {} axes, got {}", Shape::kMaxRank, p.dims.size());
  const bool apart = !p.external.location.empty();
  PARE_CHECK(p.raw.empty() || typed_count(p) == 0, corrupt_data, place,
             "expected raw data or typed data, got both");
  const bool is_unsigned = p.type == ElementType::u32 || p.type == ElementType::u64;
  const std::optional<DType> dtype = is_unsigned ? DType::i64 : dtype_of(p.type);
  PARE_CHECK(dtype, unsupported, place, "expected elements of a type that pare has, got {}",
             name_of(p.type));
  // What the data must hold before memory for the elements is asked for.
  if (!apart) {
    const auto count = static_cast<std::size_t>(elements);
    const std::size_t stored =
        traits(*dtype).bits < 8 ? packed_bytes(count, traits(*dtype).bits) : count;
    const int bits = p.type == ElementType::u32 ? 32 : traits(*dtype).bits;
    PARE_CHECK(
        p.raw.empty() ? typed_count(p) == stored : p.raw.size() == byte_count(elements, bits),
        corrupt_data, place, "expected {} elements of {} as dims say, got {}", elements,
        name_of(p.type),
        p.raw.empty() ? fmt::format("{} numbers", typed_count(p))
                      : fmt::format("{} bytes", p.raw.size()));
  } else {
    PARE_CHECK(external, unsupported, place,
               "expected the data in the file, got external data in '{}'", p.external.location);
  }
  const Shape shape{std::span<const std::int64_t>(p.dims)};
  if (is_unsigned) return read_unsigned(p, place, shape, external);

  std::optional<ExternalData::Region> region;
  if (apart) region = external->find(p, place, byte_count(elements, traits(*dtype).bits));
  Tensor out = Tensor::empty(shape, *dtype);
  if (region)
    region->read(out.mutable_raw());
  else if (!p.raw.empty())
    std::memcpy(out.mutable_raw(), p.raw.data(), p.raw.size());
  else if (elements > 0)
    TypedData(p, place, static_cast<std::size_t>(elements)).write(out);
  if (*dtype == DType::boolean) {
    auto* bytes = static_cast<std::uint8_t*>(out.mutable_raw());
    for (std::size_t i = 0; i < out.bytes(); ++i) bytes[i] = bytes[i] != 0 ? 1 : 0;
  }
  return out;
}

TensorProto to_proto(const std::string& name, const Tensor& tensor) {
  PARE_ASSERT(!tensor.channels_last());
  TensorProto proto;
  proto.name = name;
  proto.type = element_type(tensor.dtype());
  proto.dims = tensor.shape().to_vector();
  proto.raw = {static_cast<const std::byte*>(tensor.raw()), tensor.bytes()};
  return proto;
}

}  // namespace pare::onnx
