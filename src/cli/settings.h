// What all sub-commands have in common: settings, wrong usage, interruption, notes.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace pare::cli {

/// Options that every sub-command has.
struct Settings {
  int threads = 0;
  std::uint64_t seed = 0;
  bool json = false;
  bool quiet = false;
};

/// Wrong usage that the option parser cannot see: exit 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The user pressed Ctrl-C: exit 130.
struct Interrupted {};

/// From now on SIGINT makes check_interrupt throw; a second one ends the process at once.
void watch_interrupt();
/// Throws Interrupted. To be called between pieces of work.
void check_interrupt();

/// A line on stderr, unless --quiet.
void note(const Settings& settings, const std::string& text);

/// "3.49 MB"
std::string bytes_text(std::uint64_t bytes);

}  // namespace pare::cli
