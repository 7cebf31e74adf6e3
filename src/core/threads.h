// ThreadScope: OpenMP's thread count for code that starts OpenMP regions of its own (oneDNN).
#pragma once

namespace pare {

/// Within the scope libraries that use OpenMP use max_threads() threads; then the caller's setting
/// is as before.
class ThreadScope {
 public:
  ThreadScope();
  ~ThreadScope();
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int before_ = 0;  // 0: nothing was changed
};

}  // namespace pare
