// Tests of Shape.
#include "pare/core/shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"

namespace pare {
namespace {

using test::error_of;
using ::testing::HasSubstr;

TEST(Shape, HoldsNumbersAndSymbols) {
  Shape s{4, 3};
  s.append_symbol("height");
  EXPECT_EQ(s.to_string(), "[4, 3, height]");
  EXPECT_EQ(s[-3], 4);
  EXPECT_TRUE(s.symbolic());
  EXPECT_TRUE(s.symbolic(2));
  EXPECT_FALSE(s.symbolic(0));
  EXPECT_EQ(s.to_vector(), (std::vector<std::int64_t>{4, 3, -1}));
  Shape t;
  t.append(s, 2);
  t.append(s, 0);
  EXPECT_EQ(t.to_string(), "[height, 4]");
  EXPECT_TRUE(t.same_axis(0, s, 2));
  EXPECT_FALSE(t.same_axis(1, s, 2));
  t.set(0, 7);
  EXPECT_FALSE(t.symbolic());
  EXPECT_EQ(t, (Shape{7, 4}));
}

TEST(Shape, ComparesSymbolsByName) {
  Shape a;
  a.append_symbol("n");
  a.append_symbol("m");
  Shape b;
  b.append_symbol("m");
  b.append_symbol("n");
  EXPECT_FALSE(a == b);
  Shape c;
  c.append_symbol("x");
  c.append_symbol("m");
  c.set_symbol(0, "n");
  EXPECT_TRUE(a == c);
  EXPECT_FALSE(a == (Shape{1, 2}));
}

TEST(Shape, RefusesWhatItCannotAnswer) {
  Shape s{2};
  s.append_symbol("batch");
  EXPECT_THAT(error_of([&] { (void)s[1]; }), HasSubstr("got the symbol batch of [2, batch]"));
  EXPECT_THAT(error_of([&] { (void)s.elements(); }), HasSubstr("batch"));
  EXPECT_THAT(error_of([&] { (void)s[2]; }), HasSubstr("expected an axis in [-2, 2), got 2"));
  EXPECT_THAT(error_of([] { Shape{-1}; }), HasSubstr("got -1"));
  EXPECT_THAT(error_of([] { Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}; }),
              HasSubstr("at most 8 axes, got [1, 1, 1, 1, 1, 1, 1, 1] and one more"));
  const Shape huge{std::int64_t{1} << 40, std::int64_t{1} << 40};
  EXPECT_THAT(error_of([&] { (void)huge.elements(); }), HasSubstr("2^63"));
}

TEST(Shape, CountsElements) {
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ((Shape{2, 0, 3}).elements(), 0);
  EXPECT_EQ((Shape{2, 3, 4}).elements(1, 3), 12);
}

}  // namespace
}  // namespace pare
