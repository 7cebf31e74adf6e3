// What cross_entropy and nll share: labels of classes, one of them ignored, and weights of classes.
#include "core/ops/class_labels.h"

#include "pare/core/ops/movement.h"

namespace pare {

ClassLabels::ClassLabels(const char* where, const Tensor& labels, std::int64_t class_count,
                         std::int64_t ignore_index)
    : count(labels.elements()),
      classes(class_count),
      labels_(labels),
      data_(labels.data<std::int64_t>()) {
  const std::int64_t* given = data_;
  for (std::int64_t i = 0; i < count; ++i) {
    if (given[i] != ignore_index) {
      PARE_CHECK(given[i] >= 0 && given[i] < classes, out_of_range, where,
                 "expected labels from 0 to {}, got {} at index {}", classes - 1, given[i], i);
      continue;
    }
    PARE_CHECK(classes > 0, invalid_argument, where, "expected at least one class, got none");
    if (ignored_.empty()) {
      ignored_.resize(static_cast<std::size_t>(count));
      replaced_.assign(given, given + count);
      data_ = replaced_.data();
    }
    ignored_[static_cast<std::size_t>(i)] = 1;
    replaced_[static_cast<std::size_t>(i)] = 0;
  }
}

void infer_labelled(InferArgs& args, const char* what, LossReduction reduction) {
  const char* where = args.call.op->name;
  check_floating(args, 0);
  const Shape& scores = args.shape(0);
  const Shape& labels = args.shape(1);
  PARE_CHECK(args.dtype(1) == DType::i64, dtype_mismatch, where, "expected i64 labels, got {}",
             args.dtype(1));
  PARE_CHECK(scores.rank() == 2 && labels.rank() == 1 && scores.same_axis(0, labels, 0),
             shape_mismatch, where, "expected {} [N, C] and labels [N], got {} and {}", what,
             scores, labels);
  if (args.has(2)) {
    const Shape& weight = args.shape(2);
    PARE_CHECK(weight.rank() == 1 && weight.same_axis(0, scores, 1), shape_mismatch, where,
               "expected one weight per class of {}, got {}", scores, weight);
    PARE_CHECK(args.dtype(2) == args.dtype(0), dtype_mismatch, where,
               "expected weights of type {}, got {}", args.dtype(0), args.dtype(2));
  }
  args.output(0, reduction == LossReduction::none ? labels : Shape{}, args.dtype(0));
}

namespace {

Tensor apply_rows(const Call& call, const Tensor& scores, const Tensor& labels,
                  const Tensor& weight) {
  if (!weight.defined()) return apply(call, detail::Borrowed(scores, labels));
  return apply(call, detail::Borrowed(scores, labels, weight));
}

/// [N, C, …] and [N, …]; [C] and [].
bool has_rows(const Tensor& scores, const Tensor& labels) {
  if (!scores.defined() || !labels.defined()) return false;
  const Shape& x = scores.shape();
  const Shape& y = labels.shape();
  if (x.rank() < 1 || x.rank() == 2 || y.rank() != x.rank() - 1) return false;
  for (int a = 0; a < y.rank(); ++a)
    if (!x.same_axis(a == 0 ? 0 : a + 1, y, a)) return false;
  return true;
}

}  // namespace

Tensor apply_to_classes(const Call& call, const Tensor& scores, const Tensor& labels,
                        const Tensor& weight) {
  if (!has_rows(scores, labels)) return apply_rows(call, scores, labels, weight);
  const int rank = scores.rank();
  const std::int64_t count = labels.elements();
  std::vector<std::int64_t> last;
  for (int a = 0; a < rank; ++a)
    if (a != 1) last.push_back(a);
  if (rank > 1) last.push_back(1);
  const Tensor moved = rank > 1 ? transpose(scores, last) : scores;
  const Tensor rows = reshape(moved, {count, scores.dim(rank > 1 ? 1 : 0)});
  const Tensor loss = apply_rows(call, rows, reshape(labels, {count}), weight);
  return loss.rank() == 0 ? loss : reshape(loss, labels.shape().to_vector());
}

}  // namespace pare
