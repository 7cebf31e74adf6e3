// Common options, Ctrl-C, printing.
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

CLI::App* add_command(CLI::App& app, Settings& settings, const std::string& name,
                      const std::string& what, const std::string& example) {
  CLI::App* const command = app.add_subcommand(name, what);
  command->footer("Example:\n  " + example);
  command->add_option("--threads", settings.threads, "Threads; 0: the cores the process may use")
      ->check(CLI::Range(0, 4096));
  command->add_option("--seed", settings.seed, "Of random numbers");
  command->add_flag("--json", settings.json, "Print one JSON document and nothing else");
  command->add_flag("--quiet", settings.quiet, "No progress and no notes on stderr");
  return command;
}

void print(const Settings& settings, const std::string& text, const Json& document) {
  const std::string out =
      settings.json ? document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text;
  std::fwrite(out.data(), 1, out.size(), stdout);
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
