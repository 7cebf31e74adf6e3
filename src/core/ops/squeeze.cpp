// squeeze and unsqueeze of axes that a tensor names.
#include <cstring>

#include "core/check.h"
#include "core/ops/layout.h"
#include "core/ops/strided.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/value.h"

namespace pare {
namespace {

/// Which of `rank` axes are named; nothing where that is not known.
std::optional<std::vector<bool>> named_axes(const KnownSizes& axes, int rank, const char* where) {
  std::vector<bool> named(static_cast<std::size_t>(rank));
  for (const auto& axis : axes) {
    if (!axis || !axis->is_number()) return std::nullopt;
    const auto a = static_cast<std::size_t>(normalize_axis(axis->constant(), rank, where));
    PARE_CHECK(!named[a], invalid_argument, where, "expected each axis once, got {} twice", a);
    named[a] = true;
  }
  return named;
}

void infer_squeeze(InferArgs& args) {
  const Shape& x = args.shape(0);
  movable_bytes(args.dtype(0), "squeeze");
  const KnownSizes axes = known_sizes(args, 1, "axes");
  const int rank = x.rank() - static_cast<int>(axes.size());
  PARE_CHECK(rank >= 0, shape_mismatch, "squeeze", "expected at most {} axes of x {}, got {}",
             x.rank(), x, axes.size());
  const auto named = named_axes(axes, x.rank(), "squeeze");
  Shape y;
  for (int a = 0; a < x.rank(); ++a) {
    if (!named) {
      if (y.rank() < rank) append_unknown(y);
      continue;
    }
    if (!(*named)[static_cast<std::size_t>(a)]) {
      y.append(x, a);
      continue;
    }
    PARE_CHECK(x.symbolic(a) || x[a] == 1, shape_mismatch, "squeeze",
               "expected a size of 1 at axis {}, got x {}", a, x);
  }
  args.output(0, y, args.dtype(0));
}

void infer_unsqueeze(InferArgs& args) {
  const Shape& x = args.shape(0);
  movable_bytes(args.dtype(0), "unsqueeze");
  const KnownSizes axes = known_sizes(args, 1, "axes");
  const int rank = x.rank() + static_cast<int>(axes.size());
  PARE_CHECK(rank <= Shape::kMaxRank, invalid_argument, "unsqueeze",
             "expected at most {} axes, got {}", Shape::kMaxRank, rank);
  const auto named = named_axes(axes, rank, "unsqueeze");
  Shape y;
  for (int a = 0, next = 0; a < rank; ++a) {
    if (!named)
      append_unknown(y);
    else if ((*named)[static_cast<std::size_t>(a)])
      y.append(1);
    else
      y.append(x, next++);
  }
  args.output(0, y, args.dtype(0));
}

void copy_elements(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context&) {
  if (outputs[0].bytes() > 0)
    std::memcpy(outputs[0].mutable_raw(), inputs[0].raw(), outputs[0].bytes());
}

void backward_elements(BackwardArgs& args) {
  args.set(0, share_memory(args.grad_output(0), args.input_shape(0)));
}

}  // namespace

constinit const OpDef kSqueeze = {
    .name = "squeeze",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_squeeze,
    .forward = copy_elements,
    .view = [](const Call&, const Tensor& x, const Shape& y) { return share_memory(x, y); },
    .backward = backward_elements,
    .onnx = {.op_type = "Squeeze", .opset = 13},
};

constinit const OpDef kUnsqueeze = {
    .name = "unsqueeze",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_unsqueeze,
    .forward = copy_elements,
    .view = [](const Call&, const Tensor& x, const Shape& y) { return share_memory(x, y); },
    .backward = backward_elements,
    .onnx = {.op_type = "Unsqueeze", .opset = 13},
};

Tensor squeeze(const Tensor& x, const Tensor& axes) {
  return apply({&kSqueeze, {}}, detail::Borrowed(x, axes));
}
Tensor unsqueeze(const Tensor& x, const Tensor& axes) {
  return apply({&kUnsqueeze, {}}, detail::Borrowed(x, axes));
}

}  // namespace pare
