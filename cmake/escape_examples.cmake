# The target escape-examples: what the escape pass says of each line of the examples, by `cairn escape` and
# the first clang that it was built for.
# SPDX-License-Identifier: MIT
file(GLOB escape_examples CONFIGURE_DEPENDS examples/*.cpp)
find_path(CAIRN_BOOST_CONTEXT boost/context/fiber.hpp)
mark_as_advanced(CAIRN_BOOST_CONTEXT)
if(NOT CAIRN_BOOST_CONTEXT)
  list(FILTER escape_examples EXCLUDE REGEX "/boost_[^/]*$")
endif()
foreach(major IN LISTS escape_majors)
  find_program(CAIRN_CLANG_${major} clang++-${major})
  mark_as_advanced(CAIRN_CLANG_${major})
  if(NOT CAIRN_CLANG_${major} OR TARGET escape-examples)
    continue()
  endif()
  set(commands)
  foreach(example IN LISTS escape_examples)
    list(APPEND commands COMMAND cairn escape -- ${CAIRN_CLANG_${major}} -std=c++20 -O2 -I include
      -c ${example} -o /dev/null)
  endforeach()
  add_custom_target(escape-examples ${commands} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM
    USES_TERMINAL)
  foreach(plugin cairn-escape-${major} cairn-frontend-${major})
    if(TARGET ${plugin})
      add_dependencies(escape-examples ${plugin})
    endif()
  endforeach()
endforeach()
