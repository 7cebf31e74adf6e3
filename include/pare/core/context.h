// Context: what ops may read besides their arguments, scoped and thread-local.
#pragma once

#include "pare/core/export.h"
#include "pare/core/precision.h"

namespace pare {

class Generator;
class Tracer;

struct Context {
  bool training = false;           ///< dropout drops, batch norm uses the batch's statistics
  bool observing = true;           ///< fake-quantize's observers take note of what passes
  bool grad = true;                ///< operations go on the tape
  Generator* generator = nullptr;  ///< where dropout draws from
  Tracer* tracer = nullptr;        ///< is told of every operation
  int threads = 0;                 ///< most threads to use; 0: all that the process may use
  /// Of the products of the forward pass, and of the backward pass of what was recorded under it.
  Precision precision = Precision::f32;
};

/// The calling thread's context.
PARE_API Context& context();

/// Replaces the context until the end of the scope:
/// `ContextScope scope; scope->training = true;`
class PARE_API ContextScope {
 public:
  ContextScope() : saved_(context()) {}
  ~ContextScope() { context() = saved_; }
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
  Context* operator->() const { return &context(); }

 private:
  Context saved_;
};

/// No tape until the end of the scope.
class NoGrad {
 public:
  NoGrad() { scope_->grad = false; }

 private:
  ContextScope scope_;
};

}  // namespace pare
