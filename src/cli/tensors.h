// Tensors of the command line: .npy files given to a model's inputs, cut into batches.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare::cli {

/// The tensors of "--input name=x.npy" (the name may be left out when the model has one input), in
/// the model's order, in the model's element types. Throws UsageError naming the option for names
/// that do not fit, shape_mismatch naming the file for no samples or another number of them than
/// the others have, and what load_npy throws.
class Inputs {
 public:
  Inputs(const Graph& graph, const std::vector<std::string>& given, std::int64_t batch,
         const char* option = "--input");

  /// The samples of a model of one input, in its element type (u8 as they are where that is f32).
  /// Throws UsageError for a model of several, invalid_argument for NaN or infinity.
  Tensor only() const;
  /// How many samples there are: the size of the first axis.
  std::int64_t samples() const { return samples_; }
  std::int64_t batches() const;
  /// Samples of a batch, without those that only fill it up.
  std::int64_t samples_of(std::int64_t batch) const;
  std::int64_t begin_of(std::int64_t batch) const { return batch * batch_; }
  /// The inputs of a batch. A model of a fixed batch gets the last sample again where samples lack.
  Tensors get(std::int64_t batch) const;
  /// Cuts off what only filled up, and joins what the model gave for the batches, output by output,
  /// along the samples.
  Tensors join(const Graph& graph, std::vector<Tensors>& outputs) const;

 private:
  struct Input {
    std::string name;
    Tensor tensor;
    DType dtype;
  };
  std::vector<Input> inputs_;
  std::int64_t samples_ = 0;
  std::int64_t batch_ = 1;
  bool fixed_ = false;  // the model's own batch
  bool whole_ = false;  // the tensors are the inputs as they are
};

/// Sizes of the inputs' axes, from "--shape name=1,3,224,224". Throws UsageError.
std::map<std::string, std::vector<std::int64_t>> parse_shapes(
    const Graph& graph, const std::vector<std::string>& given);
/// The sizes that shapes give to symbols. Throws UsageError where a shape does not fit.
std::map<std::string, std::int64_t> symbols_of(
    const Graph& graph, const std::map<std::string, std::vector<std::int64_t>>& shapes);
/// Numbers for all symbols: those given, 1 for others. Throws what infer throws.
Graph sized(const Graph& graph, const std::map<std::string, std::int64_t>& symbols);

/// How many samples run together where nobody says: at most 32, and so many that the values of an
/// interpreted graph take some 64 MiB.
std::int64_t batch_for(const Graph& graph);

/// Rows [begin, end) of the first axis, sharing the elements.
Tensor rows(const Tensor& tensor, std::int64_t begin, std::int64_t end);

}  // namespace pare::cli
