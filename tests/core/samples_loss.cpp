// Samples of the losses.
#include "core/samples.h"
#include "pare/core/ops/loss.h"
#include "pare/core/ops/reduction.h"

namespace pare::test {

void add_loss_samples(Samples& samples, Generator& g) {
  for (const auto& [batch, classes] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {3, 4}, {5, 10}, {4, 37}}) {
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < batch; ++i)
      labels.push_back(static_cast<std::int64_t>(g.below(static_cast<std::uint64_t>(classes))));
    const Tensor logits = g.normal({batch, classes}, 0.0F, 2.0F);
    const std::string name = logits.shape().to_string();
    samples.push_back({name, {&kCrossEntropy, {}}, {logits, Tensor::from(labels, {batch})}});
    const Tensor log_input = log_softmax(logits);
    const Tensor target = softmax(g.normal({batch, classes}));
    // The small probabilities lie too near the logarithm's pole for finite differences.
    samples.push_back(
        {.name = name, .call = {&kKlDiv, {}}, .inputs = {log_input, target}, .differentiate = {0}});
    samples.push_back({name, {&kMse, {}}, {log_input, target}});
  }
  const Tensor a = g.normal({2, 5, 3, 4});
  const Tensor b = g.uniform({2, 5, 3, 4}, 0.1F, 1.0F);
  const MemoryFormat last = MemoryFormat::channels_last;
  for (const OpDef* op : {&kKlDiv, &kMse}) {
    samples.push_back({"rank 4", {op, {}}, {a, b}});
    samples.push_back({"channels last", {op, {}}, {a.to(last), b.to(last)}});
    samples.push_back({"row-major and channels last", {op, {}}, {a, b.to(last)}});
    samples.push_back({"f64", {op, {}}, {a.to(DType::f64), b.to(DType::f64)}});
  }
  samples.push_back(
      {"empty", {&kCrossEntropy, {}}, {g.normal({0, 4}), Tensor::empty({0}, DType::i64)}});
  for (const Shape& empty : {Shape{0, 4}, Shape{3, 0}})
    for (const OpDef* op : {&kKlDiv, &kMse})
      samples.push_back({"empty", {op, {}}, {g.normal(empty), g.normal(empty)}});
  samples.push_back({"scalars", {&kMse, {}}, {g.normal({}), g.normal({})}});
}

}  // namespace pare::test
