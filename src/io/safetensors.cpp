// Reads and writes safetensors files.
#include "pare/io/safetensors.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/check.h"
#include "io/atomic_file.h"
#include "io/container.h"
#include "io/file_reader.h"
#include "io/safetensors_header.h"
#include "pare/core/context.h"

namespace pare::io {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kLongestHeader = 100'000'000;  // as the format's own reader

// What else people have: PyTorch's torch.save writes a zip archive or, before 1.6, a pickle.
void refuse_others(const std::string& path, const std::array<unsigned char, 9>& start) {
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  PARE_CHECK(!is_container(text), unsupported, path,
             "expected a safetensors file, got a .pare file, which io::load_graph reads");
  const bool zip = start[0] == 'P' && start[1] == 'K' && start[2] == 3 && start[3] == 4;
  const bool pickle = start[0] == 0x80 && start[1] >= 2 && start[1] <= 5;
  PARE_CHECK(
      !zip && !pickle, unsupported, path,
      "expected a safetensors file, got one of torch.save (.pth, .pt), which only Python can "
      "read; there, run safetensors.torch.save_file(model.state_dict(), "
      "'model.safetensors') and load that");
}

std::string read_header(FileReader& reader, const std::string& path) {
  // The length of the header and its first byte.
  std::array<unsigned char, 9> start{};
  PARE_CHECK(reader.size() >= start.size(), corrupt_data, path,
             "expected a safetensors file of at least {} bytes, got {}", start.size(),
             reader.size());
  reader.read(start.data(), start.size(), "the header's length");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length |= std::uint64_t{start[i]} << (8 * i);
  if (length > reader.size() - kLengthBytes || start[8] != '{') refuse_others(path, start);
  const std::uint64_t most = std::min(kLongestHeader, reader.size() - kLengthBytes);
  PARE_CHECK(length <= most && length > 0, corrupt_data, path,
             "expected a header of 1 to {} bytes, got {}", most, length);
  std::string text(length, '\0');
  text[0] = static_cast<char>(start[8]);
  reader.read(text.data() + 1, length - 1, "the header");
  return text;
}

void check_bools(const std::string& path, const std::string& name, const Tensor& tensor) {
  const auto* bytes = static_cast<const unsigned char*>(tensor.raw());
  const auto* const end = bytes + tensor.bytes();
  const auto* const wrong = std::find_if(bytes, end, [](unsigned char b) { return b > 1; });
  PARE_CHECK(wrong == end, corrupt_data, tensor_place(path, name),
             "element {}: expected a bool, 0 or 1, got {}", wrong - bytes, *wrong);
}

}  // namespace

const Tensor* TensorFile::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors, name, &NamedTensor::name);
  return found == tensors.end() ? nullptr : &found->tensor;
}

TensorFile load_tensors(const std::string& path) {
  FileReader reader(path);
  const std::string text = read_header(reader, path);
  Header header = parse_header(path, text, reader.size() - kLengthBytes - text.size());
  TensorFile file;
  file.metadata = std::move(header.metadata);
  for (TensorEntry& entry : header.entries) {
    Tensor tensor = Tensor::empty(entry.shape, entry.dtype);
    reader.read(tensor.mutable_raw(), entry.end - entry.begin, "a tensor");
    if (entry.dtype == DType::boolean) check_bools(path, entry.name, tensor);
    file.tensors.push_back({std::move(entry.name), std::move(tensor), false});
  }
  return file;
}

void save_tensors(const std::string& path, std::span<const NamedTensor> tensors,
                  const Metadata& metadata) {
  const NoGrad off;
  // Wide elements first, so that every tensor lies aligned to its elements.
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  for (const NamedTensor& named : tensors) {
    PARE_CHECK(named.tensor.defined(), invalid_argument, tensor_place(path, named.name),
               "expected a tensor, got an undefined one");
  }
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return traits(tensors[a].tensor.dtype()).bits > traits(tensors[b].tensor.dtype()).bits;
  });
  std::vector<TensorEntry> entries;
  std::uint64_t at = 0;
  for (const std::size_t i : order) {
    const Tensor& tensor = tensors[i].tensor;
    entries.push_back({tensors[i].name, tensor.dtype(), tensor.shape(), at, at + tensor.bytes()});
    at += tensor.bytes();
  }
  const std::string header = print_header(path, entries, metadata);
  std::array<unsigned char, kLengthBytes> length{};
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length[i] = static_cast<unsigned char>(header.size() >> (8 * i));
  }
  AtomicFile file(path);
  file.write(length.data(), length.size());
  file.write(header.data(), header.size());
  for (const std::size_t i : order) {
    const Tensor plain = tensors[i].tensor.to(MemoryFormat::row_major);
    file.write(plain.raw(), plain.bytes());
  }
  file.commit();
}

}  // namespace pare::io
