// Second moments of a layer's input, over a sample of the places where its weight is applied.
#include "quantize/layer_moments.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "core/check.h"
#include "core/ops/gemm.h"
#include "core/ops/line_as_picture.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"
#include "pare/core/parallel.h"
#include "pare/runtime/compile.h"

namespace pare::quantize {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

bool is_columns_first(const Graph::Node& node) { return node.call.op == &kMatmul; }

// A place: a sample of the batch and an output position in it.
struct Place {
  std::int64_t sample, position;
};

// Where the columns of one output come from.
class Patches {
 public:
  Patches(const Graph::Node& node, const Tensor& x, const Shape& weight) : x_(x.data<float>()) {
    if (!is_picture_convolution(node.call.op)) {
      channels_ = x.dim(-1);
      samples_ = x.rank() > 1 ? x.dim(0) : 1;
      out_width_ = samples_ == 0 || channels_ == 0 ? 0 : x.elements() / channels_ / samples_;
      return;
    }
    picture_ = true;
    a_ = picture_attributes(node.call);
    const Shape shape = with_height(x.shape());
    const Shape kernel = with_height(weight);
    samples_ = shape[0];
    channels_ = shape[1] / a_.groups;
    height_ = shape[2];
    width_ = shape[3];
    kernel_height_ = kernel[2];
    kernel_width_ = kernel[3];
    const auto size = [](std::int64_t padded, std::int64_t taps, std::int64_t dilation,
                         std::int64_t stride) {
      return (padded - dilation * (taps - 1) - 1) / stride + 1;
    };
    out_height_ =
        size(height_ + a_.padding[0] + a_.padding[2], kernel_height_, a_.dilation[0], a_.stride[0]);
    out_width_ =
        size(width_ + a_.padding[1] + a_.padding[3], kernel_width_, a_.dilation[1], a_.stride[1]);
  }

  std::int64_t samples() const { return samples_; }
  std::int64_t positions() const { return out_height_ * out_width_; }

  void gather(std::int64_t group, Place place, float* out) const {
    if (!picture_) {
      const float* row = x_ + (place.sample * out_width_ + place.position) * channels_;
      std::copy(row, row + channels_, out);
      return;
    }
    const std::int64_t top = place.position / out_width_ * a_.stride[0] - a_.padding[0];
    const std::int64_t left = place.position % out_width_ * a_.stride[1] - a_.padding[1];
    const float* plane = x_ + (place.sample * a_.groups + group) * channels_ * height_ * width_;
    for (std::int64_t c = 0; c < channels_; ++c, plane += height_ * width_)
      for (std::int64_t i = 0; i < kernel_height_; ++i) {
        const std::int64_t y = top + i * a_.dilation[0];
        for (std::int64_t k = 0; k < kernel_width_; ++k) {
          const std::int64_t x = left + k * a_.dilation[1];
          const bool inside = y >= 0 && y < height_ && x >= 0 && x < width_;
          *out++ = inside ? plane[y * width_ + x] : 0.0F;
        }
      }
  }

 private:
  const float* x_;
  bool picture_ = false;
  Conv2dAttributes a_;
  std::int64_t samples_ = 0, channels_ = 0, height_ = 1, width_ = 1;
  std::int64_t kernel_height_ = 1, kernel_width_ = 1, out_height_ = 1, out_width_ = 0;
};

// All positions of a sample where they are few, else some of them, which depend on nothing but the
// seed and the sample's number.
void choose(std::int64_t sample, std::int64_t positions, std::int64_t wanted, Generator generator,
            std::vector<Place>& places) {
  for (std::int64_t i = 0; i < std::min(positions, wanted); ++i) {
    // One of every stretch of equal length.
    const std::int64_t begin = i * positions / std::min(positions, wanted);
    const std::int64_t end = (i + 1) * positions / std::min(positions, wanted);
    const auto offset = generator.below(static_cast<std::uint64_t>(end - begin));
    places.push_back({sample, begin + static_cast<std::int64_t>(offset)});
  }
}

// Adds rows to their sum; whether all numbers are finite, as then their sums in double are.
bool add_rows(const std::vector<float>& rows, std::vector<double>& sum) {
  const std::size_t n = sum.size();
  for (std::size_t begin = 0; begin < rows.size(); begin += n)
    for (std::size_t i = 0; i < n; ++i) sum[i] += static_cast<double>(rows[begin + i]);
  return std::ranges::all_of(sum, [](double v) { return std::isfinite(v); });
}

void subtract(std::vector<float>& rows, const std::vector<float>& row) {
  for (std::size_t begin = 0; begin < rows.size(); begin += row.size())
    for (std::size_t i = 0; i < row.size(); ++i) rows[begin + i] -= row[i];
}

// Whether the variances are a small part of the squares.
bool varies_little(const std::vector<float>& rows, const std::vector<double>& sum,
                   std::int64_t count) {
  constexpr double kSmall = 0.1;
  const std::size_t n = sum.size();
  double variance = 0, squares = 0;
  for (std::size_t begin = 0; begin < rows.size(); begin += n)
    for (std::size_t i = 0; i < n; ++i) {
      const auto v = static_cast<double>(rows[begin + i]);
      const double mean = sum[i] / static_cast<double>(count);
      variance += (v - mean) * (v - mean);
      squares += v * v;
    }
  return variance < kSmall * squares;
}

// Of rows from which a row was subtracted.
float largest(const std::vector<float>& rows, const std::vector<float>& row) {
  float result = 0;
  for (std::size_t i = 0; i < rows.size(); ++i)
    result = std::max(result, std::fabs(rows[i] + row[i % row.size()]));
  return result;
}

// m += factor · left · rightᵀ.
void add_products(SquareMatrix& m, const std::vector<double>& left,
                  const std::vector<double>& right, double factor) {
  for (std::int64_t i = 0; i < m.size; ++i)
    for (std::int64_t k = 0; k < m.size; ++k) m.row(i)[k] += factor * left[at(i)] * right[at(k)];
}

}  // namespace

