// expect_error: a call must throw pare::Error with this code, and its message must say these words.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "pare/core/error.h"

namespace pare::test {

template <class Call>
void expect_error(ErrorCode code, std::initializer_list<std::string> words, Call&& call) {
  try {
    call();
    ADD_FAILURE() << "expected an Error, got none";
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    for (const std::string& word : words) {
      EXPECT_NE(error.message().find(word), std::string::npos)
          << "expected '" << word << "' in: " << error.what();
    }
  }
}

/// The message of the Error that `call` throws; "no error" if it does not.
template <class Call> std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.message();
  }
  return "no error";
}

}  // namespace pare::test

/// EXPECT_ERROR(conv2d(x, w), shape_mismatch, "conv2d", "kernel no larger")
#define EXPECT_ERROR(expression, code, ...)                          \
  ::pare::test::expect_error(::pare::ErrorCode::code, {__VA_ARGS__}, \
                             [&] { static_cast<void>(expression); })
