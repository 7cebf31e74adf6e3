// oneDNN's engine, streams and scratch memory, and its calls in either version's form.
#include "onednn/api.h"

#include <cstdlib>
#include <memory>

#include "core/check.h"

namespace pare::onednn {

const dnnl::engine& engine() {
  static const auto* e = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *e;
}

const dnnl::stream& stream() {
  thread_local const dnnl::stream s(engine());
  return s;
}

std::byte* workspace(std::size_t bytes) {
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  thread_local std::unique_ptr<std::byte, Free> memory;
  thread_local std::size_t size = 0;
  if (bytes > size) {
    size = 0;
    memory.reset();
    const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
    memory.reset(static_cast<std::byte*>(std::aligned_alloc(64, rounded)));
    if (!memory) fail_out_of_memory("oneDNN", bytes);
    size = rounded;
  }
  return memory.get();
}

void execute(const dnnl::primitive& primitive, const std::vector<dnnl_exec_arg_t>& arguments) {
  const dnnl_status_t status = dnnl_primitive_execute(
      primitive.get(), stream().get(), static_cast<int>(arguments.size()), arguments.data());
  PARE_CHECK(status == dnnl_success, internal, "oneDNN", "execution failed with status {}",
             static_cast<int>(status));
}

bool saturates() {
  switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
    case dnnl_cpu_isa_avx:
    case dnnl_cpu_isa_avx2:
    case dnnl_cpu_isa_avx512_core:
      return true;
    default:
      return false;
  }
}

bool right_in_int8() {
  const auto isa = dnnl_get_effective_cpu_isa();
  return isa != dnnl_cpu_isa_sse41 && isa != dnnl_cpu_isa_avx;
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

namespace {

constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;

dnnl::prop_kind kind(bool training) {
  return training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
}

}  // namespace

#if DNNL_VERSION_MAJOR >= 3

dnnl::convolution_forward::primitive_desc convolution_forward(const ConvolutionProblem& p,
                                                              bool training,
                                                              const dnnl::primitive_attr& attr) {
  if (!has_bias(p))
    return {engine(), kind(training), kAlgorithm,    p.source,       p.weights, p.destination,
            p.stride, p.dilation,     p.padding_low, p.padding_high, attr};
  return {engine(),      kind(training), kAlgorithm, p.source,      p.weights,      p.bias,
          p.destination, p.stride,       p.dilation, p.padding_low, p.padding_high, attr};
}

dnnl::convolution_backward_data::primitive_desc convolution_backward_data(
    const ConvolutionProblem& p, const dnnl::convolution_forward::primitive_desc& forward,
    const dnnl::primitive_attr& attr) {
  return {engine(),   kAlgorithm,    p.source,       p.weights, p.destination, p.stride,
          p.dilation, p.padding_low, p.padding_high, forward,   attr};
}

dnnl::convolution_backward_weights::primitive_desc convolution_backward_weights(
    const ConvolutionProblem& p, const dnnl::convolution_forward::primitive_desc& forward,
    const dnnl::primitive_attr& attr) {
  if (!has_bias(p))
    return {engine(),   kAlgorithm,    p.source,       p.weights, p.destination, p.stride,
            p.dilation, p.padding_low, p.padding_high, forward,   attr};
  return {engine(), kAlgorithm, p.source,      p.weights,      p.bias,  p.destination,
          p.stride, p.dilation, p.padding_low, p.padding_high, forward, attr};
}

dnnl::matmul::primitive_desc matmul(const Desc& source, const Desc& weights, const Desc& bias,
                                    const Desc& destination, const dnnl::primitive_attr& attr) {
  if (bias.get_size() == 0) return {engine(), source, weights, destination, attr};
  return {engine(), source, weights, bias, destination, attr};
}

std::optional<Layout> layout_of(const Desc& desc) {
  if (desc.get_format_kind() != dnnl::memory::format_kind::blocked) return std::nullopt;
  return Layout{desc.get_data_type(), desc.get_dims(), desc.get_strides(), desc.get_inner_blks(),
                desc.get_inner_idxs()};
}

void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm what, float alpha, float beta) {
  // 3.x reads x·max(0, min(1, alpha·x + beta)); 2.x knows these two numbers.
  if (what == dnnl::algorithm::eltwise_hardswish) {
    alpha = 1.0F / 6;
    beta = 0.5F;
  }
  ops.append_eltwise(what, alpha, beta);
}

