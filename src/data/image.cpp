// Image files and the data sets made of them.
#include "pare/data/image.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "core/check.h"
#include "data/byte_source.h"
#include "data/folder.h"
#include "data/image_codec.h"
#include "data/rows.h"
#include "data/text_file.h"

namespace pare::data {
namespace {

namespace fs = std::filesystem;

bool is_picture(const std::string& path) {
  std::string ending = fs::path(path).extension().string();
  for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  constexpr const char* kEndings[] = {".jpg", ".jpeg", ".png", ".bmp", ".gif"};
  return std::ranges::find(kEndings, ending) != std::end(kEndings);
}

std::vector<std::string> pictures_of(const std::string& folder) {
  std::vector<std::string> files = files_of(folder);
  std::erase_if(files, [](const std::string& path) { return !is_picture(path); });
  return files;
}

void check_found(const std::vector<std::string>& files, const std::string& where) {
  PARE_CHECK(!files.empty(), corrupt_data, where, "expected at least one picture, got none");
}

}  // namespace

Tensor decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                    const ImageOptions& options) {
  PARE_CHECK(options.channels == 0 || options.channels == 1 || options.channels == 3 ||
                 options.channels == 4,
             invalid_argument, name, "expected 0, 1, 3 or 4 channels, got {}", options.channels);
  const auto most = std::min<std::uint64_t>(
      static_cast<std::uint64_t>(std::max<std::int64_t>(options.max_bytes, 0)),
      std::numeric_limits<int>::max() / 2);
  PARE_CHECK(bytes.size() <= most, corrupt_data, name,
             "expected at most {} bytes (ImageOptions::max_bytes), got {}", most, bytes.size());
  return decode_with_stb(bytes, name, options);
}

Tensor read_image(const std::string& path, const ImageOptions& options) {
  ByteSource source(path);
  PARE_CHECK(!source.compressed(), corrupt_data, path, "expected an image file, got a gzip file");
  const std::uint64_t size = source.most_left();
  PARE_CHECK(size <= static_cast<std::uint64_t>(std::max<std::int64_t>(options.max_bytes, 0)),
             corrupt_data, path, "expected at most {} bytes (ImageOptions::max_bytes), got {}",
             options.max_bytes, size);
  std::vector<std::uint8_t> bytes(size);
  source.read(bytes.data(), bytes.size(), "an image file");
  return decode_image(bytes, path, options);
}

void write_png(const std::string& path, const Tensor& picture) {
  constexpr const char* where = "data::write_png";
  PARE_CHECK(picture.defined() && picture.rank() == 3 && picture.dim(0) >= 1 &&
                 picture.dim(0) <= 4 && picture.elements() > 0,
             shape_mismatch, where, "expected a picture [1 to 4, H, W], got {}", describe(picture));
  PARE_CHECK(picture.dtype() == DType::u8, dtype_mismatch, where, "expected u8, got {}",
             picture.dtype());
  PARE_CHECK(picture.elements() < (1 << 29), invalid_argument, where,
             "expected fewer than 2^29 elements, got {}", picture.elements());
  const std::vector<std::uint8_t> planes = picture.to_vector<std::uint8_t>();
  const auto channels = static_cast<std::size_t>(picture.dim(0));
  const std::size_t count = planes.size() / channels;
  std::vector<std::uint8_t> pixels(planes.size());
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t i = 0; i < count; ++i) pixels[i * channels + c] = planes[c * count + i];
  }
  const std::vector<std::uint8_t> png =
      encode_png(pixels, static_cast<int>(picture.dim(1)), static_cast<int>(picture.dim(2)),
                 static_cast<int>(channels));
  write_file(path, {reinterpret_cast<const std::byte*>(png.data()), png.size()});
}

