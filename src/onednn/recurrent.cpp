// rnn, lstm and gru with oneDNN's products and, per step, with packed weights.
#include "core/ops/recurrent.h"

#include "onednn/gemm.h"
#include "onednn/kernels.h"

namespace pare::onednn {
namespace {

void product(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView a, MatrixView b, float* c,
             std::int64_t c_stride, bool accumulate) {
  multiply(m, n, k, {a.data, a.stride, a.transposed}, {b.data, b.stride, b.transposed},
           accumulate ? 1.0F : 0.0F, c, c_stride);
}
constexpr RecurrentEngine kPacked{product, true};
constexpr RecurrentEngine kUnpacked{product, false};

/// For a sequence [T, N, …] or [N, T, …]: packing the weights costs as much as a few products.
const RecurrentEngine& engine_for(const Shape& x) {
  constexpr std::int64_t kWorthPacking = 8;  // rows
  return x.elements(0, 2) < kWorthPacking ? kUnpacked : kPacked;
}

/// dnnl_sgemm refuses matrices without elements.
bool full(const Shape& x, const Shape& weight) { return x.elements() > 0 && weight.elements() > 0; }
bool full(const BackwardArgs& args) {
  return full(args.input_shape(kSequence), args.input_shape(kWeightHh));
}

}  // namespace

bool lstm_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& /*context*/) {
  if (!full(inputs[kSequence].shape(), inputs[kWeightHh].shape())) return false;
  pare::lstm_forward(engine_for(inputs[kSequence].shape()), call, inputs, outputs);
  return true;
}
bool gru_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& /*context*/) {
  if (!full(inputs[kSequence].shape(), inputs[kWeightHh].shape())) return false;
  pare::gru_forward(engine_for(inputs[kSequence].shape()), call, inputs, outputs);
  return true;
}
bool rnn_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& /*context*/) {
  if (!full(inputs[kSequence].shape(), inputs[kWeightHh].shape())) return false;
  pare::rnn_forward(engine_for(inputs[kSequence].shape()), call, inputs, outputs);
  return true;
}
bool lstm_backward(BackwardArgs& args) {
  if (!full(args)) return false;
  pare::lstm_backward(engine_for(args.input_shape(kSequence)), args);
  return true;
}
bool gru_backward(BackwardArgs& args) {
  if (!full(args)) return false;
  pare::gru_backward(engine_for(args.input_shape(kSequence)), args);
  return true;
}
bool rnn_backward(BackwardArgs& args) {
  if (!full(args)) return false;
  pare::rnn_backward(engine_for(args.input_shape(kSequence)), args);
  return true;
}

}  // namespace pare::onednn
