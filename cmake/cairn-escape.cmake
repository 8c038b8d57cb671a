# cairn_enable_escape_analysis(TARGET...): an object that never leaves its function lives on its stack.
#
# For clang, and for configurations that optimise. With another compiler, or a clang for which no plugin is
# here, it says so in a notice and changes nothing: everything stays on the heap, as it may.
# `clang++ ... -Rpass=escape -Rpass-missed=escape`, or `cairn escape -- clang++ ...`, tells what was decided.
# SPDX-License-Identifier: MIT

# Sets `result` to the plugin for this project's compiler, or to nothing, having said why.
function(cairn_find_escape_plugin result what)
  set(${result} "" PARENT_SCOPE)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(NOTICE "cairn: ${what}: escape analysis needs clang, this is ${CMAKE_CXX_COMPILER_ID}; "
      "all objects are on the heap")
    return()
  endif()
  string(REGEX MATCH "^[0-9]+" major "${CMAKE_CXX_COMPILER_VERSION}")
  if(TARGET cairn-escape-${major})
    set(${result} $<TARGET_FILE:cairn-escape-${major}> PARENT_SCOPE)
    return()
  endif()
  foreach(folder IN LISTS CAIRN_ESCAPE_FOLDERS)
    if(EXISTS ${folder}/libcairn-escape-${major}.so)
      set(${result} ${folder}/libcairn-escape-${major}.so PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(NOTICE "cairn: ${what}: no escape plugin for clang ${major}; all objects are on the heap")
endfunction()

function(cairn_enable_escape_analysis)
  cairn_find_escape_plugin(plugin "${ARGN}")
  if(NOT plugin)
    return()
  endif()
  foreach(target IN LISTS ARGN)
    target_compile_options(${target} PRIVATE
      "$<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<NOT:$<CONFIG:Debug>>>:-fpass-plugin=${plugin}>")
  endforeach()
endfunction()
