// Gathers what convert did into its report.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pare/quantize/convert.h"
#include "quantize/ranges.h"
#include "quantize/weight_codes.h"
#include "quantize/weights.h"

namespace pare::quantize {

/// The entry of a range in reports.
ActivationRange describe(const std::string& value, const Observed& observed, const Codes& codes);

class ReportBuilder {
 public:
  /// Takes names and reasons from the prepared graph, which must outlive this.
  explicit ReportBuilder(const Graph& prepared) : prepared_(prepared) {}
  void add_activation(ActivationRange range) { activations_.push_back(std::move(range)); }
  void add_layer(const std::string& node, const LayerWeights& layer, bool had_bias,
                 const LayerCodes& codes);
  /// A weight of the node that has codes, of which there may be several.
  void add_rows(const std::string& node, const LayerWeights& layer, const LayerCodes& codes);
  /// A layer whose weights have groups, and what they are stored as.
  void add_groups(const std::string& node, const LayerWeights& layer, const Shape& weight,
                  const StoredWeight& stored, const std::string& note);
  void add_folded(const std::string& norm, const std::string& into);
  Report finish(const Graph& result) const;

 private:
  struct Layer {
    std::size_t before = 0, after = 0;
    std::string note;
  };
  const Graph& prepared_;
  std::vector<ActivationRange> activations_;
  std::map<std::string, Layer> layers_;
  std::map<std::string, std::string> folded_;
};

}  // namespace pare::quantize
