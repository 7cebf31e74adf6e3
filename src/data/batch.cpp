// Puts examples into a batch: crop, mirroring, conversion and normalization in one pass.
#include "data/batch.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "data/picture.h"
#include "data/rows.h"

namespace pare::data {
namespace {

constexpr const char* kPlace = "data::Loader";

void check_like(const char* what, std::int64_t index, const Tensor& got, const Tensor& first) {
  const bool alike =
      got.defined() == first.defined() &&
      (!got.defined() || (got.shape() == first.shape() && got.dtype() == first.dtype()));
  PARE_CHECK(alike, shape_mismatch, kPlace,
             "expected {} of example {} like its batch's first, {}, "
             "got {}",
             what, index, describe(first), describe(got));
}

void copy_row(const Tensor& from, Tensor& to, std::size_t row) {
  const Tensor plain = from.to(MemoryFormat::row_major);
  const std::size_t bytes = plain.bytes();
  std::memcpy(static_cast<std::byte*>(to.mutable_raw()) + row * bytes, plain.raw(), bytes);
}

void check(const Normalize& normalize) {
  const auto finite = [](double v) { return std::isfinite(v); };
  const auto positive = [](double v) { return std::isfinite(v) && v > 0; };
  PARE_CHECK(!normalize.mean.empty() && !normalize.deviation.empty(), invalid_argument,
             "data::Normalize", "expected a mean and a deviation, got none");
  PARE_CHECK(std::ranges::all_of(normalize.mean, finite) &&
                 std::ranges::all_of(normalize.deviation, positive) && finite(normalize.scale),
             invalid_argument, "data::Normalize",
             "expected finite means and scale and deviations above 0, got mean [{}], deviation "
             "[{}], scale {}",
             fmt::join(normalize.mean, ", "), fmt::join(normalize.deviation, ", "),
             normalize.scale);
}

}  // namespace

BatchMaker::BatchMaker(const LoaderOptions& options) : format_(options.format), pad_(options.pad) {
  const Transforms& transforms = options.transforms;
  PARE_CHECK(!pad_ || transforms.empty(), invalid_argument, kPlace,
             "expected no transforms where sequences are padded, got {}", transforms.size());
  PARE_CHECK(!pad_ || pad_->length >= 0, invalid_argument, kPlace,
             "expected a Pad::length of at least 0, got {}", pad_->length);
  for (const Transform& transform : transforms) {
    PARE_CHECK(!normalizes_, invalid_argument, kPlace,
               "expected Normalize as the last transform, got another one after it");
    if (const auto* normalize = std::get_if<Normalize>(&transform)) {
      check(*normalize);
      normalizes_ = true;
      normalize_ = *normalize;
      continue;
    }
    if (const auto* crop = std::get_if<RandomCrop>(&transform)) {
      PARE_CHECK(crop->size >= 0 && crop->padding >= 0, invalid_argument, "data::RandomCrop",
                 "expected a size and a padding of at least 0, got {} and {}", crop->size,
                 crop->padding);
    } else if (const auto* flip = std::get_if<RandomHorizontalFlip>(&transform)) {
      PARE_CHECK(flip->probability >= 0 && flip->probability <= 1, invalid_argument,
                 "data::RandomHorizontalFlip", "expected a probability in [0, 1], got {}",
                 flip->probability);
    }
    moves_.push_back(transform);
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

Batch BatchMaker::make(const Dataset& dataset, std::span<const std::int64_t> indices,
                       const Generator* generator) const {
  if (pad_) return make_padded(dataset, indices);
  const Example first = dataset.get(indices[0]);
  PARE_CHECK(first.input.defined(), invalid_argument, kPlace,
             "expected an input of example {}, got none", indices[0]);
  check_whole_bytes(first.input, kPlace, "inputs");
  check_whole_bytes(first.label, kPlace, "labels");
  const Shape& shape = first.input.shape();
  const bool picture = shape.rank() == 3;
  PARE_CHECK(picture || moves_.empty(), shape_mismatch, kPlace,
             "expected pictures [C, H, W] for crops and mirroring, got inputs {}", shape);

  // What is no picture has one row of what lies behind its first axis.
  std::array<std::int64_t, 3> size{shape.rank() > 0 ? shape[0] : 1, 1,
                                   shape.rank() > 0 ? shape.elements(1, shape.rank()) : 1};
  if (picture) size = {shape[0], shape[1], shape[2]};
  PictureMap map = draw(moves_, size[1], size[2], nullptr);
  Shape out_shape = shape;
  if (picture) out_shape.set(1, map.rows.size), out_shape.set(2, map.columns.size);

  const bool convert = converts(first.input);
  const bool interleave = convert && picture && format_ == MemoryFormat::channels_last;
  Conversion conversion;
  if (convert) conversion = Conversion(normalize_, first.input.dtype(), size[0]);
  Batch batch;
  batch.x =
      Tensor::empty(stacked(out_shape, indices.size()), convert ? DType::f32 : first.input.dtype(),
                    interleave ? MemoryFormat::channels_last : MemoryFormat::row_major);
  if (first.label.defined()) {
    batch.y = Tensor::empty(stacked(first.label.shape(), indices.size()), first.label.dtype());
  }
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const Example example = i == 0 ? first : dataset.get(indices[i]);
    check_like("an input", indices[i], example.input, first.input);
    check_like("a label", indices[i], example.label, first.label);
    if (batch.y.defined()) copy_row(example.label, batch.y, i);
    if (!convert) {
      copy_row(example.input, batch.x, i);
      continue;
    }
    if (generator && !moves_.empty()) {
      Generator own = generator->fork(static_cast<std::uint64_t>(indices[i]));
      map = draw(moves_, size[1], size[2], &own);
    }
    const Tensor source = example.input.to(MemoryFormat::row_major);
    const std::int64_t stride = out_shape.elements();
    float* const out = batch.x.mutable_data<float>() + static_cast<std::int64_t>(i) * stride;
    conversion.place(source.raw(), size, map, out, interleave);
  }
  return batch;
}

Batch BatchMaker::make_padded(const Dataset& dataset, std::span<const std::int64_t> indices) const {
  std::vector<Example> examples;
  for (const std::int64_t index : indices) {
    examples.push_back(dataset.get(index));
    Tensor& input = examples.back().input;
    if (input.defined() && input.dtype() == DType::u8) input = input.to(DType::f32);
  }
  return collate(examples, *pad_);
}

}  // namespace pare::data
