// Primitives: the convolutions and dense layers of a compiled plan, whoever makes them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "pare/core/ops/contraction.h"
#include "pare/core/tensor.h"

namespace pare::runtime {

/// How stored numbers stand for real ones: scale · (q − zero_point); f32 and bf16 stand for
/// themselves.
struct Encoding {
  DType dtype = DType::f32;
  double scale = 1;
  int zero_point = 0;

  bool real() const { return dtype == DType::f32 || dtype == DType::bf16; }
};

/// An activation that is no clip; of f32 only. `alpha` is the slope of leaky_relu, elu's factor.
enum class Activation : std::uint8_t {
  none,
  sigmoid,
  tanh,
  silu,
  hardswish,
  gelu,
  gelu_tanh,
  leaky_relu,
  elu,
};

/// What follows the sum of products and its bias: first the residual, then the activation or the
/// clip (real units).
struct Epilogue {
  /// The destination already holds the other addend, encoded so, when the step starts.
  bool residual = false;
  Encoding residual_encoding;
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  Activation activation = Activation::none;
  double alpha = 0;
};

/// Source and destination are channels-last. int8: source u8 or i8, weight i8 with its scales, bias
/// i32 in units of source.scale · weight scale; destination u8, i8 or f32. Otherwise weight and
/// bias are f32, and so are source and destination, or the source is bf16 (the weight is rounded to
/// it) and the destination bf16 or f32.
struct ConvolutionSpec {
  std::int64_t batch = 1;
  std::int64_t height = 1;
  std::int64_t width = 1;
  Tensor weight;                     ///< [O, C/groups, kH, kW]
  Tensor bias;                       ///< [O] or undefined
  std::vector<float> weight_scales;  ///< one, or one per output channel; empty for f32
  Conv2dAttributes attributes;
  Encoding source;
  Encoding destination;
  Epilogue epilogue;
};

/// Source [rows, in], destination [rows, out]; types as above.
struct DenseSpec {
  std::int64_t rows = 1;
  Tensor weight;  ///< [out, in]
  Tensor bias;
  std::vector<float> weight_scales;
  Encoding source;
  Encoding destination;
  Epilogue epilogue;
};

/// A primitive with its arguments, for one caller at a time.
class Execution {
 public:
  virtual ~Execution() = default;
  /// Does not allocate. `scratch` has the primitive's scratch_bytes, 64-byte aligned. The OpenMP
  /// thread count must be the one that the primitive was made under (ThreadScope).
  virtual void run(const void* source, void* destination, void* scratch) = 0;
};

/// Immutable once filled; made for context().threads.
class Primitive {
 public:
  virtual ~Primitive() = default;
  virtual std::string name() const = 0;  ///< of the implementation, for the plan's print
  virtual bool slow() const = 0;         ///< fell back to a reference implementation
  /// Whether it computes the epilogue's activation; else whoever asked for it does, afterwards.
  virtual bool activates() const { return true; }
  virtual std::size_t constant_bytes() const = 0;
  virtual std::size_t scratch_bytes() const = 0;
  /// Writes weights, bias and scales in the form that run reads into constant_bytes at a 64-byte
  /// aligned address, and drops the spec's tensors. To be called once.
  virtual void fill(void* constants) = 0;
  /// The elements of the spec's weight again, row-major, out of constants as filled. What the form
  /// rounds (to bf16, or in a transform) comes rounded; undefined, or other numbers, where the form
  /// does not give them back.
  virtual Tensor weight(const void* constants) const = 0;
  /// The same of all tensors of the spec that it packs: 0 is the weight, 1 the scale and 2 the zero
  /// point of codes.
  virtual Tensor leaf(const void* constants, int i) const {
    return i == 0 ? weight(constants) : Tensor();
  }
  /// Whether two constants of this primitive were filled from the same spec, or one of them from
  /// the weight that the other gave back.
  virtual bool same(const void* a, const void* b) const = 0;
  /// `constants` as filled; they and the primitive must outlive the execution.
  virtual std::unique_ptr<Execution> execution(const void* constants) const = 0;
};

/// Who makes primitives; src/kernels.cpp defines it. A null result: not made here, interpret. Null
/// itself: no oneDNN.
/// Convolutions compute all of their epilogue.
struct PrimitiveMaker {
  std::unique_ptr<Primitive> (*convolution)(const ConvolutionSpec& spec);
  std::unique_ptr<Primitive> (*dense)(const DenseSpec& spec);
};
extern const PrimitiveMaker kPrimitives;

}  // namespace pare::runtime
