// The tape and backward.
#include "core/autograd.h"

#include <bit>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "core/check.h"
#include "core/precision.h"
#include "pare/core/ops/elementwise.h"

namespace pare {

BackwardArgs::~BackwardArgs() = default;

namespace detail {

Ref<Node> Node::create(const Call& call, int edges, int saved, int outputs) {
  const auto e = static_cast<std::size_t>(edges);
  const auto s = static_cast<std::size_t>(saved);
  const auto o = static_cast<std::size_t>(outputs);
  const std::size_t bytes =
      sizeof(Node) + e * sizeof(Edge) + s * sizeof(SavedTensor) + o * sizeof(Tensor);
  auto* memory = static_cast<std::byte*>(std::malloc(bytes));
  if (!memory) fail_out_of_memory("tape", bytes);
  auto* node = new (memory) Node;
  memory += sizeof(Node);
  node->edges = reinterpret_cast<Edge*>(memory);
  memory += e * sizeof(Edge);
  node->saved = reinterpret_cast<SavedTensor*>(memory);
  memory += s * sizeof(SavedTensor);
  node->gradients = reinterpret_cast<Tensor*>(memory);
  std::uninitialized_default_construct_n(node->edges, e);
  std::uninitialized_default_construct_n(node->saved, s);
  std::uninitialized_default_construct_n(node->gradients, o);
  node->call = call;
  node->edge_count = edges;
  node->saved_count = saved;
  node->output_count = outputs;
  return Ref<Node>(node);
}

void Node::destroy(Node* node) {
  // What a node holds may drop the last reference to other nodes; those wait in a list.
  thread_local Node* dead = nullptr;
  thread_local bool draining = false;
  node->next_dead = dead;
  dead = node;
  if (draining) return;
  draining = true;
  while (dead) {
    Node* next = dead;
    dead = next->next_dead;
    std::destroy_n(next->edges, next->edge_count);
    std::destroy_n(next->saved, next->saved_count);
    std::destroy_n(next->gradients, next->output_count);
    next->~Node();
    std::free(next);
  }
  draining = false;
}

namespace {

void save(SavedTensor& slot, const Tensor& tensor) {
  if (!tensor.defined()) return;
  const TensorImpl& impl = *tensor.impl();
  slot.tensor = tensor;
  slot.storage = impl.storage;
  slot.offset = impl.offset;
  slot.version = impl.storage->version.load(std::memory_order_relaxed);
}

// The same elements without a place on the tape (a saved output must not keep its own node alive).
Tensor shallow(const Tensor& tensor, const Ref<Storage>& storage, std::size_t offset) {
  Ref<TensorImpl> impl(new TensorImpl);
  impl->shape = tensor.shape();
  impl->dtype = tensor.dtype();
  impl->format = tensor.format();
  impl->storage = storage;
  impl->offset = offset;
  return Tensor(std::move(impl));
}

bool sole_owner(const Tensor& t) {
  return Ref<TensorImpl>(t.impl()).get()->references.load() == 2 && t.impl()->storage.unique() &&
         !t.impl()->storage->owner;
}

// sum += part, in place where nobody else sees sum.
void accumulate(Tensor& sum, Tensor part) {
  if (!sum.defined()) {
    sum = std::move(part);
    return;
  }
  if (!sole_owner(sum)) {
    sum = add(sum, part);
    return;
  }
  const Tensor inputs[] = {sum, std::move(part)};
  Tensor outputs[] = {sum};
  forward({&kAdd, {}}, inputs, outputs, context());
}

void accumulate_leaf(TensorImpl& leaf, Tensor part) {
  if (part.dtype() != leaf.dtype) part = part.to(leaf.dtype);
  if (leaf.gradient) {
    Tensor sum(leaf.gradient);
    const Tensor inputs[] = {sum, std::move(part)};
    Tensor outputs[] = {sum};
    forward({&kAdd, {}}, inputs, outputs, context());
    return;
  }
  // Gradients never share storage with anything.
  if (!sole_owner(part)) part = part.clone();
  leaf.gradient = Ref<TensorImpl>(part.impl());
}

class Args final : public BackwardArgs {
 public:
  Args(const Node& node, std::span<Tensor> grad_outputs, std::span<Tensor> grad_inputs)
      : node_(node), grad_outputs_(grad_outputs), grad_inputs_(grad_inputs) {}
  /// From here on the operands of the products are as rounded to bf16.
  void round(std::uint32_t products) {
    products_ = products;
    rounded_.resize(static_cast<std::size_t>(node_.edge_count));
    for (Tensor& gradient : grad_outputs_) gradient = rounded_to_bf16(gradient);
  }
  const Call& call() const override { return node_.call; }
  bool training() const override { return node_.training; }
  int inputs() const override { return node_.edge_count; }
  bool needs(int i) const override { return i < node_.edge_count && node_.edges[i].needs; }
  bool has_input(int i) const override { return i < node_.edge_count && node_.edges[i].present; }
  const Shape& input_shape(int i) const override { return node_.edges[i].shape; }
  DType input_dtype(int i) const override { return node_.edges[i].dtype; }
  MemoryFormat input_format(int i) const override { return node_.edges[i].format; }
  const Tensor& input(int i) const override {
    const std::uint32_t mask = node_.call.op->saves_inputs;
    PARE_ASSERT(mask >> i & 1U);
    if (products_ >> i & 1U) {
      Tensor& rounded = rounded_[static_cast<std::size_t>(i)];
      if (!rounded.defined()) rounded = rounded_to_bf16(saved_input(i));
      return rounded;
    }
    return saved_input(i);
  }
  const Tensor& saved_input(int i) const {
    const std::uint32_t mask = node_.call.op->saves_inputs;
    return saved(std::popcount(mask & ((1U << i) - 1U)), "input", i);
  }
  const Tensor& output(int i) const override {
    const std::uint32_t mask = node_.call.op->saves_outputs;
    PARE_ASSERT(mask >> i & 1U);
    return saved(
        std::popcount(node_.call.op->saves_inputs) + std::popcount(mask & ((1U << i) - 1U)),
        "output", i);
  }
  const Tensor& grad_output(int i) const override {
    return grad_outputs_[static_cast<std::size_t>(i)];
  }
  void set(int i, Tensor gradient) override {
    if (!needs(i)) return;
    PARE_CHECK(gradient.shape() == node_.edges[i].shape, internal, node_.call.op->name,
               "expected a gradient {} for input {}, got {}", node_.edges[i].shape, i,
               gradient.shape());
    grad_inputs_[static_cast<std::size_t>(i)] = std::move(gradient);
  }

