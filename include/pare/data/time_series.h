// Reader of the .ts files of the UCR and UEA time series archives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/data/sequence.h"

namespace pare::data {

/// What becomes of a missing value, "?" or "NaN" in the file.
enum class MissingValues : std::uint8_t {
  keep,         ///< NaN
  interpolate,  ///< on the line between its neighbours; the nearest at the ends; 0 where all miss
  refuse,       ///< an error that names the place
};

struct TsOptions {
  MissingValues missing = MissingValues::keep;
  std::int64_t max_bytes = 1 << 30;  ///< longest text, decompressed, that is read
};

/// What a .ts file holds. Series n is f32 [T_n, dimensions]; its label is the i64 number of its
/// class in `classes`, an f32 target, or none, as the header says.
struct TimeSeries {
  std::string name;                  ///< the problem's
  std::vector<std::string> classes;  ///< as the header lists them; empty where there are none
  std::int64_t dimensions;           ///< values per step
  bool equal_length;                 ///< all series have the same number of steps
  std::int64_t missing;              ///< missing values found
  SequenceDataset series;
};

/// Reads a .ts file (timeseriesclassification.com; the header's tags are checked against the data),
/// plain or compressed by gzip. Throws io_error and corrupt_data as the other readers do, and
/// unsupported for series with time stamps. Batches come from a Loader with `pad`, or all at
/// once: `read_ts(path).series.padded()` has x [N, T, C], y [N] and lengths [N].
PARE_API TimeSeries read_ts(const std::string& path, const TsOptions& options = {});

}  // namespace pare::data
