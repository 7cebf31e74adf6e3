// fold_shapes: shapes that arrive as tensors become attributes, or constants, where they are known.
#include <algorithm>
#include <limits>
#include <optional>

#include "core/check.h"
#include "core/size_expression.h"
#include "graph/infer_node.h"
#include "pare/core/ops.h"
#include "pare/graph/passes.h"

namespace pare {
namespace {

using Numbers = std::vector<std::int64_t>;
using Sizes = std::vector<std::optional<SizeExpression>>;

class ShapeFolder {
 public:
  explicit ShapeFolder(Graph graph) : graph_(std::move(graph)) {}

  PassResult run() {
    graph_.infer_shapes();
    // What shape arithmetic computes to numbers is a constant.
    for (int n = 0; n < static_cast<int>(graph_.nodes().size()); ++n) fold_value(n);
    for (int n = 0; n < static_cast<int>(graph_.nodes().size()); ++n) fold_call(n);
    graph_.compact();
    graph_.infer_shapes();
    graph_.verify();
    return {std::move(graph_), std::move(report_)};
  }

 private:
  const Graph::Node& node(int n) const { return graph_.node(n); }
  bool given(int n, std::size_t i) const {
    return i < node(n).inputs.size() && node(n).inputs[i] >= 0;
  }
  const Shape& shape_of(int n, std::size_t i) const {
    return graph_.value(node(n).inputs[i]).shape;
  }

  void fold_value(int n) {
    if (node(n).outputs.size() != 1) return;
    const int v = node(n).outputs[0];
    const Graph::Value& value = graph_.value(v);
    if (!value.sizes || value.shape.symbolic()) return;
    Numbers numbers;
    for (const std::string& text : *value.sizes) {
      const SizeExpression size = SizeExpression::parse(text);
      if (text.empty() || !size.is_number()) return;
      numbers.push_back(size.constant());
    }
    const NoGrad no_grad;
    ContextScope scope;
    scope->tracer = nullptr;
    const Tensor tensor = Tensor::from(numbers, value.shape).to(value.dtype);
    Graph::Value& edited = graph_.edit_value(v);
    edited.kind = Graph::Kind::constant;
    edited.producer = -1;
    edited.tensor = tensor;
    edited.sizes = nullptr;
    report_.done.push_back({edited.name, "is known without running"});
  }

  /// The elements of an input as far as they are known; nothing where it is not given.
  std::optional<Sizes> sizes(int n, std::size_t i) const {
    if (!given(n, i)) return std::nullopt;
    const Graph::Value& value = graph_.value(node(n).inputs[i]);
    Sizes out;
    if (value.kind == Graph::Kind::constant) {
      if (value.dtype != DType::i64 && value.dtype != DType::i32) return std::nullopt;
      const Tensor wide = value.tensor.to(DType::i64);
      for (const std::int64_t k : wide.to_vector<std::int64_t>()) out.emplace_back(k);
      return out;
    }
    if (!value.sizes) return std::nullopt;
    for (const std::string& text : *value.sizes)
      out.push_back(text.empty() ? std::nullopt : std::optional(SizeExpression::parse(text)));
    return out;
  }

  std::optional<Numbers> numbers(int n, std::size_t i) const {
    const auto all = sizes(n, i);
    if (!all) return std::nullopt;
    Numbers out;
    for (const auto& size : *all) {
      if (!size || !size->is_number()) return std::nullopt;
      out.push_back(size->constant());
    }
    return out;
  }
  std::optional<std::int64_t> number(int n, std::size_t i) const {
    const auto all = numbers(n, i);
    return all && all->size() == 1 ? std::optional(all->front()) : std::nullopt;
  }

  /// A target of a reshape by one rule: numbers, 0 for an axis that stays, one −1.
  std::optional<Numbers> target(const Sizes& wanted, const Shape& x) const {
    Numbers out;
    bool rest = false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const int axis = static_cast<int>(i);
      if (wanted[i] && wanted[i]->is_number() && wanted[i]->constant() != -1) {
        out.push_back(wanted[i]->constant());
      } else if (wanted[i] && axis < x.rank() && x.symbolic(axis) &&
                 SizeExpression::of(x, axis) == *wanted[i]) {
        out.push_back(0);
      } else if (!rest) {
        out.push_back(-1);
        rest = true;
      } else {
        return std::nullopt;
      }
    }
    return out;
  }

  std::optional<Call> reshape(int n) const {
    const auto wanted = sizes(n, 1);
    if (!wanted) return std::nullopt;
    const auto to = target(*wanted, shape_of(n, 0));
    if (!to) return std::nullopt;
    return Call{&kReshape, Attributes::of(ReshapeAttributes{*to})};
  }