 private:
  const Tensor& saved(int k, const char* kind, int i) const {
    SavedTensor& slot = node_.saved[k];
    if (!slot.tensor.defined()) return slot.tensor;
    PARE_CHECK(slot.storage->version.load(std::memory_order_relaxed) == slot.version, invalid_state,
               node_.call.op->name,
               "expected {} {} {} to be as it was in the forward pass, got a version changed in "
               "place since (update parameters after backward)",
               kind, i, slot.tensor.shape());
    const TensorImpl& impl = *slot.tensor.impl();
    if (!(impl.storage == slot.storage) || impl.offset != slot.offset)
      slot.tensor = shallow(slot.tensor, slot.storage, slot.offset);
    return slot.tensor;
  }
  const Node& node_;
  std::span<Tensor> grad_outputs_;
  std::span<Tensor> grad_inputs_;
  std::uint32_t products_ = 0;  ///< the inputs that are rounded, where the products are in bf16
  mutable std::vector<Tensor> rounded_;  ///< its operands
};

// One backward pass; whatever happens, the scratch fields of all nodes are clean afterwards.
class Pass {
 public:
  explicit Pass(bool retain) : retain_(retain) {}
  ~Pass() {
    for (Node* n : nodes_) {
      n->seen = false;
      n->pending = 0;
      for (int o = 0; o < n->output_count; ++o) n->gradients[o] = {};
    }
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  /// Finds the nodes to visit. Not in the constructor: where it throws, the destructor has to run.
  void collect(Node* root) {
    visit(root);
    for (std::size_t i = 0; i < nodes_.size(); ++i)  // grows while it is walked
      for (int e = 0; e < nodes_[i]->edge_count; ++e)
        if (Node* next = nodes_[i]->edges[e].node.get(); next && nodes_[i]->edges[e].needs) {
          visit(next);
          ++next->pending;
        }
  }

  void run(Node* root) {
    std::vector<Node*> ready{root};
    while (!ready.empty()) {
      Node* node = ready.back();
      ready.pop_back();
      step(*node);
      for (int e = 0; e < node->edge_count; ++e) {
        const Edge& edge = node->edges[e];
        if (edge.node && edge.needs && --edge.node->pending == 0) ready.push_back(edge.node.get());
      }
    }
  }

 private:
  void visit(Node* node) {
    if (node->seen) return;
    PARE_CHECK(!node->freed, invalid_state, "backward",
               "expected a tape, got one that an earlier backward has freed (pass retain = true "
               "to that one)");
    node->seen = true;
    nodes_.push_back(node);
  }

  void step(Node& node) {
    grad_outputs_.clear();
    bool any = false;
    for (int o = 0; o < node.output_count; ++o) {
      any = any || node.gradients[o].defined();
      grad_outputs_.push_back(std::move(node.gradients[o]));
      node.gradients[o] = {};
    }
    for (const auto& [output, hooks] : node.hooks) {
      Tensor& gradient = grad_outputs_[static_cast<std::size_t>(output)];
      if (gradient.defined()) gradient = hooks->shown(std::move(gradient));
    }
    if (any) {
      grad_inputs_.assign(static_cast<std::size_t>(node.edge_count), {});
      Args args(node, grad_outputs_, grad_inputs_);
      run_kernels(node, args);
      grad_outputs_.clear();
    }
    if (!retain_) {
      node.freed = true;
      for (int s = 0; s < node.saved_count; ++s) node.saved[s] = {};
    }
    if (!any) return;
    for (int e = 0; e < node.edge_count; ++e) {
      Edge& edge = node.edges[e];
      Tensor& gradient = grad_inputs_[static_cast<std::size_t>(e)];
      if (!edge.needs || !gradient.defined()) continue;
      if (edge.node)
        accumulate(edge.node->gradients[edge.output_index], std::move(gradient));
      else
        accumulate_leaf(*edge.leaf, std::move(gradient));
      gradient = {};
    }
  }

  static void run_kernels(const Node& node, Args& args) {
    // That of the forward pass, whatever it is now.
    const KernelList* const list = node.call.op->kernels;
    ContextScope scope;
    if (node.precision == Precision::bf16 && node.call.op->products) [[unlikely]] {
      scope->precision = Precision::bf16;
      if (has_bf16() && list)
        for (const BackwardKernel& kernel : list->backward)
          if (kernel.bf16 && kernel.run(args)) return;
      args.round(node.call.op->products);
    }
    scope->precision = Precision::f32;
    if (list)
      for (const BackwardKernel& kernel : list->backward)
        if (kernel.run(args)) return;
    node.call.op->backward(args);
  }

  bool retain_;
  std::vector<Node*> nodes_;
  std::vector<Tensor> grad_outputs_;
  std::vector<Tensor> grad_inputs_;
};

}  // namespace

void record(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
            bool training) {
  const OpDef& op = *call.op;
  const int saved = std::popcount(op.saves_inputs) + std::popcount(op.saves_outputs);
  Ref<Node> node = Node::create(call, static_cast<int>(inputs.size()), saved, op.visible_outputs);
  node->training = training;
  node->precision = context().precision;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) continue;
    TensorImpl& impl = *inputs[i].impl();
    Edge& edge = node->edges[i];
    edge.present = true;
    edge.shape = impl.shape;
    edge.dtype = impl.dtype;
    edge.format = impl.format;
    edge.needs = impl.requires_grad;
    if (!edge.needs) continue;
    edge.node = impl.producer;
    edge.output_index = impl.output_index;
    if (!edge.node) edge.leaf = Ref<TensorImpl>(&impl);
  }
  int slot = 0;
  for (int i = 0; i < 32; ++i)
    if (op.saves_inputs >> i & 1U) {
      if (static_cast<std::size_t>(i) < inputs.size())
        save(node->saved[slot], inputs[static_cast<std::size_t>(i)]);
      ++slot;
    }
  for (int i = 0; i < 32; ++i)
    if (op.saves_outputs >> i & 1U) {
      const Tensor& t = outputs[static_cast<std::size_t>(i)];
      if (t.defined()) save(node->saved[slot], shallow(t, t.impl()->storage, t.impl()->offset));
      ++slot;
    }
  for (int o = 0; o < op.visible_outputs; ++o) {
    Tensor& t = outputs[static_cast<std::size_t>(o)];
    if (!t.defined() || !is_floating(t.dtype())) continue;
    t.impl()->requires_grad = true;
    t.impl()->producer = node;
    t.impl()->output_index = o;
  }
}

}  // namespace detail

