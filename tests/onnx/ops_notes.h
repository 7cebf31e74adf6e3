// What docs/onnx_ops.md says beside the names of ONNX's ops.
#pragma once

#include <string_view>

namespace pare::onnx::test {

struct Note {
  std::string_view domain, op, text;
};

inline constexpr Note kNotes[] = {
    {"", "Attention", "without softcap, `qk_matmul_output` and `nonpad_kv_seqlen`"},
    {"", "AveragePool", "dilated, or padded by more than half a window: written out as slices"},
    {"", "BatchNormalization", "with `training_mode` as the ops that compute the statistics"},
    {"", "BitShift", "as products and quotients of powers of two"},
    {"", "Clip", "`relu`, `relu6` or `clamp` where the bounds are constant"},
    {"", "Col2Im", "two spatial axes, equal padding before and after"},
    {"", "Constant", "tensors, numbers and lists of numbers"},
    {"", "ConvInteger", "dequantized codes with a scale of 1; sums beyond 2^24 are rounded to f32"},
    {"", "Dropout", "passes through; `training_mode` must be known to be off"},
    {"", "Einsum", "known sizes; as transpose, reshape, mul, sum and matmul"},
    {"", "Gemm", "`linear` where C is a bias of the columns"},
    {"", "GridSample", "as gathers of neighbours, weighted"},
    {"", "LRN", "odd sizes"},
    {"", "MatMul", "f64 and integers as products that are summed"},
    {"", "MatMulInteger", "as ConvInteger"},
    {"", "MaxPool", "with `Indices`: written out as slices"},
    {"", "OneHot", "as comparisons with 0 … depth − 1"},
    {"", "QLinearConv", "becomes dequantize_linear, conv, quantize_linear"},
    {"", "QLinearMatMul", "becomes dequantize_linear, matmul, quantize_linear"},
    {"", "DequantizeLinear",
     "per tensor, per axis, blocked; constant codes are shifted to i8 with zero point 0 where all "
     "of them fit; in blocks, and packed for layers whose inputs have no codes, they stay as they "
     "are (dequantize_weight)"},
    {"", "QuantizeLinear", "per tensor, per axis, blocked; to 8, 16 and 32 bits"},
    {"", "Resize", "without `tf_crop_and_resize` and `tf_half_pixel_for_nn`"},
    {"", "Softmax", "before opset 13 over all axes from `axis` on"},
    {"com.microsoft", "MatMulNBits", "2, 4 and 8 bits, constant codes and scales, without `g_idx`"},
    {"com.microsoft", "QLinearGlobalAveragePool", "channels first"},
    {"com.microsoft", "QLinearAveragePool", "channels first"},
};

inline constexpr Note kRefused[] = {
    {"", "Bernoulli", "random numbers"},
    {"", "BlackmanWindow", "signal processing"},
    {"", "ConcatFromSequence", "sequences"},
    {"", "DFT", "signal processing"},
    {"", "DeformConv", "pare has no such op"},
    {"", "Det", "pare has no such op"},
    {"", "HammingWindow", "signal processing"},
    {"", "HannWindow", "signal processing"},
    {"", "If", "control flow, unless its condition is constant"},
    {"", "ImageDecoder", "pictures are decoded by pare::data"},
    {"", "Loop", "control flow"},
    {"", "MaxRoiPool", "pare has no such op"},
    {"", "MelWeightMatrix", "signal processing"},
    {"", "Multinomial", "random numbers"},
    {"", "NonMaxSuppression", "pare has no such op"},
    {"", "Optional", "optional values"},
    {"", "OptionalGetElement", "optional values"},
    {"", "OptionalHasElement", "optional values"},
    {"", "RandomNormal", "random numbers"},
    {"", "RandomNormalLike", "random numbers"},
    {"", "RandomUniform", "random numbers"},
    {"", "RandomUniformLike", "random numbers"},
    {"", "RegexFullMatch", "strings"},
    {"", "RoiAlign", "pare has no such op"},
    {"", "STFT", "signal processing"},
    {"", "Scan", "control flow"},
    {"", "SequenceAt", "sequences"},
    {"", "SequenceConstruct", "sequences"},
    {"", "SequenceEmpty", "sequences"},
    {"", "SequenceErase", "sequences"},
    {"", "SequenceInsert", "sequences"},
    {"", "SequenceLength", "sequences"},
    {"", "SequenceMap", "sequences"},
    {"", "SplitToSequence", "sequences"},
    {"", "StringConcat", "strings"},
    {"", "StringNormalizer", "strings"},
    {"", "StringSplit", "strings"},
    {"", "TfIdfVectorizer", "strings"},
    {"", "Unique", "the number of its results is known to the data alone"},
};

}  // namespace pare::onnx::test
