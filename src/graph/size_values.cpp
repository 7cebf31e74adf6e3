// The elements of small integer tensors that shape arithmetic computes.
#include "graph/size_values.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/ops/value_inputs.h"
#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

constexpr std::int64_t kMost = 64;  ///< more elements are data, not shapes

using Element = std::optional<SizeExpression>;
using Elements = std::vector<Element>;

bool is_whole(DType dtype) {
  return dtype == DType::i64 || dtype == DType::i32 || dtype == DType::boolean;
}

/// Booleans are 0 and 1.
std::optional<Elements> elements_of(const Tensor& tensor) {
  if (!is_whole(tensor.dtype()) || tensor.elements() > kMost) return std::nullopt;
  Elements out;
  const auto take = [&](const auto& values) {
    for (const auto v : values) out.emplace_back(SizeExpression(static_cast<std::int64_t>(v)));
  };
  if (tensor.dtype() == DType::i64)
    take(tensor.to_vector<std::int64_t>());
  else if (tensor.dtype() == DType::i32)
    take(tensor.to_vector<std::int32_t>());
  else
    for (std::int64_t i = 0; i < tensor.elements(); ++i)
      out.emplace_back(SizeExpression(tensor.data<bool>()[i] ? 1 : 0));
  return out;
}

class Evaluator {
 public:
  Evaluator(const Graph& graph, const Graph::Node& node, std::size_t count)
      : graph_(graph), node_(node), count_(count) {}

  std::optional<Elements> run() const {
    const OpDef* op = node_.call.op;
    if (auto by_rule = from_rule(op)) return by_rule;
    return evaluated(*op);
  }

 private:
  std::optional<Elements> from_rule(const OpDef* op) const {
    if (op == &kShape) return shape();
    if (op == &kSize) return Elements{SizeExpression::product_of(input(0).shape)};
    if (op == &kConcat) return concat();
    if (op == &kGather) return gather();
    if (op == &kSlice) return slice();
    if (op == &kRange) return range();
    if (op == &kWhere) return where();
    if (op == &kSum || op == &kProd) return reduce(op == &kProd);
    if (op == &kReshape || op == &kSqueeze || op == &kUnsqueeze || op == &kCast || op == &kDetach ||
        op == &kToFormat || op == &kExpand || op == &kNeg)
      return single(op);
    if (op == &kAdd || op == &kSub || op == &kMul || op == &kDiv || op == &kMinimum ||
        op == &kMaximum || op == &kEqual)
      return pair(op);
    return std::nullopt;
  }

