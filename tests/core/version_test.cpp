// The version of the headers is the version of the library.
#include <gtest/gtest.h>

#include <string>

#include "pare/version.h"

TEST(Version, OfTheHeaderIsThatOfTheLibrary) {
  EXPECT_EQ(pare::version(), std::to_string(PARE_VERSION_MAJOR) + "." +
                                 std::to_string(PARE_VERSION_MINOR) + "." +
                                 std::to_string(PARE_VERSION_PATCH));
}
