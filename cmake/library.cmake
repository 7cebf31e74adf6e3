# How the library is compiled and what it links.
target_compile_features(pare PUBLIC cxx_std_20)
set_target_properties(pare PROPERTIES
  CXX_EXTENSIONS OFF
  CXX_VISIBILITY_PRESET hidden
  VISIBILITY_INLINES_HIDDEN ON
  POSITION_INDEPENDENT_CODE ON
  # Without pare_EXPORTS the objects of the static and the shared library are the same for ccache.
  DEFINE_SYMBOL ""
  VERSION ${PARE_VERSION}
  SOVERSION ${PARE_SOVERSION}
)
target_include_directories(pare
  PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
  PRIVATE
    "${PROJECT_SOURCE_DIR}/src"
)
# -ffp-contract=off: the same float arithmetic, whichever instruction set a loop is compiled for.
# -fno-math-errno, -fno-trapping-math: nobody reads errno or the exception flags, and loops with
# sqrt, rounding and selects vectorise only without them. Neither changes a result.
target_compile_options(pare PRIVATE -ffp-contract=off -fno-math-errno -fno-trapping-math)
# Eigen's own threads would nest in ours.
target_compile_definitions(pare PRIVATE
  EIGEN_DONT_PARALLELIZE=1
  $<IF:$<STREQUAL:${PARE_PARALLEL},openmp>,PARE_PARALLEL_OPENMP,PARE_PARALLEL_THREADS>=1
  $<$<BOOL:${PARE_ONEDNN}>:PARE_ONEDNN=1>
)
if(PARE_IMAGES)
  set(codec_options -isystem "${STB_INCLUDE_DIR}")
  if(PARE_SANITIZE STREQUAL "address")
    # In damaged JPEG files stb shifts by more than a word has bits, and drops the result.
    list(APPEND codec_options -fno-sanitize=shift,signed-integer-overflow)
  endif()
  set_source_files_properties("${PROJECT_SOURCE_DIR}/src/data/image_codec.cpp" TARGET_DIRECTORY pare
    PROPERTIES COMPILE_DEFINITIONS PARE_IMAGES=1 COMPILE_OPTIONS "${codec_options}")
endif()
# BUILD_INTERFACE: what is compiled in, so that no user of the static library has to find it.
target_link_libraries(pare PRIVATE
  $<BUILD_INTERFACE:pare_warnings>
  $<BUILD_INTERFACE:Eigen3::Eigen>
  $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>
  fmt::fmt
  Threads::Threads
  ZLIB::ZLIB
)
if(PARE_PARALLEL STREQUAL "openmp")
  target_link_libraries(pare PRIVATE OpenMP::OpenMP_CXX)
endif()
if(PARE_ONEDNN)
  target_link_libraries(pare PRIVATE DNNL::dnnl)
endif()
# Not by default: a source that lacks an include must fail somewhere.
if(PARE_PRECOMPILE)
  target_precompile_headers(pare PRIVATE
    <algorithm> <cmath> <cstring> <functional> <map> <memory> <numeric> <optional> <span>
    <string> <unordered_map> <utility> <vector>
    "${PROJECT_SOURCE_DIR}/src/core/check.h"
    "${PROJECT_SOURCE_DIR}/include/pare/core/op.h")
endif()
