// The table of a module's parts.
#include <algorithm>
#include <map>
#include <unordered_set>

#include "core/check.h"
#include "pare/core/context.h"
#include "pare/nn/module.h"

namespace pare::nn {
namespace {

// Notes the shape of what each part returned last.
class OutputShapes final : public Tracer {
 public:
  void record(const Call&, std::span<const Tensor>, std::span<const Tensor>) override {}
  void alias(const Tensor&, const Tensor&) override {}
  void name_next(const std::string&) override {}
  void end_part(const void* part, const Tensor& result) override {
    shapes_[part] = result.shape().to_string();
  }
  std::string of(const void* part) const {
    const auto found = shapes_.find(part);
    return found == shapes_.end() ? "-" : found->second;
  }

 private:
  std::map<const void*, std::string> shapes_;
};

// Counts a module's own leaves, not those of its parts; none of them twice.
class Count final : public Members {
 public:
  std::int64_t own(Module& module) {
    own_ = 0;
    module.members(*this);
    return own_;
  }
  std::int64_t trained() const { return trained_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void on_module(std::string_view, Module&) override {}
  void on_parameter(std::string_view, Parameter& parameter) override {
    for (const auto& leaf : parameter.expression().leaves)
      add(leaf.value, leaf.trainable, leaf.trainable && parameter.trainable());
  }
  void on_buffer(std::string_view, Buffer& buffer) override { add(buffer.value(), false, false); }
  void on_leaf(std::string_view, Tensor& tensor, bool trainable) override {
    add(tensor, trainable, trainable);
  }
  void add(const Tensor& tensor, bool is_parameter, bool is_trained) {
    if (!seen_.insert(tensor.impl()).second) return;
    bytes_ += tensor.bytes();
    if (is_parameter) own_ += tensor.elements();
    if (is_trained) trained_ += tensor.elements();
  }
  std::unordered_set<const void*> seen_;
  std::int64_t own_ = 0;
  std::int64_t trained_ = 0;
  std::size_t bytes_ = 0;
};

std::string grouped(std::int64_t number) {
  if (number < 1000) return std::to_string(number);
  return fmt::format("{},{:03}", grouped(number / 1000), number % 1000);
}

struct Row {
  std::string name, kind, output, parameters;
};

}  // namespace

std::string summary(Module& module, const Tensor& example) {
  OutputShapes outputs;
  {
    ContextScope scope;
    scope->training = false;
    scope->observing = false;
    scope->grad = false;
    scope->tracer = &outputs;
    module(example);
  }
  std::vector<Row> rows{{"name", "kind", "output", "parameters"}};
  Count count;
  std::int64_t total = 0;
  module.for_each_module([&](const std::string& name, Module& part) {
    const std::int64_t own = count.own(part);
    total += own;
    rows.push_back({name.empty() ? "(whole)" : name, part.kind(), outputs.of(&part),
                    own ? grouped(own) : "-"});
  });
  std::size_t name = 0, kind = 0, output = 0, parameters = 0;
  for (const Row& row : rows) {
    name = std::max(name, row.name.size());
    kind = std::max(kind, row.kind.size());
    output = std::max(output, row.output.size());
    parameters = std::max(parameters, row.parameters.size());
  }
  std::string text;
  for (const Row& row : rows)
    text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>{}}\n", row.name, name, row.kind, kind,
                        row.output, output, row.parameters, parameters);
  text += fmt::format("{} parameters, {} of them trained; {} bytes with buffers\n", grouped(total),
                      grouped(count.trained()), grouped(static_cast<std::int64_t>(count.bytes())));
  return text;
}

}  // namespace pare::nn
