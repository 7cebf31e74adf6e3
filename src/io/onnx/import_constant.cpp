// Import of constants, shapes as values, and what passes its input through in inference.
#include <cmath>

#include "core/check.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

Tensor from_reals(const std::vector<double>& values, const Shape& shape) {
  return Tensor::from(values, shape).to(DType::f32);
}

void import_constant(NodeImport& node) {
  if (node.has("value")) {
    node.output(0, node.constant(node.tensor("value")));
  } else if (node.has("value_float")) {
    node.output(0, number(node, node.real("value_float", 0), DType::f32));
  } else if (node.has("value_floats")) {
    const std::vector<double> values = node.reals("value_floats");
    node.output(0, node.constant(from_reals(values, {static_cast<std::int64_t>(values.size())})));
  } else if (node.has("value_int")) {
    node.output(0, node.constant(Tensor::from(
                       std::vector<std::int64_t>{node.integer("value_int", 0)}, Shape{})));
  } else if (node.has("value_ints")) {
    node.output(0, integers(node, node.integers("value_ints")));
  } else {
    node.refuse("a value of this kind");
  }
}

Shape to_shape(NodeImport& node, const std::vector<std::int64_t>& sizes) {
  if (sizes.size() > Shape::kMaxRank)
    node.refuse(fmt::format("{} axes, more than {}", sizes.size(), Shape::kMaxRank));
  for (const std::int64_t size : sizes)
    if (size < 0) node.refuse(fmt::format("a size of {}", size));
  return Shape(std::span(sizes));
}

/// A constant where the shape is known: one element, repeated.
void import_constant_of_shape(NodeImport& node) {
  Tensor value = node.tensor("value");
  if (!value.defined()) value = Tensor::zeros(Shape{1});
  if (value.elements() != 1) node.refuse(fmt::format("a value of {} elements", value.elements()));
  const int one = node.constant(value.rank() == 0 ? value : reshape(value, {}));
  if (is_computed(node, 0)) {
    node.output(0, call(node, kExpand, {one, node.value(0)}));
    return;
  }
  const std::vector<std::int64_t> sizes = node.integers(0);
  to_shape(node, sizes);
  node.output(0, sizes.empty() ? one : call(node, kExpand, ExpandAttributes{sizes}, {one}));
}

/// The sizes of axes [start, end), each clamped into the rank.
void import_shape(NodeImport& node) {
  const Shape shape = node.shape(0);
  const auto clamped = [&](std::int64_t axis) {
    const std::int64_t at = axis < 0 ? axis + shape.rank() : axis;
    return static_cast<int>(std::clamp<std::int64_t>(at, 0, shape.rank()));
  };
  const int start = clamped(node.integer("start", 0));
  const int end = clamped(node.integer("end", shape.rank()));
  for (int a = start; a < end; ++a)
    if (shape.symbolic(a)) {
      node.output(0, call(node, kShape, ShapeAttributes{start, end}, {node.value(0)}));
      return;
    }
  std::vector<std::int64_t> sizes;
  for (int a = start; a < end; ++a) sizes.push_back(shape[a]);
  node.output(0, integers(node, sizes));
}

void import_size(NodeImport& node) {
  const Shape shape = node.shape(0);
  if (shape.symbolic()) {
    node.output(0, call(node, kSize, {node.value(0)}));
    return;
  }
  node.output(0, node.constant(Tensor::from(std::vector<std::int64_t>{shape.elements()}, Shape{})));
}

void import_range(NodeImport& node) {
  node.output(0, call(node, kRange, {node.value(0), node.value(1), node.value(2)}));
}

/// Ones on diagonal k of a matrix of the input's shape.
void import_eye_like(NodeImport& node) {
  const Shape shape = node.shape(0);
  if (shape.rank() != 2 || shape.symbolic())
    node.refuse(fmt::format("a matrix of known size is expected, got {}", shape));
  const DType dtype =
      node.has("dtype") ? dtype_of_element(node, node.integer("dtype", 1)) : node.dtype(0);
  const std::int64_t k = node.integer("k", 0);
  node.afford(shape);
  std::vector<std::int64_t> eye(static_cast<std::size_t>(shape.elements()), 0);
  for (std::int64_t row = 0; row < shape[0]; ++row)
    if (row + k >= 0 && row + k < shape[1])
      eye[static_cast<std::size_t>(row * shape[1] + row + k)] = 1;
  node.output(0, node.constant(Tensor::from(eye, shape).to(dtype)));
}

/// In inference everything passes; the mask is all true.
void import_dropout(NodeImport& node) {
  node.ignore("is_test");
  node.ignore("consumed_inputs");
  node.ignore("seed");
  const bool by_input = node.opset() >= 12;
  const double ratio = by_input ? 0.5 : node.real("ratio", 0.5);
  const int x = node.value(0);
  const Tensor* asked = by_input && node.has(1) ? node.constant(1) : nullptr;
  double probability = asked && asked->elements() == 1 ? asked->to(DType::f64).item() : ratio;
  if (by_input && node.has(2)) {
    const Tensor* training = node.constant(2);
    const bool known_off = training && training->elements() == 1 && training->item() == 0;
    const bool nothing_dropped = asked && probability == 0;
    if (!known_off && !nothing_dropped) node.refuse("training_mode draws random numbers");
  }
  // Its probability matters to training alone, which needs one in [0, 1].
  probability = probability >= 0 && probability <= 1 ? probability : 0.5;
  node.output(0, dtype_of(node, x) == DType::f32
                     ? call(node, kDropout, DropoutAttributes{probability, false}, {x})
                     : x);
  // Before opset 12 the mask of inference is not defined.
  if (node.outputs() < 2 || !by_input) return;
  const Shape shape = shape_of(node, x);
  if (shape.symbolic()) node.refuse(fmt::format("a mask of unknown shape {}", shape));
  node.afford(shape);
  node.output(1, node.constant(Tensor::full(shape, 1, DType::boolean)));
}

constexpr OpImport kImports[] = {
    {"Constant", "", import_constant}, {"ConstantOfShape", "", import_constant_of_shape},
    {"Dropout", "", import_dropout},   {"EyeLike", "", import_eye_like},
    {"Range", "", import_range},       {"Shape", "", import_shape},
    {"Size", "", import_size},
};

}  // namespace

constinit const std::span<const OpImport> kConstantImports = kImports;

}  // namespace pare::onnx
