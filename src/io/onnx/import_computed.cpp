// Import of nodes whose shapes, bounds and axes are computed: inputs stay inputs; and of the ops
// that give shapes and places.
#include "io/onnx/import_computed.h"

#include "core/check.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

/// Input i, or −1.
int given(NodeImport& node, int i) { return node.has(i) ? node.value(i) : -1; }

/// Whether input i is there, holds something, and is not known now.
bool is_computed(NodeImport& node, int i) {
  return node.has(i) && !node.constant(i) && node.shape(i) != Shape{0};
}

/// One call of these inputs, those left out at the end apart.
void as_call(NodeImport& node, Call call, std::vector<int> inputs) {
  while (inputs.back() < 0) inputs.pop_back();
  node.output(0, node.call(std::move(call), std::move(inputs)));
}
void as_call(NodeImport& node, const OpDef& op, std::vector<int> inputs) {
  as_call(node, {&op, op.defaults ? op.defaults() : Attributes{}}, std::move(inputs));
}

void computed_reshape(NodeImport& node) {
  if (node.integer("allowzero", 0) != 0) node.refuse("allowzero with a shape that is computed");
  as_call(node, kReshape, {node.value(0), node.value(1)});
}
void computed_expand(NodeImport& node) { as_call(node, kExpand, {node.value(0), node.value(1)}); }
void computed_tile(NodeImport& node) { as_call(node, kTile, {node.value(0), node.value(1)}); }
void computed_squeeze(NodeImport& node) { as_call(node, kSqueeze, {node.value(0), node.value(1)}); }
void computed_unsqueeze(NodeImport& node) {
  as_call(node, kUnsqueeze, {node.value(0), node.value(1)});
}
void computed_slice(NodeImport& node) {
  as_call(node, kSlice,
          {node.value(0), node.value(1), node.value(2), given(node, 3), given(node, 4)});
}

void computed_constant(NodeImport& node) {
  Tensor value = node.tensor("value");
  if (!value.defined()) value = Tensor::zeros(Shape{1});
  if (value.elements() != 1) node.refuse(fmt::format("a value of {} elements", value.elements()));
  const int one = node.constant(value.rank() == 0 ? value : reshape(value, {}));
  as_call(node, kExpand, {one, node.value(0)});
}

void computed_pad(NodeImport& node) {
  const std::string mode = node.string("mode", "constant");
  const int x = node.value(0);
  const int amounts = node.value(1);
  const int axes = given(node, 3);
  if (mode == "constant") {
    as_call(node, kPad, {x, amounts, axes, given(node, 2)});
    return;
  }
  if (mode != "reflect" && mode != "edge" && mode != "wrap")
    node.refuse(fmt::format("the mode '{}' is unknown", mode));
  PadBorderAttributes attributes;
  attributes.mode = mode == "edge" ? "replicate" : mode == "wrap" ? "circular" : "reflect";
  as_call(node, {&kPadBorder, Attributes::of(attributes)}, {x, amounts, axes});
}

void computed_resize(NodeImport& node) {
  ResizeAttributes attributes;
  attributes.mode = node.string("mode", "nearest");
  attributes.coordinates = node.string("coordinate_transformation_mode", "half_pixel");
  attributes.nearest = node.string("nearest_mode", "round_prefer_floor");
  attributes.cubic_coefficient = node.real("cubic_coeff_a", -0.75);
  attributes.exclude_outside = node.integer("exclude_outside", 0) != 0;
  attributes.antialias = node.integer("antialias", 0) != 0;
  attributes.policy = node.string("keep_aspect_ratio_policy", "stretch");
  attributes.axes = node.integers("axes");
  node.ignore("extrapolation_value");
  if (attributes.coordinates == "tf_crop_and_resize" ||
      attributes.coordinates == "tf_half_pixel_for_nn")
    node.refuse(fmt::format("coordinate_transformation_mode '{}'", attributes.coordinates));
  const bool by_sizes = node.has(3) && node.shape(3) != Shape{0};
  // ONNX's corners lie by the size before it is rounded, which the result's shape does not tell.
  if (!by_sizes && attributes.coordinates == "align_corners")
    node.refuse("align_corners with scales that are computed");
  as_call(node, {&kResize, Attributes::of(attributes)},
          {node.value(0), by_sizes ? node.value(3) : -1, by_sizes ? -1 : node.value(2)});
}

void computed_topk(NodeImport& node) {
  TopkAttributes attributes;
  attributes.axis = axis_of(node, node.integer("axis", -1), node.shape(0).rank());
  attributes.largest = node.integer("largest", 1) != 0;
  node.ignore("sorted");
  const std::vector<int> both =
      node.call_all({&kTopk, Attributes::of(attributes)}, {node.value(0), node.value(1)});
  node.output(0, both[0]);
  node.output(1, both[1]);
}

void computed_one_hot(NodeImport& node) {
  OneHotAttributes attributes;
  attributes.axis = node.integer("axis", -1);
  as_call(node, {&kOneHot, Attributes::of(attributes)},
          {cast(node, node.value(0), DType::i64), cast(node, node.value(1), DType::i64),
           node.value(2)});
}

void computed_trilu(NodeImport& node) {
  as_call(node, {&kTrilu, Attributes::of(TriluAttributes{node.integer("upper", 1) != 0, 0})},
          {node.value(0), node.value(1)});
}

