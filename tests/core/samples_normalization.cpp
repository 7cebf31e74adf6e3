// Samples of batch normalization and dropout.
#include <vector>

#include "core/samples.h"
#include "pare/core/ops/normalization.h"

namespace pare::test {

void add_normalization_samples(Samples& samples, Generator& generator) {
  const auto add = [&](const char* name, const BatchNormAttributes& attributes, const Shape& shape,
                       bool last, bool training) {
    Tensor x = generator.normal(shape, 1, 2);
    if (last) x = x.to(MemoryFormat::channels_last);
    const Shape channels{shape[1]};
    samples.push_back(
        {.name = name,
         .call = {&kBatchNorm, Attributes::of(attributes)},
         .inputs = {x, generator.uniform(channels, 0.5F, 2), generator.normal(channels),
                    generator.normal(channels), generator.uniform(channels, 0.5F, 3)},
         .training = training,
         .differentiate = {0, 1, 2}});
  };
  for (const bool last : {false, true}) {
    add("evaluation", {}, {2, 3, 4, 5}, last, false);
    add("training", {}, {2, 3, 4, 5}, last, true);
    add("training, frozen", {.frozen = true}, {2, 3, 4, 5}, last, true);
    add("training, many channels", {.epsilon = 1e-3, .momentum = 0.3}, {2, 70, 2, 3}, last, true);
  }
  for (const bool last : {false, true})
    for (const Shape& empty : {Shape{0, 3, 4, 5}, Shape{2, 3, 0, 5}}) {
      add("evaluation, empty", {}, empty, last, false);
      add("training, frozen, empty", {.frozen = true}, empty, last, true);
    }
  add("training, no pixels", {}, {6, 3}, false, true);
  add("evaluation, one spatial axis", {}, {2, 3, 5}, false, false);

  Generator own(21);
  for (const bool last : {false, true})
    for (const bool training : {false, true}) {
      const Tensor x = own.normal({2, 3, 4, 5}, 1, 2);
      // The other one in channels-first memory: the orders need not agree.
      samples.push_back(
          {.name =
               training ? "training, statistics of another" : "evaluation, statistics of another",
           .call = {&kBatchNorm, Attributes::of(BatchNormAttributes{})},
           .inputs = {last ? x.to(MemoryFormat::channels_last) : x, own.uniform({3}, 0.5F, 2),
                      own.normal({3}), own.normal({3}), own.uniform({3}, 0.5F, 3),
                      own.normal({2, 3, 4, 5}, -1, 3)},
           .training = training,
           .differentiate = training ? std::vector<int>{0, 1, 2, 5} : std::vector<int>{0, 1, 2}});
    }

  samples.push_back({"evaluation",
                     {&kDropout, Attributes::of(DropoutAttributes{.probability = 0.3})},
                     {generator.normal({2, 3})}});
  samples.push_back({.name = "training, empty",
                     .call = {&kDropout, Attributes::of(DropoutAttributes{.probability = 0.3})},
                     .inputs = {generator.normal({0, 3})},
                     .training = true});
  samples.push_back(
      {.name = "training, frozen",
       .call = {&kDropout, Attributes::of(DropoutAttributes{.probability = 0.3, .frozen = true})},
       .inputs = {generator.normal({2, 3})},
       .training = true});
}

}  // namespace pare::test
