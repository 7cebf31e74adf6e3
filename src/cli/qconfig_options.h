// How a model is quantized: the options that commands share, as a QConfig.
#pragma once

#include <string>
#include <vector>

#include "pare/quantize/qconfig.h"

namespace CLI {
class App;
}

namespace pare::cli {

struct QConfigOptions {
  std::string config = "x86", isa, observer;
  std::vector<std::string> exclude;
};

/// Options --config, --isa, --observer and --exclude.
void add_qconfig_options(CLI::App* command, QConfigOptions& options);
/// Throws UsageError for options that contradict one another.
quantize::QConfig config_of(const QConfigOptions& options);
/// Codes of weights in so many bits, −qmax … qmax; of 8 as the config has them.
void set_weight_bits(quantize::QConfig& config, int bits);

}  // namespace pare::cli