void Tensor::backward(bool retain) const {
  check_defined("backward");
  PARE_CHECK(elements() == 1, invalid_state, "backward",
             "expected a scalar or a gradient to start from, got a tensor {}", shape());
  backward(full(shape(), 1, dtype()), retain);
}

void Tensor::backward(const Tensor& gradient, bool retain) const {
  check_defined("backward");
  PARE_CHECK(gradient.defined(), invalid_argument, "backward",
             "expected a gradient {}, got an undefined tensor", shape());
  PARE_CHECK(requires_grad(), invalid_state, "backward",
             "expected a result of something that requires a gradient, got a tensor {} that does "
             "not",
             shape());
  PARE_CHECK(gradient.shape() == shape(), shape_mismatch, "backward",
             "expected a gradient {}, got {}", shape(), gradient.shape());
  PARE_CHECK(is_floating(gradient.dtype()), dtype_mismatch, "backward",
             "expected a gradient of {}, got {}", dtype(), gradient.dtype());
  const NoGrad no_grad;
  context().tracer = nullptr;
  const Tensor start = gradient.to(dtype());
  if (!impl_->producer) {
    detail::accumulate_leaf(*impl_, start);
    return;
  }
  const detail::Ref<detail::Node> root = impl_->producer;
  detail::Pass pass(retain);
  pass.collect(root.get());
  root->gradients[impl_->output_index] = start;
  pass.run(root.get());
}

}  // namespace pare
