// trace: what cannot be traced is an error that names it.
#include "graph/nets.h"

namespace pare::test {
namespace {

using testing::Test;

/// A module from a function, with one parameter that members() lists.
struct Written : nn::Module {
  std::function<Tensor(const Tensor&)> body;
  nn::Linear fc{{.in = 4, .out = 4}};
  nn::Linear other{{.in = 4, .out = 4}};
  explicit Written(std::function<Tensor(const Tensor&)> f) : body(std::move(f)) {
    Generator generator(1);
    initialize(*this, generator);
  }
  void members(nn::Members& m) override { m("fc", fc)("other", other); }
  Tensor forward(const Tensor& x) override { return body(x); }
};

Caught trace_error(nn::Module& net, const Shape& shape = {2, 4}) {
  return caught([&] { trace(net, random(shape)); });
}

void expect_parts(const Caught& error, ErrorCode code, const std::vector<std::string>& parts) {
  EXPECT_EQ(error.code, code) << error.message;
  for (const std::string& part : parts)
    EXPECT_NE(error.message.find(part), std::string::npos) << part << " in: " << error.message;
}

TEST(TraceErrors, AParameterThatMembersDoesNotList) {
  struct Forgetful : nn::Module {
    nn::Parameter scale{Shape{4}};
    nn::Linear fc{{.in = 4, .out = 4}};
    void members(nn::Members& m) override { m("fc", fc); }
    Tensor forward(const Tensor& x) override { return fc(x) * scale; }
  } net;
  fill(net);
  net.scale.set(Tensor::ones(Shape{4}));
  expect_parts(trace_error(net), ErrorCode::unsupported,
               {"trace: ", "members()", "shape [4]", "read by mul"});
}

TEST(TraceErrors, AStateThatMembersDoesNotList) {
  struct Forgetful : nn::Module {
    nn::BatchNorm1d norm{{.features = 4}};
    void members(nn::Members& m) override { m("weight", norm.weight)("bias", norm.bias); }
    Tensor forward(const Tensor& x) override { return norm(x); }
  } net;
  net.norm.weight.set(Tensor::ones(Shape{4}));
  net.norm.bias.set(Tensor::zeros(Shape{4}));
  expect_parts(trace_error(net), ErrorCode::unsupported, {"members()", "state of batch_norm"});
}

TEST(TraceErrors, ControlFlowOnValues) {
  Written calls([](const Tensor& x) { return sum(x).item() > 0 ? relu(x) : tanh(x); });
  expect_parts(trace_error(calls), ErrorCode::unsupported,
               {"the same calls", "relu", "tanh", "call 1"});
  Written count([](const Tensor& x) { return sum(x).item() > 0 ? x : relu(tanh(x)); });
  expect_parts(trace_error(count), ErrorCode::unsupported, {"the same calls"});
  Written parameters([](const Tensor& x) { return x; });
  parameters.body = [&](const Tensor& x) {
    return sum(x).item() > 0 ? parameters.fc(x) : parameters.other(x);
  };
  expect_parts(trace_error(parameters), ErrorCode::unsupported,
               {"the same calls", "another parameter", "linear"});
}

TEST(TraceErrors, NumbersTakenFromValues) {
  Written net([](const Tensor& x) { return x * sum(x).item(); });
  expect_parts(trace_error(net), ErrorCode::unsupported,
               {"pare's ops", "depends on the input", "read by mul"});
}

TEST(TraceErrors, ABatchThatIsWrittenDown) {
  Written net([](const Tensor& x) { return reshape(x, {2, 2, 2}); });
  expect_parts(trace_error(net), ErrorCode::unsupported, {"any batch", "a second run"});
}

TEST(TraceErrors, SizesThatFollowTheBatchByNoOneRule) {
  Written sliced([](const Tensor& x) { return slice(x, 0, 0, x.dim(0) / 2); });
  expect_parts(trace_error(sliced, {4, 4}), ErrorCode::unsupported, {"trace: ", "expected"});
  Written attributes([](const Tensor& x) { return x.dim(0) > 2 ? softmax(x, 0) : softmax(x, 1); });
  expect_parts(trace_error(attributes), ErrorCode::unsupported,
               {"one rule", "softmax", "axis=1", "axis=0"});
  Written expanded([](const Tensor& x) { return expand(reshape(x, {1, -1}), {x.dim(0), -1}); });
  expect_parts(trace_error(expanded), ErrorCode::unsupported, {"one rule", "expand"});
}

TEST(TraceErrors, ExamplesOfDifferentBatches) {
  struct Sum : nn::Module {
    Tensors run(const Tensors& x) override { return {x.at(0), x.at(1)}; }
  } net;
  const auto error = caught([&] { trace(net, {random(Shape{2, 4}), random(Shape{3, 4})}); });
  expect_parts(error, ErrorCode::shape_mismatch, {"one batch", "[2, 4]", "[3, 4]"});
}

TEST(TraceErrors, AnUndefinedExample) {
  Written net([](const Tensor& x) { return x; });
  expect_parts(caught([&] { trace(net, Tensor()); }), ErrorCode::invalid_argument,
               {"example 0", "undefined"});
}

TEST(TraceErrors, UseBeforeInitialize) {
  nn::Linear net{{.in = 4, .out = 4}};
  expect_parts(trace_error(net), ErrorCode::invalid_state, {"weight", "initialize"});
}

}  // namespace
}  // namespace pare::test
