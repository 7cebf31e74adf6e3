// The `pare` command: parses its options, runs a sub-command, turns failures into exit codes.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>

#include "cli/command.h"
#include "cli/commands.h"
#include "pare/core/error.h"
#include "pare/core/parallel.h"
#include "pare/core/precision.h"
#include "pare/runtime/backend.h"
#include "pare/version.h"

namespace pare::cli {
namespace {

constexpr int kFailed = 1, kUsage = 2, kInterrupted = 130;

std::string version_text() {
  const std::string onednn = onednn_version();
  const Isa isa = isa_cap();
  return fmt::format("pare {}\noneDNN {}\nCPU {} (int8 {}, bf16 {})", version(),
                     onednn.empty() ? "none" : onednn, to_string(isa),
                     has_vnni(isa) ? "VNNI" : "without VNNI", has_bf16(isa) ? "yes" : "no");
}

// What was asked for with --help or --version goes to stdout; the rest is wrong usage.
int usage(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const auto chosen = app.get_subcommands();
  const std::string command = chosen.empty() ? "pare" : "pare " + chosen.front()->get_name();
  std::string arguments = chosen.empty() ? " COMMAND" : "";
  if (!chosen.empty())
    for (const CLI::Option* option : chosen.front()->get_options())
      if (option->get_positional())
        arguments += " " + option->get_name(true) + (option->get_expected_max() > 1 ? "..." : "");
  fmt::print(stderr, "pare: {}\nusage: {}{} [options]; {} --help lists them\n", error.what(),
             command, arguments, command);
  return kUsage;
}

int run(int argc, char** argv) {
  CLI::App app{
      "Makes trained neural networks smaller and faster; looks at them, runs and measures"
      " them.",
      "pare"};
  app.set_version_flag("--version", version_text);
  app.require_subcommand(1);
  Settings settings;
  add_inspect(app, settings);
  add_run(app, settings);
  add_bench(app, settings);
  add_evaluate(app, settings);
  add_compare(app, settings);
  add_convert(app, settings);
  add_dataset(app, settings);
  add_quantize(app, settings);
  add_sensitivity(app, settings);
  add_finetune(app, settings);
  // The parser would only say that a sub-command is missing.
  std::string names;
  for (const CLI::App* command : app.get_subcommands({}))
    names += (names.empty() ? "" : ", ") + command->get_name();
  const std::string first = argc > 1 ? argv[1] : "-";
  if (!first.starts_with('-') && (", " + names + ",").find(", " + first + ",") == std::string::npos)
    return usage(app,
                 CLI::ValidationError(fmt::format("expected one of {}, got '{}'", names, first)));
  watch_interrupt();
  const auto failed = [](const std::string& message) {
    fmt::print(stderr, "pare: {}\n", message);
    return kFailed;
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return usage(app, error);
  } catch (const UsageError& error) {
    return usage(app, CLI::ValidationError(error.what()));
  } catch (const Interrupted&) {
    return kInterrupted;
  } catch (const Error& error) {
    return failed(error.message());
  } catch (const std::bad_alloc&) {
    return failed("expected more memory, got none");
  } catch (const std::exception& error) {
    return failed(error.what());
  }
  if (std::fflush(stdout) != 0) return failed("stdout: expected to write all of it, got an error");
  return 0;
}

}  // namespace
}  // namespace pare::cli

int main(int argc, char** argv) { return pare::cli::run(argc, argv); }
