// Comparing a quantized net with its float one: errors as they add up, errors of each layer alone,
// and how values are distributed in both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pare/graph/compare.h"
#include "pare/graph/graph.h"
#include "pare/quantize/batches.h"

namespace pare::quantize {

struct CompareOptions {
  /// Also measure each value of the other net with the reference's values fed to what it is
  /// computed from, which takes a second run of that net.
  bool isolated = true;
  /// Bins of histograms of values and weights, which take another run of both nets; 0: none.
  std::int64_t histogram_bins = 0;
};

/// How often values of both nets fall between edges[i] and edges[i + 1] (in the last bin also on
/// its upper edge). The bins are of one width and hold all finite values of both; others are not
/// counted.
struct ValueHistogram {
  std::vector<double> edges;  ///< one more than bins
  std::vector<std::int64_t> reference;
  std::vector<std::int64_t> other;
};

struct PARE_API Comparison {
  struct Value {
    std::string name;  ///< of the value
    std::string op;    ///< that gives it in the other net
    ValueDifference accumulated;
    std::optional<ValueDifference> isolated = {};
    std::optional<ValueHistogram> histogram = {};
  };
  struct Weight {
    std::string layer;  ///< node
    std::string op;
    ValueDifference difference;
    std::optional<ValueHistogram> histogram = {};
  };
  std::vector<Value> values;             ///< in the reference's order
  std::vector<ValueDifference> outputs;  ///< by their number, with the reference's names
  std::vector<Weight> weights;  ///< of layers of one name, as floats; all of a recurrent layer
  /// Floating results of nodes of the reference, batch norms folded, of which the other net has no
  /// value of that name and shape.
  std::vector<std::string> unmatched;
};
/// Tables, for people; histograms are left out.
PARE_API std::string to_string(const Comparison& comparison);

/// Compares the values of two nets on the same inputs. Values are matched by name and shape after
/// both have been folded as `prepare` does it (fold_batch_norm, remove_identities), so that a
/// layer's value is that of its batch norm in both. `accumulated` is each net on its own values;
/// `isolated` gives every value of the other net what it would be if all matched values before it
/// were the reference's: the error of that step, its weights' and that of rounding what it reads.
/// What a quantized net rounds behind a value counts with its readers. The reference may be any
/// graph, the other one prepared, converted, or changed in other ways that keep names. Throws
/// invalid_argument for graphs with other numbers of inputs or outputs, no data or NaN in it, and
/// histogram_bins below 0 or above 2^20; shape_mismatch for empty inputs or unlike outputs; and as
/// Graph::run.
PARE_API Comparison compare(const Graph& reference, const Graph& other, const Batches& data,
                            const CompareOptions& options = {});

}  // namespace pare::quantize
