// Ctrl-C, notes, numbers for people.
#include "cli/settings.h"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstdio>

namespace pare::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

extern "C" void on_interrupt(int /*signal*/) { interrupted = 1; }

}  // namespace

void watch_interrupt() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
}

void check_interrupt() {
  if (interrupted != 0) throw Interrupted();
}

void note(const Settings& settings, const std::string& text) {
  if (!settings.quiet) std::fprintf(stderr, "pare: %s\n", text.c_str());
}

std::string bytes_text(std::uint64_t bytes) {
  static constexpr std::array<const char*, 4> kUnits{"B", "kB", "MB", "GB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

}  // namespace pare::cli
