// Layers that put a border around a signal or picture.
#include "pare/nn/padding.h"

#include "pare/core/ops/arrange.h"
#include "pare/core/ops/movement.h"

namespace pare::nn {
namespace {

using Amounts = std::vector<std::int64_t>;

Amounts before(const Border1d& b) { return {0, 0, b.left}; }
Amounts after(const Border1d& b) { return {0, 0, b.right}; }
Amounts before(const Border2d& b) { return {0, 0, b.top, b.left}; }
Amounts after(const Border2d& b) { return {0, 0, b.bottom, b.right}; }

template <class Border> Call constant_call(const Border& border, double value) {
  return {&kPad, Attributes::of(PadAttributes{before(border), after(border), value})};
}
template <class Border> Call border_call(const Border& border, const char* mode) {
  return {&kPadBorder, Attributes::of(PadBorderAttributes{before(border), after(border), mode})};
}

}  // namespace

Tensor PaddingModule::forward(const Tensor& x) { return pare::apply(call_, detail::Borrowed(x)); }

ConstantPad1d::ConstantPad1d(ConstantPad1dOptions options)
    : PaddingModule(constant_call(options.padding, options.value)) {}
std::string ConstantPad1d::kind() const { return "ConstantPad1d"; }

ConstantPad2d::ConstantPad2d(ConstantPad2dOptions options)
    : PaddingModule(constant_call(options.padding, options.value)) {}
std::string ConstantPad2d::kind() const { return "ConstantPad2d"; }

ZeroPad2d::ZeroPad2d(Pad2dOptions options) : PaddingModule(constant_call(options.padding, 0)) {}
std::string ZeroPad2d::kind() const { return "ZeroPad2d"; }

ReflectionPad1d::ReflectionPad1d(Pad1dOptions options)
    : PaddingModule(border_call(options.padding, "reflect")) {}
std::string ReflectionPad1d::kind() const { return "ReflectionPad1d"; }

ReflectionPad2d::ReflectionPad2d(Pad2dOptions options)
    : PaddingModule(border_call(options.padding, "reflect")) {}
std::string ReflectionPad2d::kind() const { return "ReflectionPad2d"; }

ReplicationPad1d::ReplicationPad1d(Pad1dOptions options)
    : PaddingModule(border_call(options.padding, "replicate")) {}
std::string ReplicationPad1d::kind() const { return "ReplicationPad1d"; }

ReplicationPad2d::ReplicationPad2d(Pad2dOptions options)
    : PaddingModule(border_call(options.padding, "replicate")) {}
std::string ReplicationPad2d::kind() const { return "ReplicationPad2d"; }

CircularPad1d::CircularPad1d(Pad1dOptions options)
    : PaddingModule(border_call(options.padding, "circular")) {}
std::string CircularPad1d::kind() const { return "CircularPad1d"; }

CircularPad2d::CircularPad2d(Pad2dOptions options)
    : PaddingModule(border_call(options.padding, "circular")) {}
std::string CircularPad2d::kind() const { return "CircularPad2d"; }

}  // namespace pare::nn
