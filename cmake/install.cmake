# What `make install` and the Debian package contain.
# SPDX-License-Identifier: MIT
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cairn)

if(TARGET cairn)
  install(TARGETS cairn RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET cairn-record)
  install(TARGETS cairn-record LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
# In a folder of its own, as in the build tree: it is found by `cairn run`, or through LD_LIBRARY_PATH.
if(TARGET cairn-libgc)
  install(TARGETS cairn-libgc LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/libgc NAMELINK_SKIP)
endif()
set(libraries cairn-malloc cairn-lib cairn-static)
foreach(library IN LISTS libraries)
  if(TARGET ${library})
    install(TARGETS ${library} EXPORT cairn-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
      ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  endif()
endforeach()
if(TARGET cairn-malloc OR TARGET cairn-lib)
  install(EXPORT cairn-targets NAMESPACE cairn:: DESTINATION ${package_dir})
  configure_package_config_file(cmake/cairn-config.cmake.in ${CMAKE_BINARY_DIR}/cairn-config.cmake
    INSTALL_DESTINATION ${package_dir})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/cairn-config-version.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/cairn-config.cmake ${CMAKE_BINARY_DIR}/cairn-config-version.cmake
    DESTINATION ${package_dir})
  # Found from the file itself, so that an installed tree may be moved.
  file(RELATIVE_PATH prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  configure_file(cmake/cairn.pc.in ${CMAKE_BINARY_DIR}/cairn.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/cairn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
file(GLOB man_pages CONFIGURE_DEPENDS docs/man/*.1 docs/man/*.3 docs/man/*.7)
foreach(page IN LISTS man_pages)
  get_filename_component(section ${page} LAST_EXT)
  string(SUBSTRING ${section} 1 1 section)
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(FILES README.md LICENSE CREDITS.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME cairn)
set(CPACK_PACKAGE_VENDOR "The Cairn authors")
set(CPACK_PACKAGE_CONTACT "The Cairn authors <cairn@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= 2.34), libstdc++6, libgcc-s1")
include(CPack)
