// The file from which a training goes on: one safetensors file, parts told apart by prefixes.
#include "train/state_file.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>

#include "core/check.h"
#include "io/checksum.h"
#include "pare/core/context.h"

namespace pare::train {
namespace {

constexpr const char* kVersion = "2";
constexpr const char* kVersionKey = "pare.training_state";
constexpr const char* kChecksumKey = "checksum";  // of everything else in the file
constexpr std::string_view kModule = "module.", kBest = "best.", kOptimizer = "optimizer.",
                           kAverage = "average.", kPlateau = "plateau.";
// Columns of the history: the rate, then of training and of validation loss, accuracy, samples,
// seconds, batches without a finite loss and the errors; samples of −1: no validation.
constexpr std::int64_t kOfMetrics = 8;
constexpr std::int64_t kColumns = 1 + 2 * kOfMetrics;

using Tensors = std::vector<io::NamedTensor>;

void put(Tensors& to, std::string_view prefix, const optim::NamedState& state) {
  for (const auto& [name, tensor] : state)
    to.push_back({std::string(prefix) + name, tensor, false});
}

void put_metrics(std::vector<double>& row, const std::optional<Metrics>& m) {
  const Metrics none{.samples = -1};
  const Metrics& metrics = m ? *m : none;
  row.insert(row.end(), {metrics.loss, metrics.accuracy, static_cast<double>(metrics.samples),
                         metrics.seconds, static_cast<double>(metrics.non_finite),
                         metrics.mean_absolute_error, metrics.mean_squared_error, metrics.r2});
}

Tensor history_tensor(const History& history) {
  std::vector<double> values;
  for (const EpochRecord& record : history.epochs) {
    values.push_back(record.learning_rate);
    put_metrics(values, record.train);
    put_metrics(values, record.validation);
  }
  return Tensor::from(values, {static_cast<std::int64_t>(history.epochs.size()), kColumns});
}

Metrics take_metrics(const double* row) {
  return {.loss = row[0],
          .accuracy = row[1],
          .samples = static_cast<std::int64_t>(row[2]),
          .seconds = row[3],
          .non_finite = static_cast<std::int64_t>(row[4]),
          .mean_absolute_error = row[5],
          .mean_squared_error = row[6],
          .r2 = row[7]};
}

class Reading {
 public:
  explicit Reading(const std::string& path) : path_(path), file_(io::load_tensors(path)) {
    const auto version = file_.metadata.find(kVersionKey);
    PARE_CHECK(version != file_.metadata.end(), corrupt_data, path_,
               "expected the state of a training, got a safetensors file without '{}'",
               kVersionKey);
    PARE_CHECK(version->second == kVersion, unsupported, path_,
               "expected a training state of version {}, got '{}'", kVersion, version->second);
    const auto said = file_.metadata.find(kChecksumKey);
    PARE_CHECK(said != file_.metadata.end(), corrupt_data, path_,
               "expected a checksum in the metadata, got none");
    const std::string sum = said->second;
    file_.metadata.erase(said);
    const std::string found = std::to_string(io::checksum(file_.tensors, file_.metadata));
    PARE_CHECK(found == sum, corrupt_data, path_,
               "expected contents with the checksum {}, got {}: the file is damaged", sum, found);
  }

  const std::string& text(const char* key) const {
    const auto found = file_.metadata.find(key);
    PARE_CHECK(found != file_.metadata.end(), corrupt_data, path_,
               "expected '{}' in the metadata, got none", key);
    return found->second;
  }
  template <class T> T number(const char* key) const {
    const std::string& word = text(key);
    T value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    PARE_CHECK(error == std::errc() && end == word.data() + word.size(), corrupt_data, path_,
               "expected a number as '{}', got '{}'", key, word);
    return value;
  }
  /// At least 0.
  std::int64_t count(const char* key) const {
    const auto value = number<std::int64_t>(key);
    PARE_CHECK(value >= 0, corrupt_data, path_, "expected '{}' of at least 0, got {}", key, value);
    return value;
  }
  const Tensor& tensor(const char* name, DType dtype, int rank) const {
    const Tensor* const found = file_.find(name);
    PARE_CHECK(found && found->dtype() == dtype && found->rank() == rank, corrupt_data, path_,
               "expected a tensor '{}' of {} and rank {}, got {}", name, dtype, rank,
               found ? fmt::format("{} {}", found->dtype(), found->shape()) : "none");
    return *found;
  }
  /// What has the prefix, without it.
  optim::NamedState part(std::string_view prefix) const {
    optim::NamedState result;
    for (const io::NamedTensor& named : file_.tensors)
      if (named.name.starts_with(prefix))
        result.emplace_back(named.name.substr(prefix.size()), named.tensor);
    return result;
  }