  /// Of squeeze and unsqueeze: the result's own sizes are the target.
  std::optional<Call> reshape_to_result(int n) const {
    if (!numbers(n, 1)) return std::nullopt;
    const Shape& y = graph_.value(node(n).outputs[0]).shape;
    Sizes wanted;
    for (int a = 0; a < y.rank(); ++a) {
      if (!y.symbolic(a) && y[a] == 0) return std::nullopt;
      wanted.emplace_back(SizeExpression::of(y, a));
    }
    const auto to = target(wanted, shape_of(n, 0));
    if (!to) return std::nullopt;
    return Call{&kReshape, Attributes::of(ReshapeAttributes{*to})};
  }

  std::optional<Call> expand(int n) const {
    const auto wanted = sizes(n, 1);
    const Shape& x = shape_of(n, 0);
    if (!wanted || static_cast<int>(wanted->size()) < x.rank()) return std::nullopt;
    const int added = static_cast<int>(wanted->size()) - x.rank();
    Numbers out;
    for (std::size_t i = 0; i < wanted->size(); ++i) {
      const int axis = static_cast<int>(i) - added;
      const auto& size = (*wanted)[i];
      if (!size) return std::nullopt;
      const bool own =
          axis >= 0 && (*size == SizeExpression(1) || SizeExpression::of(x, axis) == *size);
      if (!own && !size->is_number()) return std::nullopt;
      out.push_back(own ? -1 : size->constant());
    }
    return Call{&kExpand, Attributes::of(ExpandAttributes{out})};
  }

  std::optional<Call> slice(int n) const {
    const auto starts = numbers(n, 1);
    const auto wanted = sizes(n, 2);
    if (!starts || !wanted || wanted->size() != starts->size()) return std::nullopt;
    SliceAttributes attr;
    attr.starts = *starts;
    if (given(n, 3)) {
      const auto axes = numbers(n, 3);
      if (!axes) return std::nullopt;
      attr.axes = *axes;
    } else {
      for (std::size_t i = 0; i < starts->size(); ++i)
        attr.axes.push_back(static_cast<std::int64_t>(i));
    }
    attr.steps = Numbers(starts->size(), 1);
    if (given(n, 4)) {
      const auto steps = numbers(n, 4);
      if (!steps) return std::nullopt;
      attr.steps = *steps;
    }
    const Shape& x = shape_of(n, 0);
    for (std::size_t i = 0; i < wanted->size(); ++i) {
      const auto& end = (*wanted)[i];
      if (!end) return std::nullopt;
      const int axis = normalize_axis(attr.axes[i], x.rank(), "slice");
      // Up to the axis' own size is up to the end; up to size − k is up to −k.
      const SizeExpression before_end = *end - SizeExpression::of(x, axis);
      if (end->is_number())
        attr.ends.push_back(end->constant());
      else if (before_end.is_number())
        attr.ends.push_back(before_end.constant() >= 0 ? std::numeric_limits<std::int64_t>::max()
                                                       : before_end.constant());
      else
        return std::nullopt;
    }
    return Call{&kSlice, Attributes::of(attr)};
  }

  std::optional<Call> pad(int n) const {
    const auto amounts = numbers(n, 1);
    const Shape& x = shape_of(n, 0);
    if (!amounts) return std::nullopt;
    Numbers axes;
    for (int a = 0; a < x.rank(); ++a) axes.push_back(a);
    if (given(n, 2)) {
      const auto named = numbers(n, 2);
      if (!named) return std::nullopt;
      axes = *named;
    }
    if (amounts->size() != 2 * axes.size()) return std::nullopt;
    const auto rank = static_cast<std::size_t>(x.rank());
    Numbers before(rank);
    Numbers after(rank);
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const auto a = static_cast<std::size_t>(normalize_axis(axes[i], x.rank(), "pad"));
      before[a] = (*amounts)[i];
      after[a] = (*amounts)[i + axes.size()];
    }
    if (node(n).call.op == &kPadBorder) {
      PadBorderAttributes attr = node(n).call.attributes.as<PadBorderAttributes>();
      attr.before = before;
      attr.after = after;
      return Call{&kPadBorder, Attributes::of(attr)};
    }
    PadAttributes attr = node(n).call.attributes.as<PadAttributes>();
    attr.before = before;
    attr.after = after;
    if (given(n, 3)) {
      const Graph::Value& value = graph_.value(node(n).inputs[3]);
      if (value.kind != Graph::Kind::constant) return std::nullopt;
      attr.value = value.tensor.item();
    }
    return Call{&kPad, Attributes::of(attr)};
  }

