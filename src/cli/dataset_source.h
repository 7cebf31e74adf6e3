// Sources of `pare dataset`: files of many kinds as numbered examples.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pare/data/dataset.h"

namespace pare::cli {

struct SourceOptions {
  std::vector<std::string> paths;
  std::string format;      ///< empty: by content and name
  std::string raw;         ///< "i8:490", "i8:1x49x10", "u8"
  std::string share;       ///< of a text: "0.9:1"
  std::string label_file;  ///< of IDX pictures
  std::string label_column;
  bool header = false;
  int channels = 3;         ///< of pictures
  std::int64_t length = 0;  ///< of windows of a text or a sound
  std::int64_t stride = 0;
  bool labels = false;  ///< they are asked for
};

struct Source {
  std::string format;  ///< "pictures", "idx", "cifar", "csv", "wav", "text" or "raw"
  std::shared_ptr<const data::Dataset> samples;
};

/// Opens files. Throws UsageError for options that do not fit the kind, and what the readers throw.
Source open_source(const SourceOptions& options);

}  // namespace pare::cli
