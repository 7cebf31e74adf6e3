// Image files: decoding, writing, and data sets that decode when asked.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/data/dataset.h"

namespace pare::data {

struct ImageOptions {
  int channels = 3;  ///< 1: grey, 3: red green blue, 4: with alpha; 0: as many as the file has
  std::int64_t max_pixels = std::int64_t{1} << 26;  ///< height · width at most
  std::int64_t max_bytes = std::int64_t{1} << 28;   ///< longest file that is read
};

/// The picture of a JPEG, PNG, BMP or GIF file (its first frame) as u8 [C, H, W], as it is
/// stored: an orientation that a camera noted is not applied. Throws io_error where the file cannot
/// be read, corrupt_data where it is damaged, cut off, too large or of another kind, unsupported
/// where pare was built without PARE_IMAGES, invalid_argument for other channels than those.
PARE_API Tensor read_image(const std::string& path, const ImageOptions& options = {});
/// The same of a file's bytes; errors call it `name`.
PARE_API Tensor decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                             const ImageOptions& options = {});
/// Writes u8 [C, H, W] with 1 to 4 channels (grey, grey and alpha, RGB, RGBA) as a PNG file. Throws
/// shape_mismatch, dtype_mismatch, io_error, and unsupported as above.
PARE_API void write_png(const std::string& path, const Tensor& picture);

/// Image files, decoded by `get`, so by a Loader's workers. Copies share the lists.
class PARE_API ImageDataset : public Dataset {
 public:
  /// Files and the number of each one's class, or no labels at all; `classes` names the numbers.
  /// Throws invalid_argument where labels do not fit.
  explicit ImageDataset(std::vector<std::string> files, std::vector<std::int64_t> labels = {},
                        std::vector<std::string> classes = {}, const ImageOptions& options = {});

  std::int64_t size() const override;
  /// u8 [C, H, W], of the file's own height and width. Throws as read_image.
  Example get(std::int64_t index) const override;

  const std::vector<std::string>& files() const { return lists_->files; }
  const std::vector<std::int64_t>& labels() const { return lists_->labels; }
  /// Empty where nobody named them.
  const std::vector<std::string>& classes() const { return lists_->classes; }

 private:
  struct Lists {
    std::vector<std::string> files;
    std::vector<std::int64_t> labels;
    std::vector<std::string> classes;
  };
  std::shared_ptr<const Lists> lists_;
  ImageOptions options_;
};

// What is no picture by its name (.jpg .jpeg .png .bmp .gif, in either case) is passed
// over. All of them throw io_error where the folder or list cannot be read, corrupt_data where
// nothing is found.

/// A folder with one folder per class, in the order of their names (torchvision's ImageFolder).
PARE_API ImageDataset read_image_folder(const std::string& folder,
                                        const ImageOptions& options = {});
/// A folder of files whose names begin with the number of their class: "0017_n01530575.jpg". Throws
/// corrupt_data for a picture whose name does not.
PARE_API ImageDataset read_numbered_images(const std::string& folder,
                                           const ImageOptions& options = {});
/// All pictures of a folder and of the folders in it, in the order of their paths, without labels:
/// what calibration takes.
PARE_API ImageDataset read_images(const std::string& folder, const ImageOptions& options = {});
/// A text file with a line "path number" for each picture; paths begin at the list's folder. Empty
/// lines and what follows "#" at a line's start are passed over.
PARE_API ImageDataset read_image_list(const std::string& list, const ImageOptions& options = {});

}  // namespace pare::data
