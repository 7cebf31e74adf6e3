// Samples: the calls that the contract test runs for every op.
#pragma once

#include <string>
#include <vector>

#include "pare/core/generator.h"
#include "pare/core/op.h"

namespace pare::test {

struct Sample {
  std::string name;  ///< of the case ("broadcast", "stride 2, padding 1")
  Call call;
  Tensors inputs;  ///< undefined for an optional one left out
  bool training = false;
  /// Inputs whose gradient is compared with central differences; those of floating type if empty.
  std::vector<int> differentiate = {};
  double gradient_tolerance = 2e-3;  ///< relative to the largest gradient
  double kernel_tolerance = 1e-5;  ///< fast kernels against the reference, relative to the largest
};
using Samples = std::vector<Sample>;

/// Each adds the samples of one file of ops.
void add_elementwise_samples(Samples& samples, Generator& generator);
void add_reduction_samples(Samples& samples, Generator& generator);
void add_statistics_samples(Samples& samples, Generator& generator);
void add_loss_samples(Samples& samples, Generator& generator);
void add_quantization_samples(Samples& samples, Generator& generator);
void add_observe_samples(Samples& samples, Generator& generator);
void add_movement_samples(Samples& samples, Generator& generator);
void add_contraction_samples(Samples& samples, Generator& generator);
void add_convolution_samples(Samples& samples, Generator& generator);
void add_pooling_samples(Samples& samples, Generator& generator);
void add_normalization_samples(Samples& samples, Generator& generator);
void add_arrange_samples(Samples& samples, Generator& generator);
void add_indexing_samples(Samples& samples, Generator& generator);
void add_resample_samples(Samples& samples, Generator& generator);
void add_attention_samples(Samples& samples, Generator& generator);
void add_feature_norm_samples(Samples& samples, Generator& generator);
void add_sequence_samples(Samples& samples, Generator& generator);
void add_recurrent_samples(Samples& samples, Generator& generator);
void add_value_samples(Samples& samples, Generator& generator);

/// All of them, the same for every test.
inline const Samples& samples() {
  static const Samples all = [] {
    Samples s;
    Generator generator(20);
    add_elementwise_samples(s, generator);
    add_reduction_samples(s, generator);
    add_loss_samples(s, generator);
    add_quantization_samples(s, generator);
    add_movement_samples(s, generator);
    add_contraction_samples(s, generator);
    add_pooling_samples(s, generator);
    add_normalization_samples(s, generator);
    add_observe_samples(s, generator);
    add_statistics_samples(s, generator);
    add_arrange_samples(s, generator);
    add_indexing_samples(s, generator);
    add_resample_samples(s, generator);
    add_convolution_samples(s, generator);
    add_attention_samples(s, generator);
    add_feature_norm_samples(s, generator);
    add_sequence_samples(s, generator);
    add_recurrent_samples(s, generator);
    add_value_samples(s, generator);
    return s;
  }();
  return all;
}

/// For SCOPED_TRACE.
inline std::string label(const Sample& s) {
  std::string text = std::string(s.call.op->name) + ", " + s.name + ":";
  for (const Tensor& t : s.inputs) {
    text += ' ';
    text += t.defined() ? traits(t.dtype()).name + t.shape().to_string() : "-";
  }
  return text;
}

}  // namespace pare::test
