// The training loop.
#include "pare/train/fit.h"

#include <cmath>
#include <filesystem>
#include <memory>
#include <utility>

#include "core/check.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/io/checkpoint.h"
#include "pare/optim/adam.h"
#include "pare/optim/clip.h"
#include "train/accumulator.h"

namespace pare::train {
namespace {

constexpr const char* kPlace = "train::fit";

// A copy of a module's state, to return to.
class Snapshot {
 public:
  void take(nn::Module& module) {
    state_ = module.state();
    for (auto& named : state_) named.tensor = named.tensor.clone();
  }
  // Whether the module still has the same tensors: a callback may have changed its structure.
  bool fits(nn::Module& module) const {
    const auto now = module.state();
    if (now.size() != state_.size()) return false;
    for (std::size_t i = 0; i < now.size(); ++i) {
      const Tensor &a = now[i].tensor, &b = state_[i].tensor;
      if (now[i].name != state_[i].name || a.shape() != b.shape() || a.dtype() != b.dtype())
        return false;
    }
    return true;
  }
  void restore(nn::Module& module) const {
    const NoGrad off;
    auto now = module.state();
    for (std::size_t i = 0; i < now.size(); ++i) now[i].tensor.copy_from(state_[i].tensor);
  }

 private:
  std::vector<nn::NamedTensor> state_;
};

// Now rather than when the first epoch has been trained.
void check_folder(const std::string& checkpoint) {
  const std::filesystem::path folder = std::filesystem::path(checkpoint).parent_path();
  std::error_code ignored;
  PARE_CHECK(folder.empty() || std::filesystem::is_directory(folder, ignored), io_error, kPlace,
             "expected a folder that exists for the checkpoint '{}', got none", checkpoint);
}

bool better(const Metrics& a, const Metrics& b) {
  if (a.accuracy != b.accuracy && !std::isnan(a.accuracy) && !std::isnan(b.accuracy))
    return a.accuracy > b.accuracy;
  return std::isnan(b.loss) || a.loss < b.loss;
}

class Fit {
 public:
  Fit(nn::Module& module, data::Loader& data, const FitOptions& options)
      : module_(module), data_(data), options_(options) {
    PARE_CHECK(options.epochs >= 0, invalid_argument, kPlace,
               "expected epochs of at least 0, got {}", options.epochs);
    PARE_CHECK(options.clip_norm >= 0, invalid_argument, kPlace,
               "expected a clip_norm of at least 0, got {}", options.clip_norm);
    PARE_CHECK(options.validation != nullptr || options.checkpoint.empty(), invalid_argument,
               kPlace,
               "expected a validation set, which tells the best epoch for the checkpoint '{}', got "
               "none",
               options.checkpoint);
    PARE_CHECK(data.batches() > 0, invalid_argument, kPlace,
               "expected at least one batch to train on, got {} examples in batches of {}",
               data.size(), data.options().batch_size);
    PARE_CHECK(options.validation == nullptr || options.validation->batches() > 0, invalid_argument,
               kPlace, "expected at least one batch to validate on, got none");
    if (!options.checkpoint.empty()) check_folder(options.checkpoint);
    optimizer_ = options.optimizer;
    if (optimizer_ == nullptr) {
      own_optimizer_ = std::make_unique<optim::Adam>(module.parameters());
      optimizer_ = own_optimizer_.get();
    }
  }

  History run() {
    Generator generator(options_.seed);
    ContextScope scope;
    scope->training = true;
    scope->grad = true;
    scope->generator = &generator;
    const double rate = optimizer_->learning_rate();
    optimizer_->zero_grad();
    progress_.epochs = options_.epochs;
    progress_.batches = data_.batches();
    for (std::int64_t epoch = 0; epoch < options_.epochs && !history_.stopped; ++epoch) {
      if (options_.schedule) optimizer_->set_learning_rate(options_.schedule(rate, epoch));
      progress_.epoch = epoch + 1;
      progress_.learning_rate = optimizer_->learning_rate();
      train_epoch();
      if (options_.validation != nullptr && !history_.stopped) validate();
    }
    if (history_.best_epoch >= 0 && options_.keep_best && best_.fits(module_)) {
      best_.restore(module_);
    } else {
      history_.best_epoch = -1;
    }
    return std::move(history_);
  }

