# The package tests: pare installed, found and used by a project of its own, static and shared.
if(NOT PARE_INSTALL OR PARE_SANITIZE)
  return()
endif()
include(ProcessorCount)
ProcessorCount(jobs)
set(cache "")
foreach(name IN ITEMS CMAKE_BUILD_TYPE CMAKE_CXX_COMPILER CMAKE_CXX_COMPILER_LAUNCHER
    CMAKE_CXX_FLAGS CMAKE_CXX_FLAGS_DEBUG CMAKE_CXX_FLAGS_RELEASE CMAKE_PREFIX_PATH CMAKE_MAKE_PROGRAM
    PARE_CLI PARE_ONEDNN PARE_PARALLEL PARE_WERROR)
  if(NOT "${${name}}" STREQUAL "")
    string(REPLACE ";" "\\;" value "${${name}}")
    list(APPEND cache "-D${name}=${value}")
  endif()
endforeach()
string(REPLACE ";" "\\;" cache "${cache}")
foreach(kind IN ITEMS static shared)
  add_test(NAME package.${kind} COMMAND ${CMAKE_COMMAND}
    -DKIND=${kind} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DBINARY_DIR=${PROJECT_BINARY_DIR}
    -DWORK_DIR=${CMAKE_CURRENT_BINARY_DIR}/consumer -DGENERATOR=${CMAKE_GENERATOR} -DJOBS=${jobs} -DCLI=${PARE_CLI} -DBINDIR=${CMAKE_INSTALL_BINDIR}
    "-DCACHE=${cache}" -P "${CMAKE_CURRENT_SOURCE_DIR}/consumer/run.cmake")
  set_tests_properties(package.${kind} PROPERTIES
    LABELS package PROCESSORS ${jobs} TIMEOUT 1800)
endforeach()
