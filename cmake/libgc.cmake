# libgc.so.1: the Boehm collector's names on Cairn's collector, for programs that were built for that.
#
# In a folder of its own, so that LD_LIBRARY_PATH brings in nothing else. No symbol versions, as the original.
# SPDX-License-Identifier: MIT
file(GLOB libgc_sources CONFIGURE_DEPENDS src/api/libgc*.cpp)
if(NOT libgc_sources OR NOT core_sources OR CAIRN_SANITIZE)
  return()
endif()

set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/api/libgc_alloc.cpp APPEND PROPERTY COMPILE_OPTIONS
  "$<$<CONFIG:Release>:-O3>")
add_library(cairn-libgc SHARED ${libgc_sources} src/api/gc_runtime.cpp src/api/cpp.cpp ${api_objects})
target_compile_options(cairn-libgc PRIVATE ${no_runtime_flags} -fno-lto -fsemantic-interposition)
target_link_libraries(cairn-libgc PRIVATE $<BUILD_INTERFACE:cairn_inside> $<BUILD_INTERFACE:cairn_core>)
set_target_properties(cairn-libgc PROPERTIES OUTPUT_NAME gc VERSION 1 SOVERSION 1
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/libgc LINKER_LANGUAGE CXX)
target_link_options(cairn-libgc PRIVATE -nodefaultlibs LINKER:-z,now LINKER:-z,relro LINKER:-z,nodelete
  LINKER:-z,defs LINKER:--exclude-libs,ALL LINKER:--build-id=sha1
  LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/libgc.map)
set_property(TARGET cairn-libgc APPEND PROPERTY LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/libgc.map)
target_link_libraries(cairn-libgc PRIVATE -lc -lgcc)
