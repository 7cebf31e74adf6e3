// Loader: batches of a data set, put together ahead of time by threads of its own.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/data/batch.h"
#include "pare/data/dataset.h"
#include "pare/data/mix.h"
#include "pare/data/sampler.h"
#include "pare/data/transform.h"

namespace pare::data {

struct LoaderOptions {
  std::int64_t batch_size = 1;
  bool shuffle = false;    ///< a new order every epoch
  bool drop_last = false;  ///< leaves out the last batch where it is not full
  Transforms transforms = {};
  int workers = 1;   ///< threads that prepare batches; 0: the calling thread does
  int prefetch = 2;  ///< batches that may lie ready; at least one per worker
  std::uint64_t seed = 0;
  /// Memory format of batches of pictures ([N, C, H, W]); channels-last is what trains fastest.
  MemoryFormat format = MemoryFormat::channels_last;
  /// Set: examples are sequences that may differ in their first axis, and the batch has their
  /// lengths; see collate. Transforms can only be Custom ones then.
  std::optional<Pad> pad = {};
  Sampler sampler = {};         ///< what an epoch consists of; instead of shuffle
  std::optional<Mix> mix = {};  ///< mixes the examples of every batch; y is then f32 [N, classes]
};

/// Gives the batches of one epoch after another: `for (const auto& [x, y] : loader) …`. u8 inputs
/// become f32, values unchanged but for the transforms; other types are kept. Order and transforms
/// depend on the seed, the epoch and the example's number alone, not on the number of workers; an
/// example that a sampler gives several times in an epoch is drawn anew each time.
class PARE_API Loader {
 public:
  class Iterator;

  /// Throws invalid_argument for options that make no sense.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options);
  template <class T>
  requires std::derived_from<std::remove_cvref_t<T>, Dataset> Loader(T&& dataset,
                                                                     LoaderOptions options)
      : Loader(std::make_shared<const std::remove_cvref_t<T>>(std::forward<T>(dataset)),
               std::move(options)) {}

  /// Begins an epoch. Errors of the workers are thrown where the batch they spoilt would have come.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

  /// Examples and batches per epoch.
  std::int64_t size() const {
    return options_.sampler ? options_.sampler.count(dataset_->size()) : dataset_->size();
  }
  std::int64_t batches() const;
  const Dataset& dataset() const { return *dataset_; }
  const LoaderOptions& options() const { return options_; }
  /// Number of the epoch that the next `begin` starts, from 0; set it to go on where a run stopped.
  std::int64_t epoch() const { return epoch_; }
  void set_epoch(std::int64_t epoch) { epoch_ = epoch; }
  /// Input of a batch of one: the first example, its crop from the middle and never mirrored. For
  /// tracing. Throws invalid_state where the data set is empty.
  Tensor example() const;

 private:
  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  std::int64_t epoch_ = 0;
};

namespace detail {
class Epoch;
}

/// Runs through the batches of one epoch. A batch stays valid as long as one holds its tensors.
class PARE_API Loader::Iterator {
 public:
  using value_type = Batch;
  using difference_type = std::ptrdiff_t;

  explicit Iterator(std::shared_ptr<detail::Epoch> epoch);
  const Batch& operator*() const { return batch_; }
  const Batch* operator->() const { return &batch_; }
  Iterator& operator++();
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const { return !epoch_; }

 private:
  std::shared_ptr<detail::Epoch> epoch_;
  Batch batch_;
};

}  // namespace pare::data
