// What all sub-commands have in common: settings, wrong usage, interruption, printing.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace pare::cli {

using Json = nlohmann::ordered_json;

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

/// A sub-command with the common options.
CLI::App* add_command(CLI::App& app, Settings& settings, const std::string& name,
                      const std::string& what, const std::string& example);

/// The text for people, or the document alone with --json.
void print(const Settings& settings, const std::string& text, const Json& document);
/// A line on stderr, unless --quiet.
void note(const Settings& settings, const std::string& text);

/// "3.49 MB"
std::string bytes_text(std::uint64_t bytes);

}  // namespace pare::cli
