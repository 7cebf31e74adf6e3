// Cases of reductions, running sums, order and softmax.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/cases.h"

namespace pare::bench {
namespace {

const Shape kLong{1024, 256};

Attributes last_axis() { return Attributes::of(ReduceAttributes{.axes = {1}}); }

template <class F> void over_rows(Cases& cases, const OpDef& op, F f) {
  cases.push_back({op.name, {&op, last_axis()}, {{"normal", kMatrix}}, rows(f)});
}

float sum_of(const float* x, std::int64_t n) {
  float sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}
float largest(const float* x, std::int64_t n) {
  float most = x[0];
  for (std::int64_t i = 1; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}
float squared_deviations(const float* x, std::int64_t n) {
  const float mean = sum_of(x, n) / static_cast<float>(n);
  float sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += (x[i] - mean) * (x[i] - mean);
  return sum / static_cast<float>(n - 1);
}
float log_sum_exp(const float* x, std::int64_t n) {
  const float most = largest(x, n);
  float sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - most);
  return most + std::log(sum);
}
float norm_of(const float* x, std::int64_t n) {
  float sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return std::sqrt(sum);
}

// out[r, i] = combine(out[r, i − 1], x[r, i])
template <class F> Loop running(F combine) {
  return [combine](const Tensors& in, Tensor& out) {
    const float* x = in[0].data<float>();
    float* y = out.mutable_data<float>();
    for (std::int64_t r = 0; r < 1024; ++r)
      for (std::int64_t i = 0; i < 256; ++i) {
        const std::int64_t k = r * 256 + i;
        y[k] = i == 0 ? x[k] : combine(y[k - 1], x[k]);
      }
  };
}

template <class F> Loop row_by_row(F f) {
  return [f](const Tensors& in, Tensor& out) {
    const float* x = in[0].data<float>();
    float* y = out.mutable_data<float>();
    const std::int64_t length = in[0].dim(-1), out_length = out.dim(-1);
    for (std::int64_t r = 0, n = in[0].elements() / length; r < n; ++r)
      f(x + r * length, y + r * out_length, length);
  };
}

}  // namespace

void add_reduction_cases(Cases& cases) {
  over_rows(cases, kSum, sum_of);
  over_rows(cases, kMean,
            [](const float* x, std::int64_t n) { return sum_of(x, n) / static_cast<float>(n); });
  over_rows(cases, kMax, largest);
  over_rows(cases, kMin, [](const float* x, std::int64_t n) {
    float least = x[0];
    for (std::int64_t i = 1; i < n; ++i) least = x[i] < least ? x[i] : least;
    return least;
  });
  cases.push_back({"prod",
                   {&kProd, Attributes::of(ReduceAttributes{.axes = {1}})},
                   {{"positive", {8192, 16}}},
                   rows([](const float* x, std::int64_t n) {
                     float product = 1;
                     for (std::int64_t i = 0; i < n; ++i) product *= x[i];
                     return product;
                   })});
  over_rows(cases, kLogSumExp, log_sum_exp);
  const Attributes variance = Attributes::of(VarianceAttributes{.axes = {1}});
  cases.push_back({"var", {&kVar, variance}, {{"normal", kMatrix}}, rows(squared_deviations)});
  cases.push_back(
      {"std", {&kStd, variance}, {{"normal", kMatrix}}, rows([](const float* x, std::int64_t n) {
         return std::sqrt(squared_deviations(x, n));
       })});
  cases.push_back({"norm",
                   {&kNorm, Attributes::of(NormAttributes{.axes = {1}})},
                   {{"normal", kMatrix}},
                   rows(norm_of)});
  const Attributes columns = Attributes::of(ReduceAttributes{.axes = {0}});
  const auto down = [](auto f) {
    return [f](const Tensors& in, Tensor& out) {
      const float* x = in[0].data<float>();
      float* y = out.mutable_data<float>();
      std::copy(x, x + 512, y);
      for (std::int64_t r = 1; r < 256; ++r)
        for (std::int64_t c = 0; c < 512; ++c) y[c] = f(y[c], x[r * 512 + c]);
    };
  };
  cases.push_back({"sum, down", {&kSum, columns}, {{"normal", kMatrix}}, down([](float a, float b) {
                     return a + b;
                   })});
  cases.push_back({"max, down", {&kMax, columns}, {{"normal", kMatrix}}, down([](float a, float b) {
                     return a < b ? b : a;
                   })});
  cases.push_back({"var, down",
                   {&kVar, Attributes::of(VarianceAttributes{.axes = {0}})},
                   {{"normal", kMatrix}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t c = 0; c < 512; ++c) {
                       float sum = 0, squares = 0;
                       for (std::int64_t r = 0; r < 256; ++r) sum += x[r * 512 + c];
                       const float mean = sum / 256;
                       for (std::int64_t r = 0; r < 256; ++r)
                         squares += (x[r * 512 + c] - mean) * (x[r * 512 + c] - mean);
                       y[c] = squares / 255;
                     }
                   }});
  cases.push_back({"sum of all",
                   {&kSum, Attributes::of(ReduceAttributes{})},
                   {{"normal", kMatrix}},
                   rows(sum_of)});
  // Nearly all true and nearly all false: no loop may leave early.
  cases.push_back({"any",
                   {&kAny, last_axis()},
                   {{"zeros", kMatrix}},
                   rows<bool>([](const float* x, std::int64_t n) {
                     bool found = false;
                     for (std::int64_t i = 0; i < n; ++i) found |= x[i] != 0;
                     return found;
                   }),
                   {},
                   {}});
  cases.push_back({"all",
                   {&kAll, last_axis()},
                   {{"ones", kMatrix}},
                   rows<bool>([](const float* x, std::int64_t n) {
                     bool every = true;
                     for (std::int64_t i = 0; i < n; ++i) every &= x[i] != 0;
                     return every;
                   }),
                   {},
                   {}});
  const Attributes axis = Attributes::of(AxisAttributes{});
  cases.push_back({"argmax",
                   {&kArgmax, axis},
                   {{"normal", kMatrix}},
                   rows<std::int64_t>([](const float* x, std::int64_t n) {
                     std::int64_t best = 0;
                     for (std::int64_t i = 1; i < n; ++i)
                       if (x[i] > x[best]) best = i;
                     return best;
                   }),
                   {},
                   {}});
  cases.push_back({"argmin",
                   {&kArgmin, axis},
                   {{"normal", kMatrix}},
                   rows<std::int64_t>([](const float* x, std::int64_t n) {
                     std::int64_t best = 0;
                     for (std::int64_t i = 1; i < n; ++i)
                       if (x[i] < x[best]) best = i;
                     return best;
                   }),
                   {},
                   {}});
  const Attributes cumulative = Attributes::of(CumulativeAttributes{});
  cases.push_back(
      {"cumsum", {&kCumsum, cumulative}, {{"normal", kLong}}, running([](float a, float b) {
         return a + b;
       })});
  cases.push_back({"cumprod",
                   {&kCumprod, cumulative},
                   {{"const:1.001", kLong}},
                   running([](float a, float b) { return a * b; }),
                   {},
                   {0}});
  cases.push_back({"cumsum, down",
                   {&kCumsum, Attributes::of(CumulativeAttributes{.axis = 0})},
                   {{"normal", kMatrix}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0; i < 256 * 512; ++i)
                       y[i] = x[i] + (i < 512 ? 0 : y[i - 512]);
                   }});
  cases.push_back({"softmax",
                   {&kSoftmax, Attributes::of(SoftmaxAttributes{})},
                   {{"normal", kMatrix}},
                   row_by_row([](const float* x, float* y, std::int64_t n) {
                     const float shift = log_sum_exp(x, n);
                     for (std::int64_t i = 0; i < n; ++i) y[i] = std::exp(x[i] - shift);
                   })});
  cases.push_back({"log_softmax",
                   {&kLogSoftmax, Attributes::of(SoftmaxAttributes{})},
                   {{"normal", kMatrix}},
                   row_by_row([](const float* x, float* y, std::int64_t n) {
                     const float shift = log_sum_exp(x, n);
                     for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] - shift;
                   })});
  cases.push_back({"sort",
                   {&kSort, Attributes::of(SortAttributes{})},
                   {{"normal", kMatrix}},
                   row_by_row([](const float* x, float* y, std::int64_t n) {
                     std::copy(x, x + n, y);
                     std::sort(y, y + n);
                   })});
  cases.push_back({"sort, one long row",
                   {&kSort, Attributes::of(SortAttributes{})},
                   {{"normal", {131072}}},
                   row_by_row([](const float* x, float* y, std::int64_t n) {
                     std::copy(x, x + n, y);
                     std::sort(y, y + n);
                   })});
  cases.push_back({"topk",
                   {&kTopk, Attributes::of(TopkAttributes{.k = 5})},
                   {{"normal", kMatrix}},
                   row_by_row([](const float* x, float* y, std::int64_t n) {
                     std::partial_sort_copy(x, x + n, y, y + 5, std::greater<>());
                   })});
}

}  // namespace pare::bench
