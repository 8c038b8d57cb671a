# Two clang plugins for each LLVM of which the headers are here, libcairn-escape-MAJOR.so, the pass, and
# libcairn-frontend-MAJOR.so, the front end's checks; and what programs call to use them,
# cairn_enable_escape_analysis() and cairn_enable_checks().
#
# They need headers alone (the pass LLVM's, the front end also clang's); their symbols come from the clang
# that loads them. Without headers there is a notice and no plugin: then everything stays on the heap.
# CAIRN_ESCAPE_LLVM names the majors to look for.
# SPDX-License-Identifier: MIT
set(CAIRN_ESCAPE_LLVM 14 16 19 22 CACHE STRING "LLVM majors for which the escape pass is built, if here")
file(GLOB escape_sources CONFIGURE_DEPENDS tools/escape/*.cpp)
file(GLOB frontend_sources CONFIGURE_DEPENDS tools/escape/frontend/*.cpp)

# cairn_clang_plugin(WHAT MAJOR HEADER SOURCES...): builds cairn-WHAT-MAJOR if llvm-config-MAJOR and HEADER
# are here.
function(cairn_clang_plugin what major header)
  find_program(CAIRN_LLVM_CONFIG_${major} NAMES llvm-config-${major} PATHS /usr/lib/llvm-${major}/bin)
  mark_as_advanced(CAIRN_LLVM_CONFIG_${major})
  if(NOT CAIRN_LLVM_CONFIG_${major})
    return()
  endif()
  execute_process(COMMAND ${CAIRN_LLVM_CONFIG_${major}} --includedir OUTPUT_VARIABLE headers
    OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT EXISTS ${headers}/${header})
    return()
  endif()
  set(plugin cairn-${what}-${major})
  add_library(${plugin} MODULE ${ARGN})
  target_include_directories(${plugin} PRIVATE tools/escape)
  target_include_directories(${plugin} SYSTEM PRIVATE ${headers})
  target_compile_definitions(${plugin} PRIVATE
    __STDC_CONSTANT_MACROS __STDC_FORMAT_MACROS __STDC_LIMIT_MACROS _GNU_SOURCE)
  # -Wno-nonnull: the compiler finds one in clang's headers once they are inlined.
  target_compile_options(${plugin} PRIVATE -O1 -g0 -fno-rtti -fno-exceptions -Wno-nonnull)
  target_link_libraries(${plugin} PRIVATE cairn_warnings ${CMAKE_DL_LIBS})
  # All in one: LLVM's headers take longer to read than a plugin does to compile.
  set_target_properties(${plugin} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
  set(${what}_majors ${${what}_majors} ${major} PARENT_SCOPE)
endfunction()

set(escape_majors)
set(frontend_majors)
if(NOT CAIRN_SANITIZE)
  foreach(major IN LISTS CAIRN_ESCAPE_LLVM)
    cairn_clang_plugin(escape ${major} llvm/Passes/PassBuilder.h ${escape_sources})
    cairn_clang_plugin(frontend ${major} clang/Frontend/FrontendPluginRegistry.h ${frontend_sources})
  endforeach()
  if(NOT escape_majors)
    message(NOTICE "cairn: no LLVM headers (llvm-14-dev, say): the escape pass is not built")
  endif()
  if(NOT frontend_majors)
    message(NOTICE "cairn: no clang headers (libclang-14-dev, say): the front end's checks are not built")
  endif()
endif()
include(cmake/cairn-escape.cmake)
