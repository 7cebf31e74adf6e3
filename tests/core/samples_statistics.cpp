// Samples of prod, var, std, norm, logsumexp, any, all, cumsum, cumprod, sort and topk.
#include <limits>

#include "core/samples.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/reduction.h"
#include "pare/core/ops/sort.h"

namespace pare::test {
namespace {

constexpr MemoryFormat kLast = MemoryFormat::channels_last;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Of distinct sizes, none near zero: far enough from the kinks of |x|.
Tensor signed_values(Generator& g, const Shape& shape) {
  std::vector<float> v;
  for (const std::int64_t k : g.permutation(shape.elements()))
    v.push_back((k % 2 == 0 ? 1.0F : -1.0F) * (0.05F * static_cast<float>(k) + 0.3F));
  return Tensor::from(v, shape);
}

struct Case {
  Shape shape;
  std::vector<std::int64_t> axes;
  bool keepdim;
};
std::vector<Case> cases() {
  return {
      {{19}, {}, false},          {{5, 9}, {1}, false},
      {{5, 9}, {0}, true},        {{3, 4, 5}, {1}, false},
      {{3, 4, 5}, {-1, 0}, true}, {{2, 9, 3, 5}, {2, 3}, false},
      {{2, 9, 3, 5}, {1}, true},  {{2, 3, 2, 3, 2}, {1, 3}, false},
  };
}

void add_both(Samples& samples, const Call& call, const Tensor& x) {
  const std::string name = x.shape().to_string() + " " + call.attributes.to_string();
  samples.push_back({name, call, {x}});
  if (x.rank() >= 3) samples.push_back({name + ", channels last", call, {x.to(kLast)}});
}

/// Of no elements, of f64, of 16 bits.
template <class Make> void add_forms(Samples& samples, Make make, const Tensor& x) {
  for (const Shape& empty : {Shape{0, 5}, Shape{2, 3, 0}, Shape{2, 3, 0, 4}, Shape{3, 0}})
    samples.push_back({"empty", make({1}, false), {Tensor::zeros(empty)}});
  samples.push_back({"f64", make({-1}, true), {x.to(DType::f64)}});
  samples.push_back({"f16", make({0}, false), {x.to(DType::f16)}});
}

void add_norms(Samples& samples, Generator& g) {
  for (const double p : {2.0, 1.0, 3.0, 0.5, 0.0, -1.5, kInfinity, -kInfinity}) {
    const auto make = [p](const std::vector<std::int64_t>& axes, bool keepdim) {
      return Call{&kNorm, Attributes::of(NormAttributes{axes, p, keepdim})};
    };
    for (const Case& c : cases())
      add_both(samples, make(c.axes, c.keepdim), signed_values(g, c.shape));
    samples.push_back({"f64", make({1}, false), {signed_values(g, {3, 4}).to(DType::f64)}});
    samples.push_back({"empty", make({1}, false), {Tensor::zeros({0, 4})}});
    if (p > 0 && p < kInfinity)
      samples.push_back({"of nothing", make({1}, false), {Tensor::zeros({4, 0})}});
  }
  const Call call{&kNorm, Attributes::of(NormAttributes{})};
  samples.push_back({"scalar", call, {Tensor::scalar(-1.5)}});
  samples.push_back({"f16", call, {signed_values(g, {3, 4}).to(DType::f16)}});
}

void add_variances(Samples& samples, Generator& g) {
  for (const OpDef* op : {&kVar, &kStd}) {
    for (const double correction : {1.0, 0.0, 0.5}) {
      const auto make = [=](const std::vector<std::int64_t>& axes, bool keepdim) {
        return Call{op, Attributes::of(VarianceAttributes{axes, correction, keepdim})};
      };
      for (const Case& c : cases()) add_both(samples, make(c.axes, c.keepdim), g.normal(c.shape));
      add_forms(samples, make, g.normal({4, 3}));
    }
  }
  const Call call{&kVar, Attributes::of(VarianceAttributes{.correction = 0})};
  samples.push_back({"scalar", call, {Tensor::scalar(2)}});
}

void add_cumulative(Samples& samples, Generator& g) {
  for (const OpDef* op : {&kCumsum, &kCumprod}) {
    for (const auto& [shape, axis] :
         std::vector<std::pair<Shape, std::int64_t>>{{{9}, 0},
                                                     {{3, 7}, -1},
                                                     {{3, 20}, 0},
                                                     {{3, 4, 2}, 1},
                                                     {{2, 9, 3, 5}, 1},
                                                     {{2, 4, 3, 5}, 2},
                                                     {{2, 4, 3, 5}, 0},
                                                     {{2, 3, 2, 3, 2}, 3},
                                                     {{0, 5}, 1},
                                                     {{5, 0}, 1}}) {
      for (const int form : {0, 1, 2, 3}) {
        const CumulativeAttributes a{axis, (form & 1) != 0, (form & 2) != 0};
        const Call call{op, Attributes::of(a)};
        Tensor x = g.uniform(shape, 0.5F, 1.5F);
        add_both(samples, call, x);
        if (x.elements() < 5) continue;
        // One zero, and two in a line.
        x.mutable_data<float>()[4] = 0;
        add_both(samples, call, x);
        x.mutable_data<float>()[3] = 0;
        add_both(samples, call, x);
      }
    }
    const Call call{op, Attributes::of(CumulativeAttributes{})};
    samples.push_back({"f64", call, {g.normal({3, 4}).to(DType::f64)}});
    samples.push_back({"f16", call, {g.normal({3, 4}).to(DType::f16)}});
    samples.push_back({"i64", call, {Tensor::full({3, 4}, 3, DType::i64)}});
  }
}

void add_sorts(Samples& samples, Generator& g) {
  for (const auto& [shape, axis] : std::vector<std::pair<Shape, std::int64_t>>{{{19}, 0},
                                                                               {{3, 7}, -1},
                                                                               {{5, 4}, 0},
                                                                               {{3, 4, 2}, 1},
                                                                               {{2, 5, 3, 4}, 1},
                                                                               {{2, 5, 3, 4}, 2},
                                                                               {{0, 5}, 1},
                                                                               {{2, 3, 0, 4}, 1}}) {
    for (const bool forward : {false, true}) {
      const Tensor x = signed_values(g, shape);
      add_both(samples, {&kSort, Attributes::of(SortAttributes{axis, forward})}, x);
      for (const std::int64_t k : {0, 1, 3})
        add_both(samples, {&kTopk, Attributes::of(TopkAttributes{k, axis, forward})}, x);
    }
  }
  for (const OpDef* op : {&kSort, &kTopk}) {
    const Call call{op, op->defaults()};
    for (const DType dtype : {DType::f64, DType::f16, DType::i64, DType::u8})
      samples.push_back({"of other types", call, {g.uniform({3, 4}, 0.0F, 20.0F).to(dtype)}});
    samples.push_back({"empty", call, {Tensor::zeros({0, 4})}});
  }
  samples.push_back({"empty lines", {&kSort, kSort.defaults()}, {Tensor::zeros({4, 0})}});
}

}  // namespace

void add_statistics_samples(Samples& samples, Generator& g) {
  const auto reduction = [](const OpDef* op) {
    return [op](const std::vector<std::int64_t>& axes, bool keepdim) {
      return Call{op, Attributes::of(ReduceAttributes{axes, keepdim})};
    };
  };
  for (const Case& c : cases()) {
    add_both(samples, reduction(&kLogSumExp)(c.axes, c.keepdim), g.normal(c.shape));
    Tensor x = g.uniform(c.shape, 0.5F, 1.5F);
    for (int zeros = 0; zeros < 3; ++zeros) {
      add_both(samples, reduction(&kProd)(c.axes, c.keepdim), x.clone());
      x.mutable_data<float>()[zeros] = 0;
    }
    const Tensor mask = clamp(g.uniform(c.shape, -1.0F, 1.0F), 0, 1);
    for (const OpDef* op : {&kAny, &kAll}) {
      add_both(samples, reduction(op)(c.axes, c.keepdim), mask);
      add_both(samples, reduction(op)(c.axes, c.keepdim), mask.to(DType::boolean));
    }
  }
  for (const OpDef* op : {&kProd, &kLogSumExp, &kAny, &kAll})
    add_forms(samples, reduction(op), g.uniform({4, 3}, 0.5F, 1.5F));
  samples.push_back({"i32", reduction(&kProd)({1}, false), {Tensor::full({2, 5}, -3, DType::i32)}});
  add_variances(samples, g);
  add_norms(samples, g);
  add_cumulative(samples, g);
  add_sorts(samples, g);
}

}  // namespace pare::test
