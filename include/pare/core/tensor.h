// Tensor: a shared, typed, n-dimensional array that autograd can follow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pare/core/dtype.h"
#include "pare/core/export.h"
#include "pare/core/ref.h"
#include "pare/core/shape.h"

namespace pare {

/// Order of a tensor's elements in memory. Channels-last (N, spatial…, C) exists for ranks 3 to 5.
/// It is how the elements lie, never what the shape says: shape() is (N, C, spatial…) in both.
enum class MemoryFormat : std::uint8_t { row_major, channels_last };

class Tensor;
using Tensors = std::vector<Tensor>;

namespace detail {
struct Node;

/// A block of memory, 64-byte aligned, with a counter of the writes that went through it.
struct PARE_API Storage : RefCounted {
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  std::size_t large_block = 0;  ///< the size of its block, where that is kept when it is freed
  std::atomic<std::uint32_t> version{0};
  std::shared_ptr<void> owner;  ///< keeps foreign memory alive; null for our own
  static Ref<Storage> allocate(std::size_t bytes);
  static Ref<Storage> wrap(void* data, std::size_t bytes, std::shared_ptr<void> owner);
  static void destroy(Storage* storage);
};

struct AutogradMeta;

struct PARE_API TensorImpl : RefCounted {
  Shape shape;
  DType dtype = DType::f32;
  MemoryFormat format = MemoryFormat::row_major;
  bool requires_grad = false;  ///< a leaf that wants a gradient, or a result on the tape
  bool retired = false;        ///< replaced by a structural edit; optimizers refuse it
  int output_index = 0;        ///< which output of `producer` this is
  std::size_t offset = 0;      ///< bytes into the storage
  Ref<Storage> storage;
  Ref<Node> producer;        ///< the tape's node, null for leaves
  Ref<TensorImpl> gradient;  ///< of a leaf
  TensorImpl();
  ~TensorImpl();
  static void destroy(TensorImpl* impl);
};
}  // namespace detail

/// A handle: copies share the elements. Default-constructed it is undefined (`defined()` is false).
class PARE_API Tensor {
 public:
  Tensor() = default;
  explicit Tensor(detail::Ref<detail::TensorImpl> impl) : impl_(std::move(impl)) {}

  /// Uninitialized elements. Throws if the shape is symbolic or channels-last does not fit its
  /// rank.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32,
                      MemoryFormat format = MemoryFormat::row_major);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32,
                     MemoryFormat format = MemoryFormat::row_major);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32,
                      MemoryFormat format = MemoryFormat::row_major);
  static Tensor ones(const Shape& shape, DType dtype = DType::f32);
  /// A rank-0 tensor.
  static Tensor scalar(double value, DType dtype = DType::f32);
  /// Copies row-major `values`; throws shape_mismatch if their number is not the shape's.
  template <class T> static Tensor from(std::span<const T> values, const Shape& shape) {
    return from_memory(values.data(), values.size(), dtype_of<T>, shape);
  }
  template <class T> static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from_memory(values.data(), values.size(), dtype_of<T>, shape);
  }
  static Tensor from(std::initializer_list<float> values, const Shape& shape) {
    return from_memory(values.begin(), values.size(), DType::f32, shape);
  }
  /// A tensor over memory of somebody else's, which `owner` keeps alive.
  static Tensor wrap(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner,
                     MemoryFormat format = MemoryFormat::row_major);

  bool defined() const { return static_cast<bool>(impl_); }
  const Shape& shape() const { return impl_->shape; }
  int rank() const { return impl_->shape.rank(); }
  /// Size of an axis; negative counts from the end.
  std::int64_t dim(int axis) const { return impl_->shape[axis]; }
  std::int64_t elements() const { return impl_->shape.elements(); }
  std::size_t bytes() const;
  DType dtype() const { return impl_->dtype; }
  MemoryFormat format() const { return impl_->format; }
  bool channels_last() const { return impl_->format == MemoryFormat::channels_last; }

  const void* raw() const { return impl_->storage->data + impl_->offset; }
  /// For writing; counts as a change (a saved copy on the tape then refuses to be used).
  void* mutable_raw();
  /// The elements in memory order. Throws dtype_mismatch.
  template <class T> const T* data() const {
    if (impl_->dtype != dtype_of<T>) wrong_dtype(dtype_of<T>);
    return static_cast<const T*>(raw());
  }
  template <class T> T* mutable_data() {
    if (impl_->dtype != dtype_of<T>) wrong_dtype(dtype_of<T>);
    return static_cast<T*>(mutable_raw());
  }
  /// The value of a tensor of one element, converted from its dtype. Throws invalid_argument for
  /// another number of elements or an undefined tensor.
  double item() const;
  /// All elements in row-major order, whatever the memory format. Throws dtype_mismatch.
  template <class T> std::vector<T> to_vector() const {
    check_defined("to_vector");
    std::vector<T> out(static_cast<std::size_t>(elements()));
    copy_row_major(out.data(), dtype_of<T>);
    return out;
  }

  /// A copy of the elements, off the tape.
  Tensor clone() const;
  /// The same elements, off the tape.
  Tensor detach() const;
  /// The same values in another memory order (itself if it is in that order already); on the tape.
  Tensor to(MemoryFormat format) const;
  /// The values converted; on the tape between floating types.
  Tensor to(DType dtype) const;
  /// Overwrites the elements in place (any dtype and format of `source`; shapes must be equal).
  void copy_from(const Tensor& source);
  void fill(double value);

  bool requires_grad() const { return impl_->requires_grad; }
  /// Only for floating-point leaves. Returns the tensor itself.
  Tensor& set_requires_grad(bool on = true);
  bool is_leaf() const { return !impl_->producer; }
  /// The gradient that backward() summed into this leaf; undefined if none.
  Tensor grad() const;
  /// Takes a gradient of this tensor's shape and dtype in place of the present one; undefined:
  /// none.
  void set_grad(const Tensor& gradient);
  /// Drops the gradient.
  void zero_grad();
  /// Gradients of this scalar with respect to all leaves that want one. Frees the tape unless
  /// `retain`. Throws invalid_state for a non-scalar, or where nothing wants a gradient.
  void backward(bool retain = false) const;
  /// The same from a given gradient of this tensor's shape; another floating type is converted.
  void backward(const Tensor& gradient, bool retain = false) const;

  /// Shape, dtype and the first elements, for people.
  std::string to_string() const;
  bool same_as(const Tensor& other) const { return impl_ == other.impl_; }
  detail::TensorImpl* impl() const { return impl_.get(); }

 private:
  static Tensor from_memory(const void* data, std::size_t count, DType dtype, const Shape& shape);
  void copy_row_major(void* out, DType dtype) const;
  [[noreturn]] void wrong_dtype(DType asked) const;
  void check_defined(const char* where) const;
  detail::Ref<detail::TensorImpl> impl_;
};

}  // namespace pare
