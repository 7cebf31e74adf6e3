// Recognises and opens the files that data sets come in.
#include "cli/dataset_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "cli/settings.h"
#include "cli/tensors.h"
#include "pare/core/error.h"
#include "pare/data/audio.h"
#include "pare/data/image.h"
#include "pare/data/readers.h"
#include "pare/data/text.h"

namespace pare::cli {
namespace {

namespace fs = std::filesystem;

std::string start_of(const std::string& path, std::size_t bytes) {
  std::string start(bytes, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(start.data(), static_cast<std::streamsize>(bytes));
  start.resize(static_cast<std::size_t>(file.gcount()));
  return start;
}

// The name's end, in small letters and without ".gz".
std::string ending_of(const std::string& path) {
  fs::path name = fs::path(path).filename();
  if (name.extension() == ".gz") name = name.stem();
  std::string ending = name.extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending;
}

std::string recognise(const SourceOptions& options) {
  const std::string& path = options.paths.front();
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return "pictures";
  if (!fs::exists(path, ignored))
    throw Error(ErrorCode::io_error, path + ": expected a file or a folder, got none");
  const std::string start = start_of(path, 12);
  const auto begins = [&](std::string_view mark) {
    return std::string_view(start).starts_with(mark);
  };
  if (begins("RIFF") && start.size() == 12 && start.substr(8) == "WAVE") return "wav";
  if (begins("\xFF\xD8\xFF") || begins("\x89PNG") || begins("GIF8") || begins("BM"))
    return "pictures";
  const std::string ending = ending_of(path);
  if (begins(std::string_view("\0\0", 2)) && start.size() >= 4 && start[2] >= 8 && start[3] >= 1 &&
      start[3] <= 8)
    return "idx";
  const std::string name = fs::path(path).filename().string();
  if (name.find("-idx") != std::string::npos) return "idx";
  if (ending == ".csv") return "csv";
  if (ending == ".txt" || ending == ".text") return "text";
  if (ending == ".bin" && fs::file_size(path, ignored) % 3073 == 0) return "cifar";
  throw UsageError(fmt::format(
      "expected a source whose kind can be seen, or --format or --raw, got '{}'", path));
}

// One file of pictures of its own.
Source pictures(const SourceOptions& options) {
  const data::ImageOptions reading{.channels = options.channels};
  const std::string& path = options.paths.front();
  if (!fs::is_directory(path))
    return {"pictures",
            std::make_shared<data::ImageDataset>(options.paths, std::vector<std::int64_t>(),
                                                 std::vector<std::string>(), reading)};
  if (!options.labels)
    return {"pictures", std::make_shared<data::ImageDataset>(data::read_images(path, reading))};
  bool folders = false;
  for (const auto& entry : fs::directory_iterator(path))
    folders =
        folders || (entry.is_directory() && !entry.path().filename().string().starts_with('.'));
  const auto set =
      folders ? data::read_image_folder(path, reading) : data::read_numbered_images(path, reading);
  return {"pictures", std::make_shared<data::ImageDataset>(set)};
}

// "t10k-images-idx3-ubyte.gz" has its labels in "t10k-labels-idx1-ubyte.gz".
std::string labels_beside(const std::string& pictures) {
  const fs::path path(pictures);
  std::string name = path.filename().string();
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"images", "labels"},
                                 std::pair<std::string, std::string>{"idx3", "idx1"}}) {
    const std::size_t at = name.find(from);
    if (at == std::string::npos) return {};
    name.replace(at, from.size(), to);
  }
  const fs::path other = path.parent_path() / name;
  std::error_code ignored;
  return fs::exists(other, ignored) ? other.string() : std::string();
}

Source idx(const SourceOptions& options) {
  const std::string& path = options.paths.front();
  const Tensor x = data::read_idx(path);
  std::string labels = options.label_file;
  if (labels.empty() && options.labels) labels = labels_beside(path);
  if (!labels.empty())
    return {"idx", std::make_shared<data::TensorDataset>(data::read_idx_pictures(path, labels))};
  if (x.rank() != 3) return {"idx", std::make_shared<data::TensorDataset>(x)};
  // Pictures have a channel.
  const Tensor with_channel =
      Tensor::wrap(const_cast<void*>(x.raw()), {x.dim(0), 1, x.dim(1), x.dim(2)}, x.dtype(),
                   std::make_shared<Tensor>(x));
  return {"idx", std::make_shared<data::TensorDataset>(with_channel)};
}

Source csv(const SourceOptions& options) {
  data::CsvOptions reading{.header = options.header};
  const std::string& column = options.label_column;
  if (!options.labels) reading.label = data::CsvLabel::none;
  if (!column.empty()) {
    const char* const end = column.data() + column.size();
    const auto [at, error] = std::from_chars(column.data(), end, reading.label_column);
    if (error != std::errc() || at != end) {
      reading.label_name = column;
      reading.header = true;
    }
    // Asked for or not, the column is no input.
    reading.label = data::CsvLabel::classes;
  }
  return {"csv",
          std::make_shared<data::TensorDataset>(data::read_csv(options.paths.front(), reading))};
}

