// parallel_for, and which vector instructions may be used.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "pare/core/export.h"

namespace pare {

namespace detail {
using RangeFunction = void (*)(void* state, std::int64_t begin, std::int64_t end);
PARE_API void parallel_ranges(std::int64_t begin, std::int64_t end, std::int64_t grain,
                              RangeFunction run, void* state);
}  // namespace detail

/// Calls body(b, e) on disjoint pieces that cover [begin, end), each of at least `grain` items (the
/// whole in the calling thread where it is not worth more). The first exception is rethrown.
template <class Body>
void parallel_for(std::int64_t begin, std::int64_t end, std::int64_t grain, Body&& body) {
  if (end - begin <= grain) {
    if (end > begin) body(begin, end);
    return;
  }
  using Plain = std::remove_reference_t<Body>;
  detail::parallel_ranges(
      begin, end, grain,
      [](void* state, std::int64_t b, std::int64_t e) { (*static_cast<Plain*>(state))(b, e); },
      const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

/// Threads that parallel_for would use now: context().threads, or what the process may use.
PARE_API int max_threads();

/// Vector instruction sets, each including those before it.
enum class Isa { baseline, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16, avx512_amx };

/// The best set of this CPU, not above DNNL_MAX_CPU_ISA (read once, as oneDNN does).
PARE_API Isa isa_cap();
PARE_API const char* to_string(Isa isa);
/// Whether u8·s8 products are summed without saturating at 16 bits.
inline bool has_vnni(Isa isa) { return isa == Isa::avx2_vnni || isa >= Isa::avx512_vnni; }

}  // namespace pare
