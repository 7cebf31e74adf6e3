// Engine: what a plan's handles share: the folded graph and a program per set of input sizes.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/runtime/compile.h"
#include "runtime/program.h"
#include "runtime/weights.h"

namespace pare::runtime {

/// Memory and bound steps of one run at a time.
struct RunContext {
  Frame frame;
  std::vector<std::unique_ptr<StepState>> states;
  std::vector<bool> skipped;          ///< by step: not needed in this run
  Tensors rows;                       ///< by input: row-major copies of channels-last ones
  std::shared_ptr<std::byte> memory;  ///< arena, then scratch
};

/// A program with the contexts that its runs take turns with.
class Variant {
 public:
  Variant(Program program, std::vector<Shape> shapes);
  bool fits(std::span<const Tensor> inputs) const;
  /// Outputs that are defined are written in place. Throws where they do not fit. `seconds`, where
  /// not empty, receives the time of every step.
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs,
           std::span<double> seconds = {});
  const Program& program() const { return program_; }

 private:
  struct External {
    int slot;
    int number;
    std::size_t shift;
  };
  /// A step that only brings an input into channels-last: one that is given so takes the place of
  /// what it writes, or is copied there where another step writes to it later.
  struct Turned {
    std::size_t step;
    int input;
    bool replaced;
    std::vector<External> slots;  ///< of that memory
  };
  void find_turned();
  void bind_inputs(std::span<const Tensor> inputs, RunContext& context) const;
  void make_outputs(std::span<const Tensor> inputs, std::span<Tensor> outputs) const;
  std::unique_ptr<RunContext> take();
  std::unique_ptr<RunContext> make() const;

  Program program_;
  std::vector<Shape> shapes_;
  std::vector<External> inputs_, outputs_;  // every slot whose memory is the caller's
  std::vector<Turned> turned_;
  std::vector<bool> reads_rows_;  // by input: read as row-major
  std::mutex mutex_;
  std::vector<std::unique_ptr<RunContext>> idle_;
};

struct EngineOptions {
  int threads = 1;
  Precision precision = Precision::f32;
  PrimitiveMaker makers = kPrimitives;
};

class Engine {
 public:
  Engine(Graph graph, PassReport report, const EngineOptions& options);
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs);
  PlanProfile profile(std::span<const Tensor> inputs, int runs);

  std::size_t outputs() const { return outputs_; }
  int threads() const { return options_.threads; }
  Precision precision() const { return options_.precision; }
  const PassReport& report() const { return report_; }
  const std::vector<PlanStep>& steps() const { return steps_; }
  const PlanMemory& memory() const { return memory_; }

 private:
  struct Input {
    std::string name;
    Shape shape;
    DType dtype;
  };
  std::optional<std::vector<Shape>> first_shapes();
  void check(std::span<const Tensor> inputs) const;
  bool fits(std::span<const Tensor> inputs, std::size_t i) const;
  std::shared_ptr<Variant> find(std::span<const Tensor> inputs);
  std::shared_ptr<Variant> variant_for(std::span<const Tensor> inputs);
  std::shared_ptr<Variant> compile_for(Graph graph, const std::vector<Shape>& shapes,
                                       PassReport& report);

  // Empty where all sizes are known. Else without the weights that the packed ones give back.
  Graph graph_;
  std::vector<Input> inputs_;
  std::size_t outputs_;
  EngineOptions options_;
  // These describe the first program and never change afterwards: they are read without a lock.
  PassReport report_;
  std::vector<PlanStep> steps_;
  PlanMemory memory_;
  std::mutex compiling_;  // guards the graph and the weights
  WeightStore weights_;
  std::mutex mutex_;                              // guards the variants
  std::list<std::shared_ptr<Variant>> variants_;  // the last used first
};

}  // namespace pare::runtime