LayerForm layer_form(const Graph::Node& node, const Shape& weight) {
  if (is_picture_convolution(node.call.op)) {
    const std::int64_t groups = picture_attributes(node.call).groups;
    return {groups, weight[0] / groups, weight.elements(1, weight.rank())};
  }
  if (node.call.op == &kLinear && weight.rank() == 2) return {1, weight[0], weight[1]};
  if (node.call.op == &kMatmul && weight.rank() == 2) return {1, weight[1], weight[0]};
  return {};
}

Plan plan_before(const Graph& graph, const std::string& layer) {
  Graph part = graph.share();
  const int node = part.find_node(layer);
  PARE_ASSERT(node >= 0);
  part.set_outputs({part.node(node).inputs[0]});
  part.compact();
  return compile(std::move(part));
}

std::vector<double> weight_rows(const Graph::Node& node, const Tensor& weight) {
  const std::vector<float> w = weight.to_vector<float>();
  std::vector<double> rows(w.begin(), w.end());
  if (!is_columns_first(node)) return rows;
  const std::int64_t k = weight.dim(0), n = weight.dim(1);
  for (std::int64_t i = 0; i < k; ++i)
    for (std::int64_t r = 0; r < n; ++r)
      rows[at(r * k + i)] = static_cast<double>(w[at(i * n + r)]);
  return rows;
}

Tensor weight_from_rows(const Graph::Node& node, const Shape& shape, std::span<const float> rows) {
  if (!is_columns_first(node)) return Tensor::from(rows, shape);
  std::vector<float> w(rows.size());
  for (std::int64_t i = 0; i < shape[0]; ++i)
    for (std::int64_t r = 0; r < shape[1]; ++r)
      w[at(i * shape[1] + r)] = rows[at(r * shape[0] + i)];
  return Tensor::from(w, shape);
}

LayerMoments::LayerMoments(const Graph::Node& node, const Tensor& weight,
                           std::int64_t places_per_sample, std::uint64_t seed, std::int64_t kept)
    : node_(node),
      weight_shape_(weight.shape()),
      form_(layer_form(node, weight.shape())),
      places_per_sample_(places_per_sample),
      seed_(seed),
      samples_of_(at(form_.groups)),
      kept_batches_(kept) {
  const std::vector<double> rows = weight_rows(node, weight);
  weights_.assign(rows.begin(), rows.end());
  const std::size_t columns = at(form_.columns);
  for (std::int64_t g = 0; g < form_.groups; ++g)
    sums_.push_back({SquareMatrix(form_.columns), SquareMatrix(form_.columns),
                     std::vector<double>(columns, 0), std::vector<double>(columns, 0),
                     std::vector<double>(at(form_.rows), 0),
                     std::vector<double>(at(form_.rows), 0)});
}

void LayerMoments::add(const Tensor& given, const Tensor& wanted) {
  const Tensor x = given.to(MemoryFormat::row_major);
  const Tensor z = wanted.to(MemoryFormat::row_major);
  PARE_CHECK(x.shape() == z.shape(), shape_mismatch, node_.name,
             "expected inputs of one shape, got {} and {}", x.shape(), z.shape());
  const Patches from(node_, x, weight_shape_);
  const Patches to(node_, z, weight_shape_);
  std::vector<Place> places;
  const Generator generator(seed_);
  for (std::int64_t s = 0; s < from.samples(); ++s)
    choose(s, from.positions(), places_per_sample_,
           generator.fork(static_cast<std::uint64_t>(samples_ + s)), places);
  samples_ += from.samples();
  places_ += static_cast<std::int64_t>(places.size());
  if (places.empty()) return;
  const auto sum_group = [&](std::int64_t g, bool parallel) {
    std::vector<float> a(places.size() * at(form_.columns)), b(a.size());
    parallel_for(0, static_cast<std::int64_t>(places.size()), 64,
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t p = begin; p < end; ++p) {
                     from.gather(g, places[at(p)], a.data() + p * form_.columns);
                     to.gather(g, places[at(p)], b.data() + p * form_.columns);
                   }
                 });
    sum(g, a, b, static_cast<std::int64_t>(places.size()), parallel);
  };
  if (form_.groups == 1) return sum_group(0, true);
  parallel_for(0, form_.groups, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t g = begin; g < end; ++g) sum_group(g, false);
  });
}

