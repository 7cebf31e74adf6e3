// Samples of the losses.
#include "core/samples.h"
#include "pare/core/ops/loss.h"
#include "pare/core/ops/reduction.h"

namespace pare::test {
namespace {

constexpr MemoryFormat kLast = MemoryFormat::channels_last;

Tensor random_labels(Generator& g, std::int64_t batch, std::int64_t classes, bool ignore = false) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < batch; ++i)
    labels.push_back(static_cast<std::int64_t>(g.below(static_cast<std::uint64_t>(classes))));
  if (ignore) labels[1] = -100;
  return Tensor::from(labels, {batch});
}

void add_labelled(Samples& samples, Generator& g) {
  for (const std::string reduction : {"mean", "sum", "none"}) {
    const Call plain{&kNll, Attributes::of(NllAttributes{.reduction = reduction})};
    const Call smooth{&kCrossEntropy, Attributes::of(CrossEntropyAttributes{
                                          .label_smoothing = 0.2, .reduction = reduction})};
    const Call entropy{&kCrossEntropy,
                       Attributes::of(CrossEntropyAttributes{.reduction = reduction})};
    for (const auto& [batch, classes] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {3, 4}, {5, 10}, {4, 53}}) {
      const Tensor x = g.normal({batch, classes}, 0.0F, 2.0F);
      const Tensor weight = g.uniform({classes}, 0.5F, 2.0F);
      for (const bool ignore : {false, true}) {
        if (ignore && batch == 1) continue;
        const Tensor labels = random_labels(g, batch, classes, ignore);
        const std::string name = reduction + (ignore ? ", ignored" : "");
        for (const Call& call : {plain, entropy, smooth}) {
          samples.push_back({name, call, {x, labels}});
          samples.push_back({.name = name + ", weights",
                             .call = call,
                             .inputs = {x, labels, weight},
                             .differentiate = {0}});
        }
      }
    }
    for (const Call& call : {plain, entropy, smooth}) {
      samples.push_back({"empty", call, {g.normal({0, 4}), Tensor::empty({0}, DType::i64)}});
      const Tensor labels = random_labels(g, 3, 4);
      samples.push_back({"f64", call, {g.normal({3, 4}).to(DType::f64), labels}});
      samples.push_back({"f16", call, {g.normal({3, 4}).to(DType::f16), labels}});
    }
  }
}

/// Pairs in both formats, of both types, empty and without axes.
template <class Make>
void add_pairs(Samples& samples, Generator& g, Make make, bool target_slope = true) {
  const std::vector<int> which = target_slope ? std::vector<int>{0, 1} : std::vector<int>{0};
  for (const std::string reduction : {"mean", "sum", "none"}) {
    const Call call = make(reduction);
    const auto add = [&](const std::string& name, const Tensors& inputs) {
      samples.push_back({.name = reduction + ", " + name,
                         .call = call,
                         .inputs = inputs,
                         .differentiate = which});
    };
    const Tensor a = g.uniform({2, 5, 3, 4}, 0.1F, 0.9F);
    // Far from the kinks at a difference of 0 and of what the settings say.
    Tensor b = a.clone();
    for (std::int64_t i = 0; i < b.elements(); ++i)
      b.mutable_data<float>()[i] += static_cast<float>(i % 7) * 0.1F - 0.35F;
    b = target_slope ? b : Tensor::full(a.shape(), 1);
    for (std::int64_t i = 0; !target_slope && i < b.elements(); i += 2)
      b.mutable_data<float>()[i] = -1;
    add("rank 4", {a, b});
    add("channels last", {a.to(kLast), b.to(kLast)});
    add("row-major and channels last", {a, b.to(kLast)});
    add("scalars", {Tensor::scalar(0.4), Tensor::scalar(1)});
    for (const Shape& empty : {Shape{0, 4}, Shape{3, 0}})
      add("empty", {Tensor::zeros(empty), Tensor::zeros(empty)});
    samples.push_back({"f64", call, {a.to(DType::f64), b.to(DType::f64)}});
    samples.push_back({"f16", call, {a.to(DType::f16), b.to(DType::f16)}});
  }
}

