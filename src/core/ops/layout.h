// Tensors over the same elements, or with them in another order, that neither tape nor tracer sees.
#pragma once

#include "core/convert.h"
#include "pare/core/tensor.h"

namespace pare {

/// The same memory under another shape, in row-major order.
inline Tensor share_memory(const Tensor& x, const Shape& shape,
                           MemoryFormat format = MemoryFormat::row_major) {
  detail::Ref<detail::TensorImpl> impl(new detail::TensorImpl);
  impl->shape = shape;
  impl->dtype = x.dtype();
  impl->format = format;
  impl->storage = x.impl()->storage;
  impl->offset = x.impl()->offset;
  return Tensor(std::move(impl));
}

/// x itself where it is in that format, else a converted copy.
inline Tensor in_format(const Tensor& x, MemoryFormat format) {
  if (x.format() == format) return x;
  Tensor y = Tensor::empty(x.shape(), x.dtype(), format);
  convert_format(x, y);
  return y;
}

}  // namespace pare
