// Samples of the reductions and of the softmax family.
#include "core/samples.h"
#include "pare/core/ops/reduction.h"

namespace pare::test {
namespace {

constexpr MemoryFormat kLast = MemoryFormat::channels_last;

/// Distinct values, far enough apart for the central differences of a maximum.
Tensor distinct(Generator& g, const Shape& shape) {
  std::vector<float> v;
  for (const std::int64_t k : g.permutation(shape.elements()))
    v.push_back(0.1F * static_cast<float>(k) - 2.0F);
  return Tensor::from(v, shape);
}

}  // namespace

void add_reduction_samples(Samples& samples, Generator& g) {
  struct Case {
    Shape shape;
    std::vector<std::int64_t> axes;
    bool keepdim;
  };
  const std::vector<Case> cases = {
      {{}, {}, false},
      {{1}, {0}, true},
      {{67}, {}, false},
      {{5, 9}, {1}, false},
      {{5, 9}, {0}, false},
      {{6, 70}, {0}, true},
      {{3, 4, 5}, {1}, false},
      {{3, 4, 5}, {-1, 0}, true},
      {{2, 9, 3, 5}, {0, 2, 3}, true},
      {{2, 9, 3, 5}, {0, 2, 3}, false},
      {{2, 9, 3, 5}, {2, 3}, false},
      {{2, 9, 3, 5}, {1}, true},
      {{2, 9, 3, 5}, {0}, false},
      {{2, 3, 2, 3, 2}, {1, 3}, false},
  };
  for (const OpDef* op : {&kSum, &kMean, &kMax, &kMin}) {
    for (const Case& c : cases) {
      const Call call{op, Attributes::of(ReduceAttributes{c.axes, c.keepdim})};
      const Tensor x = distinct(g, c.shape);
      const std::string name = c.shape.to_string() + " " + call.attributes.to_string();
      samples.push_back({name, call, {x}});
      if (c.shape.rank() >= 3) samples.push_back({name + ", channels last", call, {x.to(kLast)}});
    }
    for (const Shape& empty : {Shape{0, 5}, Shape{2, 3, 0}, Shape{2, 3, 0, 4}}) {
      const Call call{op, Attributes::of(ReduceAttributes{{1}, false})};
      samples.push_back({"empty", call, {distinct(g, empty)}});
    }
    const Call all{op, Attributes::of(ReduceAttributes{{1}, false})};
    samples.push_back({"f64", all, {distinct(g, {4, 6}).to(DType::f64)}});
    if (op != &kMean) samples.push_back({"i32", all, {distinct(g, {4, 60}).to(DType::i32)}});
  }
  for (const auto& [shape, axis] : std::vector<std::pair<Shape, std::int64_t>>{{{9}, 0},
                                                                               {{5, 10}, -1},
                                                                               {{5, 10}, 0},
                                                                               {{2, 9, 3, 5}, 1},
                                                                               {{2, 3, 2, 3, 2}, 2},
                                                                               {{0, 5}, 1},
                                                                               {{2, 3, 0, 4}, 1}}) {
    for (const OpDef* op : {&kArgmax, &kArgmin}) {
      for (const bool keepdim : {false, true}) {
        const Call call{op, Attributes::of(AxisAttributes{axis, keepdim})};
        const Tensor x = distinct(g, shape);
        const std::string name = shape.to_string() + " " + call.attributes.to_string();
        samples.push_back({name, call, {x}});
        if (shape.rank() >= 3) samples.push_back({name + ", channels last", call, {x.to(kLast)}});
      }
    }
  }
  for (const OpDef* op : {&kSoftmax, &kLogSoftmax}) {
    for (const auto& [shape, axis] :
         std::vector<std::pair<Shape, std::int64_t>>{{{}, -1},
                                                     {{10}, 0},
                                                     {{7, 10}, -1},
                                                     {{3, 65}, 1},
                                                     {{5, 6}, 0},
                                                     {{2, 9, 3, 5}, 1},
                                                     {{2, 3, 8, 9}, 1},
                                                     {{2, 4, 3, 5}, -1},
                                                     {{2, 3, 2, 3, 2}, 2},
                                                     {{0, 5}, -1},
                                                     {{4, 0}, -1},
                                                     {{4, 0}, 0},
                                                     {{2, 3, 0}, 1},
                                                     {{2, 0, 3, 4}, 1},
                                                     {{0, 3, 4, 5}, 1}}) {
      const Call call{op, Attributes::of(SoftmaxAttributes{axis})};
      const Tensor x = g.normal(shape);
      const std::string name = shape.to_string() + " " + call.attributes.to_string();
      samples.push_back({name, call, {x}});
      if (shape.rank() >= 3) samples.push_back({name + ", channels last", call, {x.to(kLast)}});
    }
    samples.push_back(
        {"f64", {op, Attributes::of(SoftmaxAttributes{})}, {g.normal({3, 4}).to(DType::f64)}});
  }
}

}  // namespace pare::test
