// Comparing two graphs value by value: how much noise compression added, and where.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// How far a value of one graph is from that of another, over everything that was added.
struct ValueDifference {
  std::string name;
  /// Signal to quantization noise, 10·log10(Σa² / Σ(a − b)²) with a of the reference; infinite
  /// where both are equal.
  double sqnr_db = 0;
  double cosine = 0;   ///< Σab / √(Σa²·Σb²); 1 where both are 0 everywhere
  double max_abs = 0;  ///< largest |a − b|
  std::int64_t elements = 0;
};

/// Sums up differences over batches.
class PARE_API DifferenceMeter {
 public:
  /// Floating tensors of one shape. Throws shape_mismatch and dtype_mismatch.
  void add(const Tensor& reference, const Tensor& other);
  ValueDifference result(const std::string& name) const;

 private:
  double signal_ = 0, other_ = 0, noise_ = 0, product_ = 0, max_abs_ = 0;
  std::int64_t elements_ = 0;
};

struct GraphDifference {
  std::vector<ValueDifference> outputs;  ///< by their number, with the reference's names
  std::vector<ValueDifference> layers;   ///< floating values of one name and shape, in its order
};

/// Runs two graphs on the same inputs through the interpreter. Holds the tensors of both as they
/// are when it is made; the values of a batch that both have are kept while it is added.
class PARE_API GraphComparison {
 public:
  /// Throws invalid_argument for graphs with other numbers of inputs or outputs.
  GraphComparison(const Graph& reference, const Graph& other);

  /// Throws as Graph::run, and shape_mismatch for outputs of different shapes.
  void add(const Tensors& inputs);
  GraphDifference result() const;

 private:
  Graph reference_, other_;
  std::vector<DifferenceMeter> outputs_;
  std::map<int, DifferenceMeter> layers_;  // by the value in the reference
};

}  // namespace pare
