// The training loop.
#include "pare/train/fit.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "core/check.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/io/checkpoint.h"
#include "pare/optim/adam.h"
#include "pare/optim/clip.h"
#include "train/accumulator.h"
#include "train/state_file.h"

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
  const std::vector<nn::NamedTensor>& state() const { return state_; }
  void set(std::vector<nn::NamedTensor> state) { state_ = std::move(state); }
  void restore(nn::Module& module) const {
    const NoGrad off;
    auto now = module.state();
    for (std::size_t i = 0; i < now.size(); ++i) now[i].tensor.copy_from(state_[i].tensor);
  }

 private:
  std::vector<nn::NamedTensor> state_;
};

// Now rather than when the first epoch has been trained.
void check_folder(const char* what, const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  std::error_code ignored;
  PARE_CHECK(file.empty() || folder.empty() || std::filesystem::is_directory(folder, ignored),
             io_error, kPlace, "expected a folder that exists for the {} '{}', got none", what,
             file);
  PARE_CHECK(file.empty() || !std::filesystem::is_directory(file, ignored), io_error, kPlace,
             "expected a file for the {}, got the folder '{}'", what, file);
}

// Whether two paths, of which neither need exist, mean one file.
bool same_file(const std::string& a, const std::string& b) {
  std::error_code failed;
  if (std::filesystem::equivalent(a, b, failed)) return true;
  const auto whole = [](const std::string& path) {
    std::error_code error;
    const auto found = std::filesystem::weakly_canonical(path, error);
    return error ? std::filesystem::path(path) : found;
  };
  return whole(std::filesystem::absolute(a, failed).string()) ==
         whole(std::filesystem::absolute(b, failed).string());
}

void check_options(const FitOptions& options) {
  PARE_CHECK(options.epochs >= 0, invalid_argument, kPlace, "expected epochs of at least 0, got {}",
             options.epochs);
  PARE_CHECK(options.clip_norm >= 0, invalid_argument, kPlace,
             "expected a clip_norm of at least 0, got {}", options.clip_norm);
  PARE_CHECK(options.accumulate >= 1, invalid_argument, kPlace,
             "expected to accumulate at least 1 batch, got {}", options.accumulate);
  PARE_CHECK(options.early_stopping.patience >= 0 && options.early_stopping.min_delta >= 0,
             invalid_argument, kPlace,
             "expected early stopping with a patience and min_delta of at least 0, got {} and {}",
             options.early_stopping.patience, options.early_stopping.min_delta);
  PARE_CHECK(!options.plateau || !options.schedule, invalid_argument, kPlace,
             "expected a schedule or a plateau, got both");
  PARE_CHECK(options.precision != Precision::bf16 || has_bf16(), unsupported, kPlace,
             "expected a CPU with bf16 instructions (AVX512_BF16 or AMX_BF16) for .precision = "
             "bf16, got one with {}",
             to_string(isa_cap()));
  PARE_CHECK(!options.resume || !options.state.empty(), invalid_argument, kPlace,
             "expected the file of the state to resume from, got none");
  PARE_CHECK(options.validation != nullptr || options.checkpoint.empty(), invalid_argument, kPlace,
             "expected a validation set, which tells the best epoch for the checkpoint '{}', got "
             "none",
             options.checkpoint);
  check_folder("checkpoint", options.checkpoint);
  check_folder("state", options.state);
  PARE_CHECK(options.state.empty() || options.checkpoint.empty() ||
                 !same_file(options.state, options.checkpoint),
             invalid_argument, kPlace,
             "expected different files for the state and the checkpoint, got '{}' for both",
             options.state);
}

// An optimizer of another module's parameters would leave this one as it is.
void check_parameters(const optim::Optimizer& optimizer, const Tensors& own) {
  const Tensors stepped = optimizer.parameters();
  const bool trains = std::any_of(stepped.begin(), stepped.end(), [&](const Tensor& p) {
    return std::any_of(own.begin(), own.end(), [&](const Tensor& o) { return o.same_as(p); });
  });
  PARE_CHECK(trains, invalid_argument, kPlace,
             "expected an optimizer of the module's parameters, got one of {} others",
             stepped.size());
}

bool better(const Metrics& a, const Metrics& b) {
  if (a.accuracy != b.accuracy && !std::isnan(a.accuracy) && !std::isnan(b.accuracy))
    return a.accuracy > b.accuracy;
  return std::isnan(b.loss) || a.loss < b.loss;
}

