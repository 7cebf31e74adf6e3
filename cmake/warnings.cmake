# pare_warnings: the warnings for our own code; it is not exported, so no user ever sees them.
add_library(pare_warnings INTERFACE)
target_compile_options(pare_warnings INTERFACE
  -Wall
  -Wextra
  -Wpedantic
  -Wshadow
  -Wnon-virtual-dtor
  -Woverloaded-virtual
  -Wold-style-cast
  -Wcast-qual
  -Wextra-semi
  -Wimplicit-fallthrough
  $<$<BOOL:${PARE_WERROR}>:-Werror>
)
