// PARE_SANITIZED: whether the address or the thread sanitizer is built in.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PARE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PARE_SANITIZED 1
#endif
#endif
#ifndef PARE_SANITIZED
#define PARE_SANITIZED 0
#endif
