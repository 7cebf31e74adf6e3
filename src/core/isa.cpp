// What this CPU has, capped by oneDNN's environment variable, and what it is worth.
#include "core/isa.h"

#include <cctype>
#include <cstdlib>
#include <string>

#include "core/check.h"
#include "core/multiversion.h"
#include "pare/core/parallel.h"

#if PARE_X86
#include <cpuid.h>
#endif

namespace pare {
namespace {

Isa of_cpu() {
#if PARE_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!avx2) return Isa::baseline;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
  const bool amx = (edx >> 24 & 1U) && (edx >> 25 & 1U) && (edx >> 22 & 1U);
  __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx);
  const bool avx_vnni = eax >> 4 & 1U;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!avx512) return avx_vnni ? Isa::avx2_vnni : Isa::avx2;
  if (!__builtin_cpu_supports("avx512vnni")) return Isa::avx512;
  const bool bf16 = eax >> 5 & 1U;
  if (!bf16) return Isa::avx512_vnni;
  return amx ? Isa::avx512_amx : Isa::avx512_bf16;
#else
  return Isa::baseline;
#endif
}

Isa cap_of_environment() {
  const char* variable = "ONEDNN_MAX_CPU_ISA";
  const char* text = std::getenv(variable);
  if (!text) text = std::getenv(variable = "DNNL_MAX_CPU_ISA");
  if (!text || !*text) return Isa::avx512_amx;
  std::string name;
  for (const char* c = text; *c; ++c)
    name += static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
  struct Row {
    const char* name;
    Isa isa;
  };
  // All that oneDNN knows: it takes no notice of other words, and nobody would see that.
  static constexpr Row rows[] = {
      {"SSE41", Isa::baseline},
      {"AVX", Isa::baseline},
      {"AVX2", Isa::avx2},
      {"AVX2_VNNI", Isa::avx2_vnni},
      {"AVX2_VNNI_2", Isa::avx2_vnni},
      {"AVX512_CORE", Isa::avx512},
      {"AVX512_CORE_VNNI", Isa::avx512_vnni},
      {"AVX512_CORE_BF16", Isa::avx512_bf16},
      {"AVX512_CORE_FP16", Isa::avx512_bf16},
      {"AVX10_1_512", Isa::avx512_bf16},
      {"AVX10_2_512", Isa::avx512_bf16},
      {"AVX512_CORE_AMX", Isa::avx512_amx},
      {"AVX512_CORE_AMX_FP16", Isa::avx512_amx},
      {"AVX10_1_512_AMX", Isa::avx512_amx},
      {"AVX10_1_512_AMX_FP16", Isa::avx512_amx},
      {"AVX10_2_512_AMX_2", Isa::avx512_amx},
      {"ALL", Isa::avx512_amx},
      {"DEFAULT", Isa::avx512_amx},
  };
  std::string names;
  for (const Row& row : rows) {
    if (name == row.name) return row.isa;
    names += (names.empty() ? "" : ", ") + std::string(row.name);
  }
  fail(ErrorCode::invalid_argument, variable, "expected one of {}, got '{}'", names, text);
}

}  // namespace

Isa isa_cap() {
  static const Isa isa = [] {
    const Isa cpu = of_cpu();
    const Isa cap = cap_of_environment();
    if (cap >= cpu) return cpu;
    // A CPU with AVX-512 but without AVX-VNNI, capped to AVX2_VNNI, is an AVX2 one.
    return cap == Isa::avx2_vnni && cpu >= Isa::avx512 ? Isa::avx2 : cap;
  }();
  return isa;
}

bool halves_avx512() {
#if PARE_X86
  static const bool halves = [] {
    __builtin_cpu_init();
    return __builtin_cpu_is("amdfam19h") && of_cpu() >= Isa::avx512;
  }();
  return halves;
#else
  return false;
#endif
}

const char* to_string(Isa isa) {
  static constexpr const char* names[] = {"baseline",    "avx2",        "avx2_vnni", "avx512",
                                          "avx512_vnni", "avx512_bf16", "avx512_amx"};
  return names[static_cast<int>(isa)];
}

}  // namespace pare
