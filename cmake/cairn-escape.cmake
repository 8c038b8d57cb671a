# cairn_enable_escape_analysis(TARGET...): an object that never leaves its function lives on its stack.
# cairn_enable_checks(TARGET...): the compiler warns of pointers that the collector does not see.
#
# For clang; the analysis for configurations that optimise. With another compiler, or a clang for which no
# plugin is here, they say so in a notice and change nothing: everything stays on the heap, as it may.
# `clang++ ... -Rpass=escape -Rpass-missed=escape`, or `cairn escape -- clang++ ...`, tells what was decided.
# SPDX-License-Identifier: MIT

# Sets `result` to the plugin of that name for this project's compiler, or to nothing, having said why: what
# needs it, and what comes of its absence.
function(cairn_find_clang_plugin result name what needs otherwise)
  set(${result} "" PARENT_SCOPE)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(NOTICE "cairn: ${what}: ${needs} clang, this is ${CMAKE_CXX_COMPILER_ID}; ${otherwise}")
    return()
  endif()
  string(REGEX MATCH "^[0-9]+" major "${CMAKE_CXX_COMPILER_VERSION}")
  if(TARGET cairn-${name}-${major})
    set(${result} $<TARGET_FILE:cairn-${name}-${major}> PARENT_SCOPE)
    return()
  endif()
  foreach(folder IN LISTS CAIRN_ESCAPE_FOLDERS)
    if(EXISTS ${folder}/libcairn-${name}-${major}.so)
      set(${result} ${folder}/libcairn-${name}-${major}.so PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(NOTICE "cairn: ${what}: no ${name} plugin for clang ${major}; ${otherwise}")
endfunction()

function(cairn_enable_escape_analysis)
  cairn_find_clang_plugin(plugin escape "${ARGN}" "escape analysis needs" "all objects are on the heap")
  if(NOT plugin)
    return()
  endif()
  foreach(target IN LISTS ARGN)
    target_compile_options(${target} PRIVATE
      "$<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<NOT:$<CONFIG:Debug>>>:-fpass-plugin=${plugin}>")
  endforeach()
endfunction()

function(cairn_enable_checks)
  cairn_find_clang_plugin(plugin frontend "${ARGN}" "the checks need" "nothing is checked")
  if(NOT plugin)
    return()
  endif()
  foreach(target IN LISTS ARGN)
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:-fplugin=${plugin}>")
  endforeach()
endfunction()
