// Plan: a graph compiled for the CPU it runs on; what production code runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/precision.h"
#include "pare/core/tensor.h"
#include "pare/graph/passes.h"

namespace pare {

namespace runtime {
class Engine;
}

/// One row of a plan's table.
struct PARE_API PlanStep {
  std::string node;    ///< of the graph; several joined by " + " where one step runs them
  std::string kernel;  ///< the implementation's name
  DType source = DType::f32;
  DType destination = DType::f32;
  std::size_t bytes = 0;  ///< read and written, weights included
  std::int64_t macs = 0;  ///< multiply-accumulates of a convolution or dense layer
  bool slow = false;      ///< a reference implementation or a general matrix product runs it
};

struct PlanMemory {
  std::size_t arena = 0;    ///< bytes of activations per concurrent run
  std::size_t live = 0;     ///< the most that is alive at once: no arena can be smaller
  std::size_t scratch = 0;  ///< working memory of the kernels, per concurrent run
  /// Packed weights, shared by all runs and sizes. A size that is compiled later may add some,
  /// where its kernels want another packing: it takes the numbers out of the packed ones.
  std::size_t weights = 0;
  /// The graph's own tensors that are held besides: those that steps read as they are (embedding
  /// tables, recurrent weights) and, with symbolic sizes, biases and scales.
  std::size_t constants = 0;
};

/// What the steps of a plan took, each the median of several runs.
struct PARE_API PlanProfile {
  struct Row {
    PlanStep step;
    double seconds = 0;
  };
  std::vector<Row> rows;  ///< in the order in which they run, for the sizes of the inputs
  double seconds = 0;     ///< of all steps together
  /// The steps with time and share as a table, for people.
  std::string to_string() const;
};

/// An immutable handle; copies share everything. Independent of the graph it was compiled from.
/// Any number of threads may run it at once. A run allocates nothing but its outputs once as many
/// runs have gone on side by side, and sizes of symbolic axes been seen, as there will be.
class PARE_API Plan {
 public:
  explicit Plan(std::shared_ptr<runtime::Engine> engine);

  /// For graphs of one input and one output. Throws as the other, and invalid_argument for several
  /// outputs.
  Tensor run(const Tensor& input) const;
  /// Inputs and outputs in the graph's order; inputs in either memory format, outputs row-major.
  /// A new size of a symbolic axis is compiled when it is first seen; the last few are kept.
  /// Throws invalid_argument (their number), shape_mismatch or dtype_mismatch naming the input.
  Tensors run(const Tensors& inputs) const;
  /// The same into the caller's tensors: row-major, of the outputs' shapes and types, in memory
  /// that no input and no other output has. Then a run allocates nothing at all; an undefined
  /// tensor is replaced by a new one. Throws as the others, and for outputs that do not fit; they
  /// are then as they were.
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs) const;

  /// Runs once to warm up, then `runs` times with a clock around every step. Throws as run, and
  /// invalid_argument for less than one run.
  PlanProfile profile(const Tensors& inputs, int runs = 10) const;

  int threads() const;
  /// What is not quantized runs in.
  Precision precision() const;
  /// In the order in which they run, for the sizes of symbolic axes that a plan compiles first: 1,
  /// or what the ops take at least; none where no such sizes were found (the report says so).
  std::span<const PlanStep> steps() const;
  /// For the same sizes.
  PlanMemory memory() const;
  /// What the passes did, and which layers run otherwise than the graph asks, with the reason; for
  /// the same sizes.
  const PassReport& report() const;
  /// The steps and the memory as a table, for people.
  std::string to_string() const;

 private:
  std::shared_ptr<runtime::Engine> engine_;
};

}  // namespace pare
