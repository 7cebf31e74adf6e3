// How pare calls oneDNN, whichever version: the only file that tells 2.6 and 3.x apart.
#pragma once

#include <dnnl.hpp>

#include <cstddef>
#include <optional>
#include <vector>

namespace pare::onednn {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

inline constexpr bool kVersion3 = DNNL_VERSION_MAJOR >= 3;

/// The CPU; made once and never destroyed, since primitives in thread-local caches outlive statics.
const dnnl::engine& engine();
/// The calling thread's stream.
const dnnl::stream& stream();

/// The calling thread's scratch memory, at least `bytes`, 64-byte aligned; valid until the next
/// call. Never oneDNN's own scratchpads: with several threads those gave wrong results.
std::byte* workspace(std::size_t bytes);

/// Runs with arguments that the caller keeps. Throws internal with oneDNN's status.
void execute(const dnnl::primitive& primitive, const std::vector<dnnl_exec_arg_t>& arguments);

/// Whether u8·s8 sums of products saturate at 16 bits with full-range weights: x86 below AVX2_VNNI,
/// and AVX-512 without VNNI, by what oneDNN itself may use (DNNL_MAX_CPU_ISA included).
bool saturates();

/// Whether int8 kernels are right. Below AVX2 1x1 convolutions got outputs wrong: with a residual
/// in 2.6.3 (11 of 432), with f32 results in 3.2 (12 of 432).
bool right_in_int8();

/// Attributes with the scratchpad in the caller's hands.
dnnl::primitive_attr user_scratchpad();

struct ConvolutionProblem {
  Desc source, weights, bias, destination;  ///< bias of no dimensions: none
  Dims stride, dilation, padding_low, padding_high;
};

inline bool has_bias(const ConvolutionProblem& p) { return p.bias.get_size() != 0; }

// Each of these throws dnnl::error where oneDNN has no implementation.
dnnl::convolution_forward::primitive_desc convolution_forward(const ConvolutionProblem& problem,
                                                              bool training,
                                                              const dnnl::primitive_attr& attr);
dnnl::convolution_backward_data::primitive_desc convolution_backward_data(
    const ConvolutionProblem& problem, const dnnl::convolution_forward::primitive_desc& forward,
    const dnnl::primitive_attr& attr);
dnnl::convolution_backward_weights::primitive_desc convolution_backward_weights(
    const ConvolutionProblem& problem, const dnnl::convolution_forward::primitive_desc& forward,
    const dnnl::primitive_attr& attr);
/// `bias` of no dimensions: none.
dnnl::matmul::primitive_desc matmul(const Desc& source, const Desc& weights, const Desc& bias,
                                    const Desc& destination, const dnnl::primitive_attr& attr);

/// Where the elements of a tensor lie: strides of whole blocks, then the blocks inside, the last
/// one innermost, each of so many along its axis.
struct Layout {
  Type type;
  Dims dims, strides, blocks, axes;
};
/// None where they do not lie so.
std::optional<Layout> layout_of(const Desc& desc);

void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm what, float alpha = 0, float beta = 0);

/// How an int8 primitive turns sums into its destination's codes (docs/numerics.md): oneDNN 2
/// computes (sum + bias) · m with the bias in units of the sum, oneDNN 3 sum · m + bias.
struct Requantization {
  std::vector<float> multipliers;  ///< m: one, or one per output channel
  int weight_mask = 0;             ///< oneDNN 3's mask for per-channel weight scales
  int source_zero_point = 0;
};
/// With 2 the multipliers go into the attributes, with 3 they are an argument when it runs.
void set_requantization(dnnl::primitive_attr& attr, const Requantization& how);
/// That argument of version 3.
#if DNNL_VERSION_MAJOR >= 3
inline constexpr int kMultipliersArgument = DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS;
#else
inline constexpr int kMultipliersArgument = 0;  // not used
#endif

}  // namespace pare::onednn
