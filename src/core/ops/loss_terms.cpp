// What the losses share: their reductions and the checks of their inputs.
#include "core/ops/loss_terms.h"

namespace pare {

LossReduction loss_reduction(const std::string& word, const char* where) {
  if (word == "mean") return LossReduction::mean;
  if (word == "sum") return LossReduction::sum;
  if (word == "none") return LossReduction::none;
  const bool divergence = std::string_view(where) == "kl_div";
  if (divergence && word == "batchmean") return LossReduction::batchmean;
  fail(ErrorCode::invalid_argument, where, "expected the reduction none, mean{} or sum, got '{}'",
       divergence ? ", batchmean" : "", word);
}

void check_floating(const InferArgs& args, int input) {
  PARE_CHECK(is_floating(args.dtype(input)), dtype_mismatch, args.call.op->name,
             "expected a floating type, got {}", args.dtype(input));
}

void infer_pair(InferArgs& args, LossReduction reduction) {
  const char* where = args.call.op->name;
  check_floating(args, 0);
  PARE_CHECK(args.dtype(0) == args.dtype(1), dtype_mismatch, where,
             "expected both inputs of one dtype, got {} and {}", args.dtype(0), args.dtype(1));
  PARE_CHECK(args.shape(0) == args.shape(1), shape_mismatch, where,
             "expected inputs of one shape, got {} and {}", args.shape(0), args.shape(1));
  args.output(0, reduction == LossReduction::none ? args.shape(0) : Shape{}, args.dtype(0));
}

void check_weight(const InferArgs& args, int input, const char* what) {
  if (!args.has(input)) return;
  const char* where = args.call.op->name;
  PARE_CHECK(args.dtype(input) == args.dtype(0), dtype_mismatch, where,
             "expected {} of type {}, got {}", what, args.dtype(0), args.dtype(input));
  const Shape& x = args.shape(0);
  PARE_CHECK(broadcast_shapes(args.shape(input), x, where) == x, shape_mismatch, where,
             "expected {} that broadcasts to {}, got {}", what, x, args.shape(input));
}

double loss_divisor(LossReduction reduction, const Shape& shape) {
  if (reduction == LossReduction::mean) return static_cast<double>(shape.elements());
  return reduction == LossReduction::batchmean ? static_cast<double>(shape[0]) : 1.0;
}

}  // namespace pare
