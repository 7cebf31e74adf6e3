// Import of reductions, ArgMax, CumSum, TopK and the softmax family.
#include <algorithm>
#include <functional>
#include <limits>

#include "core/check.h"
#include "core/dtype_switch.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

/// What a reduction runs over: an attribute before `input_since`, an input from there on. No axes
/// are all of them, or none where noop_with_empty_axes says so.
struct Reduced {
  std::vector<std::int64_t> axes;
  int computed = -1;  ///< the value that holds the axes, where they are not known now
  bool keepdim = true;
  bool nothing = false;
};

Reduced reduced(NodeImport& node, std::int64_t input_since) {
  Reduced r;
  r.keepdim = node.integer("keepdims", 1) != 0;
  const int rank = node.shape(0).rank();
  const bool noop = node.integer("noop_with_empty_axes", 0) != 0;
  std::vector<std::int64_t> given;
  if (node.opset() < input_since) {
    given = node.integers("axes");
  } else if (is_computed(node, 1)) {
    if (noop) node.refuse("noop_with_empty_axes with axes that are computed");
    r.computed = node.value(1);
    return r;
  } else if (node.has(1) && node.shape(1) != Shape{0}) {
    given = node.integers(1);
  }
  for (const int axis : axes_of(node, given, rank)) r.axes.push_back(axis);
  r.nothing = rank == 0 || (given.empty() && noop);
  return r;
}

/// The number of elements behind each result is known to be 0. Where the axes are computed it may
/// also be that there are no results.
bool reduces_nothing(const Shape& x, const Reduced& r) {
  for (int a = 0; a < x.rank(); ++a) {
    const bool over = r.axes.empty() || std::ranges::find(r.axes, a) != r.axes.end();
    if (over && !x.symbolic(a) && x[a] == 0) return true;
  }
  return false;
}

/// Sums know floats and wide integers.
int summable(NodeImport& node, int x) {
  const DType dtype = dtype_of(node, x);
  if (is_floating(dtype) || dtype == DType::i64) return x;
  return cast(node, x, dtype == DType::i32 ? DType::i32 : DType::i64);
}

int reduce(NodeImport& node, const OpDef& op, int x, const Reduced& r) {
  if (r.nothing) return x;
  return call_given(node, {&op, Attributes::of(ReduceAttributes{r.axes, r.keepdim})},
                    {x, r.computed});
}

int sum_of(NodeImport& node, int x, const Reduced& r) {
  return reduce(node, kSum, summable(node, x), r);
}

/// before(x), summed, then after(sum), in x's type.
void import_sum(NodeImport& node, std::int64_t input_since, const OpDef* before,
                const OpDef* after) {
  const Reduced r = reduced(node, input_since);
  const int x = node.value(0);
  int y = before ? call(node, *before, {summable(node, x)}) : x;
  y = sum_of(node, y, r);
  if (after) y = call(node, *after, {as_float(node, y)});
  node.output(0, cast(node, y, dtype_of(node, x)));
}

void import_reduce_sum(NodeImport& node) { import_sum(node, 13, nullptr, nullptr); }
void import_reduce_l1(NodeImport& node) { import_sum(node, 18, &kAbs, nullptr); }
void import_reduce_l2(NodeImport& node) { import_sum(node, 18, &kSquare, &kSqrt); }
void import_sum_square(NodeImport& node) { import_sum(node, 18, &kSquare, nullptr); }
void import_log_sum(NodeImport& node) { import_sum(node, 18, nullptr, &kLog); }

void import_log_sum_exp(NodeImport& node) {
  const Reduced r = reduced(node, 18);
  const int x = node.value(0);
  if (reduces_nothing(shape_of(node, x), r)) {
    const int y = sum_of(node, as_float(node, x), r);
    node.output(0, cast(node, call(node, kLog, {y}), dtype_of(node, x)));
    return;
  }
  const int y = reduce(node, kLogSumExp, as_float(node, x), r);
  node.output(0, cast(node, y, dtype_of(node, x)));
}

void import_reduce_mean(NodeImport& node) {
  const Reduced r = reduced(node, 18);
  const int x = node.value(0);
  const DType dtype = dtype_of(node, x);
  if (is_floating(dtype)) {
    node.output(0, reduce(node, kMean, x, r));
    return;
  }
  // Of integers, truncated as a division is.
  const int y = reduce(node, kMean, cast(node, x, DType::f64), r);
  node.output(0, cast(node, y, dtype));
}

void import_reduce_prod(NodeImport& node) {
  const Reduced r = reduced(node, 18);
  const int x = node.value(0);
  const int y = reduce(node, kProd, summable(node, x), r);
  node.output(0, cast(node, y, dtype_of(node, x)));
}