void computed_cumsum(NodeImport& node) {
  CumulativeAttributes attributes;
  attributes.exclusive = node.integer("exclusive", 0) != 0;
  attributes.reverse = node.integer("reverse", 0) != 0;
  as_call(node, {&kCumsum, Attributes::of(attributes)}, {node.value(0), node.value(1)});
}

/// A reduction of computed axes, of what `before` makes of x, and what `after` makes of the result.
void computed_reduction(NodeImport& node, const OpDef& op, const OpDef* before,
                        const OpDef* after) {
  if (node.integer("noop_with_empty_axes", 0) != 0)
    node.refuse("noop_with_empty_axes with axes that are computed");
  const bool keepdim = node.integer("keepdims", 1) != 0;
  int x = node.value(0);
  if (before) x = call(node, *before, {x});
  const int y = call(node, op, ReduceAttributes{{}, keepdim}, {x, node.value(1)});
  node.output(0, after ? call(node, *after, {y}) : y);
}
void computed_sum(NodeImport& node) { computed_reduction(node, kSum, nullptr, nullptr); }
void computed_mean(NodeImport& node) { computed_reduction(node, kMean, nullptr, nullptr); }
/// ONNX takes bool and axes without elements too.
void computed_extreme(NodeImport& node, const OpDef& op) {
  const Shape& x = node.shape(0);
  for (int a = 0; a < x.rank(); ++a)
    if (!x.symbolic(a) && x[a] == 0) node.refuse("no elements along axes that are computed");
  if (node.dtype(0) == DType::boolean) node.refuse("truth values along axes that are computed");
  computed_reduction(node, op, nullptr, nullptr);
}
void computed_max(NodeImport& node) { computed_extreme(node, kMax); }
void computed_min(NodeImport& node) { computed_extreme(node, kMin); }
void computed_prod(NodeImport& node) { computed_reduction(node, kProd, nullptr, nullptr); }
void computed_l1(NodeImport& node) { computed_reduction(node, kSum, &kAbs, nullptr); }
void computed_l2(NodeImport& node) { computed_reduction(node, kSum, &kSquare, &kSqrt); }
void computed_squares(NodeImport& node) { computed_reduction(node, kSum, &kSquare, nullptr); }
void computed_log_sum(NodeImport& node) { computed_reduction(node, kSum, nullptr, &kLog); }
void computed_log_sum_exp(NodeImport& node) {
  computed_reduction(node, kLogSumExp, nullptr, nullptr);
}

struct Computed {
  std::string_view op_type;
  int since;                ///< the opset from which these are inputs
  std::array<int, 4> says;  ///< the inputs that say something; −1: no more
  void (*run)(NodeImport& node);
};

constexpr Computed kComputed[] = {
    {"ConstantOfShape", 9, {0, -1, -1, -1}, computed_constant},
    {"CumSum", 11, {1, -1, -1, -1}, computed_cumsum},
    {"Expand", 8, {1, -1, -1, -1}, computed_expand},
    {"OneHot", 9, {1, -1, -1, -1}, computed_one_hot},
    {"Pad", 11, {1, 2, 3, -1}, computed_pad},
    {"ReduceL1", 18, {1, -1, -1, -1}, computed_l1},
    {"ReduceL2", 18, {1, -1, -1, -1}, computed_l2},
    {"ReduceLogSum", 18, {1, -1, -1, -1}, computed_log_sum},
    {"ReduceLogSumExp", 18, {1, -1, -1, -1}, computed_log_sum_exp},
    {"ReduceMax", 18, {1, -1, -1, -1}, computed_max},
    {"ReduceMean", 18, {1, -1, -1, -1}, computed_mean},
    {"ReduceMin", 18, {1, -1, -1, -1}, computed_min},
    {"ReduceProd", 18, {1, -1, -1, -1}, computed_prod},
    {"ReduceSum", 13, {1, -1, -1, -1}, computed_sum},
    {"ReduceSumSquare", 18, {1, -1, -1, -1}, computed_squares},
    {"Reshape", 5, {1, -1, -1, -1}, computed_reshape},
    {"Resize", 11, {2, 3, -1, -1}, computed_resize},
    {"Slice", 10, {1, 2, 3, 4}, computed_slice},
    {"Squeeze", 13, {1, -1, -1, -1}, computed_squeeze},
    {"Tile", 6, {1, -1, -1, -1}, computed_tile},
    {"TopK", 10, {1, -1, -1, -1}, computed_topk},
    {"Trilu", 14, {1, -1, -1, -1}, computed_trilu},
    {"Unsqueeze", 13, {1, -1, -1, -1}, computed_unsqueeze},
};

void import_nonzero(NodeImport& node) { as_call(node, kNonZero, {node.value(0)}); }

void import_compress(NodeImport& node) {
  CompressAttributes attributes;
  attributes.flat = !node.has("axis");
  if (!attributes.flat)
    attributes.axis = axis_of(node, node.integer("axis", 0), node.shape(0).rank());
  as_call(node, {&kCompress, Attributes::of(attributes)}, {node.value(0), node.value(1)});
}

constexpr OpImport kImports[] = {{"Compress", "", import_compress},
                                 {"NonZero", "", import_nonzero}};

}  // namespace

bool import_computed(NodeImport& node) {
  if (!node.proto().domain.empty()) return false;
  for (const Computed& op : kComputed) {
    if (op.op_type != node.proto().op_type || node.opset() < op.since) continue;
    for (const int i : op.says)
      if (i >= 0 && is_computed(node, i)) {
        op.run(node);
        return true;
      }
  }
  return false;
}

constinit const std::span<const OpImport> kComputedImports = kImports;

}  // namespace pare::onnx
