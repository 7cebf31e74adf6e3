// Lookups in a table of bytes; with AVX512_VBMI the whole table lies in four registers.
#include "core/byte_lookup.h"

#include "core/multiversion.h"
#include "pare/core/parallel.h"

#if PARE_X86
#include <immintrin.h>
#endif

namespace pare {
namespace {

#if PARE_X86
#define PARE_VBMI __attribute__((target("avx512f,avx512bw,avx512vbmi")))

bool has_vbmi() {
  static const bool has = [] {
    __builtin_cpu_init();
    return isa_cap() >= Isa::avx512 && __builtin_cpu_supports("avx512vbmi");
  }();
  return has;
}

struct Registers {
  __m512i part[4];
};

PARE_VBMI inline __m512i translated(const Registers& table, __m512i codes) {
  // Of two parts the low seven bits choose; the highest one says of which two.
  const __m512i low = _mm512_permutex2var_epi8(table.part[0], codes, table.part[1]);
  const __m512i high = _mm512_permutex2var_epi8(table.part[2], codes, table.part[3]);
  return _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high);
}

PARE_VBMI void look_up_vbmi(const ByteTable& table, const std::uint8_t* from, std::uint8_t* to,
                            const ByteRows& rows) {
  Registers registers;
  for (int i = 0; i < 4; ++i) registers.part[i] = _mm512_loadu_si512(table.data() + 64 * i);
  const __mmask64 rest = (std::uint64_t{1} << (rows.count % 64)) - 1;
  for (std::int64_t r = 0; r < rows.rows; ++r, from += rows.from_step, to += rows.to_step) {
    std::int64_t i = 0;
    for (; i + 64 <= rows.count; i += 64)
      _mm512_storeu_si512(to + i, translated(registers, _mm512_loadu_si512(from + i)));
    if (rest)
      _mm512_mask_storeu_epi8(to + i, rest,
                              translated(registers, _mm512_maskz_loadu_epi8(rest, from + i)));
  }
}
#endif

}  // namespace

void look_up(const ByteTable& table, const std::uint8_t* from, std::uint8_t* to,
             const ByteRows& rows) {
#if PARE_X86
  if (has_vbmi()) return look_up_vbmi(table, from, to, rows);
#endif
  for (std::int64_t r = 0; r < rows.rows; ++r, from += rows.from_step, to += rows.to_step)
    for (std::int64_t i = 0; i < rows.count; ++i) to[i] = table[from[i]];
}

}  // namespace pare
