# pare_warnings: the warnings for our own code; it is not exported, so no user ever sees them.
add_library(pare_warnings INTERFACE)
target_compile_options(pare_warnings INTERFACE
  -Wall
  -Wextra
  -Wpedantic
  # Not members: a constructor names its parameters after them.
  $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local>
  -Wnon-virtual-dtor
  -Woverloaded-virtual
  -Wold-style-cast
  -Wcast-qual
  -Wextra-semi
  -Wimplicit-fallthrough
  # Options are named: what an initialiser leaves out has its default.
  -Wno-missing-field-initializers
  $<$<BOOL:${PARE_WERROR}>:-Werror>
)
