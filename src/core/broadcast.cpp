// Shapes and strides of broadcasts, collapsed loop nests, gradients summed to a shape.
#include "core/broadcast.h"

#include "core/check.h"
#include "core/convert.h"
#include "core/dtype_switch.h"
#include "core/reduce.h"
#include "core/size_agreement.h"

namespace pare {

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* where) {
  const int rank = std::max(a.rank(), b.rank());
  const auto is_one = [](const Shape& s, int axis) {
    return axis < 0 || (!s.symbolic(axis) && s[axis] == 1);
  };
  Shape out;
  for (int axis = 0; axis < rank; ++axis) {
    const int i = axis - (rank - a.rank());
    const int j = axis - (rank - b.rank());
    if (is_one(b, j)) {
      if (i >= 0)
        out.append(a, i);
      else
        out.append(1);
    } else if (is_one(a, i)) {
      out.append(b, j);
    } else {
      PARE_CHECK(can_agree(a, i, b, j), shape_mismatch, where,
                 "expected shapes that broadcast, got {} and {}", a, b);
      append_agreed(out, a, i, b, j);
    }
  }
  return out;
}

Strides broadcast_strides(const Tensor& t, const Shape& shape) {
  const Strides own = strides_of(t);
  const int missing = shape.rank() - t.rank();
  Strides out{};
  for (int axis = 0; axis < t.rank(); ++axis) {
    if (t.shape()[axis] != 1)
      out[static_cast<std::size_t>(axis + missing)] = own[static_cast<std::size_t>(axis)];
  }
  return out;
}

Tensor in_format(const Tensor& t, MemoryFormat format) {
  if (t.format() == format) return t;
  Tensor copy = Tensor::empty(t.shape(), t.dtype(), format);
  convert_format(t, copy);
  return copy;
}

Tensor in_dtype(const Tensor& t, DType dtype) {
  if (t.dtype() == dtype) return t;
  Tensor copy = Tensor::empty(t.shape(), dtype, t.format());
  convert_dtype(t, copy);
  return copy;
}

Tensor sum_to_shape(const Tensor& gradient, const Shape& shape) {
  if (gradient.shape() == shape) return gradient;
  const int missing = gradient.rank() - shape.rank();
  const MemoryFormat format = missing == 0 ? gradient.format() : MemoryFormat::row_major;
  Tensor out = Tensor::empty(shape, gradient.dtype(), format);
  const Strides own = strides_of(out);
  Strides strides{};
  std::uint32_t axes = 0;
  for (int axis = 0; axis < gradient.rank(); ++axis) {
    if (axis < missing || (shape[axis - missing] == 1 && gradient.shape()[axis] != 1))
      axes |= 1U << axis;
    else
      strides[static_cast<std::size_t>(axis)] = own[static_cast<std::size_t>(axis - missing)];
  }
  reduce(Reduction::sum, gradient, axes, strides, out);
  return out;
}

void forward_through_float(const Call& call, std::span<const Tensor> inputs,
                           std::span<Tensor> outputs, const Context& context) {
  Tensors wide_inputs;
  for (const Tensor& t : inputs)
    wide_inputs.push_back(t.defined() && is_half(t.dtype()) ? in_dtype(t, DType::f32) : t);
  Tensors wide_outputs;
  for (const Tensor& t : outputs) {
    wide_outputs.push_back(
        t.defined() && is_half(t.dtype()) ? Tensor::empty(t.shape(), DType::f32, t.format()) : t);
  }
  call.op->forward(call, wide_inputs, wide_outputs, context);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].defined() && is_half(outputs[i].dtype()))
      convert_dtype(wide_outputs[i], outputs[i]);
  }
}

LoopNest::LoopNest(const Shape& shape, MemoryFormat order, std::span<const Strides> operands) {
  std::array<std::size_t, Shape::kMaxRank> axes{};
  const auto axis_count = static_cast<std::size_t>(shape.rank());
  for (std::size_t a = 0; a < axis_count; ++a) axes[a] = a;
  if (order == MemoryFormat::channels_last) {
    for (std::size_t a = 1; a + 1 < axis_count; ++a) axes[a] = a + 1;
    axes[axis_count - 1] = 1;
  }
  for (std::size_t k = 0; k < axis_count; ++k) {
    const std::size_t axis = axes[k];
    const std::int64_t length = shape[static_cast<int>(axis)];
    if (length == 1) continue;
    bool merges = rank > 0;
    for (std::size_t o = 0; merges && o < operands.size(); ++o)
      merges = stride[o][static_cast<std::size_t>(rank - 1)] == operands[o][axis] * length;
    if (!merges) ++rank;
    const auto at = static_cast<std::size_t>(rank - 1);
    size[at] = merges ? size[at] * length : length;
    for (std::size_t o = 0; o < operands.size(); ++o) stride[o][at] = operands[o][axis];
  }
  if (rank == 0) {
    rank = 1;
    size[0] = 1;
  }
}

}  // namespace pare
