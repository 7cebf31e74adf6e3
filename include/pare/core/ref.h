// Intrusive reference counting for the few types that are shared on every eager call.
#pragma once

#include <atomic>
#include <utility>

namespace pare::detail {

/// Base of counted types; T::destroy(T*) ends an object's life.
struct RefCounted {
  std::atomic<int> references{0};
};

template <class T> class Ref {
 public:
  Ref() = default;
  explicit Ref(T* p) : p_(p) { retain(); }
  Ref(const Ref& other) : p_(other.p_) { retain(); }
  Ref(Ref&& other) noexcept : p_(std::exchange(other.p_, nullptr)) {}
  Ref& operator=(const Ref& other) {
    Ref(other).swap(*this);
    return *this;
  }
  Ref& operator=(Ref&& other) noexcept {
    Ref(std::move(other)).swap(*this);
    return *this;
  }
  ~Ref() { release(); }

  void swap(Ref& other) noexcept { std::swap(p_, other.p_); }
  T* get() const { return p_; }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }
  bool operator==(const Ref& other) const { return p_ == other.p_; }
  bool unique() const { return p_ && p_->references.load(std::memory_order_acquire) == 1; }

 private:
  void retain() {
    if (p_) p_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release() {
    if (p_ && p_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) T::destroy(p_);
  }
  T* p_ = nullptr;
};

}  // namespace pare::detail
