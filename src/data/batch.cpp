// Puts examples into a batch: crop, mirroring, conversion and normalization in one pass.
#include "data/batch.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "data/augment.h"
#include "data/picture.h"
#include "data/rows.h"

namespace pare::data {
namespace {

constexpr const char* kPlace = "data::Loader";

void copy_row(const Tensor& from, Tensor& to, std::size_t row) {
  const Tensor plain = from.to(MemoryFormat::row_major);
  const std::size_t bytes = plain.bytes();
  if (bytes == 0) return;
  std::memcpy(static_cast<std::byte*>(to.mutable_raw()) + row * bytes, plain.raw(), bytes);
}

void check_like(const char* what, std::int64_t index, const Tensor& got, const Tensor& first) {
  const bool alike =
      got.defined() == first.defined() &&
      (!got.defined() || (got.shape() == first.shape() && got.dtype() == first.dtype()));
  PARE_CHECK(alike, shape_mismatch, kPlace,
             "expected {} of example {} like its batch's first, {}, got {}", what, index,
             describe(first), describe(got));
}

// What is no picture has one row of what lies behind its first axis.
std::array<std::int64_t, 3> size_of(const Shape& shape) {
  if (shape.rank() == 3) return {shape[0], shape[1], shape[2]};
  if (shape.rank() == 0) return {1, 1, 1};
  return {shape[0], 1, shape.elements(1, shape.rank())};
}

}  // namespace

/// An example after its steps, and the window that its moves cut.
struct BatchMaker::Drawn {
  Tensor input, label;
  PictureMap map;
  Shape shape;  // of the result
};

BatchMaker::BatchMaker(const LoaderOptions& options) : format_(options.format), pad_(options.pad) {
  PARE_CHECK(!pad_ || pad_->length >= 0, invalid_argument, kPlace,
             "expected a Pad::length of at least 0, got {}", pad_ ? pad_->length : 0);
  for (const Transform& transform : options.transforms) {
    PARE_CHECK(!normalizes_, invalid_argument, kPlace,
               "expected Normalize as the last transform, got another one after it");
    check(transform);
    PARE_CHECK(!pad_ || std::holds_alternative<Custom>(transform), invalid_argument, kPlace,
               "expected no transforms but Custom ones where sequences are padded, got another");
    if (const auto* normalize = std::get_if<Normalize>(&transform)) {
      normalizes_ = true;
      normalize_ = *normalize;
      continue;
    }
    moves_.push_back(transform);
    if (is_move(transform)) continue;
    // What comes before a step that needs the picture itself is done to the picture itself.
    steps_.insert(steps_.end(), moves_.begin(), moves_.end());
    moves_.clear();
  }
}

// Whether inputs like this one go through Conversion, or else are copied as they are.
bool BatchMaker::converts(const Tensor& input) const {
  const bool wanted = normalizes_ || !moves_.empty();
  if (input.dtype() == DType::u8) return true;
  PARE_CHECK(!wanted || input.dtype() == DType::f32, dtype_mismatch, kPlace,
             "expected u8 or f32 inputs for transforms, got {}", input.dtype());
  const bool reorders = input.rank() == 3 && format_ == MemoryFormat::channels_last;
  return wanted || (input.dtype() == DType::f32 && reorders);
}

BatchMaker::Drawn BatchMaker::draw_example(const Dataset& dataset, std::int64_t index,
                                           const Generator* generator, std::uint64_t stream) const {
  Example example = dataset.get(index);
  PARE_CHECK(example.input.defined(), invalid_argument, kPlace,
             "expected an input of example {}, got none", index);
  Generator own = generator ? generator->fork(stream) : Generator();
  Generator* const draws = generator ? &own : nullptr;
  Drawn drawn{std::move(example.input), std::move(example.label), {}, {}};
  for (const Transform& step : steps_) drawn.input = augment(step, drawn.input, draws);
  drawn.shape = drawn.input.shape();
  const bool picture = drawn.shape.rank() == 3;
  PARE_CHECK(picture || moves_.empty(), shape_mismatch, kPlace,
             "expected pictures [C, H, W] for crops and mirroring, got inputs {}", drawn.shape);
  const auto [channels, height, width] = size_of(drawn.shape);
  drawn.map = draw(moves_, height, width, draws);
  if (picture && !moves_.empty()) {
    drawn.shape.set(1, drawn.map.rows.size);
    drawn.shape.set(2, drawn.map.columns.size);
  }
  return drawn;
}

Batch BatchMaker::make(const Dataset& dataset, std::span<const std::int64_t> indices,
                       std::span<const std::uint64_t> streams, const Generator* generator) const {
  if (pad_) {
    std::vector<Example> examples;
    for (std::size_t i = 0; i < indices.size(); ++i) {
      Drawn drawn = draw_example(dataset, indices[i], generator, streams[i]);
      if (drawn.input.dtype() == DType::u8) drawn.input = drawn.input.to(DType::f32);
      examples.push_back({std::move(drawn.input), std::move(drawn.label)});
    }
    return collate(examples, *pad_);
  }

  const Drawn first = draw_example(dataset, indices[0], generator, streams[0]);
  check_whole_bytes(first.input, kPlace, "inputs");
  check_whole_bytes(first.label, kPlace, "labels");
  const bool convert = converts(first.input);
  const bool interleave =
      convert && first.shape.rank() == 3 && format_ == MemoryFormat::channels_last;
  Conversion conversion;
  if (convert) conversion = Conversion(normalize_, first.input.dtype(), size_of(first.shape)[0]);
  Batch batch;
  batch.x = Tensor::empty(stacked(first.shape, indices.size()),
                          convert ? DType::f32 : first.input.dtype(),
                          interleave ? MemoryFormat::channels_last : MemoryFormat::row_major);
  if (first.label.defined()) {
    batch.y = Tensor::empty(stacked(first.label.shape(), indices.size()), first.label.dtype());
  }
  const std::int64_t stride = first.shape.elements();
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const Drawn drawn = i == 0 ? first : draw_example(dataset, indices[i], generator, streams[i]);
    PARE_CHECK(drawn.shape == first.shape && drawn.input.dtype() == first.input.dtype(),
               shape_mismatch, kPlace,
               "expected an input of example {} like its batch's first, {} {}, got {} {}",
               indices[i], first.input.dtype(), first.shape, drawn.input.dtype(), drawn.shape);
    check_like("a label", indices[i], drawn.label, first.label);
    if (batch.y.defined()) copy_row(drawn.label, batch.y, i);
    if (!convert) {
      copy_row(drawn.input, batch.x, i);
      continue;
    }
    const Tensor source = drawn.input.to(MemoryFormat::row_major);
    float* const out = batch.x.mutable_data<float>() + static_cast<std::int64_t>(i) * stride;
    conversion.place(source.raw(), size_of(source.shape()), drawn.map, out, interleave);
  }
  return batch;
}

}  // namespace pare::data