void LayerMoments::sum(std::int64_t g, std::vector<float>& x, std::vector<float>& z,
                       std::int64_t places, bool parallel) {
  Sums& sums = sums_[at(g)];
  const std::int64_t k = form_.columns;
  const auto product = parallel ? parallel_gemm : gemm;
  PARE_CHECK(add_rows(x, sums.mean) && add_rows(z, sums.wanted), invalid_argument, node_.name,
             "expected finite inputs of the layer on the calibration data, got NaN or infinity");
  std::vector<float> y(at(places * form_.rows));
  product(places, form_.rows, k, {z.data(), k}, {weights_.data() + g * form_.rows * k, k, true},
          y.data(), form_.rows, false);
  PARE_CHECK(add_rows(y, sums.output), invalid_argument, node_.name,
             "expected outputs of the layer on the calibration data that f32 holds, got NaN or "
             "infinity");
  keep(g, x, y, places);
  for (std::int64_t p = 0; p < places; ++p)
    for (std::int64_t r = 0; r < form_.rows; ++r) {
      const auto v = static_cast<double>(y[at(p * form_.rows + r)]);
      sums.power[at(r)] += v * v;
    }
  // The first batch decides.
  if (sums.x_shift.empty()) {
    const bool shifts = varies_little(x, sums.mean, places);
    const auto shift = [&](double sum) {
      return shifts ? static_cast<float>(sum / static_cast<double>(places)) : 0.0F;
    };
    std::ranges::transform(sums.mean, std::back_inserter(sums.x_shift), shift);
    std::ranges::transform(sums.wanted, std::back_inserter(sums.z_shift), shift);
  }
  subtract(x, sums.x_shift);
  subtract(z, sums.z_shift);
  std::vector<float> scratch(at(k * k));
  const auto add_product = [&](const std::vector<float>& other, SquareMatrix& to) {
    product(k, k, places, {x.data(), k, true}, {other.data(), k}, scratch.data(), k, false);
    PARE_CHECK(add_rows(scratch, to.data), invalid_argument, node_.name,
               "expected inputs of the layer whose products f32 holds, got inputs up to {:.3g}",
               std::max(largest(x, sums.x_shift), largest(z, sums.z_shift)));
  };
  add_product(x, sums.own);
  add_product(z, sums.cross);
}

// Every so many places, so that those of all batches take 256 MB.
void LayerMoments::keep(std::int64_t g, const std::vector<float>& x, const std::vector<float>& y,
                        std::int64_t places) {
  if (kept_batches_ == 0) return;
  constexpr std::int64_t kLargest = std::int64_t{1} << 26;
  const std::int64_t numbers = form_.groups * (form_.columns + form_.rows) * kept_batches_;
  const std::int64_t step = 1 + places * numbers / kLargest;
  Samples& samples = samples_of_[at(g)];
  for (std::int64_t p = 0; p < places; p += step) {
    samples.inputs.insert(samples.inputs.end(), x.begin() + p * form_.columns,
                          x.begin() + (p + 1) * form_.columns);
    samples.outputs.insert(samples.outputs.end(), y.begin() + p * form_.rows,
                           y.begin() + (p + 1) * form_.rows);
  }
}

LayerMoments::Group LayerMoments::group(std::int64_t g) const {
  PARE_ASSERT(places_ > 0);
  const Sums& sums = sums_[at(g)];
  Group group{sums.own, sums.cross, sums.mean, sums.wanted, sums.power};
  const auto n = static_cast<double>(places_);
  for (std::vector<double>* all :
       {&group.own.data, &group.cross.data, &group.mean, &group.wanted, &group.power})
    for (double& v : *all) v /= n;
  // What the means differ from the shifts by.
  const auto rest = [](const std::vector<double>& mean, const std::vector<float>& shift) {
    std::vector<double> differences(mean.size());
    for (std::size_t i = 0; i < mean.size(); ++i)
      differences[i] = mean[i] - static_cast<double>(shift[i]);
    return differences;
  };
  const std::vector<double> x = rest(group.mean, sums.x_shift);
  add_products(group.own, x, x, -1);
  add_products(group.cross, x, rest(group.wanted, sums.z_shift), -1);
  for (std::int64_t i = 0; i < group.own.size; ++i)
    group.own.row(i)[i] = std::max(0.0, group.own.row(i)[i]);
  for (std::size_t r = 0; r < group.power.size(); ++r) {
    const double mean = sums.output[r] / n;
    group.power[r] = std::max(0.0, group.power[r] - mean * mean);
  }
  return group;
}

SquareMatrix LayerMoments::Group::own_with_means() const {
  SquareMatrix result = own;
  add_products(result, mean, mean, 1);
  return result;
}

SquareMatrix LayerMoments::Group::cross_with_means() const {
  SquareMatrix result = cross;
  add_products(result, mean, wanted, 1);
  return result;
}

}  // namespace pare::quantize
