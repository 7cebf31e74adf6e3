// What the importers of ONNX ops build with.
#include "io/onnx/import_build.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/check.h"
#include "io/onnx/tensor_data.h"

namespace pare::onnx {

Shape shape_of(NodeImport& node, int value) { return node.graph().value(value).shape; }
DType dtype_of(NodeImport& node, int value) { return node.graph().value(value).dtype; }

int call(NodeImport& node, const OpDef& op, std::vector<int> inputs) {
  return node.call({&op, op.defaults ? op.defaults() : Attributes()}, std::move(inputs));
}

int number(NodeImport& node, double value, DType dtype) {
  return node.constant(Tensor::scalar(value, dtype));
}
int number_like(NodeImport& node, double value, int like) {
  return number(node, value, dtype_of(node, like));
}
int integers(NodeImport& node, const std::vector<std::int64_t>& values) {
  return node.constant(Tensor::from(values, {static_cast<std::int64_t>(values.size())}));
}

int cast(NodeImport& node, int value, DType to) {
  return dtype_of(node, value) == to ? value : call(node, kCast, CastAttributes{to}, {value});
}

namespace {

/// What a reshape's attributes say of these shapes; nothing where two axes would have to be found.
std::optional<ReshapeAttributes> reshape_of(const Shape& from, const Shape& to) {
  ReshapeAttributes attributes;
  bool open = false;
  for (int a = 0; a < to.rank(); ++a) {
    const bool same = a < from.rank() && from.same_axis(a, to, a);
    if (to.symbolic(a) ? same : to[a] == 0 && same) {
      attributes.shape.push_back(0);
    } else if (to.symbolic(a) || to[a] == 0) {
      if (open) return std::nullopt;
      open = true;
      attributes.shape.push_back(-1);
    } else {
      attributes.shape.push_back(to[a]);
    }
  }
  return attributes;
}

/// The same reshaped, or where no attribute says that: by a call that takes the axes as a tensor.
int with_axes(NodeImport& node, const OpDef& op, int value, const Shape& to,
              const std::vector<int>& axes) {
  if (axes.empty() || reshape_of(shape_of(node, value), to)) return reshape(node, value, to);
  return call(node, op, {value, integers(node, {axes.begin(), axes.end()})});
}

}  // namespace

int reshape(NodeImport& node, int value, const Shape& to) {
  const Shape from = shape_of(node, value);
  if (from == to) return value;
  auto attributes = reshape_of(from, to);
  if (!attributes)
    refuse(node, fmt::format("a reshape of {} to {} has two axes of unknown size", from, to));
  return call(node, kReshape, std::move(*attributes), {value});
}

int transpose(NodeImport& node, int value, const std::vector<std::int64_t>& permutation) {
  std::vector<std::int64_t> identity(permutation.size());
  std::iota(identity.begin(), identity.end(), 0);
  return permutation == identity
             ? value
             : call(node, kTranspose, TransposeAttributes{permutation}, {value});
}

int unsqueeze(NodeImport& node, int value, const std::vector<int>& axes) {
  const Shape from = shape_of(node, value);
  const int rank = from.rank() + static_cast<int>(axes.size());
  if (rank > Shape::kMaxRank)
    node.refuse(fmt::format("it makes {} axes, more than {}", rank, Shape::kMaxRank));
  Shape to;
  int next = 0;
  for (int a = 0; a < rank; ++a) {
    if (std::ranges::find(axes, a) != axes.end())
      to.append(1);
    else
      to.append(from, next++);
  }
  return with_axes(node, kUnsqueeze, value, to, axes);
}

int squeeze(NodeImport& node, int value, const std::vector<int>& axes) {
  const Shape from = shape_of(node, value);
  Shape to;
  for (int a = 0; a < from.rank(); ++a) {
    if (std::ranges::find(axes, a) == axes.end())
      to.append(from, a);
    else if (from.symbolic(a) || from[a] != 1)
      node.refuse(fmt::format("axis {} of {} is not of size 1", a, from));
  }
  return with_axes(node, kSqueeze, value, to, axes);
}

int slice(NodeImport& node, int value, int axis, std::int64_t start, std::int64_t end,
          std::int64_t step) {
  return call(node, kSlice, SliceAttributes{{axis}, {start}, {end}, {step}}, {value});
}

bool is_computed(NodeImport& node, int i) {
  return node.has(i) && !node.constant(i) && node.shape(i) != Shape{0};
}

int given(NodeImport& node, int i) { return node.has(i) ? node.value(i) : -1; }

int call_given(NodeImport& node, Call call, std::vector<int> inputs) {
  while (inputs.back() < 0) inputs.pop_back();
  return node.call(std::move(call), std::move(inputs));
}

int as_f32(NodeImport& node, int value) {
  const DType dtype = dtype_of(node, value);
  if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16)
    node.refuse(fmt::format("it is computed in f32 alone, not in {}", dtype));
  return cast(node, value, DType::f32);
}

int as_float(NodeImport& node, int value) {
  const DType dtype = dtype_of(node, value);
  if (dtype == DType::f32 || dtype == DType::f64) return value;
  return cast(node, value, is_floating(dtype) ? DType::f32 : DType::f64);
}

int axis_of(NodeImport& node, std::int64_t value, int rank) {
  if (value < -rank || value >= rank)
    node.refuse(fmt::format("axis {} is none of {} axes", value, rank));
  return static_cast<int>(value < 0 ? value + rank : value);
}

std::vector<int> axes_of(NodeImport& node, const std::vector<std::int64_t>& values, int rank) {
  std::vector<int> axes;
  for (const std::int64_t value : values) {
    const int axis = axis_of(node, value, rank);
    if (std::ranges::find(axes, axis) != axes.end())
      node.refuse(fmt::format("axis {} is named twice", axis));
    axes.push_back(axis);
  }
  return axes;
}

std::int64_t size_of(NodeImport& node, int value, int axis) {
  const Shape shape = shape_of(node, value);
  if (shape.symbolic(axis))
    node.refuse(fmt::format("it needs a known size of axis {} of {}", axis, shape));
  return shape[axis];
}

void append_product(NodeImport& node, Shape& to, const Shape& from, int begin, int end) {
  int named = -1;
  std::int64_t product = 1;
  for (int a = begin; a < end; ++a) {
    if (!from.symbolic(a)) {
      if (__builtin_mul_overflow(product, from[a], &product))
        node.refuse(fmt::format("{} is more than 2^63 elements", from));
    } else if (named >= 0) {
      named = Shape::kMaxRank;
    } else {
      named = a;
    }
  }
  if (named < 0)
    to.append(product);
  else if (named < Shape::kMaxRank && product == 1)
    to.append(from, named);
  else
    // A name of its own: what reshape leaves open.
    to.append_symbol(fmt::format("{}.product{}", node.proto().name, begin));
}

DType dtype_of_element(NodeImport& node, std::int64_t type) {
  const auto element = static_cast<ElementType>(type);
  const std::optional<DType> dtype = dtype_of(element);
  if (!dtype) node.refuse(fmt::format("elements of {}", name_of(element)));
  return *dtype;
}

void expect_integer(NodeImport& node, const char* attribute, std::int64_t value,
                    std::int64_t fallback) {
  const std::int64_t given = node.integer(attribute, fallback);
  if (given != value) node.refuse(fmt::format("{} = {} is not taken", attribute, given));
}

}  // namespace pare::onnx
