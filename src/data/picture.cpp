// Draws crops and mirrorings, and writes one picture into its batch in one pass.
#include "data/picture.h"

#include "core/check.h"

namespace pare::data {
namespace {

template <class T, class To, class Converters>
void place_as(const T* source, std::array<std::int64_t, 3> size, const PictureMap& map, To* out,
              bool interleave, const Converters& converters) {
  const auto [channels, source_height, source_width] = size;
  const std::int64_t height = map.rows.size, width = map.columns.size;
  const std::int64_t channel_stride = interleave ? 1 : height * width;
  const std::int64_t pixel = interleave ? channels : 1;
  const auto [top, bottom] = map.rows.inside();
  const auto [left, right] = map.columns.inside();
  for (std::int64_t y = 0; y < height; ++y) {
    const bool padding = y < top || y >= bottom;
    const std::int64_t begin = padding ? width : left;
    const std::int64_t end = padding ? width : right;
    const std::int64_t row = map.rows.start + map.rows.step * y;
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto& convert = converters[converters.size() == 1 ? 0 : static_cast<std::size_t>(c)];
      To* const line = out + c * channel_stride + y * width * pixel;
      const To frame = convert(T{0});
      for (std::int64_t x = 0; x < begin; ++x) line[x * pixel] = frame;
      const std::int64_t first = (c * source_height + row) * source_width + map.columns.start;
      for (std::int64_t x = begin; x < end; ++x) {
        line[x * pixel] = convert(source[first + map.columns.step * x]);
      }
      for (std::int64_t x = end; x < width; ++x) line[x * pixel] = frame;
    }
  }
}

// Where a window of `want` elements begins: halves are rounded as torchvision rounds them, to even
// where it cuts, and down where it pads.
std::int64_t middle(std::int64_t have, std::int64_t want) {
  if (want > have) return -((want - have) / 2);
  const std::int64_t room = have - want;
  return room % 4 == 3 ? room / 2 + 1 : room / 2;
}

}  // namespace

Tensor moved(const Tensor& picture, const PictureMap& map) {
  const std::array<std::int64_t, 3> size{picture.dim(0), picture.dim(1), picture.dim(2)};
  Tensor out = Tensor::empty({size[0], map.rows.size, map.columns.size}, picture.dtype());
  const auto place = [&]<class T>(T) {
    const auto same = [](T v) { return v; };
    place_as(picture.data<T>(), size, map, out.mutable_data<T>(), false, std::array{same});
  };
  picture.dtype() == DType::u8 ? place(std::uint8_t{}) : place(float{});
  return out;
}

PictureMap draw(std::span<const Transform> moves, std::int64_t height, std::int64_t width,
                Generator* generator) {
  PictureMap map{AxisMap::all(height), AxisMap::all(width)};
  for (const Transform& move : moves) {
    if (const auto* crop = std::get_if<RandomCrop>(&move)) {
      for (AxisMap* axis : {&map.rows, &map.columns}) {
        const std::int64_t size = crop->size > 0 ? crop->size : axis->size;
        const std::int64_t room = axis->size + 2 * crop->padding - size;
        PARE_CHECK(room >= 0, shape_mismatch, "data::RandomCrop",
                   "expected a picture of at least {} with its padding, got {}", size,
                   axis->size + 2 * crop->padding);
        const std::uint64_t places = static_cast<std::uint64_t>(room) + 1;
        const std::int64_t offset =
            generator ? static_cast<std::int64_t>(generator->below(places)) : room / 2;
        axis->cut(offset - crop->padding, size);
      }
    } else if (const auto* centre = std::get_if<CenterCrop>(&move)) {
      map.rows.cut(middle(map.rows.size, centre->height), centre->height);
      const std::int64_t wide = centre->width > 0 ? centre->width : centre->height;
      map.columns.cut(middle(map.columns.size, wide), wide);
    } else if (const auto* flip = std::get_if<RandomHorizontalFlip>(&move)) {
      if (generator && static_cast<double>(generator->uniform()) < flip->probability) {
        map.columns.mirror();
      }
    }
  }
  return map;
}

Conversion::Conversion(const Normalize& normalize, DType dtype, std::int64_t channels)
    : dtype_(dtype) {
  const std::vector<double>& means = normalize.mean;
  const std::vector<double>& deviations = normalize.deviation;
  const std::size_t count = std::max(means.size(), deviations.size());
  const auto fits = [&](std::size_t n) {
    return n == 1 || n == static_cast<std::size_t>(channels);
  };
  PARE_CHECK(fits(means.size()) && fits(deviations.size()), shape_mismatch, "data::Normalize",
             "expected one mean and deviation, or {} as the input has channels, got {} and {}",
             channels, means.size(), deviations.size());
  const double scale =
      normalize.scale != 0 ? normalize.scale : (dtype == DType::u8 ? 1.0 / 255.0 : 1.0);
  for (std::size_t c = 0; c < count; ++c) {
    const double mean = means[means.size() == 1 ? 0 : c];
    const double deviation = deviations[deviations.size() == 1 ? 0 : c];
    if (dtype != DType::u8) {
      affine_.push_back(
          {static_cast<float>(scale / deviation), static_cast<float>(-mean / deviation)});
      continue;
    }
    Table& table = table_.emplace_back();
    for (std::size_t v = 0; v < table.value.size(); ++v) {
      table.value[v] = static_cast<float>((static_cast<double>(v) * scale - mean) / deviation);
    }
  }
}

void Conversion::place(const void* source, std::array<std::int64_t, 3> size, const PictureMap& map,
                       float* out, bool interleave) const {
  if (dtype_ == DType::u8) {
    place_as(static_cast<const std::uint8_t*>(source), size, map, out, interleave, table_);
  } else {
    place_as(static_cast<const float*>(source), size, map, out, interleave, affine_);
  }
}

}  // namespace pare::data
