// Import of normalizations.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

/// [C] as [1, C, 1, …], to broadcast against x.
int per_channel(NodeImport& node, int value, int rank) {
  std::vector<int> axes;
  for (int a = 0; a < rank; ++a)
    if (a != 1) axes.push_back(a);
  return unsqueeze(node, value, axes);
}

/// (x − mean) / √(variance + ε) · scale + bias, all of shapes that broadcast.
int standardized(NodeImport& node, int x, int mean, int variance, double epsilon) {
  const int moved = call(node, kAdd, {variance, number_like(node, epsilon, variance)});
  return call(node, kMul, {call(node, kSub, {x, mean}), call(node, kRsqrt, {moved})});
}

/// With training_mode: by the batch's statistics, and the running ones moved.
void batch_norm_training(NodeImport& node, int x, double epsilon, double momentum) {
  const int rank = shape_of(node, x).rank();
  std::vector<std::int64_t> axes;
  for (int a = 0; a < rank; ++a)
    if (a != 1) axes.push_back(a);
  const int mean = call(node, kMean, ReduceAttributes{axes, false}, {x});
  const int variance = call(node, kVar, VarianceAttributes{axes, 0, false}, {x});
  const int y = standardized(node, x, per_channel(node, mean, rank),
                             per_channel(node, variance, rank), epsilon);
  const int scaled = call(node, kMul, {y, per_channel(node, as_float(node, node.value(1)), rank)});
  node.output(
      0,
      cast(node, call(node, kAdd, {scaled, per_channel(node, as_float(node, node.value(2)), rank)}),
           node.dtype(0)));
  for (int k = 1; k < std::min(node.outputs(), 3); ++k) {
    const int old = node.value(k + 2);
    const int now = cast(node, k == 1 ? mean : variance, dtype_of(node, old));
    const int kept = call(node, kMul, {old, number_like(node, momentum, old)});
    const int fresh = call(node, kMul, {now, number_like(node, 1 - momentum, now)});
    node.output(k, call(node, kAdd, {kept, fresh}));
  }
}

/// Statistics that are computed or of another type are no state of the graph: x · f + (bias − mean
/// · f) with f = scale / √(variance + ε).
void batch_norm_by_inputs(NodeImport& node, double epsilon) {
  const int x = as_float(node, node.value(0));
  const DType dtype = dtype_of(node, x);
  const auto input = [&](int i) { return cast(node, node.value(i), dtype); };
  const int moved = call(node, kAdd, {input(4), number(node, epsilon, dtype)});
  const int factor = call(node, kMul, {input(1), call(node, kRsqrt, {moved})});
  const int shift = call(node, kSub, {input(2), call(node, kMul, {input(3), factor})});
  const int rank = node.shape(0).rank();
  const int y = call(node, kMul, {x, per_channel(node, factor, rank)});
  const int all = call(node, kAdd, {y, per_channel(node, shift, rank)});
  node.output(0, cast(node, all, node.dtype(0)));
}

void import_batch_norm(NodeImport& node) {
  node.ignore("consumed_inputs");
  node.ignore("is_test");
  expect_integer(node, "spatial", 1, 1);
  BatchNormAttributes attributes;
  attributes.epsilon = node.real("epsilon", 1e-5F);
  const double momentum = node.real("momentum", 0.9F);
  attributes.momentum = 1 - momentum;
  const DType dtype = node.dtype(0);
  if (node.integer("training_mode", 0) != 0) {
    batch_norm_training(node, as_float(node, node.value(0)), attributes.epsilon, momentum);
    return;
  }
  bool state = true;
  for (int i = 3; i < 5; ++i)
    state = state && node.graph().value(node.value(i)).is_leaf() && node.dtype(i) == DType::f32;
  if (!state || dtype == DType::f64) {
    batch_norm_by_inputs(node, attributes.epsilon);
    return;
  }
  std::vector<int> inputs{as_f32(node, node.value(0))};
  for (int i = 1; i < 5; ++i) inputs.push_back(as_f32(node, node.value(i)));
  node.output(0, cast(node, call(node, kBatchNorm, attributes, std::move(inputs)), dtype));
}

