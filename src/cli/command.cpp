// Common options, and printing.
#include "cli/command.h"

#include <cstdio>

namespace pare::cli {

CLI::App* add_command(CLI::App& app, Settings& settings, const std::string& name,
                      const std::string& what, const std::string& example) {
  CLI::App* const command = app.add_subcommand(name, what);
  command->footer("Example:\n  " + example);
  command->add_option("--threads", settings.threads, "Threads; 0: the cores the process may use")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command->add_option("--seed", settings.seed, "Of random numbers")->capture_default_str();
  command->add_flag("--json", settings.json, "Print one JSON document and nothing else");
  command->add_flag("--quiet", settings.quiet, "No progress and no notes on stderr");
  return command;
}

void print(const Settings& settings, const std::string& text, const Json& document) {
  const std::string out =
      settings.json ? document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text;
  std::fwrite(out.data(), 1, out.size(), stdout);
}

}  // namespace pare::cli
