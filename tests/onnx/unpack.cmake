# Unpacks ONNX's backend tests, where they are and have not been unpacked yet.
if(EXISTS "${TO}/data/node" OR NOT EXISTS "${ARCHIVE}")
  return()
endif()
file(MAKE_DIRECTORY "${TO}.new")
execute_process(COMMAND ${CMAKE_COMMAND} -E tar xf "${ARCHIVE}"
  WORKING_DIRECTORY "${TO}.new" COMMAND_ERROR_IS_FATAL ANY)
file(RENAME "${TO}.new" "${TO}")
