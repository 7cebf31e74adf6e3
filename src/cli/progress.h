// Progress: a bar on stderr with rate and time left.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/settings.h"

namespace pare::cli {

/// On a terminal a bar that is redrawn, else a line now and then; nothing with --quiet.
class Progress {
 public:
  Progress(const Settings& settings, std::string what, std::int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// So many are done. Throws Interrupted.
  void advance(std::int64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  void draw();

  std::string what_;
  std::int64_t total_, done_ = 0;
  bool shown_, terminal_;
  bool drawn_ = false;
  Clock::time_point begin_, last_;
};

/// Of work that tells itself how far it is: a bar for each of its stages.
class StagedProgress {
 public:
  /// The settings must outlive it.
  explicit StagedProgress(const Settings& settings) : settings_(settings) {}
  /// Another name, or fewer done than before, begins a bar. Gives true, to go on; throws
  /// Interrupted.
  bool show(const std::string& stage, std::int64_t done, std::int64_t total);
  /// Ends the bar, before something is printed.
  void end() { bar_.reset(); }

 private:
  const Settings& settings_;
  std::optional<Progress> bar_;
  std::string stage_;
  std::int64_t done_ = 0;
};

}  // namespace pare::cli
