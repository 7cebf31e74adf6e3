// The ONNX nodes of recurrent layers and embeddings, as text. That ONNX Runtime computes with them
// what the ops compute is checked by check_sequence_onnx.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include "expect_error.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Writes each node as "Type(inputs) -> outputs {attributes}", constants as their integers.
class TextEmitter final : public OnnxEmitter {
 public:
  TextEmitter(const Tensors& inputs, const std::vector<Shape>& outputs)
      : inputs_(inputs), outputs_(outputs) {}

  int opset() const override { return 17; }
  bool has_input(int i) const override {
    return static_cast<std::size_t>(i) < inputs_.size() && at(i).defined();
  }
  std::string input(int i) const override { return has_input(i) ? "in" + std::to_string(i) : ""; }
  std::string output(int i) const override { return "out" + std::to_string(i); }
  const Shape& input_shape(int i) const override { return at(i).shape(); }
  const Shape& output_shape(int i) const override { return outputs_[static_cast<std::size_t>(i)]; }
  DType input_dtype(int i) const override { return at(i).dtype(); }
  std::string constant(const Tensor& value) override {
    std::string text = "[";
    for (const std::int64_t v : value.to_vector<std::int64_t>())
      text += (text.size() > 1 ? " " : "") + std::to_string(v);
    return text + "]";
  }
  std::string temporary() override { return "t" + std::to_string(next_++); }
  Node& node(const char* op_type, std::vector<std::string> inputs,
             std::vector<std::string> outputs) override {
    const auto joined = [](const std::vector<std::string>& names) {
      std::string text;
      for (std::size_t i = 0; i < names.size(); ++i) text += (i ? ", " : "") + names[i];
      return text;
    };
    lines_.push_back(std::make_unique<Line>());
    lines_.back()->text = std::string(op_type) + "(" + joined(inputs) + ") -> " + joined(outputs);
    return *lines_.back();
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    for (const auto& line : lines_)
      all.push_back(line->text + (line->attributes.empty() ? "" : " {" + line->attributes + "}"));
    return all;
  }

 private:
  struct Line final : Node {
    std::string text, attributes;
    Node& add(const std::string& name, const std::string& value) {
      attributes += (attributes.empty() ? "" : ", ") + name + "=" + value;
      return *this;
    }
    Node& attribute(const char* name, std::int64_t value) override {
      return add(name, std::to_string(value));
    }
    Node& attribute(const char* name, double value) override {
      return add(name, std::to_string(value));
    }
    Node& attribute(const char* name, const char* value) override { return add(name, value); }
    Node& attribute(const char* name, std::span<const std::int64_t> values) override {
      std::string text = "[";
      for (const std::int64_t v : values) text += (text.size() > 1 ? " " : "") + std::to_string(v);
      return add(name, text + "]");
    }
    Node& attribute(const char* name, std::span<const double> values) override {
      std::string text = "[";
      for (const double v : values) text += (text.size() > 1 ? " " : "") + std::to_string(v);
      return add(name, text + "]");
    }
    Node& attribute(const char* name, std::span<const std::string> values) override {
      std::string text = "[";
      for (const std::string& v : values) text += (text.size() > 1 ? " " : "") + v;
      return add(name, text + "]");
    }
    Node& attribute(const char* name, const Tensor&) override { return add(name, "tensor"); }
  };
  const Tensor& at(int i) const { return inputs_[static_cast<std::size_t>(i)]; }
  const Tensors& inputs_;
  const std::vector<Shape>& outputs_;
  std::vector<std::unique_ptr<Line>> lines_;
  int next_ = 0;
};

std::vector<std::string> nodes_of(const Call& call, const Tensors& inputs) {
  std::vector<Shape> outputs;
  for (const Tensor& t : apply_all(call, inputs)) outputs.push_back(t.shape());
  TextEmitter emitter(inputs, outputs);
  call.op->onnx.emit(call, emitter);
  return emitter.lines();
}

struct Form {
  const OpDef* op;
  Attributes attributes;
  std::int64_t gates;
  bool bidirectional;
};

Tensors inputs_of(const Form& f, Generator& g, bool everything) {
  Tensors inputs(f.op == &kLstm ? 12 : 11);
  inputs[0] = g.normal({3, 3, 2});
  for (std::size_t d = 0; d < (f.bidirectional ? 2 : 1); ++d) {
    inputs[1 + 4 * d] = g.normal({f.gates * 2, 2});
    inputs[2 + 4 * d] = g.normal({f.gates * 2, 2});
    for (std::size_t b = 3; everything && b < 5; ++b) inputs[b + 4 * d] = g.normal({f.gates * 2});
  }
  if (!everything) return inputs;
  inputs[9] = g.normal({f.bidirectional ? 2 : 1, 3, 2});
  inputs[10] = Tensor::from(std::vector<std::int64_t>{3, 1, 2}, {3});
  if (f.op == &kLstm) inputs[11] = g.normal(inputs[9].shape());
  return inputs;
}

