// Second moments of a layer's input, over a sample of the places where its weight is applied.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pare/core/tensor.h"
#include "pare/graph/graph.h"
#include "pare/runtime/plan.h"
#include "quantize/round_codes.h"

namespace pare::quantize {

/// How a layer multiplies: groups of rows, each a product of `columns` weights and inputs.
struct LayerForm {
  std::int64_t groups = 1;
  std::int64_t rows = 0;     ///< output channels per group
  std::int64_t columns = 0;  ///< weights of one output
};
/// Of conv1d, conv2d, linear and matmul with a matrix; columns 0: another op.
LayerForm layer_form(const Graph::Node& node, const Shape& weight);

/// The part of a graph that gives what the layer reads.
Plan plan_before(const Graph& graph, const std::string& layer);

/// The weight as [groups · rows][columns], and back.
std::vector<double> weight_rows(const Graph::Node& node, const Tensor& weight);
Tensor weight_from_rows(const Graph::Node& node, const Shape& shape, std::span<const float> rows);

/// Moments of the input x that the quantized layers before give, and of the float layers' input z,
/// both at the same places.
class LayerMoments {
 public:
  /// `kept`: of how many batches some places are kept as they are (samples); 0: none.
  LayerMoments(const Graph::Node& node, const Tensor& weight, std::int64_t places_per_sample,
               std::uint64_t seed, std::int64_t kept = 0);

  /// Adds a batch of inputs of equal shapes. Throws shape_mismatch where the shapes differ and
  /// invalid_argument, naming the layer, for values that are NaN or infinite.
  void add(const Tensor& x, const Tensor& z);

  const LayerForm& form() const { return form_; }
  std::int64_t places() const { return places_; }

  struct Group {
    SquareMatrix own;            ///< E[x xᵀ]
    SquareMatrix cross;          ///< E[x zᵀ]
    std::vector<double> mean;    ///< E[x]
    std::vector<double> wanted;  ///< E[z]
    std::vector<double> power;   ///< per row: E[(w z)²]
  };
  /// Places of a group as they are: x [places × columns] and w z [places × rows].
  struct Samples {
    std::vector<float> inputs, outputs;
  };
  Samples take_samples(std::int64_t g) {
    return std::move(samples_of_[static_cast<std::size_t>(g)]);
  }
  /// The averages so far, of group g. At least one place must have been added.
  Group group(std::int64_t g) const;

 private:
  void sum(std::int64_t g, const std::vector<float>& x, const std::vector<float>& z,
           std::int64_t places, bool parallel);
  void keep(std::int64_t g, const std::vector<float>& x, const std::vector<float>& y,
            std::int64_t places);

  Graph::Node node_;
  Shape weight_shape_;
  LayerForm form_;
  std::vector<float> weights_;  // rows
  std::int64_t places_per_sample_;
  std::uint64_t seed_;
  std::int64_t samples_ = 0;
  std::int64_t places_ = 0;
  std::vector<Group> sums_;
  std::vector<Samples> samples_of_;  // by group
  std::int64_t kept_batches_;
};

}  // namespace pare::quantize