Source wav(const SourceOptions& options) {
  const data::Audio audio = data::read_wav(options.paths.front());
  const std::int64_t channels = audio.samples.dim(0), frames = audio.samples.dim(1);
  const std::int64_t length = options.length > 0 ? options.length : frames;
  const std::int64_t stride = options.stride > 0 ? options.stride : length;
  const std::int64_t count = frames < length || length == 0 ? 0 : (frames - length) / stride + 1;
  Tensor x =
      channels == 1 ? Tensor::empty({count, length}) : Tensor::empty({count, channels, length});
  auto* out = x.mutable_data<float>();
  const float* const in = audio.samples.data<float>();
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t c = 0; c < channels; ++c, out += length)
      std::copy_n(in + c * frames + i * stride, length, out);
  return {"wav", std::make_shared<data::TensorDataset>(x)};
}

std::pair<double, double> parse_share(const std::string& text) {
  double begin = 0, end = 1;
  const std::size_t colon = text.find(':');
  const auto number = [&](std::string_view part, double& value) {
    if (part.empty()) return true;
    const auto [at, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && at == part.data() + part.size();
  };
  const std::string_view all(text);
  if (colon == std::string::npos || !number(all.substr(0, colon), begin) ||
      !number(all.substr(colon + 1), end) || !(0 <= begin && begin <= end && end <= 1))
    throw UsageError(fmt::format("--share: expected two numbers such as 0.9:1, got '{}'", text));
  return {begin, end};
}

Source text(const SourceOptions& options) {
  const data::CharacterText characters = data::read_characters(options.paths.front());
  Tensor ids = characters.ids;
  if (!options.share.empty()) {
    const auto [begin, end] = parse_share(options.share);
    ids = characters.part(begin, end).clone();
  }
  const data::TextWindowsOptions windows{.length = options.length > 0 ? options.length : 64,
                                         .stride = options.stride};
  return {"text", std::make_shared<data::TextWindows>(ids, windows)};
}

Source raw(const SourceOptions& options) {
  const std::string& spec = options.raw;
  const auto wrong = [&] {
    return UsageError(fmt::format(
        "--raw: expected an element type and sizes such as i8:490 or f32:3x32x32, got '{}'", spec));
  };
  const std::size_t colon = std::min(spec.find(':'), spec.size());
  DType dtype = DType::f32;
  bool known = false;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto candidate = static_cast<DType>(i);
    if (traits(candidate).name != spec.substr(0, colon) || traits(candidate).bits < 8) continue;
    dtype = candidate;
    known = true;
  }
  if (!known || dtype == DType::boolean) throw wrong();
  Shape shape{0};
  std::uint64_t bytes = static_cast<std::uint64_t>(traits(dtype).bits) / 8;
  const char* at = spec.data() + colon;
  const char* const end = spec.data() + spec.size();
  while (at != end) {
    std::int64_t size = 0;
    const auto [next, error] = std::from_chars(at + 1, end, size);
    const bool good = error == std::errc() && size > 0 && (next == end || *next == 'x') &&
                      shape.rank() < Shape::kMaxRank &&
                      !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes);
    if (!good) throw wrong();
    shape.append(size);
    at = next;
  }
  std::uint64_t total = 0;
  for (const std::string& path : options.paths) {
    std::error_code error;
    const std::uint64_t size = fs::file_size(path, error);
    if (error)
      throw Error(ErrorCode::io_error, path + ": expected a file, got '" + error.message() + "'");
    if (size % bytes != 0)
      throw Error(
          ErrorCode::corrupt_data,
          fmt::format("{}: expected samples of {} bytes, got a file of {}", path, bytes, size));
    total += size;
  }
  shape.set(0, static_cast<std::int64_t>(total / bytes));
  Tensor x = Tensor::empty(shape, dtype);
  auto* to = static_cast<char*>(x.mutable_raw());
  for (const std::string& path : options.paths) {
    std::ifstream file(path, std::ios::binary);
    file.read(to, static_cast<std::streamsize>(total));
    to += file.gcount();
    total -= static_cast<std::uint64_t>(file.gcount());
  }
  if (total != 0)
    throw Error(ErrorCode::io_error,
                options.paths.back() + ": expected to read it whole, got less");
  return {"raw", std::make_shared<data::TensorDataset>(x)};
}

}  // namespace

Source open_source(const SourceOptions& options) {
  const std::string format = !options.raw.empty()      ? "raw"
                             : !options.format.empty() ? options.format
                                                       : recognise(options);
  const bool several = format == "cifar" || format == "raw" || format == "pictures";
  if (!several && options.paths.size() > 1)
    throw UsageError(
        fmt::format("expected one source of {}, got {}", format, options.paths.size()));
  if (format == "pictures") return pictures(options);
  if (format == "idx") return idx(options);
  if (format == "csv") return csv(options);
  if (format == "wav") return wav(options);
  if (format == "text") return text(options);
  if (format == "raw") return raw(options);
  return {"cifar", std::make_shared<data::TensorDataset>(data::read_cifar10(options.paths))};
}

}  // namespace pare::cli
