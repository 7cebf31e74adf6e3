// Draws of the transforms and what they do to a picture.
#include "data/augment.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "data/image_functions.h"
#include "data/picture.h"
#include "data/rows.h"
#include "pare/data/image_functions.h"

namespace pare::data {
namespace {

bool finite(double v) { return std::isfinite(v); }

void check_probability(double p, const char* where) {
  PARE_CHECK(p >= 0 && p <= 1, invalid_argument, where, "expected a probability in [0, 1], got {}",
             p);
}

void check_range(const std::array<double, 2>& range, double highest, const char* where,
                 const char* what) {
  PARE_CHECK(range[0] > 0 && range[0] <= range[1] && range[1] <= highest, invalid_argument, where,
             "expected a {} with 0 < low <= high <= {}, got {} and {}", what, highest, range[0],
             range[1]);
}

void check_values(const std::vector<double>& value, const char* where) {
  PARE_CHECK(!value.empty() && std::ranges::all_of(value, finite), invalid_argument, where,
             "expected finite values, got [{}]", listed(value));
}

constexpr double kLargest = 1e6;

struct Checks {
  void operator()(const RandomCrop& t) const {
    PARE_CHECK(t.size >= 0 && t.padding >= 0, invalid_argument, "data::RandomCrop",
               "expected a size and a padding of at least 0, got {} and {}", t.size, t.padding);
  }
  void operator()(const RandomHorizontalFlip& t) const {
    check_probability(t.probability, "data::RandomHorizontalFlip");
  }
  void operator()(const Normalize& t) const {
    const auto positive = [](double v) { return finite(v) && v > 0; };
    PARE_CHECK(!t.mean.empty() && !t.deviation.empty(), invalid_argument, "data::Normalize",
               "expected a mean and a deviation, got none");
    PARE_CHECK(std::ranges::all_of(t.mean, finite) && std::ranges::all_of(t.deviation, positive) &&
                   finite(t.scale),
               invalid_argument, "data::Normalize",
               "expected finite means and scale and deviations above 0, got mean [{}], deviation "
               "[{}], scale {}",
               listed(t.mean), listed(t.deviation), t.scale);
  }
  void operator()(const CenterCrop& t) const {
    PARE_CHECK(t.height > 0 && t.width >= 0, invalid_argument, "data::CenterCrop",
               "expected a height above 0 and a width of at least 0, got {} and {}", t.height,
               t.width);
  }
  void operator()(const Resize& t) const {
    const bool shorter = t.size > 0 && t.height == 0 && t.width == 0;
    const bool both = t.size == 0 && t.height > 0 && t.width > 0;
    PARE_CHECK(shorter || both, invalid_argument, "data::Resize",
               "expected a size above 0, or a height and a width, got size {}, height {}, width {}",
               t.size, t.height, t.width);
  }
  void operator()(const RandomResizedCrop& t) const {
    constexpr const char* where = "data::RandomResizedCrop";
    PARE_CHECK(t.height > 0 && t.width >= 0, invalid_argument, where,
               "expected a height above 0 and a width of at least 0, got {} and {}", t.height,
               t.width);
    check_range(t.scale, kLargest, where, "scale");
    check_range(t.ratio, kLargest, where, "ratio");
  }
  void operator()(const ColorJitter& t) const {
    for (const double v : {t.brightness, t.contrast, t.saturation}) {
      PARE_CHECK(finite(v) && v >= 0, invalid_argument, "data::ColorJitter",
                 "expected brightness, contrast and saturation of at least 0, got {}", v);
    }
    PARE_CHECK(t.hue >= 0 && t.hue <= 0.5, invalid_argument, "data::ColorJitter",
               "expected a hue of 0 … 0.5, got {}", t.hue);
  }
  void operator()(const Grayscale& t) const {
    PARE_CHECK(t.channels == 1 || t.channels == 3, invalid_argument, "data::Grayscale",
               "expected 1 or 3 channels, got {}", t.channels);
    check_probability(t.probability, "data::Grayscale");
  }
  void operator()(const RandomErasing& t) const {
    check_probability(t.probability, "data::RandomErasing");
    check_range(t.scale, 1, "data::RandomErasing", "scale");
    check_range(t.ratio, kLargest, "data::RandomErasing", "ratio");
    check_values(t.value, "data::RandomErasing");
  }
  void operator()(const Cutout& t) const {
    PARE_CHECK(t.size > 0, invalid_argument, "data::Cutout", "expected a size above 0, got {}",
               t.size);
    check_values(t.value, "data::Cutout");
  }
  void operator()(const Custom& t) const {
    PARE_CHECK(static_cast<bool>(t), invalid_argument, "data::Custom",
               "expected a function, got none");
  }
};

double uniform(Generator& generator, double low, double high) {
  return low + (high - low) * static_cast<double>(generator.uniform());
}

std::int64_t below(Generator& generator, std::int64_t count) {
  return static_cast<std::int64_t>(generator.below(static_cast<std::uint64_t>(count)));
}

struct Area {
  std::int64_t height = 0, width = 0;
};

// A rectangle of a random share of the area and a random quotient of its sides; `wide` says which
// of the two the quotient is of.
Area draw_area(double area, const std::array<double, 2>& scale, const std::array<double, 2>& ratio,
               bool wide, Generator& generator) {
  const double share = area * uniform(generator, scale[0], scale[1]);
  const double quotient = std::exp(uniform(generator, std::log(ratio[0]), std::log(ratio[1])));
  const std::int64_t longer = std::llrint(std::sqrt(share * quotient));
  const std::int64_t other = std::llrint(std::sqrt(share / quotient));
  return wide ? Area{other, longer} : Area{longer, other};
}

constexpr int kAttempts = 10;

// torchvision's RandomResizedCrop.get_params.
Box draw_window(const RandomResizedCrop& t, std::int64_t height, std::int64_t width,
                Generator* generator) {
  const auto area = static_cast<double>(height) * static_cast<double>(width);
  for (int k = 0; k < kAttempts && generator; ++k) {
    const Area a = draw_area(area, t.scale, t.ratio, true, *generator);
    if (a.width <= 0 || a.width > width || a.height <= 0 || a.height > height) continue;
    const std::int64_t top = below(*generator, height - a.height + 1);
    return {top, below(*generator, width - a.width + 1), a.height, a.width};
  }
  // The middle, as large as the quotients allow.
  const double quotient = static_cast<double>(width) / static_cast<double>(height);
  Box box{0, 0, height, width};
  if (quotient < t.ratio[0]) {
    box.height = std::llrint(static_cast<double>(width) / t.ratio[0]);
  } else if (quotient > t.ratio[1]) {
    box.width = std::llrint(static_cast<double>(height) * t.ratio[1]);
  }
  box.height = std::clamp<std::int64_t>(box.height, 1, height);
  box.width = std::clamp<std::int64_t>(box.width, 1, width);
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

Tensor filled(const Tensor& picture, const Box& box, const std::vector<double>& value,
              const char* where) {
  const Tensor plain = checked_picture(picture, where);
  const auto channels = static_cast<std::size_t>(plain.dim(0));
  PARE_CHECK(value.size() == 1 || value.size() == channels, shape_mismatch, where,
             "expected one value, or {} as the picture has channels, got {}", channels,
             value.size());
  Tensor out = plain.clone();
  const auto fill = [&]<class T>(T, double highest) {
    T* plane = out.mutable_data<T>();
    for (std::size_t c = 0; c < channels; ++c, plane += plain.dim(1) * plain.dim(2)) {
      double v = value[value.size() == 1 ? 0 : c];
      if (highest > 0) v = std::clamp(std::nearbyint(v), 0.0, highest);
      for (std::int64_t y = box.top; y < box.top + box.height; ++y) {
        std::fill_n(plane + y * plain.dim(2) + box.left, box.width, static_cast<T>(v));
      }
    }
  };
  plain.dtype() == DType::u8 ? fill(std::uint8_t{}, 255) : fill(float{}, 0);
  return out;
}

struct Augment {
  const Tensor& input;
  Generator* generator;

  bool happens(double probability) const {
    return generator && static_cast<double>(generator->uniform()) < probability;
  }

  Tensor operator()(const Normalize&) const { PARE_ASSERT(false); }
  Tensor operator()(const Resize& t) const {
    const Tensor plain = checked_picture(input, "data::Resize");
    ResizeOptions options{t.height, t.width, t.antialias};
    if (t.size > 0) {
      const std::int64_t height = plain.dim(1), width = plain.dim(2);
      const bool tall = width <= height;
      options.height = tall ? t.size * height / width : t.size;
      options.width = tall ? t.size : t.size * width / height;
    }
    return resize(plain, options);
  }
  Tensor operator()(const RandomResizedCrop& t) const {
    const Tensor plain = checked_picture(input, "data::RandomResizedCrop");
    const Box box = draw_window(t, plain.dim(1), plain.dim(2), generator);
    return resized_crop(
        plain, box,
        {.height = t.height, .width = t.width > 0 ? t.width : t.height, .antialias = t.antialias});
  }
  Tensor operator()(const ColorJitter& t) const {
    if (!generator) return input;
    // Like torchvision's, what is left as it is draws nothing but its place in the order.
    Tensor picture = input;
    const std::vector<std::int64_t> order = generator->permutation(4);
    const auto factor = [&](double spread) {
      return uniform(*generator, std::max(0.0, 1 - spread), 1 + spread);
    };
    for (const std::int64_t step : order) {
      if (step == 0 && t.brightness > 0) {
        picture = adjust_brightness(picture, factor(t.brightness));
      } else if (step == 1 && t.contrast > 0) {
        picture = adjust_contrast(picture, factor(t.contrast));
      } else if (step == 2 && t.saturation > 0) {
        picture = adjust_saturation(picture, factor(t.saturation));
      } else if (step == 3 && t.hue > 0) {
        picture = adjust_hue(picture, uniform(*generator, -t.hue, t.hue));
      }
    }
    return picture;
  }
  Tensor operator()(const Grayscale& t) const {
    if (t.probability < 1 && !happens(t.probability)) {
      PARE_CHECK(input.defined() && input.rank() == 3 && input.dim(0) == t.channels, shape_mismatch,
                 "data::Grayscale", "expected {} channels, as the result has, got {}", t.channels,
                 describe(input));
      return input;
    }
    return grayscale(input, t.channels);
  }
  Tensor operator()(const RandomErasing& t) const {
    constexpr const char* where = "data::RandomErasing";
    const Tensor plain = checked_picture(input, where);
    if (!happens(t.probability)) return plain;
    const std::int64_t height = plain.dim(1), width = plain.dim(2);
    const auto area = static_cast<double>(height) * static_cast<double>(width);
    for (int k = 0; k < kAttempts; ++k) {
      const Area a = draw_area(area, t.scale, t.ratio, false, *generator);
      if (a.height <= 0 || a.width <= 0 || a.height >= height || a.width >= width) continue;
      const std::int64_t top = below(*generator, height - a.height + 1);
      const std::int64_t left = below(*generator, width - a.width + 1);
      return filled(plain, {top, left, a.height, a.width}, t.value, where);
    }
    return plain;
  }
  Tensor operator()(const Cutout& t) const {
    constexpr const char* where = "data::Cutout";
    const Tensor plain = checked_picture(input, where);
    if (!generator) return plain;
    const std::int64_t height = plain.dim(1), width = plain.dim(2);
    const std::int64_t top = below(*generator, height) - t.size / 2;
    const std::int64_t left = below(*generator, width) - t.size / 2;
    const Box box{std::max<std::int64_t>(top, 0), std::max<std::int64_t>(left, 0),
                  std::min(top + t.size, height) - std::max<std::int64_t>(top, 0),
                  std::min(left + t.size, width) - std::max<std::int64_t>(left, 0)};
    return filled(plain, box, t.value, where);
  }
  Tensor operator()(const Custom& t) const {
    Generator fixed;
    Tensor out = t(input, generator ? *generator : fixed);
    PARE_CHECK(out.defined(), invalid_argument, "data::Custom", "expected a tensor, got none");
    return out.detach();
  }
  // A move that others follow: its own picture in between.
  template <class Move> Tensor operator()(const Move& t) const {
    const Tensor plain = checked_picture(input, "data::Loader");
    const Transform move(t);
    return moved(plain, draw({&move, 1}, plain.dim(1), plain.dim(2), generator));
  }
};

}  // namespace

void check(const Transform& transform) { std::visit(Checks(), transform); }

bool is_move(const Transform& transform) {
  return std::holds_alternative<RandomCrop>(transform) ||
         std::holds_alternative<RandomHorizontalFlip>(transform) ||
         std::holds_alternative<CenterCrop>(transform);
}

Tensor augment(const Transform& transform, const Tensor& input, Generator* generator) {
  return std::visit(Augment{input, generator}, transform);
}

}  // namespace pare::data
