// One always-inline body, compiled for each vector instruction set and chosen through isa_cap().
#pragma once

#include <type_traits>

#include "pare/core/parallel.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define PARE_X86 1
#else
#define PARE_X86 0
#endif

#define PARE_INLINE inline __attribute__((always_inline))

/// After `PARE_INLINE R name_body params {…}`:
/// `PARE_MULTIVERSION(R, name, (float* y, int n), (y, n))` defines `R name(float* y, int n)`.
/// The body and all it calls must be always-inline (PARE_INLINE; lambdas: PARE_INLINE_LAMBDA), or
/// it stays at the baseline. Wrappers have internal linkage: use it in .cpp files.
#if PARE_X86
#if defined(__clang__)  // knows no vector width there, and would ignore the whole attribute
#define PARE_AVX512_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#else
#define PARE_AVX512_TARGET \
  "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512"
#endif
#define PARE_MULTIVERSION(R, name, params, args)                              \
  __attribute__((target("avx2,fma,f16c"))) static R name##_avx2 params {      \
    return name##_body args;                                                  \
  }                                                                           \
  __attribute__((target(PARE_AVX512_TARGET))) static R name##_avx512 params { \
    return name##_body args;                                                  \
  }                                                                           \
  static R name##_baseline params { return name##_body args; }                \
  static R name params {                                                      \
    const ::pare::Isa isa = ::pare::isa_cap();                                \
    if (isa >= ::pare::Isa::avx512) return name##_avx512 args;                \
    if (isa >= ::pare::Isa::avx2) return name##_avx2 args;                    \
    return name##_baseline args;                                              \
  }
#else
#define PARE_MULTIVERSION(R, name, params, args) \
  static R name params { return name##_body args; }
#endif

/// For loops written in AVX2's intrinsics, which one checks isa_cap() for.
#if PARE_X86
#define PARE_AVX2 __attribute__((target("avx2,fma")))
#define PARE_AVX2_INLINE __attribute__((target("avx2,fma"), always_inline)) inline
#endif

/// After a lambda's parameters: `[=]() PARE_INLINE_LAMBDA { … }`.
#define PARE_INLINE_LAMBDA __attribute__((always_inline))

namespace pare {
namespace detail {
#if PARE_X86
template <class Body> __attribute__((target("avx2,fma,f16c"))) void run_avx2(Body body) { body(); }
template <class Body> __attribute__((target(PARE_AVX512_TARGET))) void run_avx512(Body body) {
  body();
}
#endif
}  // namespace detail

/// The same for templates: calls `body()`, whose operator() is always-inline, compiled for the best
/// instruction set. Capture by value: what the loops read must not seem to alias what they write.
template <class Body> void multiversion(const Body& body) {
#if PARE_X86
  const Isa isa = isa_cap();
  if (isa >= Isa::avx512) return detail::run_avx512<Body>(body);
  if (isa >= Isa::avx2) return detail::run_avx2<Body>(body);
#endif
  body();
}

/// As multiversion where T is float; once, for the baseline, where it is not (code size).
template <class T, class Body> void multiversion_for(const Body& body) {
  if constexpr (std::is_same_v<T, float>)
    multiversion(body);
  else
    body();
}

}  // namespace pare
