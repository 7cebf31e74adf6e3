// The ONNX nodes of recurrent layers and embeddings: what ONNX Runtime computes with them is what
// the ops compute.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/golden.h"
#include "core/golden_sequence_onnx.h"
#include "core/sequence_onnx_cases.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The nodes are those that ran: where emitting changes, make_golden_sequence_onnx.py is to be run.
TEST(SequenceOnnx, OnnxRuntimeComputesWhatTheOpsDo) {
  const std::vector<OnnxCase> cases = onnx_cases();
  const std::vector<OnnxGolden> golden = sequence_onnx_golden();
  ASSERT_EQ(cases.size(), golden.size());
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const OnnxCase& c = cases[i];
    SCOPED_TRACE(c.name);
    EXPECT_EQ(golden[i].name, c.name);
    EXPECT_EQ(nodes_of(c.call, c.inputs), golden[i].nodes);
    const Tensors outputs = apply_all(c.call, c.inputs);
    ASSERT_EQ(outputs.size(), golden[i].outputs.size());
    for (std::size_t k = 0; k < outputs.size(); ++k)
      expect_close(outputs[k], golden[i].outputs[k], 2e-5F, "output " + std::to_string(k));
  }
}

TEST(SequenceOnnx, AnLstmHasItsGatesInOnnxsOrder) {
  Generator g(1);
  const OnnxCase c = onnx_case(g, {&kLstm, Attributes::of(LstmAttributes{})}, false, {});
  EXPECT_THAT(nodes_of(c.call, c.inputs),
              ElementsAre("Gather(in1, [0 1 2 9 10 11 3 4 5 6 7 8]) -> t1 {axis=0}",
                          "Unsqueeze(t1, [0]) -> t0",
                          "Gather(in2, [0 1 2 9 10 11 3 4 5 6 7 8]) -> t3 {axis=0}",
                          "Unsqueeze(t3, [0]) -> t2",
                          "LSTM(in0, t0, t2) -> t4, out1, out2 {hidden_size=3, direction=forward}",
                          "Transpose(t4) -> t5 {perm=[0 2 1 3]}", "Reshape(t5, [0 0 3]) -> out0"));
}

TEST(SequenceOnnx, ActivationsAreALineOfWords) {
  Generator g(1);
  const OnnxCase c =
      onnx_case(g,
                {&kRnn, Attributes::of(RnnAttributes{.direction = "bidirectional",
                                                     .activations = "ScaledTanh,Affine",
                                                     .activation_alpha = {1.5},
                                                     .clip = 2})},
                true, {});
  EXPECT_THAT(nodes_of(c.call, c.inputs),
              ::testing::Contains(HasSubstr(
                  "{hidden_size=3, direction=bidirectional, clip=2.000000, activations=[ScaledTanh "
                  "Affine], activation_alpha=[1.500000 1.000000], activation_beta=[1.000000 "
                  "0.000000]}")));
}

TEST(SequenceOnnx, WhatOnnxDoesNotSayIsRefused) {
  Generator g(1);
  OnnxCase projected =
      onnx_case(g, {&kLstm, Attributes::of(LstmAttributes{})}, false, {.projection = 2});
  projected.inputs[9] = Tensor::zeros({1, 3, 2});
  EXPECT_THAT(error_of([&] { nodes_of(projected.call, projected.inputs); }),
              HasSubstr("lstm: expected no h0 for ONNX with a projection, got shape [1, 3, 2]"));
  const Tensors bag{Tensor::from(std::vector<std::int64_t>{0, 1}, {2}), g.normal({3, 2}),
                    Tensor::from(std::vector<std::int64_t>{0}, {1})};
  EXPECT_THAT(error_of([&] {
                nodes_of({&kEmbeddingBag, Attributes::of(EmbeddingBagAttributes{})}, bag);
              }),
              HasSubstr("embedding_bag: expected indices [B, L] without padding_idx for ONNX"));
}

TEST(SequenceOnnx, EmbeddingsGather) {
  Generator g(1);
  const Tensor indices = Tensor::from(std::vector<std::int64_t>{0, 1, 2, 0}, {2, 2});
  const Tensor table = g.normal({3, 2});
  EXPECT_THAT(nodes_of({&kEmbedding, Attributes::of(EmbeddingAttributes{})}, {indices, table}),
              ElementsAre("Gather(in1, in0) -> out0 {axis=0}"));
  EXPECT_THAT(nodes_of({&kEmbeddingBag, Attributes::of(EmbeddingBagAttributes{.mode = "sum"})},
                       {indices, table, {}, g.normal({2, 2})}),
              ElementsAre("Gather(in1, in0) -> t0 {axis=0}", "Unsqueeze(in3, [2]) -> t1",
                          "Mul(t0, t1) -> t2", "ReduceSum(t2, [1]) -> out0 {keepdims=0}"));
}

}  // namespace
}  // namespace pare::test
