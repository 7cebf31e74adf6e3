# pare_test and pare_test_sources: how a module adds its tests; pare_test_code: how they are compiled.
include(GoogleTest)

add_library(pare_test_code INTERFACE)
target_link_libraries(pare_test_code INTERFACE
  pare::pare pare_warnings fmt::fmt Threads::Threads GTest::gmock)
target_include_directories(pare_test_code INTERFACE
  "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
target_compile_options(pare_test_code INTERFACE
  # The expected values must follow the library's float arithmetic.
  -ffp-contract=off
  # Optimising test code costs more than running it, and the undefined behaviour that is looked
  # for is the library's.
  $<IF:$<CONFIG:Release>,-O1,-O0>
  $<$<STREQUAL:${PARE_SANITIZE},address>:-fno-sanitize=undefined>
)
target_compile_definitions(pare_test_code INTERFACE
  PARE_DATA_DIR="${PARE_DATA_DIR}"
  PARE_TEST_DATA_DIR="${PROJECT_SOURCE_DIR}/tests/data"
  $<$<BOOL:${PARE_ONEDNN}>:PARE_ONEDNN=1>
)
if(PARE_PRECOMPILE)
  # Its precompiled headers are those of all tests.
  file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/test_headers.cpp" CONTENT "")
  add_library(pare_test_headers OBJECT "${CMAKE_CURRENT_BINARY_DIR}/test_headers.cpp")
  target_link_libraries(pare_test_headers PRIVATE pare_test_code)
  target_precompile_headers(pare_test_headers PRIVATE
    <gmock/gmock.h>
    "${PROJECT_SOURCE_DIR}/src/core/check.h"
    "${PROJECT_SOURCE_DIR}/include/pare/core/op.h"
    "${PROJECT_SOURCE_DIR}/include/pare/core/generator.h")
endif()

# pare_test_target(<target>): compiled as the tests are.
function(pare_test_target name)
  target_link_libraries(${name} PRIVATE pare_test_code)
  if(PARE_PRECOMPILE)
    target_precompile_headers(${name} REUSE_FROM pare_test_headers)
  endif()
endfunction()

# pare_test(<name> <source>... [LABELS <label>...]): a test executable of its own.
function(pare_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LABELS")
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  pare_test_target(${name})
  target_link_libraries(${name} PRIVATE GTest::gtest_main)
  set(properties)
  if(arg_LABELS)
    set(properties LABELS "${arg_LABELS}")
  endif()
  if(PARE_SANITIZE)
    # All in one process: an instrumented one takes as long to start as most tests take.
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES ${properties} TIMEOUT 1200)
    return()
  endif()
  # Discovered when ctest starts: a build never runs what it has just linked.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES ${properties} TIMEOUT 600)
endfunction()

# pare_test_sources(<module> <file>...): adds files to the module's one test, pare_<module>_test.
function(pare_test_sources module)
  if(TARGET pare_${module}_test)
    target_sources(pare_${module}_test PRIVATE ${ARGN})
  else()
    pare_test(pare_${module}_test ${ARGN})
  endif()
endfunction()
