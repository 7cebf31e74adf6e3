# pare_test and pare_test_sources: how a module adds its tests.
include(GoogleTest)

# pare_test(<name> <source>... [LABELS <label>...]): a test executable of its own.
function(pare_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LABELS")
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE
    pare::pare pare_warnings fmt::fmt Threads::Threads GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
  # The expected values must follow the library's float arithmetic.
  target_compile_options(${name} PRIVATE -ffp-contract=off)
  # Optimising test code costs more than running it.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  target_compile_definitions(${name} PRIVATE
    PARE_DATA_DIR="${PARE_DATA_DIR}"
    PARE_TEST_DATA_DIR="${PROJECT_SOURCE_DIR}/tests/data"
    $<$<BOOL:${PARE_ONEDNN}>:PARE_ONEDNN=1>
  )
  set(properties TIMEOUT 600)
  if(arg_LABELS)
    list(APPEND properties LABELS "${arg_LABELS}")
  endif()
  # Discovered when ctest starts: a build never runs what it has just linked.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES ${properties})
endfunction()

# pare_test_sources(<module> <file>...): adds files to the module's one test, pare_<module>_test.
function(pare_test_sources module)
  if(TARGET pare_${module}_test)
    target_sources(pare_${module}_test PRIVATE ${ARGN})
  else()
    pare_test(pare_${module}_test ${ARGN})
  endif()
endfunction()
