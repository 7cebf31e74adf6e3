// The learning curve as text.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string>

#include "core/check.h"
#include "pare/train/fit.h"

namespace pare::train {
namespace {

// All digits, so that reading it gives the same number; `none` for what is not finite.
std::string number(double value, const char* none) {
  return std::isfinite(value) ? fmt::format("{}", value) : none;
}

struct Row {
  double values[12];
  explicit Row(const EpochRecord& record) {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    const Metrics none{.loss = kNone};
    const Metrics& validation = record.validation ? *record.validation : none;
    const double all[] = {record.learning_rate,
                          record.train.loss,
                          record.train.accuracy,
                          record.train.mean_absolute_error,
                          record.train.mean_squared_error,
                          record.train.r2,
                          validation.loss,
                          validation.accuracy,
                          validation.mean_absolute_error,
                          validation.mean_squared_error,
                          validation.r2,
                          record.train.seconds};
    std::copy(std::begin(all), std::end(all), values);
  }
};

constexpr const char* kNames[] = {"learning_rate",   "train_loss",          "train_accuracy",
                                  "train_mae",       "train_mse",           "train_r2",
                                  "validation_loss", "validation_accuracy", "validation_mae",
                                  "validation_mse",  "validation_r2",       "seconds"};

}  // namespace

std::string to_csv(const History& history) {
  std::string text = "epoch";
  for (const char* name : kNames) text += fmt::format(",{}", name);
  text += "\n";
  for (std::size_t e = 0; e < history.epochs.size(); ++e) {
    text += std::to_string(e + 1);
    const Row row(history.epochs[e]);
    for (const double value : row.values) text += fmt::format(",{}", number(value, ""));
    text += "\n";
  }
  return text;
}

std::string to_json(const History& history) {
  std::string epochs;
  for (std::size_t e = 0; e < history.epochs.size(); ++e) {
    epochs += fmt::format("{}{{\"epoch\": {}", e > 0 ? ", " : "", e + 1);
    const Row row(history.epochs[e]);
    for (std::size_t k = 0; k < std::size(kNames); ++k)
      epochs += fmt::format(", \"{}\": {}", kNames[k], number(row.values[k], "null"));
    epochs += "}";
  }
  return fmt::format(
      "{{\"epochs\": [{}], \"best_epoch\": {}, \"stopped\": {}, \"stopped_early\": {}, "
      "\"skipped\": {}}}",
      epochs, history.best_epoch, history.stopped, history.stopped_early, history.skipped);
}

}  // namespace pare::train
