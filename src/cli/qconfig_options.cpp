// How a model is quantized: names of observers and instruction sets.
#include "cli/qconfig_options.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "cli/settings.h"
#include "pare/core/parallel.h"

namespace pare::cli {
namespace {

struct NamedObserver {
  const char* name;
  quantize::Observer::Kind observer;
};
constexpr NamedObserver kObservers[] = {
    {"minmax", quantize::Observer::min_max},
    {"moving-average", quantize::Observer::moving_average},
    {"histogram", quantize::Observer::histogram},
    {"percentile", quantize::Observer::percentile},
    {"entropy", quantize::Observer::entropy},
    {"mse", quantize::Observer::mse},
    {"mean-minmax", quantize::Observer::mean_min_max},
};

std::vector<std::string> observer_names() {
  std::vector<std::string> names;
  for (const NamedObserver& named : kObservers) names.emplace_back(named.name);
  return names;
}

// The instruction sets by name.
std::vector<std::pair<std::string, Isa>> instruction_sets() {
  std::vector<std::pair<std::string, Isa>> sets;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx2_vnni, Isa::avx512, Isa::avx512_vnni,
                        Isa::avx512_bf16, Isa::avx512_amx})
    sets.emplace_back(to_string(isa), isa);
  return sets;
}

}  // namespace

quantize::QConfig config_of(const QConfigOptions& options) {
  if (!options.isa.empty() && options.config != "x86")
    throw UsageError("--isa: expected --config x86, got " + options.config);
  quantize::QConfig config = quantize::QConfig::x86();
  if (options.config == "portable") config = quantize::QConfig::portable();
  for (const auto& [name, isa] : instruction_sets())
    if (options.isa == name) config = quantize::QConfig::x86(isa);
  for (const NamedObserver& named : kObservers)
    if (options.observer == named.name) config.observer = named.observer;
  config.exclude = options.exclude;
  return config;
}

void set_weight_bits(quantize::QConfig& config, int bits) {
  if (bits < 8)
    config.weight_qmax = config.depthwise_weight_qmax = (std::int64_t{1} << (bits - 1)) - 1;
}

void add_qconfig_options(CLI::App* command, QConfigOptions& options) {
  command
      ->add_option("--observer", options.observer,
                   "How the range of an activation follows from its values; the config's without")
      ->check(CLI::IsMember(observer_names()));
  command
      ->add_option("--config", options.config,
                   "x86: for this CPU's instructions; portable: the same integers on every CPU")
      ->capture_default_str()
      ->check(CLI::IsMember({"x86", "portable"}));
  std::vector<std::string> sets;
  for (const auto& [name, isa] : instruction_sets()) sets.push_back(name);
  command
      ->add_option("--isa", options.isa,
                   "Whose instructions the x86 config is for; this CPU's without")
      ->check(CLI::IsMember(sets));
  command->add_option("--exclude", options.exclude, "Nodes that stay float, by name; * and ? match")
      ->allow_extra_args(false);
}

}  // namespace pare::cli
