// Saves and loads the state of a module.
#include "pare/io/checkpoint.h"

#include <cstring>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

#include "core/check.h"
#include "io/expression_json.h"
#include "io/safetensors_header.h"
#include "pare/core/context.h"
#include "pare/graph/graph.h"
#include "pare/io/graph_file.h"

namespace pare::io {
namespace {

constexpr const char* kExpressions = "pare.expressions";

// A place in a module that holds state; one of the pointers is set.
struct Slot {
  std::string name;
  nn::Parameter* parameter = nullptr;
  Tensor* tensor = nullptr;  // of a buffer or of a graph's leaf
};

class SlotCollector final : public nn::Members {
 public:
  std::vector<Slot> slots;

 private:
  std::string full(std::string_view name) const { return prefix_ + std::string(name); }
  void on_module(std::string_view name, nn::Module& module) override {
    const std::string outer = prefix_;
    prefix_ = full(name) + ".";
    module.members(*this);
    prefix_ = outer;
  }
  void on_parameter(std::string_view name, nn::Parameter& parameter) override {
    slots.push_back({.name = full(name), .parameter = &parameter});
  }
  void on_buffer(std::string_view name, nn::Buffer& buffer) override {
    slots.push_back({.name = full(name), .tensor = &buffer.value()});
  }
  void on_leaf(std::string_view name, Tensor& tensor, bool /*trainable*/) override {
    slots.push_back({.name = full(name), .tensor = &tensor});
  }
  std::string prefix_;
};

std::vector<Slot> slots_of(nn::Module& module) {
  SlotCollector collector;
  module.settle();
  module.members(collector);
  return std::move(collector.slots);
}

bool is_counter(std::string_view name) { return name.ends_with("num_batches_tracked"); }

std::string join(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 8;
  const std::size_t count = std::min(names.size(), kMost);
  std::string text = listed(std::span(names).first(count));
  if (count < names.size()) text += fmt::format(" and {} more", names.size() - count);
  return text.empty() ? "none" : text;
}

// What PyTorch's pruning writes: weight_orig and weight_mask in place of weight.
Expression masked() {
  Expression expression;
  expression.leaves = {{"_orig", {}, true}, {"_mask", {}, false}};
  const OpDef* const mul = find_op("mul");
  expression.steps = {{{mul, mul->defaults ? mul->defaults() : Attributes()}, {0, 1}}};
  return expression;
}

// A few bytes in a file (two vectors, multiplied) must not ask for any amount of memory: no step
// gives more elements than the parameter has.
void check_sizes(const Expression& expression, std::int64_t most) {
  std::vector<InferArgs::Output> known;
  for (const auto& leaf : expression.leaves) {
    known.push_back({leaf.value.shape(), leaf.value.dtype(), true});
  }
  for (const auto& step : expression.steps) {
    std::vector<InferArgs::Input> inputs;
    for (const int i : step.inputs) {
      const auto& operand = known[static_cast<std::size_t>(i)];
      inputs.push_back({&operand.shape, operand.dtype, nullptr});
    }
    known.push_back(infer(step.call, inputs)[0]);
    const Shape& result = known.back().shape;
    PARE_CHECK(result.elements() <= most, shape_mismatch, step.call.op->name,
               "expected at most the {} elements of the parameter, got {}", most, result);
  }
}

class Loading {
 public:
  Loading(nn::Module& module, const std::string& path)
      : path_(path), slots_(slots_of(module)), file_(load_tensors(path)) {
    for (const NamedTensor& named : file_.tensors) by_name_[named.name] = &named.tensor;
    const auto text = file_.metadata.find(kExpressions);
    if (text != file_.metadata.end()) {
      expressions_ = parse_expressions(fmt::format("{}: {}", path, kExpressions), text->second);
    }
  }