  /// Of numbers alone: what the op gives.
  std::optional<Elements> evaluated(const OpDef& op) const {
    if (op.outputs() != 1 || !op.state.empty()) return std::nullopt;
    Tensors inputs;
    for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
      if (node_.inputs[i] < 0) {
        inputs.emplace_back();
        continue;
      }
      const Graph::Value& value = input(i);
      if (value.kind == Graph::Kind::constant) {
        if (value.tensor.elements() > kMost) return std::nullopt;
        inputs.push_back(value.tensor);
        continue;
      }
      const auto elements = is_whole(value.dtype) ? numbers(i) : std::nullopt;
      if (!elements) return std::nullopt;
      inputs.push_back(Tensor::from(*elements, value.shape).to(value.dtype));
    }
    ContextScope scope;
    context() = Context();
    scope->grad = false;
    return elements_of(apply(node_.call, std::span<const Tensor>(inputs)));
  }

  const Graph::Value& input(std::size_t i) const { return graph_.value(node_.inputs[i]); }

  std::optional<Elements> known(std::size_t i) const {
    if (i >= node_.inputs.size() || node_.inputs[i] < 0) return std::nullopt;
    const Graph::Value& value = input(i);
    if (value.kind == Graph::Kind::constant) return elements_of(value.tensor);
    if (!value.sizes) return std::nullopt;
    Elements out;
    for (const std::string& text : *value.sizes)
      out.push_back(text.empty() ? Element() : SizeExpression::parse(text));
    return out;
  }

  /// All of input i as numbers.
  std::optional<std::vector<std::int64_t>> numbers(std::size_t i) const {
    const auto elements = known(i);
    if (!elements) return std::nullopt;
    std::vector<std::int64_t> out;
    for (const Element& e : *elements) {
      if (!e || !e->is_number()) return std::nullopt;
      out.push_back(e->constant());
    }
    return out;
  }

  std::optional<Elements> shape() const {
    const auto& attr = node_.call.attributes.as<ShapeAttributes>();
    const Shape& x = input(0).shape;
    const std::int64_t begin =
        std::clamp<std::int64_t>(attr.start < 0 ? attr.start + x.rank() : attr.start, 0, x.rank());
    Elements out;
    for (std::size_t k = 0; k < count_; ++k)
      out.emplace_back(SizeExpression::of(x, static_cast<int>(begin) + static_cast<int>(k)));
    return out;
  }

  std::optional<Elements> concat() const {
    Elements out;
    for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
      const Shape& own = input(i).shape;
      if (own.rank() != 1 || own.symbolic()) return std::nullopt;
      auto part = known(i);
      if (!part) part = Elements(static_cast<std::size_t>(own[0]));
      out.insert(out.end(), part->begin(), part->end());
    }
    return out;
  }

  std::optional<Elements> gather() const {
    const auto data = known(0);
    const auto places = numbers(1);
    if (!data || !places || input(0).shape.rank() != 1) return std::nullopt;
    const auto size = static_cast<std::int64_t>(data->size());
    Elements out;
    for (const std::int64_t p : *places) {
      if (p < -size || p >= size) return std::nullopt;  // said where the graph runs
      out.push_back((*data)[static_cast<std::size_t>(p < 0 ? p + size : p)]);
    }
    return out;
  }

  std::optional<Elements> slice() const {
    const auto data = known(0);
    if (!data || input(0).shape.rank() != 1) return std::nullopt;
    const auto& attr = node_.call.attributes.as<SliceAttributes>();
    std::int64_t start = 0;
    std::int64_t step = 1;
    if (node_.inputs.size() > 1) {
      const auto starts = numbers(1);
      const auto steps = node_.inputs.size() > 4 && node_.inputs[4] >= 0
                             ? numbers(4)
                             : std::vector<std::int64_t>{1};
      if (!starts || !steps || starts->size() != 1 || steps->size() != 1) return std::nullopt;
      start = starts->front();
      step = steps->front();
    } else if (attr.axes.size() == 1) {
      start = attr.starts[0];
      step = attr.steps[0];
    } else if (!attr.axes.empty()) {
      return std::nullopt;
    }
    // How many are taken says the output's shape.
    const auto size = static_cast<std::int64_t>(data->size());
    if (start < 0) start = start < -size ? -1 : start + size;
    start = step > 0 ? std::clamp<std::int64_t>(start, 0, size)
                     : std::clamp<std::int64_t>(start, -1, size - 1);
    Elements out;
    for (std::size_t k = 0; k < count_; ++k) {
      const std::int64_t at = k == 0 ? start : start + static_cast<std::int64_t>(k) * step;
      if (at < 0 || at >= size) return std::nullopt;
      out.push_back((*data)[static_cast<std::size_t>(at)]);
    }
    return out;
  }

  std::optional<Elements> range() const {
    const auto start = known(0);
    const auto delta = known(2);
    if (!start || !delta || !start->front() || !delta->front()) return std::nullopt;
    Elements out;
    for (std::size_t k = 0; k < count_; ++k)
      out.emplace_back(*start->front() + *delta->front() * static_cast<std::int64_t>(k));
    return out;
  }

  /// Element k of an operand that broadcasts; operands of several axes only at the output's size.
  static const Element& at(const Elements& elements, std::size_t k) {
    return elements[elements.size() == 1 ? 0 : k];
  }
  bool fits(const Elements& elements) const {
    return elements.size() == count_ || elements.size() == 1;
  }

  std::optional<Elements> where() const {
    const auto condition = known(0);
    const auto a = known(1);
    const auto b = known(2);
    if (!condition || !a || !b || !fits(*condition) || !fits(*a) || !fits(*b)) return std::nullopt;
    Elements out;
    for (std::size_t k = 0; k < count_; ++k) {
      const Element& c = at(*condition, k);
      if (!c || !c->is_number())
        out.emplace_back();
      else
        out.push_back(c->constant() != 0 ? at(*a, k) : at(*b, k));
    }
    return out;
  }

  std::optional<Elements> reduce(bool product) const {
    const auto all = known(0);
    if (!all || count_ != 1) return std::nullopt;
    SizeExpression total(product ? 1 : 0);
    for (const Element& e : *all) {
      if (!e) return std::nullopt;
      total = product ? total * *e : total + *e;
    }
    return Elements{total};
  }

  std::optional<Elements> single(const OpDef* op) const {
    const auto x = known(0);
    if (!x || !is_whole(input(0).dtype) || !fits(*x)) return std::nullopt;
    if (op != &kExpand && x->size() != count_) return std::nullopt;
    Elements out;
    for (std::size_t k = 0; k < count_; ++k) {
      const Element& e = at(*x, k);
      out.push_back(e && op == &kNeg ? Element(SizeExpression(0) - *e) : e);
    }
    return out;
  }

  static Element combined(const OpDef* op, const SizeExpression& a, const SizeExpression& b) {
    if (op == &kAdd) return a + b;
    if (op == &kSub) return a - b;
    if (op == &kMul) return a * b;
    if (op == &kMinimum) return min(a, b);
    if (op == &kMaximum) return max(a, b);
    if (op == &kEqual) {
      const SizeExpression difference = a - b;
      if (difference.is_number()) return SizeExpression(difference.constant() == 0 ? 1 : 0);
      // A size is not negative, whatever it is; the -1 of a shape is.
      const bool negative =
          (a.is_number() && a.constant() < 0) || (b.is_number() && b.constant() < 0);
      return negative ? Element(SizeExpression(0)) : Element();
    }
    // Integers are divided towards 0, sizes downwards: the same where nothing is negative.
    if (!b.is_number()) return a.divided_exactly(b);
    if (b.constant() <= 0) return std::nullopt;
    if (a.is_number()) return SizeExpression(a.constant() / b.constant());
    return a.divided_down(b);
  }

  std::optional<Elements> pair(const OpDef* op) const {
    const auto a = known(0);
    const auto b = known(1);
    if (!a || !b || !fits(*a) || !fits(*b)) return std::nullopt;
    Elements out;
    for (std::size_t k = 0; k < count_; ++k) {
      const Element& x = at(*a, k);
      const Element& y = at(*b, k);
      out.push_back(x && y ? combined(op, *x, *y) : Element());
    }
    return out;
  }

  const Graph& graph_;
  const Graph::Node& node_;
  const std::size_t count_;
};

}  // namespace

std::shared_ptr<const std::vector<std::string>> size_values(const Graph& graph,
                                                            const Graph::Node& node,
                                                            const Shape& shape, DType dtype) {
  if (!is_whole(dtype) || shape.symbolic() || shape.elements() > kMost) return nullptr;
  const auto count = static_cast<std::size_t>(shape.elements());
  std::optional<Elements> found;
  try {
    found = Evaluator(graph, node, count).run();
  } catch (const Error&) {  // numbers beyond 63 bits are no sizes
    return nullptr;
  }
  if (!found || found->size() != count) return nullptr;
  if (std::ranges::none_of(*found, [](const Element& e) { return e.has_value(); }) && count > 0)
    return nullptr;
  auto texts = std::make_shared<std::vector<std::string>>();
  for (const Element& e : *found) texts->push_back(e ? e->to_string() : "");
  return texts;
}

}  // namespace pare
