// The elements of a TensorProto as a Tensor, and back.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "io/file_mapping.h"
#include "io/onnx/model.h"
#include "pare/core/tensor.h"

namespace pare::onnx {

/// pare's type for ONNX's; none for those that it does not have (strings, complex numbers, 8-bit
/// floats, u32 and u64).
std::optional<DType> dtype_of(ElementType type);
ElementType element_type(DType dtype);
/// ONNX's name of it: "FLOAT8E4M3FN", "STRING"; "type 77" for one that is none.
std::string name_of(ElementType type);

/// Files with external data beside a model.
class ExternalData {
 public:
  /// The bytes of one tensor; good until the next call of `find`.
  class Region {
   public:
    Region(const io::FileMapping& file, std::uint64_t begin, std::size_t bytes)
        : file_(&file), begin_(begin), bytes_(bytes) {}
    /// Throws io_error where the file has been cut meanwhile.
    void read(void* out) const { file_->read(begin_, out, bytes_, "external data"); }

   private:
    const io::FileMapping* file_;
    std::uint64_t begin_;
    std::size_t bytes_;
  };

  /// `model` is the path of the model, for errors and for its folder.
  explicit ExternalData(const std::filesystem::path& model);
  /// Where the tensor's `bytes` lie. Throws corrupt_data for a place outside the model's folder
  /// (absolute, "..", a symbolic link that leads out) or outside the file, io_error where the file
  /// cannot be read.
  Region find(const TensorProto& tensor, const std::string& place, std::size_t bytes);

 private:
  std::filesystem::path folder_;
  std::optional<io::FileMapping> file_;  // the last one asked for
  /// Bytes found in each file: not much more than there are, lest a small model take all memory.
  std::map<std::filesystem::path, std::uint64_t> found_;
};

/// The tensor; u32 becomes i64, and so does u64 where no value is beyond i64. `place` begins the
/// errors; `external` null: external data is refused. Throws unsupported for other types and more
/// than eight axes, corrupt_data where dims, type and data disagree.
Tensor to_tensor(const TensorProto& proto, const std::string& place, ExternalData* external);

/// Raw data of a row-major tensor, which must outlive it.
TensorProto to_proto(const std::string& name, const Tensor& tensor);

}  // namespace pare::onnx