class Fit {
 public:
  Fit(nn::Module& module, data::Loader& data, const FitOptions& options)
      : module_(module), data_(data), options_(options), generator_(options.seed) {
    check_options(options);
    PARE_CHECK(data.batches() > 0, invalid_argument, kPlace,
               "expected at least one batch to train on, got {} examples in batches of {}",
               data.size(), data.options().batch_size);
    PARE_CHECK(options.validation == nullptr || options.validation->batches() > 0, invalid_argument,
               kPlace, "expected at least one batch to validate on, got none");
    optimizer_ = options.optimizer;
    if (optimizer_ == nullptr) {
      own_optimizer_ = std::make_unique<optim::Adam>(module.parameters());
      optimizer_ = own_optimizer_.get();
    } else {
      check_parameters(*optimizer_, module.parameters());
    }
    if (options.moving_average) average_.emplace(module.parameters(), *options.moving_average);
    for (int g = 0; g < optimizer_->groups(); ++g)
      base_rates_.push_back(optimizer_->learning_rate(g));
    early_best_ = std::numeric_limits<double>::infinity();
    if (!options.state.empty()) optimizer_->set_names(module.named_parameters());
  }

  History run() {
    std::error_code ignored;
    if (options_.resume && std::filesystem::exists(options_.state, ignored)) resume();
    ContextScope scope;
    scope->training = true;
    scope->grad = true;
    scope->generator = &generator_;
    // bf16 set around this call holds too.
    if (options_.precision == Precision::bf16) scope->precision = Precision::bf16;
    optimizer_->zero_grad();
    progress_.epochs = options_.epochs;
    progress_.batches = data_.batches();
    history_.stopped_early = stale();
    for (; epoch_ < options_.epochs && !history_.stopped && !history_.stopped_early; ++epoch_)
      run_epoch();
    if (history_.best_epoch >= 0 && options_.keep_best && best_.fits(module_)) {
      best_.restore(module_);
    } else {
      history_.best_epoch = -1;
      if (average_ && average_->updates() > 0) average_->swap();
    }
    return std::move(history_);
  }