void set_requantization(dnnl::primitive_attr& attr, const Requantization& how) {
  attr.set_scales_mask(DNNL_ARG_WEIGHTS, how.multipliers.size() > 1 ? how.weight_mask : 0);
  if (how.source_zero_point != 0) attr.set_zero_points_mask(DNNL_ARG_SRC, 0);
}

#else

dnnl::convolution_forward::primitive_desc convolution_forward(const ConvolutionProblem& p,
                                                              bool training,
                                                              const dnnl::primitive_attr& attr) {
  using Problem = dnnl::convolution_forward::desc;
  if (!has_bias(p))
    return {Problem(kind(training), kAlgorithm, p.source, p.weights, p.destination, p.stride,
                    p.dilation, p.padding_low, p.padding_high),
            attr, engine()};
  return {Problem(kind(training), kAlgorithm, p.source, p.weights, p.bias, p.destination, p.stride,
                  p.dilation, p.padding_low, p.padding_high),
          attr, engine()};
}

dnnl::convolution_backward_data::primitive_desc convolution_backward_data(
    const ConvolutionProblem& p, const dnnl::convolution_forward::primitive_desc& forward,
    const dnnl::primitive_attr& attr) {
  return {{kAlgorithm, p.source, p.weights, p.destination, p.stride, p.dilation, p.padding_low,
           p.padding_high},
          attr,
          engine(),
          forward};
}

dnnl::convolution_backward_weights::primitive_desc convolution_backward_weights(
    const ConvolutionProblem& p, const dnnl::convolution_forward::primitive_desc& forward,
    const dnnl::primitive_attr& attr) {
  using Problem = dnnl::convolution_backward_weights::desc;
  if (!has_bias(p))
    return {Problem(kAlgorithm, p.source, p.weights, p.destination, p.stride, p.dilation,
                    p.padding_low, p.padding_high),
            attr, engine(), forward};
  return {Problem(kAlgorithm, p.source, p.weights, p.bias, p.destination, p.stride, p.dilation,
                  p.padding_low, p.padding_high),
          attr, engine(), forward};
}

dnnl::matmul::primitive_desc matmul(const Desc& source, const Desc& weights, const Desc& bias,
                                    const Desc& destination, const dnnl::primitive_attr& attr) {
  if (bias.get_size() == 0)
    return {dnnl::matmul::desc(source, weights, destination), attr, engine()};
  return {dnnl::matmul::desc(source, weights, bias, destination), attr, engine()};
}

std::optional<Layout> layout_of(const Desc& desc) {
  if (desc.data.format_kind != dnnl_blocked) return std::nullopt;
  const auto& b = desc.data.format_desc.blocking;
  return Layout{desc.data_type(),
                desc.dims(),
                {b.strides, b.strides + desc.data.ndims},
                {b.inner_blks, b.inner_blks + b.inner_nblks},
                {b.inner_idxs, b.inner_idxs + b.inner_nblks}};
}

void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm what, float alpha, float beta) {
  ops.append_eltwise(1, what, alpha, beta);
}

void set_requantization(dnnl::primitive_attr& attr, const Requantization& how) {
  // Output channels are axis 1 of the destination, whatever the groups.
  attr.set_output_scales(how.multipliers.size() > 1 ? 1 << 1 : 0, how.multipliers);
  if (how.source_zero_point != 0) attr.set_zero_points(DNNL_ARG_SRC, 0, {how.source_zero_point});
}

#endif

}  // namespace pare::onednn
