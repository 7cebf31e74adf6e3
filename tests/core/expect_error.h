// EXPECT_ERROR: a pare::Error with a code, whose message has the given parts.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>

#include "pare/core/error.h"

namespace pare::test {

template <class Action>
void expect_error(const Action& action, ErrorCode code, std::initializer_list<const char*> parts) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const char* part : parts) EXPECT_THAT(error.message(), testing::HasSubstr(part));
    return;
  }
  ADD_FAILURE() << "expected an error";
}

}  // namespace pare::test

/// EXPECT_ERROR(conv2d(x, w), shape_mismatch, "conv2d", "kernel no larger")
#define EXPECT_ERROR(expression, code, ...)                                                   \
  ::pare::test::expect_error([&] { static_cast<void>(expression); }, ::pare::ErrorCode::code, \
                             {__VA_ARGS__})
