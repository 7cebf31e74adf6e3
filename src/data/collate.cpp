// Collation: sequences of different lengths into one batch with padding.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "data/rows.h"
#include "pare/data/batch.h"

namespace pare::data {
namespace {

constexpr const char* kPlace = "data::collate";

// Copies rows of different lengths into an array that is full of padding already.
void place(std::span<const Example> examples, Tensor Example::*part, Tensor& out) {
  const std::size_t stride = out.bytes() / examples.size();
  auto* to = static_cast<std::byte*>(out.mutable_raw());
  for (const Example& example : examples) {
    const Tensor plain = (example.*part).to(MemoryFormat::row_major);
    if (plain.bytes() > 0) std::memcpy(to, plain.raw(), plain.bytes());
    to += stride;
  }
}

}  // namespace

Batch collate(std::span<const Example> examples, const Pad& pad) {
  PARE_CHECK(!examples.empty(), invalid_argument, kPlace, "expected an example, got none");
  PARE_CHECK(pad.length >= 0, invalid_argument, kPlace, "expected a length of at least 0, got {}",
             pad.length);
  const Example& first = examples[0];
  std::int64_t longest = 0;
  bool steps = first.label.defined() && first.label.rank() > 0;  // a label per step
  std::vector<std::int64_t> lengths;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const auto& [input, label] = examples[i];
    PARE_CHECK(input.defined() && input.rank() > 0, shape_mismatch, kPlace,
               "expected a sequence [T, …] as input {}, got {}", i, describe(input));
    check_whole_bytes(input, kPlace, "inputs");
    check_whole_bytes(label, kPlace, "labels");
    PARE_CHECK(row_shape(input) == row_shape(first.input) && input.dtype() == first.input.dtype(),
               shape_mismatch, kPlace,
               "expected input {} like the first, {}, but for its length, got {}", i,
               describe(first.input), describe(input));
    PARE_CHECK(label.defined() == first.label.defined() &&
                   (!label.defined() ||
                    (label.rank() == first.label.rank() && label.dtype() == first.label.dtype())),
               shape_mismatch, kPlace, "expected label {} like the first, {}, got {}", i,
               describe(first.label), describe(label));
    steps = steps && label.dim(0) == input.dim(0) && row_shape(label) == row_shape(first.label);
    lengths.push_back(input.dim(0));
    longest = std::max(longest, input.dim(0));
  }
  if (pad.length > 0) {
    PARE_CHECK(longest <= pad.length, out_of_range, kPlace,
               "expected sequences of at most {} steps (Pad::length), got {}", pad.length, longest);
    longest = pad.length;
  }
  const auto wide = [&](const Tensor& tensor) {
    Shape shape = tensor.shape();
    shape.set(0, longest);
    return stacked(shape, examples.size());
  };
  Batch batch;
  batch.x = Tensor::full(wide(first.input), pad.value, first.input.dtype());
  place(examples, &Example::input, batch.x);
  if (first.label.defined()) {
    for (std::size_t i = 0; i < examples.size() && !steps; ++i) {
      PARE_CHECK(examples[i].label.shape() == first.label.shape(), shape_mismatch, kPlace,
                 "expected label {} like the first, {}, got {}", i, describe(first.label),
                 describe(examples[i].label));
    }
    batch.y =
        steps ? Tensor::full(wide(first.label), pad.label_value, first.label.dtype())
              : Tensor::empty(stacked(first.label.shape(), examples.size()), first.label.dtype());
    place(examples, &Example::label, batch.y);
  }
  batch.lengths = Tensor::from(lengths, {static_cast<std::int64_t>(lengths.size())});
  return batch;
}

}  // namespace pare::data
