# Install rules and the package that find_package(pare) reads.
if(NOT PARE_INSTALL)
  return()
endif()
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/pare")

install(TARGETS pare EXPORT pare)
if(PARE_CLI)
  install(TARGETS pare_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/pare" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(EXPORT pare NAMESPACE pare:: FILE pare-targets.cmake DESTINATION "${package_dir}")

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/pare-config.cmake.in"
  "${PROJECT_BINARY_DIR}/package/pare-config.cmake" INSTALL_DESTINATION "${package_dir}")
# Before 1.0 every minor version may break its users.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/pare-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/package/pare-config.cmake"
  "${PROJECT_BINARY_DIR}/package/pare-config-version.cmake"
  DESTINATION "${package_dir}")
