// Expressions to JSON text and back, through the attributes' own lists of fields.
#include "io/expression_json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "pare/core/ops.h"

namespace pare::io {
namespace {

using nlohmann::json;

// JSON has no word for these three.
json number_to_json(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

class Printer final : public AttributeVisitor {
 public:
  using AttributeVisitor::operator();
  void operator()(const char* name, bool& value) override { fields[name] = value; }
  void operator()(const char* name, std::int64_t& value) override { fields[name] = value; }
  void operator()(const char* name, double& value) override {
    fields[name] = number_to_json(value);
  }
  void operator()(const char* name, std::string& value) override { fields[name] = value; }
  void operator()(const char* name, DType& value) override { fields[name] = traits(value).name; }
  void operator()(const char* name, std::vector<std::int64_t>& value) override {
    fields[name] = value;
  }
  void operator()(const char* name, std::vector<double>& value) override {
    json& list = fields[name] = json::array();
    for (const double v : value) list.push_back(number_to_json(v));
  }
  void operator()(const char* name, std::span<std::int64_t> value) override {
    fields[name] = std::vector<std::int64_t>(value.begin(), value.end());
  }

  json fields = json::object();
};

class Parser final : public AttributeVisitor {
 public:
  Parser(const std::string& where, const json& fields) : where_(where), fields_(fields) {}
  using AttributeVisitor::operator();
  void operator()(const char* name, bool& value) override { value = get<bool>(name); }
  void operator()(const char* name, std::int64_t& value) override {
    value = get<std::int64_t>(name);
  }
  void operator()(const char* name, double& value) override { value = number(name, field(name)); }
  void operator()(const char* name, std::string& value) override { value = get<std::string>(name); }
  void operator()(const char* name, DType& value) override {
    const std::string wanted = get<std::string>(name);
    for (int i = 0; i < kDTypeCount; ++i) {
      if (traits(static_cast<DType>(i)).name != wanted) continue;
      value = static_cast<DType>(i);
      return;
    }
    fail(ErrorCode::corrupt_data, where_, "expected an element type as '{}', got '{}'", name,
         wanted);
  }
  void operator()(const char* name, std::vector<std::int64_t>& value) override {
    value = get<std::vector<std::int64_t>>(name);
  }
  void operator()(const char* name, std::vector<double>& value) override {
    value.clear();
    for (const json& item : field(name)) value.push_back(number(name, item));
  }
  void operator()(const char* name, std::span<std::int64_t> value) override {
    const auto list = get<std::vector<std::int64_t>>(name);
    PARE_CHECK(list.size() == value.size(), corrupt_data, where_,
               "expected {} numbers as '{}', got {}", value.size(), name, list.size());
    std::copy(list.begin(), list.end(), value.begin());
  }

 private:
  const json& field(const char* name) const {
    const auto found = fields_.find(name);
    PARE_CHECK(found != fields_.end(), corrupt_data, where_, "expected attribute '{}', got none",
               name);
    return *found;
  }
  template <class T> T get(const char* name) const { return field(name).get<T>(); }
  double number(const char* name, const json& value) const {
    if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (value == "inf") return std::numeric_limits<double>::infinity();
    if (value == "-inf") return -std::numeric_limits<double>::infinity();
    PARE_CHECK(value.is_number(), corrupt_data, where_, "expected a number as '{}', got {}", name,
               value.type_name());  // not its text: dump() goes down into any depth
    return value.get<double>();
  }

  const std::string& where_;
  const json& fields_;
};

json print_step(const Expression::Step& step) {
  Printer printer;
  step.call.attributes.visit(printer);
  return {{"op", step.call.op->name}, {"attributes", printer.fields}, {"inputs", step.inputs}};
}

// What compression writes between a parameter's leaves and its reader. A file must not choose
// freely what runs while it is loaded.
bool belongs_in_a_parameter(const OpDef* op) {
  static constexpr const OpDef* kAllowed[] = {
      &kMatmul, &kGather,       &kReshape,        &kTranspose,       &kAdd,
      &kMul,    &kFakeQuantize, &kQuantizeLinear, &kDequantizeLinear};
  return std::ranges::find(kAllowed, op) != std::end(kAllowed);
}

Expression::Step parse_step(const std::string& where, const json& text, std::size_t operands) {
  const auto name = text.at("op").get<std::string>();
  const OpDef* const op = find_op(name);
  PARE_CHECK(op != nullptr, unsupported, where, "expected an op of pare, got '{}'", name);
  PARE_CHECK(belongs_in_a_parameter(op), unsupported, where,
             "expected an op that parameters are computed with, got '{}'", name);
  Expression::Step step{{op, {}}, text.at("inputs").get<std::vector<int>>()};
  if (op->defaults != nullptr) {
    Parser parser(where, text.at("attributes"));
    step.call.attributes = op->defaults().rewritten(parser);
  }
  const int count = static_cast<int>(step.inputs.size());
  PARE_CHECK(count >= op->min_inputs && (op->max_inputs < 0 || count <= op->max_inputs),
             corrupt_data, where, "expected {} to {} inputs of '{}', got {}", op->min_inputs,
             op->max_inputs, name, count);
  for (const int input : step.inputs) {
    PARE_CHECK(input >= 0 && input < static_cast<int>(operands), corrupt_data, where,
               "expected inputs of '{}' from 0 to below {}, got {}", name, operands, input);
  }
  return step;
}

Expression parse_expression(const std::string& where, const json& text) {
  Expression expression;
  for (const json& leaf : text.at("leaves")) {
    expression.leaves.push_back(
        {leaf.at("suffix").get<std::string>(), {}, leaf.at("trainable").get<bool>()});
  }
  for (const json& step : text.at("steps")) {
    const std::size_t operands = expression.leaves.size() + expression.steps.size();
    expression.steps.push_back(parse_step(where, step, operands));
  }
  PARE_CHECK(!expression.leaves.empty() && !expression.steps.empty(), corrupt_data, where,
             "expected leaves and steps, got {} and {}", expression.leaves.size(),
             expression.steps.size());
  return expression;
}

}  // namespace

std::string print_expressions(const Expressions& expressions) {
  json all = json::object();
  for (const auto& [name, expression] : expressions) {
    json leaves = json::array(), steps = json::array();
    for (const auto& leaf : expression.leaves) {
      leaves.push_back({{"suffix", leaf.suffix}, {"trainable", leaf.trainable}});
    }
    for (const auto& step : expression.steps) steps.push_back(print_step(step));
    all[name] = {{"leaves", std::move(leaves)}, {"steps", std::move(steps)}};
  }
  return all.dump();
}

Expressions parse_expressions(const std::string& where, const std::string& text) {
  Expressions expressions;
  try {
    const json all = json::parse(text);
    for (const auto& item : all.items()) {
      const std::string place = fmt::format("{}: parameter '{}'", where, item.key());
      expressions[item.key()] = parse_expression(place, item.value());
    }
  } catch (const json::exception& error) {
    fail(ErrorCode::corrupt_data, where, "expected expressions as pare writes them, got '{}'",
         error.what());
  }
  return expressions;
}

}  // namespace pare::io
