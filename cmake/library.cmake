# libcairn.so and libcairn.a: the interface of include/cairn, as cairn::cairn and cairn::cairn-static.
#
# Both hold everything and need libc alone. Nothing of them may be inlined into a program (-fno-lto): the
# escape pass looks for the calls.
# SPDX-License-Identifier: MIT
file(GLOB library_sources CONFIGURE_DEPENDS src/api/c.cpp src/api/c_*.cpp src/api/gc_*.cpp src/api/cpp.cpp
  src/api/threads.cpp src/api/signals.cpp)
if(NOT library_sources OR NOT core_sources)
  return()
endif()

# An allocation of the C interface is as hot as malloc.
set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/api/c_alloc.cpp APPEND PROPERTY COMPILE_OPTIONS
  "$<$<CONFIG:Release>:-O3>")
add_library(cairn_library OBJECT ${library_sources})
target_compile_options(cairn_library PRIVATE ${no_runtime_flags} -fno-lto)
# The one source that may catch; its flags come after the target's.
set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/api/cpp.cpp APPEND PROPERTY COMPILE_OPTIONS
  -fexceptions -frtti)
target_link_libraries(cairn_library PUBLIC cairn_inside)

add_library(cairn-lib SHARED $<TARGET_OBJECTS:cairn_library> ${api_objects})
add_library(cairn-static STATIC $<TARGET_OBJECTS:cairn_library> ${api_objects} $<TARGET_OBJECTS:cairn_core>)
add_library(cairn::cairn ALIAS cairn-lib)
add_library(cairn::cairn-static ALIAS cairn-static)
set_target_properties(cairn-lib PROPERTIES OUTPUT_NAME cairn EXPORT_NAME cairn LINKER_LANGUAGE CXX)
set_target_properties(cairn-static PROPERTIES OUTPUT_NAME cairn EXPORT_NAME cairn-static LINKER_LANGUAGE CXX)
foreach(target IN ITEMS cairn-lib cairn-static)
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
  target_link_libraries(${target} PUBLIC Threads::Threads)
endforeach()
target_link_libraries(cairn-lib PRIVATE $<BUILD_INTERFACE:cairn_core>)
target_link_options(cairn-lib PRIVATE LINKER:-z,now LINKER:-z,relro LINKER:-z,nodelete
  LINKER:--exclude-libs,ALL LINKER:--build-id=sha1)
if(NOT CAIRN_SANITIZE)
  # As libcairn-malloc.so: `defs` proves that no C++ library is needed.
  target_link_options(cairn-lib PRIVATE -nodefaultlibs LINKER:-z,defs)
  target_link_libraries(cairn-lib PRIVATE -lc -lgcc)
endif()
