// Progress: a bar on stderr with rate and time left.
#pragma once

#include <chrono>
#include <cstdint>
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

}  // namespace pare::cli
