# The collector's benchmarks, the target `bench_gc`: one set of programs on every memory manager that is here.
#
#   build/bench/gc/manual, libgc, cairn, cairn_conservative   bench/gc/cpp, each with its own policy.hpp
#   build/bench/gc/go, go1.19, java/                          the same programs in Go and Java
#   build/bench/gc/walk, barrier                              what the machine can do; a Ptr's store
#
# Nothing of it is built unless it is asked for; a peer that is not installed is left out.
# SPDX-License-Identifier: MIT
set(gc_bench_source ${PROJECT_SOURCE_DIR}/bench/gc)
set(gc_bench_folder ${CMAKE_BINARY_DIR}/bench/gc)
add_custom_target(bench_gc)

function(gc_bench_program name)
  add_executable(bench_gc_${name} EXCLUDE_FROM_ALL ${ARGN})
  set_target_properties(bench_gc_${name} PROPERTIES OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${gc_bench_folder})
  target_include_directories(bench_gc_${name} PRIVATE ${gc_bench_source}/cpp ${PROJECT_SOURCE_DIR}/bench
    ${PROJECT_SOURCE_DIR}/include)
  target_compile_options(bench_gc_${name} PRIVATE -fno-builtin-malloc)
  target_link_libraries(bench_gc_${name} PRIVATE cairn_warnings Threads::Threads)
  add_dependencies(bench_gc bench_gc_${name})
endfunction()

# gc_bench_set(POLICY LIBRARIES...): the whole set on one memory manager.
file(GLOB gc_set_sources CONFIGURE_DEPENDS ${gc_bench_source}/cpp/*.cpp)
function(gc_bench_set policy)
  gc_bench_program(${policy} ${gc_set_sources})
  target_include_directories(bench_gc_${policy} BEFORE PRIVATE ${gc_bench_source}/cpp/${policy})
  target_link_libraries(bench_gc_${policy} PRIVATE ${ARGN})
endfunction()

gc_bench_set(manual)
gc_bench_program(walk ${gc_bench_source}/walk.cpp)
find_path(libgc_headers gc.h)
find_library(libgc gc)
if(libgc_headers AND libgc)
  gc_bench_set(libgc ${libgc})
  target_compile_definitions(bench_gc_libgc PRIVATE GC_THREADS)
endif()
if(TARGET cairn-lib)
  gc_bench_set(cairn cairn-lib)
  gc_bench_set(cairn_conservative cairn-lib)
  gc_bench_program(barrier ${gc_bench_source}/barrier.cpp)
  target_link_libraries(bench_gc_barrier PRIVATE cairn-lib)
endif()

# gc_bench_go(NAME GO): the set, compiled by that Go, without the network.
file(GLOB gc_go_sources CONFIGURE_DEPENDS ${gc_bench_source}/go/*.go ${gc_bench_source}/go/go.mod)
function(gc_bench_go name go)
  add_custom_command(OUTPUT ${gc_bench_folder}/${name} DEPENDS ${gc_go_sources}
    WORKING_DIRECTORY ${gc_bench_source}/go VERBATIM
    COMMAND ${CMAKE_COMMAND} -E env GOTOOLCHAIN=local GOPROXY=off GOFLAGS= GOWORK=off
            ${go} build -o ${gc_bench_folder}/${name} .)
  add_custom_target(bench_gc_${name} DEPENDS ${gc_bench_folder}/${name})
  add_dependencies(bench_gc bench_gc_${name})
endfunction()

find_program(go_on_path go)
if(go_on_path)
  gc_bench_go(go ${go_on_path})
endif()
file(GLOB debian_gos /usr/lib/go-*/bin/go)
foreach(debian_go IN LISTS debian_gos)
  file(REAL_PATH "${go_on_path}" same)
  file(REAL_PATH ${debian_go} debian_go)
  if(same STREQUAL debian_go)
    continue()
  endif()
  string(REGEX REPLACE "/usr/lib/go-([^/]*)/bin/go" "go\\1" name ${debian_go})
  gc_bench_go(${name} ${debian_go})
endforeach()

find_program(javac javac)
if(javac)
  file(GLOB gc_java_sources CONFIGURE_DEPENDS ${gc_bench_source}/java/*.java)
  add_custom_command(OUTPUT ${gc_bench_folder}/java/Main.class DEPENDS ${gc_java_sources} VERBATIM
    COMMAND ${javac} -d ${gc_bench_folder}/java ${gc_java_sources})
  add_custom_target(bench_gc_java DEPENDS ${gc_bench_folder}/java/Main.class)
  add_dependencies(bench_gc bench_gc_java)
endif()
