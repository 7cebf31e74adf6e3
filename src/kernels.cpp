// The composition: which kernels each op has, best first, and who makes a plan's primitives.
#include "core/kernels.h"

#include "core/ops/conv2d_winograd.h"
#include "core/ops/convolution_adapters.h"
#include "pare/runtime/backend.h"
#include "runtime/own_primitives.h"
#include "runtime/primitives.h"
#if PARE_ONEDNN
#include "onednn/kernels.h"
#include "onednn/makers.h"
#include "onednn/version.h"
#endif

namespace pare::kernels {
namespace {

constexpr ForwardKernel kConv1dForward[] = {{"conv2d", conv1d_by_conv2d}};
constexpr BackwardKernel kConv1dBackward[] = {{"conv2d", conv1d_backward_by_conv2d}};
constexpr ForwardKernel kTransposeForward[] = {{"gradient", conv_transpose_by_gradient}};
constexpr BackwardKernel kTransposeBackward[] = {
    {"convolution", conv_transpose_backward_by_convolution}};
#if PARE_ONEDNN
// These multiply in bf16 too, where the context asks for it.
constexpr ForwardKernel kAttentionForward[] = {{"gemm", onednn::attention_forward, true}};
constexpr BackwardKernel kAttentionBackward[] = {{"gemm", onednn::attention_backward, true}};
constexpr ForwardKernel kConv2dForward[] = {{"winograd", winograd_conv2d_forward},
                                            {"gemm", onednn::conv2d_pointwise_forward},
                                            {"onednn", onednn::conv2d_forward, true}};
constexpr BackwardKernel kConv2dBackward[] = {{"winograd", winograd_conv2d_backward},
                                              {"gemm", onednn::conv2d_pointwise_backward},
                                              {"onednn", onednn::conv2d_backward, true}};
constexpr ForwardKernel kConv3dForward[] = {{"onednn", onednn::conv3d_forward, true}};
constexpr BackwardKernel kConv3dBackward[] = {{"onednn", onednn::conv3d_backward, true}};
constexpr ForwardKernel kGruForward[] = {{"gemm", onednn::gru_forward, true}};
constexpr BackwardKernel kGruBackward[] = {{"gemm", onednn::gru_backward, true}};
constexpr ForwardKernel kLinearForward[] = {{"gemm", onednn::linear_forward, true}};
constexpr BackwardKernel kLinearBackward[] = {{"gemm", onednn::linear_backward, true}};
constexpr ForwardKernel kLstmForward[] = {{"gemm", onednn::lstm_forward, true}};
constexpr BackwardKernel kLstmBackward[] = {{"gemm", onednn::lstm_backward, true}};
constexpr ForwardKernel kMatmulForward[] = {{"gemm", onednn::matmul_forward, true}};
constexpr BackwardKernel kMatmulBackward[] = {{"gemm", onednn::matmul_backward, true}};
constexpr ForwardKernel kRnnForward[] = {{"gemm", onednn::rnn_forward, true}};
constexpr BackwardKernel kRnnBackward[] = {{"gemm", onednn::rnn_backward, true}};
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

#if PARE_ONEDNN
std::unique_ptr<Primitive> dense(const DenseSpec& spec) {
  const bool codes = spec.weight.dtype() == DType::i8;
  if (codes)
    if (auto made = onednn::make_dense(spec)) return made;
  if (auto own = make_own_dense(spec)) return own;
  return codes ? nullptr : onednn::make_dense(spec);
}
#endif

}  // namespace

#if PARE_ONEDNN
constinit const PrimitiveMaker kPrimitives{convolution, dense};
#else
constinit const PrimitiveMaker kPrimitives{convolution, nullptr};
#endif

}  // namespace pare::runtime

namespace pare {

std::string onednn_version() {
#if PARE_ONEDNN
  return onednn::version();
#else
  return {};
#endif
}

}  // namespace pare