ImageDataset::ImageDataset(std::vector<std::string> files, std::vector<std::int64_t> labels,
                           std::vector<std::string> classes, const ImageOptions& options)
    : options_(options) {
  constexpr const char* where = "data::ImageDataset";
  PARE_CHECK(labels.empty() || labels.size() == files.size(), invalid_argument, where,
             "expected as many labels as files, or none, got {} and {}", labels.size(),
             files.size());
  for (const std::int64_t label : labels) {
    const bool named = classes.empty() || label < static_cast<std::int64_t>(classes.size());
    PARE_CHECK(label >= 0 && named, invalid_argument, where, "expected labels from 0 on{}, got {}",
               classes.empty() ? "" : fmt::format(" to {}", classes.size() - 1), label);
  }
  lists_ =
      std::make_shared<const Lists>(Lists{std::move(files), std::move(labels), std::move(classes)});
}

std::int64_t ImageDataset::size() const { return static_cast<std::int64_t>(files().size()); }

Example ImageDataset::get(std::int64_t index) const {
  PARE_CHECK(index >= 0 && index < size(), out_of_range, "data::ImageDataset",
             "expected a picture of 0 … {}, got {}", size() - 1, index);
  const auto i = static_cast<std::size_t>(index);
  Example example{read_image(files()[i], options_), {}};
  if (!labels().empty()) {
    example.label = Tensor::from(std::vector<std::int64_t>{labels()[i]}, {});
  }
  return example;
}

ImageDataset read_image_folder(const std::string& folder, const ImageOptions& options) {
  std::vector<std::string> classes = folders_of(folder);
  std::vector<std::string> files;
  std::vector<std::int64_t> labels;
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const std::vector<std::string> own = pictures_of((fs::path(folder) / classes[c]).string());
    files.insert(files.end(), own.begin(), own.end());
    labels.resize(files.size(), static_cast<std::int64_t>(c));
  }
  check_found(files, folder);
  return ImageDataset(std::move(files), std::move(labels), std::move(classes), options);
}

ImageDataset read_numbered_images(const std::string& folder, const ImageOptions& options) {
  std::vector<std::string> files = pictures_of(folder);
  check_found(files, folder);
  std::vector<std::int64_t> labels;
  for (const std::string& path : files) {
    const std::string name = fs::path(path).filename().string();
    const std::size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
    std::int64_t label = 0;
    PARE_CHECK(parse(std::string_view(name).substr(0, digits), label), corrupt_data, path,
               "expected a name that begins with the number of a class, got '{}'", name);
    labels.push_back(label);
  }
  return ImageDataset(std::move(files), std::move(labels), {}, options);
}

ImageDataset read_images(const std::string& folder, const ImageOptions& options) {
  std::vector<std::string> files;
  std::vector<std::string> folders{folder};
  while (!folders.empty()) {
    const std::string here = folders.back();
    folders.pop_back();
    const std::vector<std::string> found = pictures_of(here);
    files.insert(files.end(), found.begin(), found.end());
    for (const std::string& inside : folders_of(here))
      folders.push_back((fs::path(here) / inside).string());
  }
  std::ranges::sort(files);
  check_found(files, folder);
  return ImageDataset(std::move(files), {}, {}, options);
}

ImageDataset read_image_list(const std::string& list, const ImageOptions& options) {
  const std::string text = read_text(list, options.max_bytes, "ImageOptions::max_bytes");
  std::vector<std::string> files;
  std::vector<std::int64_t> labels;
  std::string_view rest = text;
  for (std::int64_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = trimmed(take_line(rest));
    if (line.empty() || line.front() == '#') continue;
    const std::size_t blank = line.find_last_of(" \t");
    std::int64_t label = 0;
    const bool good =
        blank != std::string_view::npos && parse(line.substr(blank + 1), label) && label >= 0;
    PARE_CHECK(good, corrupt_data, list,
               "line {}: expected a path and the number of a class, got '{}'", number, shown(line));
    files.push_back((fs::path(list).parent_path() / trimmed(line.substr(0, blank))).string());
    labels.push_back(label);
  }
  check_found(files, list);
  return ImageDataset(std::move(files), std::move(labels), {}, options);
}

}  // namespace pare::data
