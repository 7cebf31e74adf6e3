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
  /// invalid_argument, naming the layer, for values that are NaN or infinite and for values whose
  /// outputs or products f32 does not hold.
  void add(const Tensor& x, const Tensor& z);

  const std::string& layer() const { return node_.name; }
  const LayerForm& form() const { return form_; }
  std::int64_t places() const { return places_; }

  struct Group {
    SquareMatrix own;            ///< E[(x − E[x]) (x − E[x])ᵀ]; its diagonal is not negative
    SquareMatrix cross;          ///< E[(x − E[x]) (z − E[z])ᵀ]
    std::vector<double> mean;    ///< E[x]
    std::vector<double> wanted;  ///< E[z]
    std::vector<double> power;   ///< per row: E[(w z − E[w z])²]
    /// E[x xᵀ] and E[x zᵀ].
    SquareMatrix own_with_means() const;
    SquareMatrix cross_with_means() const;
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
  // Sums over places, own and cross of differences from shifts: what is left of squares less the
  // square of a mean is noise where inputs hardly vary. Else the shifts are 0.
  struct Sums {
    SquareMatrix own, cross;
    std::vector<double> mean, wanted, output, power;
    std::vector<float> x_shift = {}, z_shift = {};
  };
  // Leaves x and z shifted.
  void sum(std::int64_t g, std::vector<float>& x, std::vector<float>& z, std::int64_t places,
           bool parallel);
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
  std::vector<Sums> sums_;
  std::vector<Samples> samples_of_;  // by group
  std::int64_t kept_batches_;
};

}  // namespace pare::quantize
