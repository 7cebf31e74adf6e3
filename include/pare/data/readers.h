// Readers of the files that data sets come in: IDX, CIFAR's binary records, CSV.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/data/dataset.h"

namespace pare::data {

// All readers throw io_error where a file cannot be read, and corrupt_data, naming the file, the
// place, what was expected and what was found, where it is not what it should be. Nothing is
// allocated that the size of the file does not bear out.

struct IdxOptions {
  std::int64_t max_bytes = 1 << 30;  ///< largest array that is read
};
/// The array of an IDX file (LeCun's MNIST page: big-endian u8, i8, i16, i32, f32 or f64, one to
/// eight axes), plain or compressed by gzip.
PARE_API Tensor read_idx(const std::string& path, const IdxOptions& options = {});
/// Pictures and classes of two IDX files as u8 [N, 1, H, W] and i64 [N].
PARE_API TensorDataset read_idx_pictures(const std::string& pictures, const std::string& labels,
                                         const IdxOptions& options = {});
/// MNIST or a set of its form from a folder that holds the four files, plain or .gz:
/// "train-images-idx3-ubyte", … (`train`) or "t10k-images-idx3-ubyte", ….
PARE_API TensorDataset read_mnist(const std::string& folder, bool train);

/// CIFAR-10's binary form (a class byte, then 1024 bytes each of red, green and blue; Krizhevsky,
/// 2009) of one or several files as u8 [N, 3, 32, 32] and i64 [N].
PARE_API TensorDataset read_cifar10(const std::vector<std::string>& files);

enum class CsvLabel : std::uint8_t {
  classes,  ///< whole numbers: i64 [N]
  numbers,  ///< f32 [N, 1]
  none,     ///< every column is an input
};
struct CsvOptions {
  bool header = false;  ///< the first line names the columns
  CsvLabel label = CsvLabel::classes;
  std::int64_t label_column = -1;  ///< negative counts from the end
  std::string label_name = {};     ///< instead of label_column, found in the header
  char delimiter = ',';
  std::int64_t max_bytes = 1 << 30;  ///< longest text, decompressed, that is read
};
/// Numbers separated by a delimiter, one example a line, plain or compressed by gzip, as f32
/// [N, columns] and the labels. A field that is not a finite number, and a line with more or fewer
/// fields than the first, is an error naming line and column. What is too small for a float is 0.
PARE_API TensorDataset read_csv(const std::string& path, const CsvOptions& options = {});

}  // namespace pare::data
