// SizeExpression: canonical names of derived sizes.
#include "core/size_expression.h"

#include <gtest/gtest.h>

#include "expect_error.h"

namespace pare {
namespace {

const SizeExpression h = SizeExpression::symbol("height");
const SizeExpression w = SizeExpression::symbol("width");

TEST(SizeExpression, EqualSumsPrintAlike) {
  EXPECT_EQ((h + 1).to_string(), "height+1");
  EXPECT_EQ((w * h * 6 - w * h * 2).to_string(), "4*height*width");
  EXPECT_EQ(((h + 1) * (h - 1)).to_string(), "height*height-1");
  EXPECT_EQ((h - h).to_string(), "0");
  EXPECT_EQ((SizeExpression(3) - h).to_string(), "-height+3");
  EXPECT_EQ((h * 2 + w - 4).to_string(), "2*height+width-4");
}

TEST(SizeExpression, QuotientsRoundDown) {
  EXPECT_EQ((h + 1).divided_down(2).to_string(), "(height+1)/2");
  EXPECT_EQ((h * 4 + 6).divided_down(2).to_string(), "2*height+3");
  EXPECT_EQ((h + 5).divided_down(2).to_string(), "(height+1)/2+2");
  EXPECT_EQ((h * 2 + 1).divided_down(4).to_string(), "height/2");
  // Half of the half, rounded down each time, is a quarter.
  const SizeExpression half = (h + 1).divided_down(2);
  EXPECT_EQ((half + 1).divided_down(2).to_string(), "(height+3)/4");
  EXPECT_EQ(half, (h - 1).divided_down(2) + 1);
  EXPECT_EQ(h.divided_up(4).to_string(), "(height+3)/4");
  EXPECT_EQ((half * 2).to_string(), "2*((height+1)/2)");
  EXPECT_EQ((h * w).divided_down(h).to_string(), "width");
  EXPECT_EQ(h.divided_down(w).to_string(), "height/width");
  EXPECT_EQ(SizeExpression(-7).divided_down(2).constant(), -4);
  EXPECT_ERROR(h.divided_down(0), invalid_argument, "expected a divisor of at least 1 for height");
}

TEST(SizeExpression, ExactQuotients) {
  EXPECT_EQ(((h + 1) * (w + 2) * 3).divided_exactly(w + 2)->to_string(), "3*height+3");
  EXPECT_EQ((h * 6).divided_exactly(3)->to_string(), "2*height");
  EXPECT_FALSE((h * 6).divided_exactly(4));
  EXPECT_FALSE((h + 1).divided_exactly(w));
  EXPECT_FALSE(h.divided_exactly(0));
  EXPECT_EQ(SizeExpression(0).divided_exactly(h)->constant(), 0);
}

TEST(SizeExpression, Extremes) {
  EXPECT_EQ(min(h, h + 2).to_string(), "height");
  EXPECT_EQ(max(h, h + 2).to_string(), "height+2");
  EXPECT_EQ(min(h, 8).to_string(), "min(8,height)");
  EXPECT_EQ(min(8, h), min(h, 8));
  EXPECT_EQ(max(w, h).to_string(), "max(height,width)");
  EXPECT_EQ(min(3, 5).constant(), 3);
}

TEST(SizeExpression, ReadsWhatItWrote) {
  for (const SizeExpression& e :
       {h, h + 1, (h + 1).divided_down(2) * w * 3 - 2, min(h, 8) * 2 + max(w, h - 1),
        (h * w).divided_down(7) + (h + 1).divided_down(w - 1), SizeExpression(12),
        SizeExpression(0) - h, (h + 1).divided_down(2) - w.divided_down(3) * 5,
        SizeExpression::symbol("batch size") * 2, SizeExpression::symbol("it's") + 1}) {
    EXPECT_EQ(SizeExpression::parse(e.to_string()), e) << e.to_string();
  }
}

TEST(SizeExpression, OtherTextIsOneSymbol) {
  EXPECT_EQ(SizeExpression::parse("batch size").to_string(), "batch size");
  EXPECT_EQ((SizeExpression::parse("batch size") * 2).to_string(), "2*'batch size'");
  for (const std::string& text :
       {std::string("(height"), std::string("height+"), std::string("2x"), std::string(""),
        std::string("height/0"), std::string("'a"), std::string("min(1)"),
        std::string("99999999999999999999"), std::string(5000, 'a'), std::string(200, '('),
        std::string("a**b"), std::string("min"), std::string("/model/Conv?0")})
    EXPECT_EQ(SizeExpression::parse(text).to_string(), text);
}

TEST(SizeExpression, EvaluatesAndRenames) {
  const SizeExpression e = (h + 1).divided_down(2) * w + min(h, 8);
  EXPECT_EQ(e.evaluate([](const std::string& name) { return name == "height" ? 9 : 4; }), 28);
  EXPECT_EQ(e.renamed([](const std::string& name) { return name.substr(0, 1); }).to_string(),
            "((h+1)/2)*w+min(8,h)");
  EXPECT_ERROR(h.divided_down(w).evaluate([](const std::string&) { return std::int64_t{0}; }),
               invalid_argument, "divisor");
}

TEST(SizeExpression, RefusesNumbersBeyond63Bits) {
  EXPECT_ERROR(h * (std::int64_t{1} << 62) * 4, invalid_argument, "2^63");
  EXPECT_ERROR(SizeExpression(std::int64_t{1} << 62) + (std::int64_t{1} << 62), invalid_argument,
               "2^63");
}

TEST(SizeExpression, AxesOfShapes) {
  Shape shape{3};
  shape.append_symbol("height");
  (SizeExpression::of(shape, 1) * 2).append_to(shape);
  SizeExpression(5).set_in(shape, 0);
  EXPECT_EQ(shape.to_string(), "[5, height, 2*height]");
  EXPECT_EQ(SizeExpression::product_of(shape).to_string(), "10*height*height");
  EXPECT_ERROR(SizeExpression(-1).append_to(shape), invalid_argument, "at least 0");
}

}  // namespace
}  // namespace pare
