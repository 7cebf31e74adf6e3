// The composition: which kernels each op has, best first, and who makes a plan's primitives.
#include "core/kernels.h"

#include "core/ops/conv2d_winograd.h"
#include "core/ops/convolution_adapters.h"
#include "core/precision.h"
#include "pare/core/ops/attention.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/ops/convolution.h"
#include "pare/core/ops/recurrent.h"
#include "runtime/own_primitives.h"
#include "runtime/primitives.h"
#if PARE_ONEDNN
#include "onednn/kernels.h"
#include "onednn/makers.h"
#endif

namespace pare::kernels {
namespace {

constexpr ForwardKernel kConv1dForward[] = {{"conv2d", conv1d_by_conv2d}};
constexpr BackwardKernel kConv1dBackward[] = {{"conv2d", conv1d_backward_by_conv2d}};
constexpr ForwardKernel kTransposeForward[] = {{"gradient", conv_transpose_by_gradient}};
constexpr BackwardKernel kTransposeBackward[] = {
    {"convolution", conv_transpose_backward_by_convolution}};
#if PARE_ONEDNN
constexpr ForwardKernel kAttentionForward[] = {{"gemm", onednn::attention_forward}};
constexpr BackwardKernel kAttentionBackward[] = {{"gemm", onednn::attention_backward}};
constexpr ForwardKernel kConv2dForward[] = {{"winograd", winograd_conv2d_forward},
                                            {"onednn", onednn::conv2d_forward}};
constexpr BackwardKernel kConv2dBackward[] = {{"winograd", winograd_conv2d_backward},
                                              {"onednn", onednn::conv2d_backward}};
constexpr ForwardKernel kConv3dForward[] = {{"onednn", onednn::conv3d_forward}};
constexpr BackwardKernel kConv3dBackward[] = {{"onednn", onednn::conv3d_backward}};
constexpr ForwardKernel kGruForward[] = {{"gemm", onednn::gru_forward}};
constexpr BackwardKernel kGruBackward[] = {{"gemm", onednn::gru_backward}};
constexpr ForwardKernel kLinearForward[] = {{"gemm", onednn::linear_forward}};
constexpr BackwardKernel kLinearBackward[] = {{"gemm", onednn::linear_backward}};
constexpr ForwardKernel kLstmForward[] = {{"gemm", onednn::lstm_forward}};
constexpr BackwardKernel kLstmBackward[] = {{"gemm", onednn::lstm_backward}};
constexpr ForwardKernel kMatmulForward[] = {{"gemm", onednn::matmul_forward}};
constexpr BackwardKernel kMatmulBackward[] = {{"gemm", onednn::matmul_backward}};
constexpr ForwardKernel kRnnForward[] = {{"gemm", onednn::rnn_forward}};
constexpr BackwardKernel kRnnBackward[] = {{"gemm", onednn::rnn_backward}};
#else
constexpr ForwardKernel kConv2dForward[] = {{"winograd", winograd_conv2d_forward}};
constexpr BackwardKernel kConv2dBackward[] = {{"winograd", winograd_conv2d_backward}};
constexpr std::span<const ForwardKernel> kAttentionForward, kConv3dForward, kGruForward,
    kLinearForward, kLstmForward, kMatmulForward, kRnnForward;
constexpr std::span<const BackwardKernel> kAttentionBackward, kConv3dBackward, kGruBackward,
    kLinearBackward, kLstmBackward, kMatmulBackward, kRnnBackward;
#endif

}  // namespace

constinit const KernelList kAttention{kAttentionForward, kAttentionBackward};
constinit const KernelList kConv1d{kConv1dForward, kConv1dBackward};
constinit const KernelList kConv2d{kConv2dForward, kConv2dBackward};
constinit const KernelList kConv3d{kConv3dForward, kConv3dBackward};
constinit const KernelList kConvTranspose1d{kTransposeForward, kTransposeBackward};
constinit const KernelList kConvTranspose2d{kTransposeForward, kTransposeBackward};
constinit const KernelList kConvTranspose3d{kTransposeForward, kTransposeBackward};
constinit const KernelList kGru{kGruForward, kGruBackward};
constinit const KernelList kLinear{kLinearForward, kLinearBackward};
constinit const KernelList kLstm{kLstmForward, kLstmBackward};
constinit const KernelList kMatmul{kMatmulForward, kMatmulBackward};
constinit const KernelList kRnn{kRnnForward, kRnnBackward};

namespace {

#if PARE_ONEDNN
// They read the thread's precision; elsewhere than on CPUs with bf16 operands are rounded instead.
template <auto run>
bool forward_in_bf16(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                     const Context& context) {
  return has_bf16() && run(call, inputs, outputs, context);
}
template <auto run> bool backward_in_bf16(BackwardArgs& args) { return has_bf16() && run(args); }

template <auto run>
constexpr ForwardKernel kForwardBf16[] = {{"onednn bf16", forward_in_bf16<run>}};
template <auto run>
constexpr BackwardKernel kBackwardBf16[] = {{"onednn bf16", backward_in_bf16<run>}};

template <auto forward, auto backward>
constexpr ProductOp product(const OpDef& op, std::uint32_t operands = 0b11) {
  return {&op, operands, kForwardBf16<forward>, kBackwardBf16<backward>};
}
#endif

// The sequence and the matrices of both directions; the state between steps is not rounded.
constexpr std::uint32_t kRecurrentOperands = 0b1100111;
constexpr std::uint32_t kAttentionOperands = 0b111;

// Those without kernels in bf16 of their own have their operands rounded.
constexpr ProductOp kProductOps[] = {
#if PARE_ONEDNN
    product<onednn::attention_forward, onednn::attention_backward>(pare::kScaledDotProductAttention,
                                                                   kAttentionOperands),
    product<onednn::conv2d_forward, onednn::conv2d_backward>(pare::kConv2d),
    product<onednn::conv3d_forward, onednn::conv3d_backward>(pare::kConv3d),
    product<onednn::gru_forward, onednn::gru_backward>(pare::kGru, kRecurrentOperands),
    product<onednn::linear_forward, onednn::linear_backward>(pare::kLinear),
    product<onednn::lstm_forward, onednn::lstm_backward>(pare::kLstm, kRecurrentOperands),
    product<onednn::matmul_forward, onednn::matmul_backward>(pare::kMatmul),
    product<onednn::rnn_forward, onednn::rnn_backward>(pare::kRnn, kRecurrentOperands),
#else
    {&pare::kScaledDotProductAttention, kAttentionOperands},
    {&pare::kConv2d, 0b11},
    {&pare::kConv3d, 0b11},
    {&pare::kGru, kRecurrentOperands},
    {&pare::kLinear, 0b11},
    {&pare::kLstm, kRecurrentOperands},
    {&pare::kMatmul, 0b11},
    {&pare::kRnn, kRecurrentOperands},
#endif
    {&pare::kConv1d, 0b11},
    {&pare::kConvTranspose1d, 0b11},
    {&pare::kConvTranspose2d, 0b11},
    {&pare::kConvTranspose3d, 0b11},
};

}  // namespace

std::span<const ProductOp> product_ops() { return kProductOps; }

}  // namespace pare::kernels

namespace pare::runtime {
namespace {

std::unique_ptr<Primitive> convolution(const ConvolutionSpec& spec) {
  if (auto own = make_own_convolution(spec)) return own;
#if PARE_ONEDNN
  return onednn::make_convolution(spec);
#else
  return nullptr;
#endif
}

}  // namespace

#if PARE_ONEDNN
constinit const PrimitiveMaker kPrimitives{convolution, onednn::make_dense};
#else
constinit const PrimitiveMaker kPrimitives{convolution, nullptr};
#endif

}  // namespace pare::runtime
