# The escape pass: a clang plugin for each LLVM of which the headers are here, lib/libcairn-escape-MAJOR.so,
# and what programs call to use it, cairn_enable_escape_analysis().
#
# It needs the headers of LLVM alone; its symbols come from the clang that loads it. Without any LLVM there is
# a notice and no plugin: then everything stays on the heap. CAIRN_ESCAPE_LLVM names the majors to look for.
# SPDX-License-Identifier: MIT
set(CAIRN_ESCAPE_LLVM 14 16 19 22 CACHE STRING "LLVM majors for which the escape pass is built, if here")
file(GLOB escape_sources CONFIGURE_DEPENDS tools/escape/*.cpp)

# cairn_escape_plugin(MAJOR SOURCES...): builds the plugin if llvm-config-MAJOR is here.
function(cairn_escape_plugin major)
  find_program(CAIRN_LLVM_CONFIG_${major} NAMES llvm-config-${major} PATHS /usr/lib/llvm-${major}/bin)
  mark_as_advanced(CAIRN_LLVM_CONFIG_${major})
  if(NOT CAIRN_LLVM_CONFIG_${major})
    return()
  endif()
  execute_process(COMMAND ${CAIRN_LLVM_CONFIG_${major}} --includedir OUTPUT_VARIABLE headers
    OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT EXISTS ${headers}/llvm/Passes/PassBuilder.h)
    return()
  endif()
  set(plugin cairn-escape-${major})
  add_library(${plugin} MODULE ${ARGN})
  target_include_directories(${plugin} SYSTEM PRIVATE ${headers})
  target_compile_definitions(${plugin} PRIVATE
    __STDC_CONSTANT_MACROS __STDC_FORMAT_MACROS __STDC_LIMIT_MACROS _GNU_SOURCE)
  target_compile_options(${plugin} PRIVATE -O1 -g0 -fno-rtti -fno-exceptions)
  target_link_libraries(${plugin} PRIVATE cairn_warnings ${CMAKE_DL_LIBS})
  # All in one: LLVM's headers take longer to read than the pass does to compile.
  set_target_properties(${plugin} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
  set(escape_majors ${escape_majors} ${major} PARENT_SCOPE)
endfunction()

set(escape_majors)
if(NOT CAIRN_SANITIZE)
  foreach(major IN LISTS CAIRN_ESCAPE_LLVM)
    cairn_escape_plugin(${major} ${escape_sources})
  endforeach()
  if(NOT escape_majors)
    message(NOTICE "cairn: no LLVM headers (llvm-14-dev, say): the escape pass is not built")
  endif()
endif()
include(cmake/cairn-escape.cmake)