 private:
  void train_epoch() {
    Accumulator sum;
    progress_.batch = 0;
    progress_.validation.reset();
    history_.epochs.push_back(
        {.train = {}, .validation = {}, .learning_rate = progress_.learning_rate});
    for (const Batch& batch : data_) {
      step(batch, sum);
      if (history_.stopped) break;
    }
    history_.epochs.back().train = sum.metrics();
    train_seconds_ += sum.seconds();
  }

  void step(const Batch& batch, Accumulator& sum) {
    const Tensor output = module_(batch.x);
    const Tensor loss = options_.loss(output, batch);
    const double value = checked_item(loss, kPlace);
    ++progress_.batch;
    ++batches_done_;
    progress_.batch_loss = value;
    progress_.finite = std::isfinite(value);
    if (progress_.finite) {
      loss.backward();
      if (options_.clip_norm > 0) {
        optim::clip_grad_norm(optimizer_->parameters(), {.max_norm = options_.clip_norm});
      }
      optimizer_->step();
      // At once, so that the next forward pass does not stand beside old gradients in memory.
      optimizer_->zero_grad();
    } else {
      ++history_.skipped;
      PARE_CHECK(options_.progress != nullptr, invalid_state, kPlace,
                 "expected a finite loss, got {} in epoch {}, batch {} of {}; a progress callback "
                 "may decide otherwise",
                 value, progress_.epoch, progress_.batch, progress_.batches);
    }
    sum.add(value, output, batch);
    if (options_.progress) report(sum);
  }

  void report(const Accumulator& sum) {
    const Metrics so_far = sum.metrics();
    progress_.loss = so_far.loss;
    progress_.accuracy = so_far.accuracy;
    progress_.samples_per_second =
        so_far.seconds > 0 ? static_cast<double>(so_far.samples) / so_far.seconds : 0;
    const std::int64_t left = options_.epochs * progress_.batches - batches_done_;
    progress_.seconds_left = (train_seconds_ + so_far.seconds) /
                             static_cast<double>(batches_done_) * static_cast<double>(left);
    ask();
  }

  void ask() {
    if (options_.progress && !options_.progress(progress_)) history_.stopped = true;
  }

  void validate() {
    const Metrics metrics = evaluate(module_, *options_.validation, options_.loss);
    history_.epochs.back().validation = metrics;
    const bool comparable =
        history_.best_epoch >= 0 && (!options_.keep_best || best_.fits(module_));
    // A net that gives NaN or infinity on some batches is not the best, whatever the others say.
    if (metrics.non_finite == 0 && (!comparable || better(metrics, best_metrics_))) {
      history_.best_epoch = static_cast<int>(history_.epochs.size()) - 1;
      best_metrics_ = metrics;
      if (options_.keep_best) best_.take(module_);
      if (!options_.checkpoint.empty()) io::save(module_, options_.checkpoint);
    }
    progress_.validation = metrics;
    ask();
  }

  nn::Module& module_;
  data::Loader& data_;
  const FitOptions& options_;
  std::unique_ptr<optim::Optimizer> own_optimizer_;
  optim::Optimizer* optimizer_ = nullptr;
  Snapshot best_;
  Metrics best_metrics_;
  Progress progress_;
  History history_;
  std::int64_t batches_done_ = 0;
  double train_seconds_ = 0;  // of the epochs before this one
};

}  // namespace

History fit(nn::Module& module, data::Loader& data, const FitOptions& options) {
  return Fit(module, data, options).run();
}

History fit(nn::Module& module, data::Loader& data, Loss loss) {
  return fit(module, data, FitOptions{.loss = std::move(loss)});
}

}  // namespace pare::train
