// The thread's context.
#include "pare/core/context.h"

namespace pare {

Context& context() {
  thread_local Context current;
  return current;
}

}  // namespace pare
