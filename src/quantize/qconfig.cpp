// QConfig: the presets.
#include "pare/quantize/qconfig.h"

namespace pare::quantize {
namespace {

constexpr std::int64_t kFull = 127;
constexpr std::int64_t kSevenBits = 63;

}  // namespace

QConfig QConfig::x86(Isa isa) {
  QConfig config;
  config.isa = to_string(isa);
  config.weight_qmax = has_vnni(isa) ? kFull : kSevenBits;
  return config;
}

QConfig QConfig::portable() {
  QConfig config;
  config.isa = "portable";
  config.weight_qmax = kSevenBits;
  config.depthwise_weight_qmax = kSevenBits;
  return config;
}

}  // namespace pare::quantize