TEST(SequenceOnnx, AnLstmHasItsGatesInOnnxsOrder) {
  Generator g(1);
  const Form f{&kLstm, Attributes::of(LstmAttributes{}), 4, false};
  EXPECT_THAT(
      nodes_of({f.op, f.attributes}, inputs_of(f, g, false)),
      ElementsAre("Gather(in1, [0 1 6 7 2 3 4 5]) -> t1 {axis=0}", "Unsqueeze(t1, [0]) -> t0",
                  "Gather(in2, [0 1 6 7 2 3 4 5]) -> t3 {axis=0}", "Unsqueeze(t3, [0]) -> t2",
                  "LSTM(in0, t0, t2) -> t4, out1, out2 {hidden_size=2, direction=forward}",
                  "Transpose(t4) -> t5 {perm=[0 2 1 3]}", "Reshape(t5, [0 0 -1]) -> out0"));
}

TEST(SequenceOnnx, AGruOfBothDirectionsStacksThem) {
  Generator g(1);
  const Form f{&kGru, Attributes::of(GruAttributes{"bidirectional", true, true}), 3, true};
  const auto nodes = nodes_of({f.op, f.attributes}, inputs_of(f, g, true));
  EXPECT_THAT(nodes, ::testing::Contains("Transpose(in0) -> t0 {perm=[1 0 2]}"));
  EXPECT_THAT(nodes, ::testing::Contains("Gather(in5, [2 3 0 1 4 5]) -> t4 {axis=0}"));
  EXPECT_THAT(nodes, ::testing::Contains("Cast(in10) -> t20 {to=6}"));
  EXPECT_THAT(nodes, ::testing::Contains(HasSubstr(
                         "{hidden_size=2, direction=bidirectional, linear_before_reset=1}")));
  EXPECT_THAT(nodes.back(), HasSubstr("-> out0"));
}

TEST(SequenceOnnx, WhatOnnxDoesNotSayIsRefused) {
  Generator g(1);
  const Form f{&kRnn, Attributes::of(RnnAttributes{.nonlinearity = "relu"}), 1, false};
  EXPECT_THAT(nodes_of({f.op, f.attributes}, inputs_of(f, g, false)),
              ::testing::Contains(HasSubstr("activations=[Relu]")));
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

// Writes nodes, operands and results of many forms for check_sequence_onnx.py.
TEST(SequenceOnnx, DumpForOnnxRuntime) {
  const char* path = std::getenv("PARE_ONNX_DUMP");
  if (!path) GTEST_SKIP() << "set PARE_ONNX_DUMP to a file for check_sequence_onnx.py";
  std::ofstream file(path);
  Generator g(1);
  const auto write = [&](const std::string& name, const Tensor& t) {
    if (!t.defined()) return;
    file << "tensor " << name << ' ' << traits(t.dtype()).name << " (";
    for (const std::int64_t d : t.shape().to_vector()) file << d << ' ';
    file << ')';
    for (const double v : t.to(DType::f64).to_vector<double>()) file << ' ' << v;
    file << '\n';
  };
  file.precision(9);
  for (const char* direction : {"forward", "reverse", "bidirectional"})
    for (const bool first : {false, true})
      for (const bool everything : {false, true}) {
        const bool two = std::string(direction) == "bidirectional";
        for (const Form& f :
             {Form{&kRnn, Attributes::of(RnnAttributes{direction, first, "tanh"}), 1, two},
              Form{&kLstm, Attributes::of(LstmAttributes{direction, first}), 4, two},
              Form{&kGru, Attributes::of(GruAttributes{direction, first, true}), 3, two},
              Form{&kGru, Attributes::of(GruAttributes{direction, first, false}), 3, two}}) {
          const Tensors inputs = inputs_of(f, g, everything);
          const Call call{f.op, f.attributes};
          file << "case " << f.op->name << ' ' << f.attributes.to_string() << '\n';
          for (std::size_t i = 0; i < inputs.size(); ++i)
            write("in" + std::to_string(i), inputs[i]);
          const Tensors outputs = apply_all(call, inputs);
          for (std::size_t o = 0; o < outputs.size(); ++o)
            write("out" + std::to_string(o), outputs[o]);
          for (const std::string& line : nodes_of(call, inputs)) file << "node " << line << '\n';
        }
      }
}

}  // namespace
}  // namespace pare::test
