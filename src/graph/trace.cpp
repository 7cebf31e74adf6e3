// trace: two recordings of a module become one graph.
#include "pare/graph/trace.h"

#include <cstring>
#include <map>
#include <optional>

#include "core/check.h"
#include "graph/recording.h"
#include "pare/core/ops.h"

namespace pare {

namespace {

constexpr const char* kPlace = "trace";

/// What the module is run on the second time: more than twice the rows, so that a half of them is
/// another number too, twice what other axes have, and other values: whatever depends on them
/// shows.
Tensors second_example(const Tensors& examples, const TraceOptions& options) {
  ContextScope scope;
  scope->grad = false;
  scope->tracer = nullptr;
  Tensors second;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const Tensor& x = examples[i];
    const bool longer = options.symbolic_batch && x.rank() > 0;
    Tensor y = longer ? concat({x, x, slice(x, 0, 0, 1)}, 0) : x.clone();
    for (const SymbolicAxis& a : options.axes)
      if (static_cast<std::size_t>(a.input) == i) y = concat({y, y}, a.axis);
    if (y.dtype() == DType::f32) y = neg(y);
    second.push_back(y);
  }
  return second;
}

/// The recorder knows a tensor by its handle: one given twice would be one input.
Tensors distinct(Tensors examples) {
  ContextScope scope;
  scope->grad = false;
  scope->tracer = nullptr;
  for (std::size_t i = 1; i < examples.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (examples[i].same_as(examples[j])) examples[i] = examples[i].clone();
  return examples;
}

bool same_elements(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && a.format() == b.format() &&
         std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

/// A target that differs between the runs, as one rule: 0 or −1 of a reshape, −1 of an expand.
std::optional<Attributes> follow(const OpDef& op, const Recording::Entry& a,
                                 const Recording::Entry& b, const Shape& in_a, const Shape& in_b) {
  const bool is_reshape = &op == &kReshape;
  if (!is_reshape && &op != &kExpand) return std::nullopt;
  const auto target = [&](const Recording::Entry& entry) {
    return is_reshape ? entry.call.attributes.as<ReshapeAttributes>().shape
                      : entry.call.attributes.as<ExpandAttributes>().shape;
  };
  std::vector<std::int64_t> to = target(a);
  const std::vector<std::int64_t> other = target(b);
  if (to.size() != other.size()) return std::nullopt;
  bool rest = false;
  for (std::size_t k = 0; k < to.size(); ++k) {
    if (is_reshape && to[k] == -1) rest = true;
    if (to[k] == other[k]) continue;
    // A reshape counts axes from the left, an expansion aligns them from the right.
    const int axis =
        static_cast<int>(k) - (is_reshape ? 0 : static_cast<int>(to.size()) - in_a.rank());
    if (axis >= 0 && axis < in_a.rank() && to[k] == in_a[axis] && other[k] == in_b[axis]) {
      to[k] = is_reshape ? 0 : -1;
    } else if (is_reshape && !rest) {
      to[k] = -1;
      rest = true;
    } else {
      return std::nullopt;
    }
  }
  if (is_reshape) return Attributes::of(ReshapeAttributes{to});
  return Attributes::of(ExpandAttributes{to});
}

std::string parent(const std::string& path) {
  const auto dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

/// Puts the recordings together, value by value.
class Builder {
 public:
  Builder(const Recording& first, const Recording& second, const TraceOptions& options,
          const Graph* source)
      : a_(first),
        b_(second),
        options_(options),
        source_(source),
        numbers_(a_.values.size(), -1),
        origins_(a_.values.size()) {}

  Graph build() {
    check_alike();
    add_inputs();
    for (std::size_t e = 0; e < a_.entries.size(); ++e) add_entry(a_.entries[e], b_.entries[e]);
    std::vector<int> outputs;
    for (const int v : a_.outputs) outputs.push_back(number(v, "the module's output"));
    if (source_ && source_->outputs().size() == outputs.size())
      graph_.set_outputs(std::move(outputs), source_->output_names());
    else
      graph_.set_outputs(std::move(outputs));
    if (source_) graph_.metadata() = source_->metadata();
    graph_.compact();
    graph_.verify();
    return std::move(graph_);
  }

 private:
  const Recording::Value& first(int v) const { return a_.values[static_cast<std::size_t>(v)]; }
  const Recording::Value& second(int v) const { return b_.values[static_cast<std::size_t>(v)]; }

  void check_alike() const {
    const std::size_t shorter = std::min(a_.entries.size(), b_.entries.size());
    for (std::size_t e = 0; e < shorter; ++e) {
      const Recording::Entry& one = a_.entries[e];
      const Recording::Entry& two = b_.entries[e];
      PARE_CHECK(one.call.op == two.call.op && one.inputs == two.inputs, unsupported, kPlace,
                 "expected the same calls whatever the values and the batch, got {} and {} in two "
                 "runs, as call {}",
                 one.call.op->name, two.call.op->name, e);
    }
    PARE_CHECK(a_.entries.size() == b_.entries.size() && a_.values.size() == b_.values.size() &&
                   a_.outputs == b_.outputs,
               unsupported, kPlace,
               "expected the same calls whatever the values and the batch, got {} calls and {}",
               a_.entries.size(), b_.entries.size());
  }

  void add_inputs() {
    for (std::size_t i = 0; i < a_.values.size() && a_.values[i].input; ++i) {
      Shape shape = a_.values[i].shape;
      if (options_.symbolic_batch && shape.rank() > 0) shape.set_symbol(0, options_.batch_symbol);
      for (const SymbolicAxis& a : options_.axes)
        if (static_cast<std::size_t>(a.input) == i) shape.set_symbol(a.axis, a.symbol);
      const std::string name = source_ ? source_->value(source_->inputs()[i]).name : "input";
      numbers_[i] = graph_.add_input(name, shape, a_.values[i].tensor.dtype());
    }
  }

  /// The graph's number of a recorded value; leaves are added when they are first read.
  int number(int v, std::string_view reader) {
    if (v < 0) return -1;
    int& known = numbers_[static_cast<std::size_t>(v)];
    if (known >= 0) return known;
    const Recording::Value& value = first(v);
    PARE_CHECK(value.leaf == second(v).leaf, unsupported, kPlace,
               "expected the same calls whatever the values and the batch, got another parameter "
               "read by {} in a second run",
               reader);
    if (const Leaf* leaf = value.leaf) {
      origins_[static_cast<std::size_t>(v)] = leaf->origin;
      return known = graph_.add_leaf(leaf->kind, leaf->name, value.tensor, leaf->trainable);
    }
    PARE_CHECK(
        same_elements(value.tensor, second(v).tensor), unsupported, kPlace,
        "expected a tensor that pare's ops computed, got one of shape {} that depends on the "
        "input in another way, read by {}",
        value.shape, reader);
    return known = graph_.add_leaf(Graph::Kind::constant, "constant", value.tensor);
  }

  void add_entry(const Recording::Entry& one, const Recording::Entry& two) {
    Call call = one.call;
    std::vector<int> inputs;
    for (const int v : one.inputs) inputs.push_back(number(v, call.op->name));
    std::string origin;
    const std::string name = name_of(one, origin);
    if (!(one.call.attributes == two.call.attributes)) {
      const auto merged =
          follow(*call.op, one, two, first(one.inputs[0]).shape, second(one.inputs[0]).shape);
      PARE_CHECK(
          merged.has_value(), unsupported, kPlace,
          "expected attributes of '{}' ({}) that follow the batch by one rule, got {} and {}", name,
          call.op->name, one.call.attributes.to_string(), two.call.attributes.to_string());
      call.attributes = *merged;
    }
    check_shapes(a_, one, call, name);
    check_shapes(b_, two, call, name);
    int node = -1;
    try {
      node = graph_.add_node(name, std::move(call), std::move(inputs));
    } catch (const Error& error) {
      fail(ErrorCode::unsupported, kPlace, "expected shapes that follow the batch, got {}",
           error.what());
    }
    const std::vector<int>& outputs = graph_.node(node).outputs;
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      const auto v = static_cast<std::size_t>(one.outputs[k]);
      check_fixed_axes(graph_.value(outputs[k]), a_.values[v].shape, b_.values[v].shape);
      numbers_[v] = outputs[k];
      origins_[v] = origin;
    }
  }

  void check_fixed_axes(const Graph::Value& value, const Shape& one, const Shape& two) const {
    for (int axis = 0; axis < one.rank(); ++axis)
      PARE_CHECK(value.shape.symbolic(axis) || one[axis] == two[axis], unsupported, kPlace,
                 "expected sizes of '{}' that follow the batch, got {} and {} where the rule gives "
                 "{}",
                 value.name, one, two, value.shape);
  }

  /// The rule must give the sizes of both runs.
  void check_shapes(const Recording& run, const Recording::Entry& entry, const Call& call,
                    const std::string& name) const {
    std::vector<InferArgs::Input> inputs;
    for (const int v : entry.inputs) {
      if (v < 0) {
        inputs.push_back({nullptr, DType::f32, nullptr});
        continue;
      }
      const Recording::Value& value = run.values[static_cast<std::size_t>(v)];
      inputs.push_back({&value.shape, value.tensor.dtype(), &value.tensor});
    }
    const auto inferred = infer(call, inputs);
    for (std::size_t k = 0; k < entry.outputs.size(); ++k) {
      const Shape& shape = run.values[static_cast<std::size_t>(entry.outputs[k])].shape;
      PARE_CHECK(inferred[k].shape == shape, unsupported, kPlace,
                 "expected sizes of '{}' that follow the batch by one rule, got {} where the rule "
                 "gives {}",
                 name, shape, inferred[k].shape);
    }
  }

  /// After the layer whose parameters it reads; a step within a parameter's expression after the
  /// parameter; else after the part that makes the call and its op. `origin` is set for what
  /// depends on parameters alone.
  std::string name_of(const Recording::Entry& entry, std::string& origin) const {
    std::string from;
    bool activation = false;
    for (const int v : entry.inputs) {
      if (v < 0) continue;
      const std::string& of = origins_[static_cast<std::size_t>(v)];
      if (of.empty())
        activation = activation || first(v).input || first(v).result;
      else if (from.empty())
        from = of;
    }
    if (!activation) origin = from;
    if (!entry.name.empty()) return entry.name;
    const std::string op = entry.call.op->name;
    if (from.empty()) {
      const std::string path = entry.part ? entry.part->path : "";
      if (path.empty()) return op;
      return entry.part->composite ? path + "." + op : path;
    }
    if (!activation) return from + "." + op;
    const std::string layer = parent(from);
    return layer.empty() ? op : layer;
  }

  const Recording& a_;
  const Recording& b_;
  const TraceOptions& options_;
  const Graph* source_;
  Graph graph_;
  std::vector<int> numbers_;
  std::vector<std::string> origins_;  ///< the parameter a value depends on alone, or empty
};

void check_axes(const Tensors& examples, const TraceOptions& options) {
  std::map<std::string, std::int64_t> sizes;
  for (const SymbolicAxis& a : options.axes) {
    PARE_CHECK(a.input >= 0 && static_cast<std::size_t>(a.input) < examples.size() &&
                   !a.symbol.empty() && a.symbol != options.batch_symbol,
               invalid_argument, kPlace,
               "expected symbolic axes of {} inputs, with names other than '{}', got '{}' of input "
               "{}",
               examples.size(), options.batch_symbol, a.symbol, a.input);
    const Tensor& x = examples[static_cast<std::size_t>(a.input)];
    const int first = options.symbolic_batch ? 1 : 0;
    PARE_CHECK(a.axis >= first && a.axis < x.rank(), out_of_range, kPlace,
               "expected symbolic axes of {} from {} to {}, got {}", x.shape(), first, x.rank() - 1,
               a.axis);
    const auto [at, fresh] = sizes.try_emplace(a.symbol, x.dim(a.axis));
    PARE_CHECK(x.dim(a.axis) > 0 && at->second == x.dim(a.axis), shape_mismatch, kPlace,
               "expected one size of '{}', at least 1, got {} and {}", a.symbol, at->second,
               x.dim(a.axis));
  }
}

void check_examples(const Tensors& examples, bool symbolic) {
  const Tensor* ranked = nullptr;  // the first that has a batch axis
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const Tensor& x = examples[i];
    PARE_CHECK(x.defined(), invalid_argument, kPlace,
               "expected a tensor as example {}, got an undefined one", i);
    if (!symbolic || x.rank() == 0) continue;
    if (!ranked) ranked = &x;
    PARE_CHECK(x.dim(0) > 0 && x.dim(0) == ranked->dim(0), shape_mismatch, kPlace,
               "expected examples of one batch, at least 1, got {} and {}", ranked->shape(),
               x.shape());
  }
}

}  // namespace

Graph trace(nn::Module& module, const Tensor& example, const TraceOptions& options) {
  return trace(module, Tensors{example}, options);
}

Graph trace(nn::Module& module, const Tensors& examples, const TraceOptions& options) {
  check_examples(examples, options.symbolic_batch);
  check_axes(examples, options);
  const Leaves leaves = leaves_of(module);
  const Parts parts = parts_of(module);
  const Recording first = record_run(module, leaves, parts, distinct(examples));
  Recording second;
  try {
    second = record_run(module, leaves, parts, second_example(examples, options));
  } catch (const Error& error) {
    fail(ErrorCode::unsupported, kPlace,
         "expected a module that runs on any values{}, got an error in a second run: {}",
         options.symbolic_batch ? " and any batch"
         : options.axes.empty() ? ""
                                : " and any size",
         error.what());
  }
  const auto* graph = dynamic_cast<const Graph*>(&module);
  return Builder(first, second, options, graph).build();
}

}  // namespace pare
