// Loader: order of the examples, and the threads that keep batches ready.
#include "pare/data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "core/check.h"
#include "data/batch.h"
#include "data/mix.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"

namespace pare::data {

namespace {

// Streams of random numbers from here on are for batches, those below for examples.
constexpr std::uint64_t kMixing = std::uint64_t{1} << 63;

std::vector<std::int64_t> sampled(const Sampler& sampler, std::int64_t size, Generator& generator) {
  std::vector<std::int64_t> order = sampler.order(size, generator);
  const std::int64_t count = sampler.count(size);
  PARE_CHECK(static_cast<std::int64_t>(order.size()) == count, invalid_argument, "data::Loader",
             "expected a sampler that gives {} examples, as its count says, got {}", count,
             order.size());
  for (const std::int64_t index : order) {
    PARE_CHECK(index >= 0 && index < size, out_of_range, "data::Loader",
               "expected a sampler that gives examples of 0 … {}, got {}", size - 1, index);
  }
  return order;
}

// The k-th time that an example comes it has a stream of its own; the first is its number.
void number_repetitions(std::int64_t size, std::vector<std::uint64_t>& streams) {
  std::vector<std::uint32_t> seen(static_cast<std::size_t>(size), 0);
  for (std::uint64_t& stream : streams) {
    const std::uint64_t before = seen[stream]++;
    stream += before * static_cast<std::uint64_t>(size);
  }
}

}  // namespace

namespace detail {

/// The batches of one epoch. Workers take the next number each, at most `prefetch` ahead of the
/// reader, and put the batch into the ring at that number, so the order is the same for any number
/// of workers.
class Epoch {
 public:
  Epoch(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options, std::uint64_t number,
        std::int64_t batches)
      : dataset_(std::move(dataset)),
        maker_(options),
        generator_(Generator(options.seed).fork(2 * number + 1)),
        mix_(options.mix),
        batch_size_(options.batch_size),
        batches_(batches),
        ring_(static_cast<std::size_t>(std::max({options.prefetch, options.workers, 1}))) {
    Generator sampling = Generator(options.seed).fork(2 * number);
    if (options.sampler) {
      order_ = sampled(options.sampler, dataset_->size(), sampling);
    } else if (options.shuffle) {
      order_ = sampling.permutation(dataset_->size());
    } else {
      order_.resize(static_cast<std::size_t>(dataset_->size()));
      std::iota(order_.begin(), order_.end(), 0);
    }
    streams_.assign(order_.begin(), order_.end());
    if (options.sampler) number_repetitions(dataset_->size(), streams_);
    const std::int64_t workers = std::min<std::int64_t>(options.workers, batches_);
    try {
      for (std::int64_t i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      stop();
      fail(ErrorCode::io_error, "data::Loader", "expected to start {} threads, got {}", workers,
           error.what());
    }
  }
  ~Epoch() { stop(); }
  Epoch(const Epoch&) = delete;
  Epoch& operator=(const Epoch&) = delete;

  /// False at the end of the epoch. Throws what the batch's worker threw.
  bool next(Batch& batch) {
    if (taken_ == batches_) return false;
    if (threads_.empty()) {
      batch = make(taken_++);
      return true;
    }
    std::unique_lock lock(mutex_);
    Slot& slot = ring_[static_cast<std::size_t>(taken_) % ring_.size()];
    filled_.wait(lock, [&] { return slot.ready; });
    slot.ready = false;
    ++taken_;
    if (slot.error) {
      taken_ = batches_;
      std::rethrow_exception(std::exchange(slot.error, nullptr));
    }
    batch = std::move(slot.batch);
    slot.batch = {};
    lock.unlock();
    freed_.notify_one();
    return true;
  }

 private:
  struct Slot {
    bool ready = false;
    Batch batch;
    std::exception_ptr error;
  };

  Batch make(std::int64_t number) const {
    const std::int64_t begin = number * batch_size_;
    const std::int64_t count =
        std::min(batch_size_, static_cast<std::int64_t>(order_.size()) - begin);
    const auto part = [&]<class T>(const std::vector<T>& all) {
      return std::span<const T>(all).subspan(static_cast<std::size_t>(begin),
                                             static_cast<std::size_t>(count));
    };
    Batch batch = maker_.make(*dataset_, part(order_), part(streams_), &generator_);
    if (!mix_) return batch;
    Generator own = generator_.fork(kMixing + static_cast<std::uint64_t>(number));
    return mix(batch, *mix_, own);
  }

  void work() {
    // A worker stays on its one thread: the others belong to the training.
    ContextScope scope;
    scope->grad = false;
    scope->threads = 1;
    for (;;) {
      std::int64_t number = 0;
      {
        std::unique_lock lock(mutex_);
        freed_.wait(lock, [&] {
          return stopped_ || next_ == batches_ ||
                 next_ < taken_ + static_cast<std::int64_t>(ring_.size());
        });
        if (stopped_ || next_ == batches_) return;
        number = next_++;
      }
      Batch batch;
      std::exception_ptr error;
      try {
        batch = make(number);
      } catch (...) {
        error = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex_);
        Slot& slot = ring_[static_cast<std::size_t>(number) % ring_.size()];
        slot.batch = std::move(batch);
        slot.error = std::move(error);
        slot.ready = true;
      }
      filled_.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    freed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  std::shared_ptr<const Dataset> dataset_;
  BatchMaker maker_;
  Generator generator_;
  std::optional<Mix> mix_;
  std::vector<std::int64_t> order_;
  std::vector<std::uint64_t> streams_;  // of random numbers, one per example of the order
  std::int64_t batch_size_, batches_;

  std::mutex mutex_;
  std::condition_variable filled_, freed_;
  std::vector<Slot> ring_;
  std::int64_t next_ = 0;   // the batch that the next free worker makes
  std::int64_t taken_ = 0;  // the batch that the reader gets next
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace detail

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options)
    : dataset_(std::move(dataset)), options_(std::move(options)) {
  constexpr const char* where = "data::Loader";
  PARE_CHECK(dataset_ != nullptr, invalid_argument, where, "expected a data set, got none");
  PARE_CHECK(options_.batch_size > 0, invalid_argument, where,
             "expected a batch size of at least 1, got {}", options_.batch_size);
  PARE_CHECK(options_.workers >= 0 && options_.workers <= 256, invalid_argument, where,
             "expected 0 to 256 workers, got {}", options_.workers);
  PARE_CHECK(options_.prefetch >= 0 && options_.prefetch <= 4096, invalid_argument, where,
             "expected 0 to 4096 batches of prefetch, got {}", options_.prefetch);
  PARE_CHECK(!options_.sampler || !options_.shuffle, invalid_argument, where,
             "expected a sampler or shuffle, got both");
  PARE_CHECK(!options_.sampler || options_.sampler.count(dataset_->size()) >= 0, invalid_argument,
             where, "expected a sampler that gives at least 0 examples, got {}",
             options_.sampler.count(dataset_->size()));
  if (options_.mix) check(*options_.mix);
  const BatchMaker checked(options_);
}

std::int64_t Loader::batches() const {
  const std::int64_t full = size() / options_.batch_size;
  return full + (!options_.drop_last && size() % options_.batch_size != 0 ? 1 : 0);
}

Loader::Iterator Loader::begin() {
  const auto number = static_cast<std::uint64_t>(epoch_++);
  return Iterator(std::make_shared<detail::Epoch>(dataset_, options_, number, batches()));
}

Tensor Loader::example() const {
  PARE_CHECK(dataset_->size() > 0, invalid_state, "data::Loader",
             "expected an example, got an empty set");
  const std::int64_t first = 0;
  const std::uint64_t stream = 0;
  return BatchMaker(options_).make(*dataset_, {&first, 1}, {&stream, 1}, nullptr).x;
}

Loader::Iterator::Iterator(std::shared_ptr<detail::Epoch> epoch) : epoch_(std::move(epoch)) {
  ++*this;
}

Loader::Iterator& Loader::Iterator::operator++() {
  // The old batch goes first, so that its memory can serve the next one.
  batch_ = {};
  if (!epoch_->next(batch_)) epoch_ = nullptr;
  return *this;
}

}  // namespace pare::data
