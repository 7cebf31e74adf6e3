// Hooks by name: they see and replace outputs and gradients, in modules and in graphs.
#include "pare/nn/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/nn/activation.h"
#include "pare/nn/container.h"
#include "pare/nn/linear.h"
#include "pare/nn/tie.h"

namespace pare::nn {
namespace {

using test::expect_error;
using testing::ElementsAre;

struct Net : Module {
  Linear first{{.in = 2, .out = 3}};
  Sequential body{ReLU{}, Linear{{.in = 3, .out = 2}}};
  void members(Members& m) override { m("first", first)("body", body); }
  Tensor forward(const Tensor& x) override { return body(first(x)); }
};

Net made() {
  Net net;
  Generator generator(3);
  initialize(net, generator);
  return net;
}

const Tensor& example() {
  static const Tensor x = Tensor::from({1, 2, -3, 4}, {2, 2});
  return x;
}

TEST(Hooks, SeeOutputsUnderTheirNames) {
  Net net = made();
  std::vector<std::string> seen;
  const OutputHook note = [&](const std::string& name, const Tensor& output) {
    seen.push_back(name + output.shape().to_string());
    return Tensor();
  };
  for (const char* name : {"", "first", "body.1", "body"}) register_forward_hook(net, name, note);
  const Tensor plain = made()(example());
  EXPECT_EQ(net(example()).to_vector<float>(), plain.to_vector<float>());
  EXPECT_THAT(seen, ElementsAre("first[2, 3]", "body.1[2, 2]", "body[2, 2]", "[2, 2]"));
}

TEST(Hooks, ReplaceOutputsInOrderAndGoByTheirHandle) {
  Net net = made();
  const Tensor plain = net(example());
  const OutputHook twice = [](const std::string&, const Tensor& output) {
    return mul(output, Tensor::scalar(2));
  };
  const OutputHook plus = [](const std::string&, const Tensor& output) {
    return add(output, Tensor::scalar(1));
  };
  HookHandle a = register_forward_hook(net, "body.1", twice);
  HookHandle b = register_forward_hook(net, "body.1", plus);
  const auto expect = [&](float factor, float shift) {
    const auto found = net(example()).to_vector<float>();
    const auto before = plain.to_vector<float>();
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_FLOAT_EQ(found[i], factor * before[i] + shift);
  };
  expect(2, 1);
  a.remove();
  a.remove();
  expect(1, 1);
  b.remove();
  expect(1, 0);
}

TEST(Hooks, MayRemoveThemselves) {
  Net net = made();
  int calls = 0;
  HookHandle once;
  once = register_forward_hook(net, "first", [&](const std::string&, const Tensor&) {
    ++calls;
    once.remove();
    return Tensor();
  });
  net(example());
  net(example());
  EXPECT_EQ(calls, 1);
}

TEST(Hooks, StayWithTheModuleTheyWerePutOn) {
  HookHandle late;
  int calls = 0;
  const OutputHook count = [&](const std::string&, const Tensor&) {
    ++calls;
    return Tensor();
  };
  {
    Net net = made();
    late = register_forward_hook(net, "body.1", count);
    Net copy = net;
    copy(example());
    EXPECT_EQ(calls, 0);
    net = made();
    net(example());
    EXPECT_EQ(calls, 1);
    Net moved = std::move(net);
    moved(example());
    EXPECT_EQ(calls, 2);
  }
  late.remove();  // its module is gone
}

TEST(Hooks, OnGradients) {
  Net net = made(), plain = made();
  std::vector<std::string> order;
  const auto note = [&](const char* name) {
    return [&order, name](const Tensor&) {
      order.emplace_back(name);
      return Tensor();
    };
  };
  register_gradient_hook(net, "first", note("first"));
  register_gradient_hook(net, "first.weight", note("first.weight"));
  register_gradient_hook(net, "body.1.bias", note("body.1.bias"));
  HookHandle zero = register_gradient_hook(
      net, "first.bias", [](const Tensor& g) { return Tensor::zeros(g.shape()); });
  sum(net(example())).backward();
  sum(plain(example())).backward();
  EXPECT_THAT(order, testing::UnorderedElementsAre("body.1.bias", "first", "first.weight"));
  EXPECT_EQ(order.back(), "first.weight");
  const auto gradient = [](Net& of, std::size_t i) {
    return of.named_parameters()[i].tensor.grad().to_vector<float>();
  };
  EXPECT_EQ(gradient(net, 0), gradient(plain, 0));
  EXPECT_THAT(gradient(net, 1), testing::Each(0.0F));
  EXPECT_EQ(gradient(net, 3), gradient(plain, 3));
  zero.remove();
  net.zero_grad();
  sum(net(example())).backward();
  EXPECT_EQ(gradient(net, 1), gradient(plain, 1));
}

TEST(Hooks, OnAPartsGradientReplaceWhatGoesOn) {
  Net net = made(), plain = made();
  register_gradient_hook(net, "first", [](const Tensor& g) { return mul(g, Tensor::scalar(3)); });
  sum(net(example())).backward();
  sum(plain(example())).backward();
  const auto a = net.first.weight.value().grad().to_vector<float>();
  const auto b = plain.first.weight.value().grad().to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_FLOAT_EQ(a[i], 3 * b[i]);
}

TEST(Hooks, InAGraphByNodeOrValue) {
  Net net = made();
  Graph graph = trace(net, example()).copy();
  const std::string node = graph.nodes()[0].name;
  std::vector<std::string> seen;
  HookHandle handle =
      register_forward_hook(graph, node, [&](const std::string& name, const Tensor& output) {
        seen.push_back(name);
        return mul(output, Tensor::scalar(-1));
      });
  const std::string input = graph.value(graph.inputs()[0]).name;
  register_forward_hook(graph, input, [&](const std::string& name, const Tensor&) {
    seen.push_back(name);
    return Tensor();
  });
  Net negated = made();
  register_forward_hook(negated, "first", [](const std::string&, const Tensor& output) {
    return mul(output, Tensor::scalar(-1));
  });
  EXPECT_EQ(graph(example()).to_vector<float>(), negated(example()).to_vector<float>());
  EXPECT_THAT(seen, ElementsAre(input, node));
  // Copies have no hooks; what is written into the graph leaves its own there.
  EXPECT_EQ(graph.copy()(example()).to_vector<float>(), net(example()).to_vector<float>());
  graph = trace(net, example()).copy();
  EXPECT_EQ(graph(example()).to_vector<float>(), negated(example()).to_vector<float>());
  handle.remove();
  EXPECT_EQ(graph(example()).to_vector<float>(), net(example()).to_vector<float>());
}

TEST(Hooks, OnAGraphsGradients) {
  Net net = made();
  Graph graph = trace(net, example()).copy(), plain = trace(net, example()).copy();
  int calls = 0;
  HookHandle handle = register_gradient_hook(graph, "first.weight", [&](const Tensor& g) {
    ++calls;
    return mul(g, Tensor::scalar(2));
  });
  register_gradient_hook(graph, graph.nodes()[0].name, [&](const Tensor&) {
    ++calls;
    return Tensor();
  });
  sum(graph(example())).backward();
  sum(plain(example())).backward();
  EXPECT_EQ(calls, 2);
  const auto a = graph.parameters()[0].grad().to_vector<float>();
  const auto b = plain.parameters()[0].grad().to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_FLOAT_EQ(a[i], 2 * b[i]);
  handle.remove();
  graph.zero_grad();
  sum(graph(example())).backward();
  EXPECT_EQ(graph.parameters()[0].grad().to_vector<float>(), b);
}

TEST(Hooks, InAGraphThatIsAPart) {
  Net net = made();
  struct Holder : Module {
    Graph inner;
    void members(Members& m) override { m("inner", inner); }
    Tensor forward(const Tensor& x) override { return inner(x); }
  } holder;
  holder.inner = trace(net, example()).copy();
  std::vector<std::string> seen;
  const std::string name = "inner." + holder.inner.nodes()[0].name;
  register_forward_hook(holder, name, [&](const std::string& told, const Tensor&) {
    seen.push_back(told);
    return Tensor();
  });
  register_gradient_hook(holder, "inner.first.weight", [&](const Tensor&) {
    seen.emplace_back("gradient");
    return Tensor();
  });
  sum(holder(example())).backward();
  EXPECT_THAT(seen, ElementsAre(name, "gradient"));
}

TEST(Hooks, MistakesAreNamed) {
  Net net = made();
  const OutputHook nothing = [](const std::string&, const Tensor&) { return Tensor(); };
  const GradientHook none = [](const Tensor&) { return Tensor(); };
  expect_error(ErrorCode::invalid_argument, {"register_forward_hook", "'body.7'"},
               [&] { register_forward_hook(net, "body.7", nothing); });
  expect_error(ErrorCode::invalid_argument, {"register_forward_hook", "function"},
               [&] { register_forward_hook(net, "first", nullptr); });
  expect_error(ErrorCode::invalid_argument, {"register_gradient_hook: ", "'first.wait'"},
               [&] { register_gradient_hook(net, "first.wait", none); });
  expect_error(ErrorCode::invalid_argument, {"register_gradient_hook", "function"},
               [&] { register_gradient_hook(net, "first", nullptr); });
  freeze(net, "first");
  expect_error(ErrorCode::invalid_argument, {"'first.weight'", "frozen"},
               [&] { register_gradient_hook(net, "first.weight", none); });
  expect_error(ErrorCode::invalid_argument, {"register_hook", "leaf"},
               [&] { register_hook(net.body.parameters()[0], none); });
  expect_error(ErrorCode::invalid_argument, {"register_hook", "undefined"},
               [&] { register_hook(Tensor(), none); });
  Net wrong = made();
  register_gradient_hook(wrong, "first", [](const Tensor&) { return Tensor::zeros({1}); });
  expect_error(ErrorCode::shape_mismatch, {"gradient hook", "[2, 3]", "[1]"},
               [&] { sum(wrong(example())).backward(); });
}

TEST(Containers, ListsAndDictionaries) {
  struct Owner : Module {
    ModuleList layers{Linear{{.in = 2, .out = 2}}, Tanh{}, Linear{{.in = 2, .out = 2}}};
    ModuleDict heads{{"a", Linear{{.in = 2, .out = 1}}}, {"b", Linear{{.in = 2, .out = 3}}}};
    void members(Members& m) override { m("layers", layers)("heads", heads); }
    Tensor forward(const Tensor& x) override {
      Tensor y = x;
      for (const auto& entry : layers.entries()) y = (*entry.second)(y);
      return (*heads["b"])(y);
    }
  } owner;
  Generator generator(1);
  initialize(owner, generator);
  EXPECT_EQ(owner(example()).shape(), Shape({2, 3}));
  std::vector<std::string> names;
  for (const auto& named : owner.named_parameters()) names.push_back(named.name);
  EXPECT_THAT(names,
              ElementsAre("layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias",
                          "heads.a.weight", "heads.a.bias", "heads.b.weight", "heads.b.bias"));
  const Owner copy = owner;
  EXPECT_EQ(copy.layers.size(), 3);
  EXPECT_EQ(copy.layers.kind(), "ModuleList");
  EXPECT_EQ(copy.heads.kind(), "ModuleDict");
  const Tensor leaf = owner.layers[0].as<Linear>().weight.value();
  owner = copy;
  EXPECT_TRUE(owner.layers[0].as<Linear>().weight.value().same_as(leaf));
  expect_error(ErrorCode::invalid_argument, {"ModuleDict", "'a' twice"},
               [&] { owner.heads.add("a", Tanh{}); });
  expect_error(ErrorCode::out_of_range, {"ModuleList", "from 0 to 2", "got 3"},
               [&] { (void)owner.layers[3]; });
  expect_error(ErrorCode::invalid_state, {"ModuleList"}, [&] { owner.layers(example()); });
}

}  // namespace
}  // namespace pare::nn
