// Tensor: making, reading, copying.
#include "pare/core/tensor.h"

#include <cmath>
#include <cstring>

#include "core/autograd.h"
#include "core/check.h"
#include "core/convert.h"
#include "core/tensor_bytes.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace detail {

TensorImpl::TensorImpl() = default;
TensorImpl::~TensorImpl() = default;
void TensorImpl::destroy(TensorImpl* impl) { delete impl; }

}  // namespace detail

std::size_t tensor_bytes(const Shape& shape, DType dtype) {
  const std::int64_t elements = shape.elements();
  const auto bits = static_cast<std::int64_t>(traits(dtype).bits);
  std::int64_t total = 0;
  PARE_CHECK(!__builtin_mul_overflow(elements, bits, &total), invalid_argument, "tensor",
             "expected a size that fits 63 bits, got {} of {}", dtype, shape);
  return static_cast<std::size_t>((total + 7) / 8);
}

namespace {

void check_format(const Shape& shape, MemoryFormat format) {
  PARE_CHECK(format == MemoryFormat::row_major || (shape.rank() >= 3 && shape.rank() <= 5),
             invalid_argument, "tensor", "expected rank 3 to 5 for channels-last, got {}", shape);
}

// Calls use(value) with the element converted to double.
template <class Use> void with_elements(const Tensor& t, std::int64_t count, Use use) {
  const Tensor plain = t.dtype() == DType::f64 && !t.channels_last() ? t : [&] {
    Tensor out = Tensor::empty(t.shape(), DType::f64);
    convert_dtype(t, out);
    return out;
  }();
  const auto* data = static_cast<const double*>(plain.raw());
  for (std::int64_t i = 0; i < count; ++i) use(data[i]);
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype, MemoryFormat format) {
  check_format(shape, format);
  detail::Ref<detail::TensorImpl> impl(new detail::TensorImpl);
  impl->storage = detail::Storage::allocate(tensor_bytes(shape, dtype));
  impl->shape = shape;
  impl->dtype = dtype;
  impl->format = format;
  return Tensor(std::move(impl));
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, MemoryFormat format) {
  Tensor t = empty(shape, dtype, format);
  t.fill(value);
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, MemoryFormat format) {
  Tensor t = empty(shape, dtype, format);
  std::memset(t.mutable_raw(), 0, t.bytes());
  return t;
}

Tensor Tensor::ones(const Shape& shape, DType dtype) { return full(shape, 1, dtype); }

Tensor Tensor::scalar(double value, DType dtype) { return full({}, value, dtype); }

Tensor Tensor::wrap(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner,
                    MemoryFormat format) {
  check_format(shape, format);
  detail::Ref<detail::TensorImpl> impl(new detail::TensorImpl);
  impl->storage = detail::Storage::wrap(data, tensor_bytes(shape, dtype), std::move(owner));
  impl->shape = shape;
  impl->dtype = dtype;
  impl->format = format;
  return Tensor(std::move(impl));
}

Tensor Tensor::from_memory(const void* data, std::size_t count, DType dtype, const Shape& shape) {
  PARE_CHECK(shape.elements() == static_cast<std::int64_t>(count), shape_mismatch, "tensor",
             "expected {} values for {}, got {}", shape.elements(), shape, count);
  Tensor t = empty(shape, dtype);
  if (count) std::memcpy(t.mutable_raw(), data, t.bytes());
  return t;
}

std::size_t Tensor::bytes() const { return tensor_bytes(shape(), dtype()); }

void* Tensor::mutable_raw() {
  check_defined("mutable_raw");
  impl_->storage->version.fetch_add(1, std::memory_order_relaxed);
  return impl_->storage->data + impl_->offset;
}

double Tensor::item() const {
  check_defined("item");
  PARE_CHECK(elements() == 1, invalid_argument, "item", "expected one element, got a tensor {}",
             shape());
  if (dtype() == DType::f32) return static_cast<double>(*data<float>());
  double value = 0;
  with_elements(*this, 1, [&](double v) { value = v; });
  return value;
}

void Tensor::copy_row_major(void* out, DType asked) const {
  if (dtype() != asked) wrong_dtype(asked);
  const NoGrad no_grad;
  const Tensor plain = detach().to(MemoryFormat::row_major);
  if (elements()) std::memcpy(out, plain.raw(), bytes());
}

void Tensor::check_defined(const char* where) const {
  if (!defined())
    fail(ErrorCode::invalid_argument, where, "expected a tensor, got an undefined one");
}

void Tensor::wrong_dtype(DType asked) const {
  fail(ErrorCode::dtype_mismatch, "tensor", "expected {}, got {} {}", asked, dtype(), shape());
}

Tensor Tensor::clone() const {
  check_defined("clone");
  Tensor copy = empty(shape(), dtype(), format());
  if (elements()) std::memcpy(copy.mutable_raw(), raw(), bytes());
  return copy;
}

Tensor Tensor::detach() const {
  check_defined("detach");
  if (context().tracer) return apply({&kDetach, {}}, detail::Borrowed(*this));
  detail::Ref<detail::TensorImpl> impl(new detail::TensorImpl);
  impl->shape = impl_->shape;
  impl->dtype = impl_->dtype;
  impl->format = impl_->format;
  impl->storage = impl_->storage;
  impl->offset = impl_->offset;
  return Tensor(std::move(impl));
}

Tensor Tensor::to(MemoryFormat wanted) const {
  check_defined("to");
  if (wanted == format()) return *this;
  check_format(shape(), wanted);
  Tensor out = empty(shape(), dtype(), wanted);
  convert_format(*this, out);
  const Context& ctx = context();
  if (ctx.grad && requires_grad()) {
    const Call call{&kToFormat,
                    Attributes::of(ToFormatAttributes{wanted == MemoryFormat::channels_last})};
    Tensor outputs[] = {out};
    detail::record(call, detail::Borrowed(*this), outputs, ctx.training);
  }
  if (ctx.tracer) ctx.tracer->alias(out, *this);
  return out;
}

Tensor Tensor::to(DType wanted) const {
  check_defined("to");
  return wanted == dtype() ? *this : cast(*this, wanted);
}

void Tensor::copy_from(const Tensor& source) {
  check_defined("copy_from");
  source.check_defined("copy_from");
  PARE_CHECK(source.shape() == shape(), shape_mismatch, "copy_from", "expected {}, got {}", shape(),
             source.shape());
  void* out = mutable_raw();
  if (!elements()) return;
  if (source.dtype() == dtype() && source.format() == format())
    std::memmove(out, source.raw(), bytes());
  else if (source.dtype() == dtype())
    convert_format(source, *this);
  else
    convert_dtype(source, *this);
}

void Tensor::fill(double value) {
  check_defined("fill");
  if (dtype() == DType::f32) {
    float* out = mutable_data<float>();
    std::fill_n(out, elements(), static_cast<float>(value));
    return;
  }
  Tensor source = empty({1}, DType::f64);
  *source.mutable_data<double>() = value;
  Tensor one = empty({1}, dtype());
  convert_dtype(source, one);
  const std::size_t size = one.bytes();
  PARE_CHECK(traits(dtype()).bits >= 8, unsupported, "fill",
             "expected a type of whole bytes, got {}", dtype());
  auto* out = static_cast<std::byte*>(mutable_raw());
  for (std::int64_t i = 0; i < elements(); ++i)
    std::memcpy(out + static_cast<std::size_t>(i) * size, one.raw(), size);
}

Tensor& Tensor::set_requires_grad(bool on) {
  check_defined("set_requires_grad");
  PARE_CHECK(is_leaf(), invalid_state, "set_requires_grad", "expected a leaf, got a result of {}",
             impl_->producer->call.op->name);
  PARE_CHECK(!on || is_floating(dtype()), dtype_mismatch, "set_requires_grad",
             "expected a floating type, got {}", dtype());
  impl_->requires_grad = on;
  return *this;
}

Tensor Tensor::grad() const {
  check_defined("grad");
  return impl_->gradient ? Tensor(impl_->gradient) : Tensor();
}

void Tensor::set_grad(const Tensor& gradient) {
  check_defined("set_grad");
  if (gradient.defined()) {
    PARE_CHECK(gradient.shape() == shape(), shape_mismatch, "set_grad",
               "expected a gradient {}, got {}", shape(), gradient.shape());
    PARE_CHECK(gradient.dtype() == dtype(), dtype_mismatch, "set_grad",
               "expected a gradient of {}, got {}", dtype(), gradient.dtype());
  }
  impl_->gradient = detail::Ref<detail::TensorImpl>(gradient.impl());
}

void Tensor::zero_grad() {
  check_defined("zero_grad");
  impl_->gradient = {};
}

std::string Tensor::to_string() const {
  if (!defined()) return "undefined";
  constexpr std::int64_t kShown = 8;
  std::string text = fmt::format("{} {} {{", traits(dtype()).name, shape());
  const std::int64_t shown = std::min(elements(), kShown);
  bool first = true;
  with_elements(*this, shown, [&](double v) {
    text += fmt::format("{}{:g}", first ? "" : ", ", v);
    first = false;
  });
  return text + (elements() > kShown ? ", …}" : "}");
}

}  // namespace pare
