# Every header compiles alone: one source a header, holding nothing but its include.
# SPDX-License-Identifier: MIT
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/src src/*.hpp)
file(GLOB_RECURSE public_headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include
  include/*.hpp include/*.h)
set(alone)
foreach(header IN LISTS headers public_headers)
  string(REPLACE "/" "_" name ${header})
  set(source ${CMAKE_BINARY_DIR}/headers/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"\n" @ONLY)
  list(APPEND alone ${source})
endforeach()
if(alone)
  add_library(headers_alone OBJECT ${alone})
  target_compile_options(headers_alone PRIVATE -fsyntax-only -Wno-unused-function)
  target_link_libraries(headers_alone PRIVATE cairn_inside)
endif()