void import_instance_norm(NodeImport& node) {
  node.ignore("consumed_inputs");
  InstanceNormAttributes attributes;
  attributes.epsilon = node.real("epsilon", 1e-5F);
  const DType dtype = node.dtype(0);
  const int y =
      call(node, kInstanceNorm, attributes,
           {as_f32(node, node.value(0)), as_f32(node, node.value(1)), as_f32(node, node.value(2))});
  node.output(0, cast(node, y, dtype));
}

/// Whether a value has the shape of x's axes from `axis` on.
bool has_tail_shape(const Shape& shape, const Shape& x, int axis) {
  if (shape.rank() != x.rank() - axis) return false;
  for (int a = 0; a < shape.rank(); ++a)
    if (!shape.same_axis(a, x, a + axis)) return false;
  return true;
}

std::vector<std::int64_t> axes_from(int axis, int rank) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(rank - axis));
  std::iota(axes.begin(), axes.end(), axis);
  return axes;
}

/// Scale and bias in the op where they have its shape, else behind it.
void import_layer_norm(NodeImport& node) {
  const int given = node.value(0);
  const DType dtype = dtype_of(node, given);
  const Shape shape = shape_of(node, given);
  const int axis = axis_of(node, node.integer("axis", -1), shape.rank());
  const double epsilon = node.real("epsilon", 1e-5F);
  const std::int64_t stash = node.integer("stash_type", 1);
  if (stash != 1 && stash != 11) node.refuse(fmt::format("stash_type = {} is not taken", stash));
  const int x = as_float(node, given);
  const LayerNormAttributes attributes{axis, epsilon};
  bool inside = true;
  std::vector<int> inputs{x};
  for (int i = 1; i < 3; ++i) {
    inputs.push_back(node.has(i) ? cast(node, node.value(i), dtype_of(node, x)) : -1);
    inside = inside && (!node.has(i) || has_tail_shape(node.shape(i), shape, axis));
  }
  int y = call(node, kLayerNorm, attributes, inside ? inputs : std::vector<int>{x, -1, -1});
  if (!inside && inputs[1] >= 0) y = call(node, kMul, {y, inputs[1]});
  if (!inside && inputs[2] >= 0) y = call(node, kAdd, {y, inputs[2]});
  node.output(0, cast(node, y, dtype));
  if (node.outputs() < 2) return;
  const std::vector<std::int64_t> axes = axes_from(axis, shape.rank());
  node.output(1, call(node, kMean, ReduceAttributes{axes, true}, {x}));
  if (node.outputs() < 3) return;
  const int variance = call(node, kVar, VarianceAttributes{axes, 0, true}, {x});
  const int moved = call(node, kAdd, {variance, number_like(node, epsilon, variance)});
  node.output(2, call(node, kRsqrt, {moved}));
}

void import_rms_norm(NodeImport& node) {
  const int given = node.value(0);
  const Shape shape = shape_of(node, given);
  const int axis = axis_of(node, node.integer("axis", -1), shape.rank());
  const double epsilon = node.real("epsilon", 1e-5F);
  node.ignore("stash_type");
  const int x = as_float(node, given);
  const int scale = cast(node, node.value(1), dtype_of(node, x));
  const RmsNormAttributes attributes{axis, epsilon};
  const bool inside = has_tail_shape(shape_of(node, scale), shape, axis);
  int y = call(node, kRmsNorm, attributes, {x, inside ? scale : -1});
  if (!inside) y = call(node, kMul, {y, scale});
  node.output(0, cast(node, y, dtype_of(node, given)));
}

/// Before opset 21 scale and bias are one per group.
void import_group_norm(NodeImport& node) {
  GroupNormAttributes attributes;
  attributes.groups = node.integer("num_groups", 1);
  attributes.epsilon = node.real("epsilon", 1e-5F);
  node.ignore("stash_type");
  const DType dtype = node.dtype(0);
  const int x = as_f32(node, node.value(0));
  const std::int64_t channels = size_of(node, x, 1);
  if (attributes.groups < 1 || channels % attributes.groups != 0)
    node.refuse(fmt::format("{} groups of {} channels", attributes.groups, channels));
  std::vector<int> inputs{x};
  for (int i = 1; i < 3; ++i) {
    int v = as_f32(node, node.value(i));
    const Shape given = shape_of(node, v);
    if (given == Shape{attributes.groups} && attributes.groups != channels) {
      v = call(node, kExpand, ExpandAttributes{{attributes.groups, channels / attributes.groups}},
               {unsqueeze(node, v, {1})});
      v = reshape(node, v, Shape{channels});
    }
    inputs.push_back(v);
  }
  node.output(0, cast(node, call(node, kGroupNorm, attributes, std::move(inputs)), dtype));
}

