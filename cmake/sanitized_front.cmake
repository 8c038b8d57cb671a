# The malloc front end beside a sanitizer: under other names, so that both allocators live in one process.
#
# A sanitizer brings its own malloc and needs it. So the front end's objects are linked into one, its C names
# get the prefix `__wrap_`, and a program linked with `--wrap=malloc` and the like calls ours, while its
# libraries go on calling the sanitizer's. No source knows of it. operator new stays the sanitizer's, because
# libstdc++.so pairs with it.
# SPDX-License-Identifier: MIT
set(wrapped malloc free calloc realloc reallocarray aligned_alloc posix_memalign memalign valloc pvalloc
  malloc_usable_size malloc_trim mallinfo mallinfo2 malloc_info malloc_stats mallopt)
set(malloc_only ${front_sources})
list(FILTER malloc_only EXCLUDE REGEX "/new[^/]*\\.cpp$")
add_library(cairn_front OBJECT ${malloc_only})
target_compile_options(cairn_front PRIVATE ${no_runtime_flags})
target_link_libraries(cairn_front PRIVATE cairn_inside)

set(renames)
set(wrap_options)
foreach(name IN LISTS wrapped)
  string(APPEND renames "${name} __wrap_${name}\n")
  list(APPEND wrap_options LINKER:--wrap=${name})
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/front_names.txt CONTENT "${renames}" @ONLY)
set(front_object ${CMAKE_BINARY_DIR}/lib/cairn_front.o)
add_custom_command(OUTPUT ${front_object}
  COMMAND ${CMAKE_LINKER} -r -o ${front_object} $<TARGET_OBJECTS:cairn_front> ${api_objects}
  COMMAND ${CMAKE_OBJCOPY} --redefine-syms=${CMAKE_BINARY_DIR}/front_names.txt ${front_object}
  DEPENDS $<TARGET_OBJECTS:cairn_front> ${api_objects} ${CMAKE_BINARY_DIR}/front_names.txt
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(cairn_front_object DEPENDS ${front_object})

add_library(cairn_wrapped_malloc INTERFACE)
target_link_libraries(cairn_wrapped_malloc INTERFACE ${front_object} cairn_core)
target_link_options(cairn_wrapped_malloc INTERFACE ${wrap_options})
add_dependencies(cairn_wrapped_malloc cairn_front_object)
