// QConfig: the presets.
#include "pare/quantize/qconfig.h"

#include "core/check.h"

namespace pare::quantize {
namespace {

constexpr std::int64_t kFull = 127;
constexpr std::int64_t kSevenBits = 63;

QConfig pytorch(const char* backend) {
  QConfig config;
  config.isa = backend;
  config.full_weight_range = true;
  config.even_zero_points = false;
  config.fuse_residual = false;
  config.quantize_outputs = true;
  return config;
}

}  // namespace

QConfig QConfig::x86(Isa isa) {
  PARE_CHECK(isa >= Isa::baseline && isa <= Isa::avx512_amx, invalid_argument, "QConfig::x86",
             "expected an instruction set of 0 to {}, got {}", static_cast<int>(Isa::avx512_amx),
             static_cast<int>(isa));
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

QConfig QConfig::fbgemm() {
  QConfig config = pytorch("fbgemm");
  config.activation_bits = 7;
  return config;
}

QConfig QConfig::qnnpack() {
  QConfig config = pytorch("qnnpack");
  config.weight_granularity = Granularity::per_tensor;
  return config;
}

QConfig QConfig::onednn() {
  QConfig config = pytorch("onednn");
  config.fuse_residual = true;
  return config;
}

}  // namespace pare::quantize