  // Finds and checks a tensor for everything in the module, and changes nothing.
  LoadReport match() {
    for (const Slot& slot : slots_) {
      if (slot.tensor != nullptr) {
        match_tensor(slot);
      } else {
        match_parameter(slot);
      }
    }
    for (const Slot* slot : absent_)
      if (!tied_to_found(*slot->parameter)) report_.missing.push_back(slot->name);
    for (const NamedTensor& named : file_.tensors) {
      if (!used_.contains(named.name) && !is_counter(named.name)) {
        report_.unexpected.push_back(named.name);
      }
    }
    return report_;
  }

  void write() {
    const NoGrad off;
    for (auto& [to, from] : copies_) to.copy_from(from);
    for (auto& [parameter, value] : plain_) parameter->set(value);
    for (auto& [parameter, expression] : built_) put(*parameter, std::move(expression));
  }

 private:
  const Tensor* take(const std::string& name) {
    const auto found = by_name_.find(name);
    if (found != by_name_.end()) used_.insert(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  void check_like(const std::string& name, const Tensor& got, const Shape& shape,
                  DType dtype) const {
    const std::string where = tensor_place(path_, name);
    PARE_CHECK(got.shape() == shape, shape_mismatch, where,
               "expected shape {}, as in the module, got {}", shape, got.shape());
    PARE_CHECK(got.dtype() == dtype, dtype_mismatch, where, "expected {}, as in the module, got {}",
               dtype, got.dtype());
  }

  // Two values for one tensor of the module are one too many.
  void take_once(const std::string& name, const Tensor& to, const Tensor& from) {
    const auto [first, added] = first_.try_emplace(to.impl(), name);
    if (added || same_bytes(*by_name_.at(first->second), from)) return;
    report_.differing.emplace_back(first->second, name);
  }
  static bool same_bytes(const Tensor& a, const Tensor& b) {
    return a.bytes() == b.bytes() &&
           (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
  }

  // Of tied parameters one name in the file is enough.
  bool tied_to_found(const nn::Parameter& parameter) const {
    if (!parameter.initialized()) return false;
    const Tensor& leaf = parameter.expression().leaves.front().value;
    for (const auto& found : plain_) {
      const Expression& other = found.first->expression();
      if (other.steps.empty() && !other.leaves.empty() && other.leaves.front().value.same_as(leaf))
        return true;
    }
    return false;
  }

  void match_tensor(const Slot& slot) { copy_into(slot.name, *slot.tensor); }

  void copy_into(const std::string& name, const Tensor& to) {
    const Tensor* from = take(name);
    if (from == nullptr) {
      if (!is_counter(name)) report_.missing.push_back(name);
      return;
    }
    check_like(name, *from, to.shape(), to.dtype());
    take_once(name, to, *from);
    copies_.emplace_back(to, *from);
  }

  void match_parameter(const Slot& slot) {
    const auto saved = expressions_.find(slot.name);
    if (saved != expressions_.end()) {
      build(slot, saved->second);
      return;
    }
    if (!slot.parameter->expression().steps.empty()) {
      for (const auto& leaf : slot.parameter->expression().leaves) {
        copy_into(slot.name + leaf.suffix, leaf.value);
      }
      return;
    }
    if (by_name_.contains(slot.name + "_orig") && by_name_.contains(slot.name + "_mask")) {
      build(slot, masked());
      return;
    }
    const Tensor* value = take(slot.name);
    if (value == nullptr) {
      absent_.push_back(&slot);
      return;
    }
    check_like(slot.name, *value, slot.parameter->shape(), slot.parameter->dtype());
    if (slot.parameter->initialized())
      take_once(slot.name, slot.parameter->expression().leaves.front().value, *value);
    plain_.emplace_back(slot.parameter, *value);
  }

  // Fills the leaves from the file and checks that the result is what the module needs.
  void build(const Slot& slot, Expression expression) {
    for (auto& leaf : expression.leaves) {
      const Tensor* value = take(slot.name + leaf.suffix);
      if (value == nullptr) {
        report_.missing.push_back(slot.name + leaf.suffix);
        return;
      }
      leaf.value = *value;
    }
    ContextScope scope;
    scope->grad = false;
    scope->observing = false;
    Tensor result;
    try {
      check_sizes(expression, slot.parameter->shape().elements());
      result = expression.value();
    } catch (const Error& error) {
      throw error.within(tensor_place(path_, slot.name));
    }
    check_like(slot.name, result, slot.parameter->shape(), slot.parameter->dtype());
    built_.emplace_back(slot.parameter, std::move(expression));
  }

  // Leaves that the parameter has already take their new values in place, so that optimizers which
  // hold them go on; the plain leaf of an unpruned parameter becomes "_orig", as in pruning.
  static void put(nn::Parameter& parameter, Expression expression) {
    Expression& old = parameter.expression();
    for (auto& leaf : expression.leaves) {
      int kept = old.find(leaf.suffix);
      if (kept < 0 && leaf.suffix == "_orig" && old.steps.empty()) kept = old.find("");
      if (kept < 0) continue;
      Tensor& tensor = old.leaves[static_cast<std::size_t>(kept)].value;
      if (tensor.shape() != leaf.value.shape() || tensor.dtype() != leaf.value.dtype()) continue;
      tensor.copy_from(leaf.value);
      leaf.value = tensor;
    }
    parameter.replace(std::move(expression), parameter.shape());
  }

  const std::string& path_;
  std::vector<Slot> slots_;
  TensorFile file_;
  Expressions expressions_;
  std::unordered_map<std::string, const Tensor*> by_name_;
  std::set<std::string> used_;
  LoadReport report_;
  std::unordered_map<const void*, std::string> first_;  // the name that a tensor was found by
  std::vector<const Slot*> absent_;                     // parameters that the file does not have
  std::vector<std::pair<Tensor, Tensor>> copies_;       // into, from
  std::vector<std::pair<nn::Parameter*, Tensor>> plain_;
  std::vector<std::pair<nn::Parameter*, Expression>> built_;
};

}  // namespace

void save(nn::Module& module, const std::string& path) {
  if (path.ends_with(".pare")) {
    const auto* const graph = dynamic_cast<const Graph*>(&module);
    PARE_CHECK(graph != nullptr, invalid_argument, path,
               "expected a Graph to write into a .pare file, got a {}; trace it first, or write a "
               ".safetensors file",
               module.kind());
    save_graph(*graph, path);
    return;
  }
  PARE_CHECK(!path.ends_with(".onnx"), invalid_argument, path,
             "expected a name of a checkpoint, got one of an ONNX file, which onnx::save writes");
  std::vector<NamedTensor> tensors;
  Expressions expressions;
  for (const Slot& slot : slots_of(module)) {
    if (slot.tensor != nullptr) {
      tensors.push_back({slot.name, *slot.tensor, false});
      continue;
    }
    const nn::Parameter& parameter = *slot.parameter;
    PARE_CHECK(
        parameter.initialized(), invalid_state, tensor_place(path, slot.name),
        "expected a parameter with a value, got none; call initialize(net, generator) first");
    for (const auto& leaf : parameter.expression().leaves) {
      tensors.push_back({slot.name + leaf.suffix, leaf.value, leaf.trainable});
    }
    if (!parameter.expression().steps.empty()) expressions[slot.name] = parameter.expression();
  }
  Metadata metadata{{"format", "pt"}};
  if (!expressions.empty()) metadata[kExpressions] = print_expressions(expressions);
  save_tensors(path, tensors, metadata);
}

LoadReport load(nn::Module& module, const std::string& path, const LoadOptions& options) {
  Loading loading(module, path);
  LoadReport report = loading.match();
  PARE_CHECK(!options.strict || (report.missing.empty() && report.unexpected.empty()),
             invalid_argument, path,
             "expected the names of the module, got a file without [{}] and with [{}] besides",
             join(report.missing), join(report.unexpected));
  if (options.strict && !report.differing.empty()) {
    const auto& [first, other] = report.differing.front();
    fail(ErrorCode::invalid_argument, path,
         "expected one value for '{}' and '{}', which are tied in the module, got two", first,
         other);
  }
  loading.write();
  return report;
}

}  // namespace pare::io