  std::optional<Call> resize(int n) const {
    ResizeAttributes attr = node(n).call.attributes.as<ResizeAttributes>();
    if (given(n, 2)) {
      const Graph::Value& value = graph_.value(node(n).inputs[2]);
      if (value.kind != Graph::Kind::constant) return std::nullopt;
      attr.scales = value.tensor.to(DType::f64).to_vector<double>();
      return Call{&kResize, Attributes::of(attr)};
    }
    const auto wanted = sizes(n, 1);
    if (!wanted) return std::nullopt;
    const Shape& x = shape_of(n, 0);
    for (std::size_t i = 0; i < wanted->size(); ++i) {
      const auto& size = (*wanted)[i];
      const int axis = attr.axes.empty() ? static_cast<int>(i)
                                         : normalize_axis(attr.axes[i], x.rank(), "resize");
      if (size && axis < x.rank() && SizeExpression::of(x, axis) == *size)
        attr.sizes.push_back(-1);
      else if (size && size->is_number())
        attr.sizes.push_back(size->constant());
      else
        return std::nullopt;
    }
    return Call{&kResize, Attributes::of(attr)};
  }

  /// Ops whose one value input is one number or a list, by a field of their attributes.
  std::optional<Call> simple(int n) const {
    const Call& call = node(n).call;
    const auto list = numbers(n, 1);
    if (!list) return std::nullopt;
    const auto with = [&](auto attr, auto set) {
      set(attr);
      return std::optional(Call{call.op, Attributes::of(attr)});
    };
    if (call.op == &kTile) return Call{&kTile, Attributes::of(TileAttributes{*list})};
    if (call.op == &kNorm)
      return with(call.attributes.as<NormAttributes>(), [&](auto& a) { a.axes = *list; });
    const bool reduces = call.op == &kSum || call.op == &kMean || call.op == &kMax ||
                         call.op == &kMin || call.op == &kProd || call.op == &kLogSumExp;
    if (reduces)
      return with(call.attributes.as<ReduceAttributes>(), [&](auto& a) { a.axes = *list; });
    if (list->size() != 1) return std::nullopt;
    const std::int64_t one = list->front();
    if (call.op == &kTopk)
      return with(call.attributes.as<TopkAttributes>(), [&](auto& a) { a.k = one; });
    if (call.op == &kTrilu)
      return with(call.attributes.as<TriluAttributes>(), [&](auto& a) { a.diagonal = one; });
    if (call.op == &kCumsum || call.op == &kCumprod)
      return with(call.attributes.as<CumulativeAttributes>(), [&](auto& a) { a.axis = one; });
    return std::nullopt;
  }

  std::optional<Call> attributes_only(int n) const {
    const OpDef* op = node(n).call.op;
    if (op == &kReshape) return reshape(n);
    if (op == &kSqueeze || op == &kUnsqueeze) return reshape_to_result(n);
    if (op == &kExpand) return expand(n);
    if (op == &kSlice) return slice(n);
    if (op == &kPad || op == &kPadBorder) return pad(n);
    if (op == &kResize) return resize(n);
    return simple(n);
  }

  static bool takes_values(const OpDef* op) {
    return op == &kReshape || op == &kSqueeze || op == &kUnsqueeze || op == &kExpand ||
           op == &kSlice || op == &kPad || op == &kPadBorder || op == &kResize || op == &kTile ||
           op == &kTopk || op == &kTrilu || op == &kCumsum || op == &kCumprod || op == &kSum ||
           op == &kMean || op == &kMax || op == &kMin || op == &kProd || op == &kLogSumExp ||
           op == &kNorm;
  }

  void fold_call(int n) {
    if (!takes_values(node(n).call.op)) return;
    bool values = false;
    for (std::size_t i = 1; i < node(n).inputs.size(); ++i) values = values || given(n, i);
    if (!values) return;
    const std::string name = node(n).name;
    std::optional<Call> call;
    bool same = false;
    try {
      call = attributes_only(n);
      if (call) {
        const auto inferred = infer_node(graph_, name, *call, {node(n).inputs[0]});
        same = true;
        for (std::size_t k = 0; k < node(n).outputs.size(); ++k)
          same = same && is_said(inferred[k].shape, graph_.value(node(n).outputs[k]).shape);
      }
    } catch (const Error&) {
      same = false;  // a value that the op refuses: it says so where the graph runs
    }
    if (!call || !same) {
      report_.left.push_back({name, "its sizes are not known without running"});
      return;
    }
    Graph::Node& edited = graph_.edit_node(n);
    edited.call = *call;
    edited.inputs.resize(1);
    report_.done.push_back({name, "its sizes are attributes"});
  }

  /// Whether the attributes give the sizes that were known, and names to no others than unknown
  /// ones.
  static bool is_said(const Shape& now, const Shape& before) {
    if (now.rank() != before.rank()) return false;
    for (int a = 0; a < now.rank(); ++a)
      if (!now.same_axis(a, before, a) &&
          !(before.symbolic(a) && before.symbol(a).find('?') != std::string::npos))
        return false;
    return true;
  }

  Graph graph_;
  PassReport report_;
};

}  // namespace

PassResult fold_shapes(Graph graph) { return ShapeFolder(std::move(graph)).run(); }

}  // namespace pare
