// TextEmitter: the ONNX nodes of a call as lines of text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pare/core/op.h"

namespace pare::test {

/// Writes each node as "Type(inputs) -> outputs {attributes}", constants as their integers.
class TextEmitter final : public OnnxEmitter {
 public:
  TextEmitter(const Tensors& inputs, const std::vector<Shape>& outputs)
      : inputs_(inputs), outputs_(outputs) {}

  int opset() const override { return 17; }
  bool has_input(int i) const override {
    return static_cast<std::size_t>(i) < inputs_.size() && at(i).defined();
  }
  std::string input(int i) const override { return has_input(i) ? numbered("in", i) : ""; }
  std::string output(int i) const override { return numbered("out", i); }
  const Shape& input_shape(int i) const override { return at(i).shape(); }
  const Shape& output_shape(int i) const override { return outputs_[static_cast<std::size_t>(i)]; }
  DType input_dtype(int i) const override { return at(i).dtype(); }
  std::string constant(const Tensor& value) override {
    return listed(value.to_vector<std::int64_t>());
  }
  std::string temporary() override { return numbered("t", next_++); }
  Node& node(const char* op_type, std::vector<std::string> inputs,
             std::vector<std::string> outputs) override {
    lines_.push_back(std::make_unique<Line>());
    std::string& text = lines_.back()->text;
    text = op_type;
    text.append("(").append(joined(inputs, ", ")).append(") -> ").append(joined(outputs, ", "));
    return *lines_.back();
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    for (const auto& line : lines_) {
      all.push_back(line->text);
      if (!line->attributes.empty()) all.back().append(" {").append(line->attributes).append("}");
    }
    return all;
  }

 private:
  static std::string numbered(const char* name, int i) {
    return std::string(name).append(std::to_string(i));
  }
  static std::string joined(const std::vector<std::string>& words, const char* between) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) text.append(i ? between : "").append(words[i]);
    return text;
  }
  static std::string word(const std::string& text) { return text; }
  static std::string word(std::int64_t v) { return std::to_string(v); }
  static std::string word(double v) { return std::to_string(v); }
  template <class List> static std::string listed(const List& values) {
    std::vector<std::string> words;
    for (const auto& v : values) words.push_back(word(v));
    std::string text = "[";
    return text.append(joined(words, " ")).append("]");
  }
  struct Line final : Node {
    std::string text, attributes;
    Node& add(const std::string& name, const std::string& value) {
      if (!attributes.empty()) attributes.append(", ");
      attributes.append(name).append("=").append(value);
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
      return add(name, listed(values));
    }
    Node& attribute(const char* name, std::span<const double> values) override {
      return add(name, listed(values));
    }
    Node& attribute(const char* name, std::span<const std::string> values) override {
      return add(name, listed(values));
    }
    Node& attribute(const char* name, const Tensor&) override { return add(name, "tensor"); }
  };
  const Tensor& at(int i) const { return inputs_[static_cast<std::size_t>(i)]; }
  const Tensors& inputs_;
  const std::vector<Shape>& outputs_;
  std::vector<std::unique_ptr<Line>> lines_;
  int next_ = 0;
};

/// The nodes that a call on these inputs becomes.
inline std::vector<std::string> nodes_of(const Call& call, const Tensors& inputs) {
  std::vector<Shape> outputs;
  for (const Tensor& t : apply_all(call, inputs)) outputs.push_back(t.shape());
  TextEmitter emitter(inputs, outputs);
  call.op->onnx.emit(call, emitter);
  return emitter.lines();
}

}  // namespace pare::test
