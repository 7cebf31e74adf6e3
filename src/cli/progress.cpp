// Draws progress.
#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace pare::cli {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kLine = std::chrono::seconds(5);
constexpr std::size_t kWidth = 24;

std::string clock_text(double seconds) {
  const auto total = static_cast<std::int64_t>(std::clamp(seconds, 0.0, 1e9) + 0.5);
  return fmt::format("{}:{:02}", total / 60, total % 60);
}

}  // namespace

Progress::Progress(const Settings& settings, std::string what, std::int64_t total)
    : what_(std::move(what)),
      total_(std::max<std::int64_t>(total, 1)),
      shown_(!settings.quiet),
      terminal_(::isatty(STDERR_FILENO) != 0),
      begin_(Clock::now()),
      last_(begin_) {}

Progress::~Progress() {
  if (drawn_ && terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::advance(std::int64_t done) {
  check_interrupt();
  done_ += done;
  const auto now = Clock::now();
  if (!shown_ || (now - last_ < (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kLine))))
    return;
  last_ = now;
  draw();
}

void Progress::draw() {
  drawn_ = true;
  const double seconds = std::chrono::duration<double>(last_ - begin_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
  const double share =
      std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
  const std::string left = rate > 0 ? clock_text(static_cast<double>(total_ - done_) / rate) : "?";
  const std::string numbers = fmt::format("{}/{}  {:.4g}/s  {} left", done_, total_, rate, left);
  if (!terminal_) {
    fmt::print(stderr, "{}: {}\n", what_, numbers);
    return;
  }
  const auto full = static_cast<std::size_t>(share * kWidth);
  fmt::print(stderr, "\r\033[K{} [{}{}] {}", what_, std::string(full, '='),
             std::string(kWidth - full, ' '), numbers);
  std::fflush(stderr);
}

bool StagedProgress::show(const std::string& stage, std::int64_t done, std::int64_t total) {
  if (!bar_ || stage != stage_ || done < done_) {
    bar_.reset();  // ends its line before the next begins
    bar_.emplace(settings_, stage, total);
    stage_ = stage;
    done_ = 0;
  }
  bar_->advance(done - std::exchange(done_, done));
  return true;
}

}  // namespace pare::cli
