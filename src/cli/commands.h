// The sub-commands, one file each.
#pragma once

#include "cli/settings.h"

namespace CLI {
class App;
}

namespace pare::cli {

void add_bench(CLI::App& app, Settings& settings);
void add_compare(CLI::App& app, Settings& settings);
void add_convert(CLI::App& app, Settings& settings);
void add_dataset(CLI::App& app, Settings& settings);
void add_evaluate(CLI::App& app, Settings& settings);
void add_finetune(CLI::App& app, Settings& settings);
void add_inspect(CLI::App& app, Settings& settings);
void add_quantize(CLI::App& app, Settings& settings);
void add_run(CLI::App& app, Settings& settings);
void add_sensitivity(CLI::App& app, Settings& settings);

}  // namespace pare::cli
