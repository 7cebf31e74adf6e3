// Layers called with an undefined tensor: an Error that says where, never a crash.
#include <gtest/gtest.h>

#include "expect_error.h"
#include "pare/pare.h"

namespace pare::test {
namespace {

template <class Layer> std::string message_of(Layer layer) {
  Generator generator;
  nn::initialize(layer, generator);
  return error_of([&] { layer(Tensor{}); });
}

TEST(UndefinedInput, IsAnErrorOfTheLayer) {
  const std::string what = ": expected a tensor, got an undefined one";
  EXPECT_EQ(message_of(nn::Flatten{}), "Flatten" + what);
  EXPECT_EQ(message_of(nn::BatchNorm1d{{2}}), "BatchNorm1d" + what);
  EXPECT_EQ(message_of(nn::BatchNorm2d{{2}}), "BatchNorm2d" + what);
  EXPECT_EQ(message_of(nn::BatchNorm3d{{2}}), "BatchNorm3d" + what);
  EXPECT_EQ(message_of(nn::InstanceNorm2d{{2}}), "InstanceNorm2d" + what);
  EXPECT_EQ(message_of(nn::LayerNorm{{.shape = {2}}}), "LayerNorm" + what);
  EXPECT_EQ(message_of(nn::RMSNorm{{.shape = {2}}}), "RMSNorm" + what);
  EXPECT_EQ(message_of(nn::MultiheadAttention{{.embed_dim = 2, .num_heads = 1}}),
            "MultiheadAttention" + what);
  EXPECT_EQ(message_of(nn::TransformerEncoderLayer{{.d_model = 2, .nhead = 1}}),
            "MultiheadAttention" + what);
  EXPECT_EQ(message_of(models::LeNet300_100{}), "flatten" + what);
  EXPECT_EQ(message_of(models::GPT({.vocab_size = 5, .n_layer = 1, .n_head = 1, .n_embd = 4})),
            "GPT" + what);
}

TEST(UndefinedInput, IsAnErrorAmongSeveral) {
  nn::MultiheadAttention attention{{.embed_dim = 2, .num_heads = 1}};
  const Tensor x = Tensor::ones({1, 3, 2});
  EXPECT_ERROR(attention.run({x, Tensor{}, x}), invalid_argument, "MultiheadAttention",
               "undefined");
  EXPECT_ERROR(attention.run({x, x, Tensor{}}), invalid_argument, "MultiheadAttention",
               "undefined");
}

}  // namespace
}  // namespace pare::test