void add_binary(Samples& samples, Generator& g) {
  for (const OpDef* op : {&kBce, &kBceWithLogits}) {
    const auto make = [op](const std::string& reduction) {
      return Call{op, Attributes::of(LossAttributes{reduction})};
    };
    const bool logits = op == &kBceWithLogits;
    for (const std::string reduction : {"mean", "sum", "none"}) {
      const auto add = [&](const std::string& name, const Tensors& inputs) {
        samples.push_back({.name = reduction + ", " + name,
                           .call = make(reduction),
                           .inputs = inputs,
                           .differentiate = {0, 1}});
      };
      const Shape shape{2, 5, 3, 4};
      const Tensor x = logits ? g.normal(shape, 0.0F, 2.0F) : g.uniform(shape, 0.2F, 0.8F);
      const Tensor t = g.uniform(shape);
      const Tensor each = g.uniform(shape, 0.5F, 2.0F);
      const Tensor some = g.uniform({3, 1}, 0.5F, 2.0F);
      add("rank 4", {x, t});
      add("channels last", {x.to(kLast), t});
      add("weights", {x, t, each});
      add("weights broadcast, channels last", {x, t.to(kLast), some});
      if (logits) {
        add("positive weights", {x, t, Tensor(), some});
        add("both weights", {x.to(kLast), t, some, each});
      }
      add("scalars", {Tensor::scalar(0.4), Tensor::scalar(1)});
      for (const Shape& empty : {Shape{0, 4}, Shape{3, 0}})
        add("empty", {Tensor::zeros(empty), Tensor::zeros(empty)});
      const Tensor half = g.uniform({3, 4}, 0.2F, 0.8F);
      samples.push_back({"f64", make(reduction), {half.to(DType::f64), half.to(DType::f64)}});
      samples.push_back({"f16", make(reduction), {half.to(DType::f16), half.to(DType::f16)}});
    }
  }
}

}  // namespace

void add_loss_samples(Samples& samples, Generator& g) {
  add_labelled(samples, g);
  for (const std::string reduction : {"batchmean", "mean", "sum", "none"}) {
    const Call call{&kKlDiv, Attributes::of(KlDivAttributes{reduction})};
    const Tensor log_input = log_softmax(g.normal({3, 4}));
    // The small probabilities lie too near the logarithm's pole for finite differences.
    samples.push_back({.name = reduction,
                       .call = call,
                       .inputs = {log_input, softmax(g.normal({3, 4}))},
                       .differentiate = {0}});
    const Tensor a = g.normal({2, 5, 3, 4});
    const Tensor b = g.uniform({2, 5, 3, 4}, 0.1F, 1.0F);
    samples.push_back({"rank 4", call, {a, b}});
    samples.push_back({"channels last", call, {a.to(kLast), b.to(kLast)}});
    samples.push_back({"row-major and channels last", call, {a, b.to(kLast)}});
    samples.push_back({"f64", call, {a.to(DType::f64), b.to(DType::f64)}});
    for (const Shape& empty : {Shape{0, 4}, Shape{3, 0}})
      samples.push_back({"empty", call, {g.normal(empty), g.normal(empty)}});
  }
  add_pairs(samples, g, [](const std::string& reduction) {
    return Call{&kMse, Attributes::of(LossAttributes{reduction})};
  });
  for (const double beta : {0.1, 0.0, 1.0})
    add_pairs(samples, g, [beta](const std::string& reduction) {
      return Call{&kSmoothL1, Attributes::of(SmoothL1Attributes{beta, reduction})};
    });
  add_pairs(
      samples, g,
      [](const std::string& reduction) {
        return Call{&kHingeEmbedding, Attributes::of(HingeEmbeddingAttributes{1.5, reduction})};
      },
      false);
  add_binary(samples, g);
}

}  // namespace pare::test