 private:
  void run_epoch() {
    if (options_.begin_epoch) options_.begin_epoch(epoch_);
    if (options_.schedule)
      for (int g = 0; g < optimizer_->groups(); ++g)
        optimizer_->set_learning_rate(
            options_.schedule(base_rates_[static_cast<std::size_t>(g)], epoch_), g);
    progress_.epoch = epoch_ + 1;
    progress_.learning_rate = optimizer_->learning_rate();
    train_epoch();
    // An epoch that the callback broke off is not one to go on from.
    const bool whole = !history_.stopped;
    if (options_.validation != nullptr && whole) validate();
    if (!whole) return;
    judge();
    if (!options_.state.empty()) save();
  }

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
    if (gathered_ > 0) update();
    history_.epochs.back().train = sum.metrics();
    train_seconds_ += sum.seconds();
  }

  void step(const Batch& batch, Accumulator& sum) {
    const Tensor output = output_of(module_, batch, options_.forward);
    const Tensor loss = options_.loss(output, batch);
    const double value = checked_item(loss, kPlace);
    ++progress_.batch;
    ++batches_done_;
    progress_.batch_loss = value;
    progress_.finite = std::isfinite(value);
    if (progress_.finite) {
      gather(loss, batch.x.dim(0));
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

  // Adds the batch's gradients, and makes a step of them when there are enough. Batches weigh as
  // many times the first as they have its examples; the step divides by the sum of that.
  void gather(const Tensor& loss, std::int64_t examples) {
    if (gathered_ == 0) first_examples_ = examples;
    if (examples == first_examples_) {
      loss.backward();
    } else {
      loss.backward(Tensor::full(
          loss.shape(), static_cast<double>(examples) / static_cast<double>(first_examples_)));
    }
    gathered_examples_ += examples;
    if (++gathered_ == options_.accumulate) update();
  }

  void update() {
    double scale = static_cast<double>(first_examples_) / static_cast<double>(gathered_examples_);
    gathered_ = 0;
    gathered_examples_ = 0;
    if (options_.clip_norm > 0) {
      // As clip_grad_norm does; the optimizer multiplies as it reads.
      const double norm = scale * optim::grad_norm(optimizer_->parameters());
      const double factor = options_.clip_norm / (norm + 1e-6);
      if (!std::isfinite(norm)) {
        optim::clip_grad_norm(optimizer_->parameters(), {.max_norm = options_.clip_norm / scale});
      } else if (factor < 1) {
        scale *= factor;
      }
    }
    optimizer_->step({.gradient_scale = scale});
    // At once, so that the next forward pass does not stand beside old gradients in memory.
    optimizer_->zero_grad();
    if (average_) average_->update();
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
    const bool averaged = average_ && average_->updates() > 0;
    if (averaged) average_->swap();
    const Metrics metrics =
        evaluate(module_, *options_.validation, EvaluateOptions{options_.loss, options_.forward});
    history_.epochs.back().validation = metrics;
    const bool comparable =
        history_.best_epoch >= 0 && (!options_.keep_best || best_.fits(module_));
    // A net that gives NaN or infinity on some batches is not the best, whatever the others say.
    if (metrics.non_finite == 0 && (!comparable || better(metrics, best_metrics()))) {
      history_.best_epoch = static_cast<int>(history_.epochs.size()) - 1;
      if (options_.keep_best) best_.take(module_);
      if (!options_.checkpoint.empty()) io::save(module_, options_.checkpoint);
    }
    if (averaged) average_->swap();
    progress_.validation = metrics;
    ask();
  }

  const Metrics& best_metrics() const {
    return *history_.epochs[static_cast<std::size_t>(history_.best_epoch)].validation;
  }

  // After an epoch: the plateau's and early stopping's look at it.
  void judge() {
    const EpochRecord& last = history_.epochs.back();
    const Metrics& metrics = last.validation ? *last.validation : last.train;
    if (options_.plateau)
      options_.plateau->step(options_.plateau->maximizes() ? metrics.accuracy : metrics.loss,
                             *optimizer_);
    const EarlyStopping& early = options_.early_stopping;
    if (early.patience == 0) return;
    const double value = early.monitor == Monitor::loss ? metrics.loss : -metrics.accuracy;
    if (value < early_best_ - early.min_delta) {
      early_best_ = value;
      early_stale_ = 0;
    } else {
      ++early_stale_;
    }
    history_.stopped_early = stale();
  }

  bool stale() const {
    const std::int64_t patience = options_.early_stopping.patience;
    return patience > 0 && early_stale_ >= patience;
  }

  Trained trained() {
    return {module_, *optimizer_, average_ ? &*average_ : nullptr, options_.plateau};
  }

  void save() {
    TrainingState state{.epoch = epoch_ + 1,
                        .loader_epoch = data_.epoch(),
                        .validation_epoch = options_.validation ? options_.validation->epoch() : 0,
                        .generator = generator_.state(),
                        .base_rates = base_rates_,
                        .early_best = early_best_,
                        .early_stale = early_stale_,
                        .history = history_};
    if (options_.keep_best && history_.best_epoch >= 0 && best_.fits(module_))
      state.best = best_.state();
    save_state(options_.state, trained(), state);
  }

  void resume() {
    TrainingState state = load_state(options_.state, trained());
    epoch_ = state.epoch;
    data_.set_epoch(state.loader_epoch);
    if (options_.validation) options_.validation->set_epoch(state.validation_epoch);
    generator_.set_state(state.generator);
    base_rates_ = std::move(state.base_rates);
    early_best_ = state.early_best;
    early_stale_ = state.early_stale;
    history_ = std::move(state.history);
    if (state.best.empty() && options_.keep_best) history_.best_epoch = -1;
    best_.set(std::move(state.best));
    batches_done_ = epoch_ * data_.batches();
    for (const EpochRecord& record : history_.epochs) train_seconds_ += record.train.seconds;
  }

  nn::Module& module_;
  data::Loader& data_;
  const FitOptions& options_;
  Generator generator_;
  std::unique_ptr<optim::Optimizer> own_optimizer_;
  optim::Optimizer* optimizer_ = nullptr;
  std::optional<optim::MovingAverage> average_;
  std::vector<double> base_rates_;  // by group, before the first epoch
  Snapshot best_;
  Progress progress_;
  History history_;
  std::int64_t epoch_ = 0;  // from 0
  std::int64_t batches_done_ = 0;
  double train_seconds_ = 0;  // of the epochs before this one
  // Batches, and their examples, whose gradients wait for a step.
  std::int64_t gathered_ = 0, gathered_examples_ = 0, first_examples_ = 0;
  double early_best_ = 0;  // the least so far
  std::int64_t early_stale_ = 0;
};

}  // namespace

History fit(nn::Module& module, data::Loader& data, const FitOptions& options) {
  return Fit(module, data, options).run();
}

History fit(nn::Module& module, data::Loader& data, Loss loss) {
  return fit(module, data, FitOptions{.loss = std::move(loss)});
}

}  // namespace pare::train
