# What reads and draws the heap of a live process. The page becomes part of the command.
# SPDX-License-Identifier: MIT

file(GLOB map_sources CONFIGURE_DEPENDS tools/map/*.cpp)
if(map_sources AND TARGET cairn_draw AND TARGET cairn_trace)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS tools/map/page.html)
  file(READ tools/map/page.html map_page)
  configure_file(tools/map/page.cpp.in ${CMAKE_BINARY_DIR}/map/page.cpp @ONLY)
  add_library(cairn_map STATIC ${map_sources} ${CMAKE_BINARY_DIR}/map/page.cpp)
  target_include_directories(cairn_map PUBLIC include tools)
  target_compile_options(cairn_map PRIVATE -Wno-restrict)
  target_link_libraries(cairn_map PUBLIC cairn_warnings cairn_draw ${zstd_library}
    PRIVATE nlohmann_json::nlohmann_json)
endif()
