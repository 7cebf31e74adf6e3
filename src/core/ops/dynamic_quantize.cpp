// dynamic_quantize_linear: codes by the range that a tensor, or each of its rows, has.
#include "pare/core/ops/dynamic_quantize.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/row_codes.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

constexpr const char* kWhere = "dynamic_quantize_linear";

bool by_rows(const Call& call) { return call.attributes.as<DynamicQuantizeAttributes>().per_row; }

void infer_dynamic(InferArgs& args) {
  PARE_CHECK(args.dtype(0) == DType::f32, dtype_mismatch, kWhere, "expected f32, got {}",
             args.dtype(0));
  Shape scale;
  if (by_rows(args.call)) {
    scale = args.shape(0);
    PARE_CHECK(scale.rank() > 0, shape_mismatch, kWhere, "expected rows, got {}", scale);
    scale.set(scale.rank() - 1, 1);
  }
  args.output(0, args.shape(0), DType::u8);
  args.output(1, scale, DType::f32);
  args.output(2, scale, DType::u8);
}

void forward_dynamic(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                     const Context&) {
  const Tensor& x = inputs[0];
  const float* from = x.data<float>();
  auto* codes = outputs[0].mutable_data<std::uint8_t>();
  auto* scale = outputs[1].mutable_data<float>();
  auto* zero = outputs[2].mutable_data<std::uint8_t>();
  constexpr std::int64_t kGrain = 1 << 15;  // elements that are worth a thread
  if (!by_rows(call)) {
    const RowCode by = range_code(from, x.elements());
    *scale = by.scale;
    *zero = static_cast<std::uint8_t>(by.zero_point);
    parallel_for(0, x.elements(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      quantize_row(from + begin, end - begin, by, codes + begin);
    });
    return;
  }
  const std::int64_t columns = x.dim(-1);
  parallel_for(0, outputs[1].elements(), kGrain / std::max<std::int64_t>(1, columns) + 1,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r) {
                   const RowCode by = range_code(from + r * columns, columns);
                   scale[r] = by.scale;
                   zero[r] = static_cast<std::uint8_t>(by.zero_point);
                   quantize_row(from + r * columns, columns, by, codes + r * columns);
                 }
               });
}

void link_dynamic(const Call& call, ChannelLinks& links) {
  const int rank = links.shape(in(0)).rank();
  for (int a = 0; a < rank; ++a) links.tie(in(0), a, out(0), a);
  if (!by_rows(call)) return;
  for (int a = 0; a + 1 < rank; ++a)
    for (const int k : {1, 2}) links.tie(in(0), a, out(k), a);
}

// A range is what ReduceMin and ReduceMax give; DynamicQuantizeLinear itself has no rows.
void emit_dynamic(const Call& call, OnnxEmitter& e) {
  if (!by_rows(call)) {
    e.node("DynamicQuantizeLinear", {e.input(0)}, {e.output(0), e.output(1), e.output(2)});
    return;
  }
  const auto number = [&](double value) { return e.constant(Tensor::scalar(value, DType::f32)); };
  const auto made = [&](const char* op, std::vector<std::string> inputs) {
    std::string result = e.temporary();
    e.node(op, std::move(inputs), {result});
    return result;
  };
  const auto bound = [&](const char* reduce, const char* op) {
    std::string result = e.temporary();
    const std::vector<std::int64_t> axes{-1};
    if (e.opset() >= 18)
      e.node(reduce, {e.input(0), e.constant(Tensor::from(axes, {1}))}, {result});
    else
      e.node(reduce, {e.input(0)}, {result}).attribute("axes", axes);
    return made(op, {result, number(0)});
  };
  const auto to_u8 = [&](const std::string& value, const std::string& output) {
    const std::string inside = made("Clip", {value, number(0), number(255)});
    e.node("Cast", {inside}, {output}).attribute("to", std::int64_t{traits(DType::u8).onnx});
  };
  const std::string low = bound("ReduceMin", "Min");
  const std::string high = bound("ReduceMax", "Max");
  const std::string part = made("Div", {made("Sub", {high, low}), number(255)});
  e.node("Where", {made("Equal", {part, number(0)}), number(1), part}, {e.output(1)});
  const std::string zero = made("Round", {made("Div", {made("Neg", {low}), e.output(1)})});
  to_u8(zero, e.output(2));
  const std::string inside = made("Clip", {zero, number(0), number(255)});
  const std::string quotient = made("Div", {e.input(0), e.output(1)});
  to_u8(made("Add", {made("Round", {quotient}), inside}), e.output(0));
}

}  // namespace

constinit const OpDef kDynamicQuantizeLinear = {
    .name = "dynamic_quantize_linear",
    .visible_outputs = 3,
    .infer = infer_dynamic,
    .forward = forward_dynamic,
    .defaults = [] { return Attributes::of(DynamicQuantizeAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_dynamic},
    .onnx = {.op_type = "DynamicQuantizeLinear", .emit = emit_dynamic}};

DynamicallyQuantized dynamic_quantize_linear(const Tensor& x,
                                             const DynamicQuantizeAttributes& attributes) {
  const Tensors all =
      apply_all({&kDynamicQuantizeLinear, Attributes::of(attributes)}, detail::Borrowed(x));
  return {all[0], all[1], all[2]};
}

}  // namespace pare
