# Installs pare to a temporary prefix as KIND (static or shared), builds the consumer, runs it.
# Needs: KIND, SOURCE_DIR and BINARY_DIR of pare, WORK_DIR, GENERATOR, JOBS, CACHE (-D... settings),
# CLI (whether the command is installed, into BINDIR).
cmake_minimum_required(VERSION 3.25)
set(here "${WORK_DIR}/${KIND}")
set(library_build "${BINARY_DIR}")

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

if(KIND STREQUAL "shared")
  # The objects come from ccache: both kinds compile with the same flags.
  set(library_build "${here}/library")
  run(${CMAKE_COMMAND} -S "${SOURCE_DIR}" -B "${library_build}" -G "${GENERATOR}" ${CACHE}
    -DBUILD_SHARED_LIBS=ON -DPARE_TESTS=OFF -DPARE_EXAMPLES=OFF -DPARE_BENCHMARKS=OFF)
  run(${CMAKE_COMMAND} --build "${library_build}" --parallel ${JOBS})
  # A shared pare brings what it is linked with.
  set(hidden fmt dnnl ZLIB OpenMP OpenCL)
endif()

file(REMOVE_RECURSE "${here}/prefix" "${here}/consumer")
run(${CMAKE_COMMAND} --install "${library_build}" --prefix "${here}/prefix")

list(APPEND hidden Eigen3 nlohmann_json GTest benchmark)
list(TRANSFORM hidden REPLACE "(.+)" "-DCMAKE_DISABLE_FIND_PACKAGE_\\1=ON")
run(${CMAKE_COMMAND} -S "${CMAKE_CURRENT_LIST_DIR}" -B "${here}/consumer" -G "${GENERATOR}" ${CACHE}
  ${hidden} "-Dpare_ROOT=${here}/prefix")
run(${CMAKE_COMMAND} --build "${here}/consumer")
run("${here}/consumer/consumer")
if(CLI)
  run("${here}/prefix/${BINDIR}/pare" --version)
endif()