/// x / ‖x‖_p, 0 where that is 0.
void import_lp_normalization(NodeImport& node) {
  const int x = node.value(0);
  const int axis = axis_of(node, node.integer("axis", -1), node.shape(0).rank());
  const auto p = static_cast<double>(node.integer("p", 2));
  const int norm = call(node, kNorm, NormAttributes{{axis}, p, true}, {x});
  constexpr double kSmallest = std::numeric_limits<float>::min();
  const DType dtype = dtype_of(node, x);
  const double least = dtype == DType::f16 ? 0x1p-14 : kSmallest;
  const int safe = call(node, kMaximum, {norm, number_like(node, least, norm)});
  node.output(0, call(node, kDiv, {x, safe}));
}

/// (x − mean) / (√variance + 1e-9).
void import_mean_variance(NodeImport& node) {
  const int x = node.value(0);
  std::vector<std::int64_t> axes = node.integers("axes");
  if (!node.has("axes")) axes = {0, 2, 3};
  const int mean = call(node, kMean, ReduceAttributes{axes, true}, {x});
  const int deviation = call(node, kStd, VarianceAttributes{axes, 0, true}, {x});
  const int moved = call(node, kAdd, {deviation, number_like(node, 1e-9, deviation)});
  node.output(0, call(node, kDiv, {call(node, kSub, {x, mean}), moved}));
}

void import_lrn(NodeImport& node) {
  LocalResponseNormAttributes attributes;
  attributes.size = node.integer("size", 1);
  attributes.alpha = node.real("alpha", 1e-4F);
  attributes.beta = node.real("beta", 0.75);
  attributes.k = node.real("bias", 1);
  // Of an even number ONNX has the larger half behind, PyTorch before.
  if (attributes.size % 2 == 0) node.refuse(fmt::format("an even size of {}", attributes.size));
  node.output(0, call(node, kLocalResponseNorm, attributes, {node.value(0)}));
}

/// com.microsoft: x + skip (+ bias) normalized; the sum is the last output.
int skip_sum(NodeImport& node, int bias_input) {
  int sum = call(node, kAdd, {node.value(0), node.value(1)});
  if (node.has(bias_input)) sum = call(node, kAdd, {sum, node.value(bias_input)});
  if (node.outputs() > 3) node.output(3, sum);
  return sum;
}
void import_skip_layer_norm(NodeImport& node) {
  const LayerNormAttributes attributes{-1, node.real("epsilon", 1e-12F)};
  const int sum = skip_sum(node, 4);
  node.output(0, call(node, kLayerNorm, attributes, {sum, node.value(2), given(node, 3)}));
}
void import_skip_rms_norm(NodeImport& node) {
  const RmsNormAttributes attributes{-1, node.real("epsilon", 1e-12F)};
  const int sum = skip_sum(node, 3);
  node.output(0, call(node, kRmsNorm, attributes, {sum, node.value(2)}));
}

constexpr OpImport kImports[] = {
    {"BatchNormalization", "", import_batch_norm},
    {"GroupNormalization", "", import_group_norm},
    {"InstanceNormalization", "", import_instance_norm},
    {"LRN", "", import_lrn},
    {"LayerNormalization", "", import_layer_norm},
    {"LpNormalization", "", import_lp_normalization},
    {"MeanVarianceNormalization", "", import_mean_variance},
    {"RMSNormalization", "", import_rms_norm},
    {"SimplifiedLayerNormalization", "", import_rms_norm},
    {"SimplifiedLayerNormalization", "com.microsoft", import_rms_norm},
    {"SkipLayerNormalization", "com.microsoft", import_skip_layer_norm},
    {"SkipSimplifiedLayerNormalization", "com.microsoft", import_skip_rms_norm},
};

}  // namespace

constinit const std::span<const OpImport> kNormalizationImports = kImports;

}  // namespace pare::onnx