 private:
  const std::string& path_;
  io::TensorFile file_;
};

// The tensors of the part in the module's order; they must be the module's, each and all.
std::vector<Tensor> matched(const std::string& path, const std::vector<nn::NamedTensor>& wanted,
                            const optim::NamedState& part) {
  std::map<std::string_view, const Tensor*> by_name;
  for (const auto& [name, tensor] : part) by_name.emplace(name, &tensor);
  std::vector<Tensor> result;
  for (const nn::NamedTensor& named : wanted) {
    const auto found = by_name.find(named.name);
    PARE_CHECK(found != by_name.end(), invalid_argument, path,
               "expected the state of this module, got one without '{}'", named.name);
    const Tensor& tensor = *found->second;
    PARE_CHECK(tensor.shape() == named.tensor.shape(), shape_mismatch, path,
               "expected '{}' of shape {}, as in the module, got {}", named.name,
               named.tensor.shape(), tensor.shape());
    PARE_CHECK(tensor.dtype() == named.tensor.dtype(), dtype_mismatch, path,
               "expected '{}' of {}, as in the module, got {}", named.name, named.tensor.dtype(),
               tensor.dtype());
    result.push_back(tensor);
    by_name.erase(found);
  }
  PARE_CHECK(by_name.empty(), invalid_argument, path,
             "expected the state of this module, got one with '{}' besides",
             by_name.empty() ? "" : by_name.begin()->first);
  return result;
}

History read_history(const std::string& path, const Reading& reading, std::int64_t epochs) {
  const Tensor& table = reading.tensor("history", DType::f64, 2);
  PARE_CHECK(table.dim(0) == epochs && table.dim(1) == kColumns, corrupt_data, path,
             "expected a history of shape [{}, {}], got {}", epochs, kColumns, table.shape());
  History history;
  const double* row = table.data<double>();
  for (std::int64_t e = 0; e < epochs; ++e, row += kColumns) {
    EpochRecord record{.train = take_metrics(row + 1), .validation = {}, .learning_rate = row[0]};
    const double* const validation = row + 1 + kOfMetrics;
    if (validation[2] >= 0) record.validation = take_metrics(validation);
    history.epochs.push_back(record);
  }
  history.skipped = reading.count("skipped");
  const auto best = reading.number<std::int64_t>("best_epoch");
  PARE_CHECK(best >= -1 && best < epochs &&
                 (best < 0 || history.epochs[static_cast<std::size_t>(best)].validation),
             corrupt_data, path, "expected a best_epoch that was validated, got {} of {}", best,
             epochs);
  history.best_epoch = static_cast<int>(best);
  return history;
}

TrainingState read_state(const std::string& path, const Reading& reading) {
  TrainingState state;
  state.epoch = reading.count("epoch");
  state.loader_epoch = reading.count("loader_epoch");
  state.validation_epoch = reading.count("validation_epoch");
  state.generator = {reading.number<std::uint64_t>("generator.seed"),
                     reading.number<std::uint64_t>("generator.stream"),
                     reading.number<std::uint64_t>("generator.position")};
  state.base_rates = reading.tensor("base_rates", DType::f64, 1).to_vector<double>();
  state.early_best = reading.tensor("early_best", DType::f64, 0).item();
  state.early_stale = reading.count("early_stale");
  state.history = read_history(path, reading, state.epoch);
  return state;
}

void check_present(const std::string& path, const char* what, bool wanted, bool found) {
  PARE_CHECK(wanted == found, invalid_argument, path, "expected a training {} {}, got one {}",
             wanted ? "with" : "without", what, found ? "with" : "without");
}

std::vector<std::string> parameter_names(nn::Module& module) {
  std::vector<std::string> names;
  for (auto& named : module.named_parameters()) names.push_back(std::move(named.name));
  return names;
}

}  // namespace

void save_state(const std::string& path, const Trained& trained, const TrainingState& state) {
  Tensors tensors;
  for (const nn::NamedTensor& named : trained.module.state())
    tensors.push_back({std::string(kModule) + named.name, named.tensor, false});
  for (const nn::NamedTensor& named : state.best)
    tensors.push_back({std::string(kBest) + named.name, named.tensor, false});
  put(tensors, kOptimizer, trained.optimizer.state());
  if (trained.average)
    put(tensors, kAverage, trained.average->state(parameter_names(trained.module)));
  if (trained.plateau) put(tensors, kPlateau, trained.plateau->state());
  tensors.push_back({"history", history_tensor(state.history), false});
  tensors.push_back(
      {"base_rates",
       Tensor::from(state.base_rates, {static_cast<std::int64_t>(state.base_rates.size())}),
       false});
  tensors.push_back({"early_best", Tensor::scalar(state.early_best, DType::f64), false});
  io::Metadata metadata{{kVersionKey, kVersion},
                        {"optimizer", trained.optimizer.kind()},
                        {"epoch", std::to_string(state.epoch)},
                        {"loader_epoch", std::to_string(state.loader_epoch)},
                        {"validation_epoch", std::to_string(state.validation_epoch)},
                        {"generator.seed", std::to_string(state.generator.seed)},
                        {"generator.stream", std::to_string(state.generator.stream)},
                        {"generator.position", std::to_string(state.generator.position)},
                        {"early_stale", std::to_string(state.early_stale)},
                        {"best_epoch", std::to_string(state.history.best_epoch)},
                        {"skipped", std::to_string(state.history.skipped)}};
  metadata.emplace(kChecksumKey, std::to_string(io::checksum(tensors, metadata)));
  io::save_tensors(path, tensors, metadata);
}

TrainingState load_state(const std::string& path, const Trained& trained) {
  const Reading reading(path);
  TrainingState state = read_state(path, reading);
  PARE_CHECK(reading.text("optimizer") == trained.optimizer.kind(), invalid_argument, path,
             "expected the state of {}, got that of {}", trained.optimizer.kind(),
             reading.text("optimizer"));
  PARE_CHECK(static_cast<int>(state.base_rates.size()) == trained.optimizer.groups(),
             invalid_argument, path, "expected {} groups of parameters, got {}",
             trained.optimizer.groups(), state.base_rates.size());
  const auto now = trained.module.state();
  const std::vector<Tensor> values = matched(path, now, reading.part(kModule));
  const optim::NamedState best = reading.part(kBest);
  if (!best.empty()) {
    const std::vector<Tensor> kept = matched(path, now, best);
    for (std::size_t i = 0; i < kept.size(); ++i)
      state.best.push_back({now[i].name, kept[i], now[i].trainable});
  }
  const optim::NamedState average = reading.part(kAverage);
  const optim::NamedState plateau = reading.part(kPlateau);
  check_present(path, "a moving average", trained.average != nullptr, !average.empty());
  check_present(path, "a plateau", trained.plateau != nullptr, !plateau.empty());

  // Each of these changes nothing where it throws; what went before it is undone.
  const optim::NamedState optimizer_before = trained.optimizer.state();
  const std::vector<std::string> names = parameter_names(trained.module);
  try {
    trained.optimizer.load_state(reading.part(kOptimizer));
    if (trained.plateau) {
      const optim::NamedState plateau_before = trained.plateau->state();
      trained.plateau->load_state(plateau);
      try {
        if (trained.average) trained.average->load_state(average, names);
      } catch (...) {
        trained.plateau->load_state(plateau_before);
        throw;
      }
    } else if (trained.average) {
      trained.average->load_state(average, names);
    }
  } catch (const Error& error) {
    trained.optimizer.load_state(optimizer_before);
    throw error.within(path);
  }
  const NoGrad off;
  for (std::size_t i = 0; i < now.size(); ++i) {
    Tensor to = now[i].tensor;
    to.copy_from(values[i]);
  }
  return state;
}

}  // namespace pare::train
