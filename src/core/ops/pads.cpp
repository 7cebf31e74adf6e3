// The value inputs that pad and pad_border share: amounts, and the axes they are for.
#include "core/ops/pads.h"

#include "core/check.h"

namespace pare {
namespace {

std::vector<std::int64_t> all_axes(std::size_t count) {
  std::vector<std::int64_t> axes(count);
  for (std::size_t i = 0; i < count; ++i) axes[i] = static_cast<std::int64_t>(i);
  return axes;
}

void check_count(std::size_t amounts, std::size_t axes, const char* where) {
  PARE_CHECK(amounts == 2 * axes, invalid_argument, where,
             "expected amounts before and after for {} axes, got {}", axes, amounts);
}

}  // namespace

void bind_pads(const Values& values, const Shape& x, const char* where,
               std::vector<std::int64_t>& before, std::vector<std::int64_t>& after) {
  const std::vector<std::int64_t> pads = values.integers(1, where, "amounts");
  const auto rank = static_cast<std::size_t>(x.rank());
  const std::vector<std::int64_t> axes =
      values.has(2) ? values.integers(2, where, "axes") : all_axes(rank);
  check_count(pads.size(), axes.size(), where);
  before.assign(rank, 0);
  after.assign(rank, 0);
  std::vector<bool> seen(rank);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto a = static_cast<std::size_t>(normalize_axis(axes[i], x.rank(), where));
    PARE_CHECK(!seen[a], invalid_argument, where, "expected each axis once, got {} twice", axes[i]);
    seen[a] = true;
    before[a] = pads[i];
    after[a] = pads[i + axes.size()];
  }
}

void infer_unknown_pads(InferArgs& args) {
  const char* where = args.call.op->name;
  const Shape& x = args.shape(0);
  const KnownSizes pads = known_sizes(args, 1, "amounts");
  KnownSizes axes;
  if (args.has(2)) {
    axes = known_sizes(args, 2, "axes");
  } else {
    for (const std::int64_t a : all_axes(static_cast<std::size_t>(x.rank()))) axes.emplace_back(a);
  }
  check_count(pads.size(), axes.size(), where);
  Shape y = x;
  bool all = true;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (!axes[i] || !axes[i]->is_number()) {
      all = false;
      continue;
    }
    const int a = normalize_axis(axes[i]->constant(), x.rank(), where);
    const auto& before = pads[i];
    const auto& after = pads[i + axes.size()];
    if (before && after)
      (SizeExpression::of(x, a) + *before + *after).set_in(y, a);
    else
      set_unknown(y, a);
  }
  for (int a = 0; !all && a < x.rank(); ++a) set_unknown(y, a);
  args.output(0, y, args.dtype(0));
}

void emit_value_pad(OnnxEmitter& emitter, const std::vector<std::int64_t>& before,
                    const std::vector<std::int64_t>& after, const std::string& value,
                    const char* mode) {
  PARE_CHECK(!emitter.has_input(2) || emitter.opset() >= 18, unsupported, "Pad",
             "expected opset 18 or later for axes that are an input, got {}", emitter.opset());
  std::vector<std::int64_t> pads = before;
  pads.insert(pads.end(), after.begin(), after.end());
  std::vector<std::string> inputs{emitter.input(0), integers_or_input(emitter, 1, pads), value,
                                  emitter.has_input(2) ? emitter.input(2) : ""};
  while (inputs.back().empty()) inputs.pop_back();
  emitter.node("Pad", inputs, {emitter.output(0)}).attribute("mode", mode);
}

}  // namespace pare
