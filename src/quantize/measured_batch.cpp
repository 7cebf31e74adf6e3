// Batches that nets are measured on.
#include "quantize/measured_batch.h"

#include <algorithm>
#include <limits>
#include <string>

#include "core/check.h"

namespace pare::quantize {
namespace {

bool is_number(float x) { return x < std::numeric_limits<float>::infinity(); }

}  // namespace

Tensors measured_batch(const Graph& graph, const Batches& data, std::int64_t batch,
                       const char* where) {
  Tensors inputs = data.get(batch);
  // Those too many or too few, whoever runs them tells.
  const std::size_t count = std::min(inputs.size(), graph.inputs().size());
  for (std::size_t i = 0; i < count; ++i) {
    const std::string place = fmt::format("{}: input '{}' of batch {}", where,
                                          graph.value(graph.inputs()[i]).name, batch);
    PARE_CHECK(inputs[i].elements() > 0, shape_mismatch, place,
               "expected at least one value, got {}", inputs[i].shape());
    if (!is_floating(inputs[i].dtype())) continue;
    const Tensor plain = inputs[i].detach().to(MemoryFormat::row_major).to(DType::f32);
    const float* const x = plain.data<float>();
    const std::int64_t at = std::find_if_not(x, x + plain.elements(), is_number) - x;
    PARE_CHECK(at == plain.elements(), invalid_argument, place,
               "expected finite values, got {} at element {} of {}", x[at], at, plain.shape());
  }
  return inputs;
}

}  // namespace pare::quantize
