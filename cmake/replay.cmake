# What draws pictures, and what plays traces on other allocators. Page and script become part of the command.
# SPDX-License-Identifier: MIT

file(GLOB draw_sources CONFIGURE_DEPENDS tools/draw/*.cpp)
if(draw_sources AND NOT CAIRN_SANITIZE)
  find_package(fmt REQUIRED)
  add_library(cairn_draw STATIC ${draw_sources})
  target_include_directories(cairn_draw PUBLIC tools)
  target_compile_options(cairn_draw PRIVATE -Wno-restrict)
  target_link_libraries(cairn_draw PUBLIC cairn_warnings PRIVATE fmt::fmt-header-only)
endif()

file(GLOB replay_sources CONFIGURE_DEPENDS tools/replay/*.cpp)
if(replay_sources AND TARGET cairn_trace AND core_sources)
  set(page_parts tools/replay/page.html tools/replay/page.js)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page_parts})
  file(READ tools/replay/page.html page_html)
  file(READ tools/replay/page.js page_js)
  configure_file(tools/replay/page_parts.cpp.in ${CMAKE_BINARY_DIR}/replay/page_parts.cpp @ONLY)
  add_library(cairn_replay STATIC ${replay_sources} ${CMAKE_BINARY_DIR}/replay/page_parts.cpp)
  target_compile_options(cairn_replay PRIVATE -Wno-restrict)
  target_link_libraries(cairn_replay PUBLIC cairn_trace cairn_draw nlohmann_json::nlohmann_json
    PRIVATE fmt::fmt-header-only $<LINK_ONLY:cairn_core> ${CMAKE_DL_LIBS})
endif()
