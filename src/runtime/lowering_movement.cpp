// Lowering of ops that move elements: reshape, slice, pad, concat, transpose; of floats or codes.
#include <algorithm>
#include <cstring>

#include "core/aligned.h"
#include "core/check.h"
#include "core/tensor_bytes.h"
#include "pare/core/ops.h"
#include "runtime/lowering.h"

namespace pare::runtime {
namespace {

bool is_movement(const OpDef* op) {
  return op == &kReshape || op == &kSlice || op == &kPad || op == &kConcat || op == &kTranspose;
}

MemoryFormat format_for(const Shape& shape, MemoryFormat of_source) {
  return shape.rank() >= 3 && shape.rank() <= 5 ? of_source : MemoryFormat::row_major;
}

void store_fill(std::array<std::byte, 8>& fill, DType dtype, double value) {
  const Tensor one = Tensor::full({}, value, dtype);
  std::memcpy(fill.data(), one.raw(), one.bytes());
}

}  // namespace

/// Whether a piece of a concatenation lies in the result as in its own slot: then that slot becomes
/// a part of the result, which its step writes in place.
bool Lowering::join_in_place(const Rearrangement& what, const CopyPiece& piece) {
  const auto slot = [&](int number) -> Slot& {
    return program_.slots[static_cast<std::size_t>(number)];
  };
  const std::size_t shift =
      static_cast<std::size_t>(piece.to_begin) * static_cast<std::size_t>(what.element_bytes);
  const int root = program_.root(piece.from);
  const bool whole =
      piece.from_begin == 0 && slot(piece.from).shape.elements() == piece.shape.elements();
  if (piece.table || !whole || !same_places(piece.shape, piece.from_strides, piece.to_strides) ||
      slot(root).place != Slot::Place::arena || root == program_.root(what.to) ||
      !program_.fills_root(piece.from) || shift % kAlignment != 0)
    return false;
  slot(root).root = what.to;
  slot(root).shift = shift;
  return true;
}

bool Lowering::lower_movement(int n) {
  const Graph::Node& movement = node(n);
  if (!is_movement(movement.call.op)) return false;
  // What is moved where is known when the plan runs: the op does it itself.
  if (movement.call.op != &kConcat && movement.inputs.size() > 1) return false;
  Moved moved;
  moved.from = movement.inputs;
  if (movement.call.op == &kReshape) moved.from.resize(1);
  moved.tables.resize(moved.from.size());
  moved.to = output_of(n);
  if (movement.call.op == &kPad) moved.fill = movement.call.attributes.as<PadAttributes>().value;
  return lower_movement(n, moved);
}

bool Lowering::lower_movement(int n, const Moved& moved) {
  const Call& call = node(n).call;
  if (!is_movement(call.op) || traits(graph_.value(moved.to).dtype).bits < 8) return false;
  if (call.op == &kReshape) {
    lower_reshape(n, moved);
    return true;
  }
  if (call.op == &kSlice) {
    lower_slice(n, moved);
    return true;
  }
  const Shape& out = shape_of(moved.to);
  Rearrangement what;
  const DType dtype = result_dtype(moved.to);
  View first = view_of(moved.from[0], moved_dtype(moved.from[0], moved.to));
  MemoryFormat format =
      format_for(out, program_.slots[static_cast<std::size_t>(first.slot)].format);
  if (call.op == &kTranspose) format = MemoryFormat::row_major;
  const Strides to = strides_of(out, format);
  if (call.op == &kConcat) {
    const int axis = normalize_axis(static_cast<int>(call.attributes.as<ConcatAttributes>().axis),
                                    out.rank(), "concat");
    std::int64_t at = 0;
    for (std::size_t i = 0; i < moved.from.size(); ++i) {
      const View view = view_of(moved.from[i], moved_dtype(moved.from[i], moved.to));
      what.pieces.push_back({view.slot, view.shape, view.begin, view.strides,
                             at * to[static_cast<std::size_t>(axis)], to, moved.tables[i]});
      at += view.shape[axis];
    }
  } else if (call.op == &kTranspose) {
    const auto& permutation = call.attributes.as<TransposeAttributes>().permutation;
    CopyPiece piece{first.slot, out, first.begin, {}, 0, to, moved.tables[0]};
    for (std::size_t k = 0; k < permutation.size(); ++k) {
      const int axis = normalize_axis(static_cast<int>(permutation[k]), out.rank(), "transpose");
      piece.from_strides[k] = first.strides[static_cast<std::size_t>(axis)];
    }
    // A channels-last picture is in order when its channels move to the end.
    const View turned{piece.from, out, piece.from_begin, piece.from_strides};
    int in_place = piece.table ? -1 : seen_in_place(turned, format);
    // So is one whose channels come from the end, as channels-last.
    if (in_place < 0 && !piece.table && format_for(out, MemoryFormat::channels_last) != format)
      in_place = seen_in_place(turned, MemoryFormat::channels_last);
    if (in_place >= 0) {
      primary_[static_cast<std::size_t>(moved.to)] = in_place;
      return true;
    }
    what.pieces = {piece};
  } else {
    const auto& pad = call.attributes.as<PadAttributes>();
    CopyPiece piece{first.slot, first.shape, first.begin, first.strides, 0, to, moved.tables[0]};
    for (int a = 0; a < out.rank(); ++a) {
      const auto i = static_cast<std::size_t>(a);
      // A negative pad crops: the piece begins later, and is shorter by what is cut on both sides.
      const std::int64_t cut_before = std::max<std::int64_t>(-pad.before[i], 0);
      const std::int64_t cut_after = std::max<std::int64_t>(-pad.after[i], 0);
      piece.from_begin += cut_before * first.strides[i];
      piece.to_begin += std::max<std::int64_t>(pad.before[i], 0) * to[i];
      piece.shape.set(a, first.shape[a] - cut_before - cut_after);
    }
    what.filled = true;
    store_fill(what.fill, dtype, moved.fill);
    what.pieces = {piece};
  }
  what.to = add_result(moved.to, format, dtype);
  what.element_bytes = tensor_bytes({1}, dtype);
  what.bytes = program_.slot_bytes(what.to);
  if (call.op == &kConcat)
    std::erase_if(what.pieces, [&](const CopyPiece& piece) { return join_in_place(what, piece); });
  if (!what.pieces.empty()) emit(rearrange_step(std::move(what)), node(n).name);
  return true;
}

void Lowering::lower_reshape(int n, const Moved& moved) {
  const int from =
      slot_of(moved.from[0], MemoryFormat::row_major, moved_dtype(moved.from[0], moved.to));
  const int to = add_result(moved.to, MemoryFormat::row_major, result_dtype(moved.to));
  if (moved.tables[0]) {
    emit(table_step(from, to, shape_of(moved.to).elements(), moved.tables[0]), node(n).name);
    return;
  }
  program_.slots[static_cast<std::size_t>(to)].root = from;
}

void Lowering::lower_slice(int n, const Moved& moved) {
  const auto& slice = node(n).call.attributes.as<SliceAttributes>();
  View view = view_of(moved.from[0], graph_.value(moved.from[0]).dtype);
  const Shape source = view.shape;
  view.shape = shape_of(moved.to);
  for (std::size_t k = 0; k < slice.axes.size(); ++k) {
    const int axis = normalize_axis(static_cast<int>(slice.axes[k]), source.rank(), "slice");
    const auto a = static_cast<std::size_t>(axis);
    const std::int64_t size = source[axis];
    const std::int64_t step = slice.steps.empty() ? 1 : slice.steps[k];
    std::int64_t start = slice.starts[k] < 0 ? slice.starts[k] + size : slice.starts[k];
    start = std::clamp<std::int64_t>(start, 0, step > 0 ? size : size - 1);
    view.begin += start * view.strides[a];
    view.strides[a] *= step;
  }
  if (!moved.tables[0]) {
    views_[moved.to] = view;
    return;
  }
  Rearrangement what;
  const MemoryFormat format = program_.slots[static_cast<std::size_t>(view.slot)].format;
  what.to = add_result(moved.to, format);
  what.element_bytes = 1;
  what.bytes = program_.slot_bytes(what.to);
  what.pieces = {{view.slot, view.shape, view.begin, view.strides, 0,
                  strides_of(view.shape, format), moved.tables[0]}};
  emit(rearrange_step(std::move(what)), node(n).name);
}

}  // namespace pare::runtime