/// The largest or smallest; over no elements the lowest or highest value of the type.
template <bool Largest> void import_extreme(NodeImport& node) {
  const Reduced r = reduced(node, 18);
  const int x = node.value(0);
  const DType dtype = dtype_of(node, x);
  const Shape shape = shape_of(node, x);
  if (dtype == DType::boolean) {
    if (r.computed >= 0) node.refuse("truth values along axes that are computed");
    node.output(0, reduce(node, Largest ? kAny : kAll, x, r));
    return;
  }
  if (!reduces_nothing(shape, r)) {
    node.output(0, reduce(node, Largest ? kMax : kMin, x, r));
    return;
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const DTypeTraits& facts = traits(dtype);
  const double lowest = facts.floating ? -kInfinity : facts.lowest;
  const double highest = facts.floating ? kInfinity : facts.highest;
  // The sum over nothing has the right shape and is 0.
  const int zeros = cast(node, sum_of(node, x, r), dtype);
  node.output(0, call(node, kAdd, {zeros, number(node, Largest ? lowest : highest, dtype)}));
}

template <const OpDef& Op> void import_arg(NodeImport& node) {
  const int x = node.value(0);
  const int axis = axis_of(node, node.integer("axis", 0), node.shape(0).rank());
  const AxisAttributes attributes{axis, node.integer("keepdims", 1) != 0};
  if (node.integer("select_last_index", 0) == 0) {
    node.output(0, call(node, Op, attributes, {x}));
    return;
  }
  // The first from the end.
  const std::int64_t size = size_of(node, x, axis);
  constexpr std::int64_t kBeginning = std::numeric_limits<std::int64_t>::min();
  const int reversed = slice(node, x, axis, -1, kBeginning, -1);
  const int index = call(node, Op, attributes, {reversed});
  const int last = number(node, static_cast<double>(size - 1), DType::i64);
  node.output(0, call(node, kSub, {last, index}));
}

void import_cumsum(NodeImport& node) {
  CumulativeAttributes attributes;
  attributes.exclusive = node.integer("exclusive", 0) != 0;
  attributes.reverse = node.integer("reverse", 0) != 0;
  if (is_computed(node, 1)) {
    node.output(0, call(node, kCumsum, attributes, {node.value(0), node.value(1)}));
    return;
  }
  const std::vector<std::int64_t> axis = node.integers(1);
  if (axis.size() != 1) node.refuse("one axis is expected");
  attributes.axis = axis_of(node, axis[0], node.shape(0).rank());
  node.output(0, call(node, kCumsum, attributes, {node.value(0)}));
}

void import_topk(NodeImport& node) {
  TopkAttributes attributes;
  attributes.axis = axis_of(node, node.integer("axis", -1), node.shape(0).rank());
  attributes.largest = node.integer("largest", 1) != 0;
  node.ignore("sorted");  // any order is allowed where 0
  std::vector<int> inputs{node.value(0)};
  if (node.opset() < 10) {
    attributes.k = node.integer("k", 1);
  } else if (is_computed(node, 1)) {
    inputs.push_back(node.value(1));
  } else {
    const std::vector<std::int64_t> k = node.integers(1);
    if (k.size() != 1) node.refuse("one number k is expected");
    attributes.k = k[0];
  }
  const std::vector<int> sorted =
      node.call_all({&kTopk, Attributes::of(attributes)}, std::move(inputs));
  node.output(0, sorted[0]);
  node.output(1, sorted[1]);
}

/// softmax and its like. Before opset 13 all axes from `axis` on are one.
void over_axis(NodeImport& node, const std::function<int(int x, int axis)>& run) {
  const int x = node.value(0);
  const Shape shape = shape_of(node, x);
  const bool coerced = node.opset() < 13;
  const int axis = axis_of(node, node.integer("axis", coerced ? 1 : -1), shape.rank());
  bool alone = true;
  for (int a = axis + 1; a < shape.rank(); ++a)
    alone = alone && !shape.symbolic(a) && shape[a] == 1;
  if (!coerced || alone) {
    node.output(0, run(x, axis));
    return;
  }
  Shape matrix;
  append_product(node, matrix, shape, 0, axis);
  append_product(node, matrix, shape, axis, shape.rank());
  node.output(0, reshape(node, run(reshape(node, x, matrix), 1), shape));
}

template <const OpDef& Op> void import_softmax(NodeImport& node) {
  over_axis(node, [&](int x, int axis) { return call(node, Op, SoftmaxAttributes{axis}, {x}); });
}

/// 1 at the first largest element, 0 elsewhere.
void import_hardmax(NodeImport& node) {
  over_axis(node, [&](int x, int axis) {
    const std::int64_t size = size_of(node, x, axis);
    const int largest = call(node, kArgmax, AxisAttributes{axis, false}, {x});
    OneHotAttributes attributes;
    attributes.depth = size;
    attributes.axis = axis;
    attributes.dtype = dtype_of(node, x);
    return call(node, kOneHot, attributes, {largest});
  });
}

constexpr OpImport kImports[] = {
    {"ArgMax", "", import_arg<kArgmax>},
    {"ArgMin", "", import_arg<kArgmin>},
    {"CumSum", "", import_cumsum},
    {"Hardmax", "", import_hardmax},
    {"LogSoftmax", "", import_softmax<kLogSoftmax>},
    {"ReduceL1", "", import_reduce_l1},
    {"ReduceL2", "", import_reduce_l2},
    {"ReduceLogSum", "", import_log_sum},
    {"ReduceLogSumExp", "", import_log_sum_exp},
    {"ReduceMax", "", import_extreme<true>},
    {"ReduceMean", "", import_reduce_mean},
    {"ReduceMin", "", import_extreme<false>},
    {"ReduceProd", "", import_reduce_prod},
    {"ReduceSum", "", import_reduce_sum},
    {"ReduceSumSquare", "", import_sum_square},
    {"Softmax", "", import_softmax<kSoftmax>},
    {"TopK", "", import_topk},
};

}  // namespace

constinit const std::span<const OpImport> kReductionImports = kImports;

}  // namespace pare::onnx
