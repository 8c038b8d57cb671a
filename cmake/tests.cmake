# Everything ctest runs, each with a label and a limit of time.
#
#   unit fake litmus stress     linked with the library directly; these also run under the sanitizers
#   gc                          the collector as a whole, in all its modes; also under the sanitizers
#   headers                     the public headers on a collector of their own, and what they refuse
#   library                     libcairn through its public headers
#   abi misuse integration      programs on the preloaded library
#   libgc                       the Boehm collector's interface: ABI, programs, installed clients
#   cli bench examples          the command, the benchmarks' smoke run, what the documents quote
#   escape                      the escape pass: its case table, LTO, mistakes and random programs, on clang
#   package                     an installed copy in a foreign project
#   source                      the house rules
# SPDX-License-Identifier: MIT
find_package(GTest REQUIRED)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
include(GoogleTest)
set(tests_dir ${PROJECT_SOURCE_DIR}/tests)
set(preload $<$<TARGET_EXISTS:cairn-malloc>:$<TARGET_FILE:cairn-malloc>>)

set(test_optimisation -O1)
if(CAIRN_SANITIZE)
  set(test_optimisation -O0)
endif()

# cairn_gtest(NAME LABEL LIBRARIES SOURCES...): one GoogleTest binary, a ctest entry a case.
function(cairn_gtest name label libraries)
  if(NOT ARGN)
    return()
  endif()
  add_executable(${name} ${ARGN})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_include_directories(${name} PRIVATE tests)
  # `if (x) EXPECT_EQ(...)` is right, and GCC warns about what the macro hides. Compiling test code costs more
  # than running it: little optimisation, and none under a sanitizer, where that takes four times as long.
  target_compile_options(${name} PRIVATE -Wno-dangling-else ${test_optimisation})
  target_link_libraries(${name} PRIVATE ${${libraries}} cairn_inside GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX ${label}/
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} PROPERTIES TIMEOUT 120 LABELS ${label})
endfunction()

# cairn_programs(FOLDER): a program a source of tests/FOLDER; `*_so` become shared libraries beside them.
function(cairn_programs folder)
  file(GLOB sources CONFIGURE_DEPENDS tests/${folder}/*.c tests/${folder}/*.cpp)
  set(targets)
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    set(target ${folder}_${name})
    if(name MATCHES "_so$")
      add_library(${target} MODULE ${source})
      set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name}
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${folder})
    else()
      add_executable(${target} ${source})
      set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} BUILD_RPATH "$ORIGIN"
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${folder})
    endif()
    target_include_directories(${target} PRIVATE tests)
    # -fno-builtin: the compiler would remove pairs and fold edges that are the test; wrong on purpose, so -w.
    target_compile_options(${target} PRIVATE -O1 -g -fno-builtin -w)
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
    target_link_libraries(${target} PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
    list(APPEND targets ${target})
  endforeach()
  set(${folder}_targets ${targets} PARENT_SCOPE)
endfunction()

# cairn_script(NAME LABEL SECONDS SCRIPT ARGUMENTS...): a Python test, if its file is there.
function(cairn_script name label seconds script)
  if(EXISTS ${PROJECT_SOURCE_DIR}/${script})
    add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/${script} ${ARGN}
      WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds} LABELS ${label})
  endif()
endfunction()

# ---- on the library itself

file(GLOB_RECURSE unit_sources CONFIGURE_DEPENDS tests/unit/*_test.cpp tests/property/*_test.cpp
  tests/simulation/*_test.cpp)
file(GLOB_RECURSE fake_sources CONFIGURE_DEPENDS tests/unit_fake/*_test.cpp)
if(core_sources)
  cairn_gtest(unit_tests unit api_libraries ${unit_sources})
  # A library that a test loads and unloads.
  add_library(roots_module MODULE tests/unit/gc/roots_module.c)
  set_target_properties(roots_module PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_dependencies(unit_tests roots_module)
  target_compile_definitions(unit_tests PRIVATE CAIRN_ROOTS_MODULE="$<TARGET_FILE:roots_module>")
  target_link_libraries(unit_tests PRIVATE ${CMAKE_DL_LIBS})
endif()
if(TARGET cairn_core_fake)
  set(fake_libraries cairn_core_fake)
  cairn_gtest(fake_tests fake fake_libraries ${fake_sources})
endif()

file(GLOB header_sources CONFIGURE_DEPENDS tests/headers/*.cpp)
set(header_libraries Threads::Threads)
cairn_gtest(header_tests headers header_libraries ${header_sources})

file(GLOB litmus_sources CONFIGURE_DEPENDS tests/litmus/*.cpp)
foreach(source IN LISTS litmus_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(litmus_${name} ${source})
  set_target_properties(litmus_${name} PROPERTIES OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/litmus)
  target_include_directories(litmus_${name} PRIVATE tests)
  target_link_libraries(litmus_${name} PRIVATE ${api_libraries} cairn_inside GTest::gtest_main)
  add_test(NAME litmus/${name} COMMAND litmus_${name})
  set_tests_properties(litmus/${name} PROPERTIES TIMEOUT 120 LABELS litmus)
endforeach()

# ---- on the libraries of the command

file(GLOB_RECURSE tool_sources CONFIGURE_DEPENDS tests/tools/*_test.cpp)
if(TARGET cairn_replay)
  set(tool_libraries cairn_replay cairn_map cairn_draw cairn_trace cairn_core)
  cairn_gtest(tool_tests tools tool_libraries ${tool_sources})
endif()

include(cmake/fuzz.cmake)

cairn_programs(stress)
foreach(target IN LISTS stress_targets)
  if(TARGET cairn_wrapped_malloc)
    target_link_libraries(${target} PRIVATE cairn_wrapped_malloc)
  endif()
  if(TARGET cairn_wrapped_malloc OR TARGET cairn-malloc)
    string(REPLACE "stress_" "stress/" name ${target})
    add_test(NAME ${name} COMMAND ${target})
    set(environment CAIRN_VERIFY=1)
    if(TARGET cairn-malloc)
      list(APPEND environment LD_PRELOAD=${preload})
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT 180 LABELS stress ENVIRONMENT "${environment}")
  endif()
endforeach()

# ---- the collector as a whole: programs on libcairn, each in several modes

set(gc_mode_concurrent CAIRN_GC=concurrent)
set(gc_mode_stw CAIRN_GC=stw)
set(gc_mode_linear CAIRN_LAYOUT=linear)
set(gc_mode_often CAIRN_GC_PERCENT=5 CAIRN_POISON=on CAIRN_VERIFY=on)
file(GLOB gc_test_sources CONFIGURE_DEPENDS tests/gc/*.cpp)
foreach(source IN LISTS gc_test_sources)
  if(NOT TARGET cairn-lib)
    break()
  endif()
  get_filename_component(name ${source} NAME_WE)
  add_executable(gc_${name} ${source})
  set_target_properties(gc_${name} PROPERTIES OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/gc)
  target_include_directories(gc_${name} PRIVATE tests)
  target_compile_options(gc_${name} PRIVATE -O1)
  target_link_libraries(gc_${name} PRIVATE cairn_warnings cairn::cairn ${CMAKE_DL_LIBS})
  set(modes concurrent stw linear often)
  if(name STREQUAL fallback) # it says itself what is concurrent
    set(modes concurrent linear often)
  elseif(name STREQUAL low_memory) # too little for one reservation
    set(modes concurrent stw often)
  endif()
  foreach(mode IN LISTS modes)
    add_test(NAME gc/${name}/${mode} COMMAND gc_${name})
    set(environment ${gc_mode_${mode}})
    if(CAIRN_SANITIZE)
      # The sanitizer's pthread_create must come after ours: a thread has to be its own before it is attached.
      list(APPEND environment LD_PRELOAD=$<TARGET_FILE:cairn-lib> ASAN_OPTIONS=verify_asan_link_order=0)
    endif()
    set_tests_properties(gc/${name}/${mode} PROPERTIES TIMEOUT 300 LABELS gc ENVIRONMENT "${environment}")
  endforeach()
endforeach()
if(TARGET gc_libraries)
  add_dependencies(gc_libraries roots_module)
  target_compile_definitions(gc_libraries PRIVATE CAIRN_ROOTS_MODULE="$<TARGET_FILE:roots_module>")
endif()

cairn_script(source/self_test source 60 tests/check_source/self_test.py)
cairn_script(source/check source 60 tools/check_source.py)

if(CAIRN_SANITIZE)
  return()
endif()

# ---- on libcairn

cairn_script(headers/refused headers 240 tests/headers/refused.py ${PROJECT_SOURCE_DIR})
if(TARGET cairn-lib)
  file(GLOB library_test_sources CONFIGURE_DEPENDS tests/library/*_test.cpp)
  set(library_libraries cairn-lib)
  cairn_gtest(library_tests library library_libraries ${library_test_sources})
endif()

# ---- on the preloaded library

cairn_programs(abi)
cairn_programs(misuse)
if(TARGET cairn-malloc)
  cairn_script(abi abi 400 tests/run_preload.py --build ${CMAKE_BINARY_DIR})
  cairn_script(misuse misuse 120 tests/misuse/run.py --build ${CMAKE_BINARY_DIR})
endif()
if(TARGET cairn-malloc AND TARGET cairn)
  cairn_script(integration integration 240 tests/integration/run.py
    --lib ${preload} --cairn $<TARGET_FILE:cairn> --quick)
  cairn_script(cli cli 120 tests/cli/run_cli_test.py $<TARGET_FILE:cairn> ${CMAKE_BINARY_DIR}/lib)
  cairn_script(cli/record cli 180 tests/cli/record_test.py $<TARGET_FILE:cairn>)
  cairn_script(cli/map cli 180 tests/cli/map_test.py $<TARGET_FILE:cairn>)
  cairn_script(replay cli 300 tests/cli/replay_test.py $<TARGET_FILE:cairn>)
  cairn_script(tour cli 120 tests/cli/tour_test.py $<TARGET_FILE:cairn> ${CMAKE_BINARY_DIR})
  cairn_script(bench/smoke bench 120 bench/run.py --build ${CMAKE_BINARY_DIR} --smoke)
  if(TEST bench/smoke)
    set_tests_properties(bench/smoke PROPERTIES RUN_SERIAL TRUE)
  endif()
endif()

# The collector's benchmarks are built when this test runs, not before: only Cairn's and the one by hand.
if(TARGET bench_gc_cairn)
  add_test(NAME bench/gc_build COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR}
    --target bench_gc_cairn bench_gc_cairn_conservative bench_gc_manual bench_gc_walk bench_gc_barrier)
  set_tests_properties(bench/gc_build PROPERTIES TIMEOUT 300 LABELS bench FIXTURES_SETUP bench_gc
    RUN_SERIAL TRUE)
  cairn_script(bench/gc_smoke bench 120 bench/gc.py --build ${CMAKE_BINARY_DIR} --smoke
    --impls cairn,cairn-conservative,cairn-linear,glibc)
  set_tests_properties(bench/gc_smoke PROPERTIES FIXTURES_REQUIRED bench_gc RUN_SERIAL TRUE)
endif()

if(TARGET bench_linear AND TARGET cairn-record AND TARGET cairn)
  cairn_script(bench/classic_smoke bench 120 bench/classic.py --build ${CMAKE_BINARY_DIR} --smoke)
  if(TEST bench/classic_smoke)
    set_tests_properties(bench/classic_smoke PROPERTIES RUN_SERIAL TRUE)
  endif()
endif()
if(TARGET bench_linear)
  add_test(NAME bench/linear COMMAND bench_linear --smoke)
  set_tests_properties(bench/linear PROPERTIES TIMEOUT 60 LABELS bench)
endif()

# ---- on libgc.so.1, beside the original where that is installed

if(TARGET cairn-libgc)
  foreach(part IN ITEMS abi programs clients)
    cairn_script(libgc/${part} libgc 300 tests/libgc/run.py --library ${CMAKE_BINARY_DIR}/lib/libgc
      --only ${part})
  endforeach()
  if(EXISTS /usr/lib/x86_64-linux-gnu/libgc.so.1)
    cairn_script(bench/libgc_smoke bench 120 bench/libgc.py --build ${CMAKE_BINARY_DIR} --smoke
      --programs "C trees,GC_,link")
  endif()
endif()

# ---- examples: programs on libcairn that say by their exit code whether they worked

file(GLOB example_sources CONFIGURE_DEPENDS examples/*.cpp examples/*.c)
find_package(Boost QUIET COMPONENTS context)
if(NOT TARGET Boost::context)
  list(FILTER example_sources EXCLUDE REGEX "/boost_[^/]*$")
endif()
if(NOT TARGET cairn-lib)
  set(example_sources)
endif()
foreach(source IN LISTS example_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(example_${name} ${source})
  set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/examples)
  target_link_libraries(example_${name} PRIVATE cairn_warnings cairn::cairn)
  if(name MATCHES "^boost_")
    target_link_libraries(example_${name} PRIVATE Boost::context)
  endif()
  add_test(NAME examples/${name} COMMAND example_${name})
  set_tests_properties(examples/${name} PROPERTIES TIMEOUT 60 LABELS examples)
endforeach()
if(TARGET cairn-lib AND TARGET cairn-malloc AND TARGET cairn)
  cairn_script(package package 240 tests/package/run.py ${CMAKE_BINARY_DIR} ${PROJECT_SOURCE_DIR})
endif()

# ---- the escape pass: the case table for each clang there is, random programs for the first; the front end

foreach(major IN LISTS escape_majors)
  find_program(CAIRN_CLANG_${major} clang++-${major})
  mark_as_advanced(CAIRN_CLANG_${major})
  if(NOT TARGET cairn-lib OR NOT CAIRN_CLANG_${major})
    continue()
  endif()
  set(escape_arguments ${major} $<TARGET_FILE:cairn-escape-${major}> $<TARGET_FILE:cairn-lib>
    ${PROJECT_SOURCE_DIR}/include)
  if(major EQUAL 14) # Debian's own
    cairn_script(escape/table_${major} escape 300 tests/escape/table.py ${escape_arguments}
      ${CMAKE_CXX_COMPILER})
    cairn_script(escape/examples_${major} escape 120 tests/escape/examples.py ${major}
      $<TARGET_FILE:cairn-escape-${major}> $<TARGET_FILE:cairn-lib> ${PROJECT_SOURCE_DIR})
    set_tests_properties(escape/examples_${major} PROPERTIES SKIP_RETURN_CODE 77)
    cairn_script(escape/random_${major} escape 300 tests/escape/random_programs.py ${escape_arguments})
  else()
    cairn_script(escape/table_${major} escape 300 tests/escape/table.py ${escape_arguments}
      ${CMAKE_CXX_COMPILER} --quick)
    cairn_script(escape/random_${major} escape 300 tests/escape/random_programs.py ${escape_arguments}
      --programs 20 --sanitized 0)
  endif()
  cairn_script(escape/lto_${major} escape 120 tests/escape/lto.py ${escape_arguments})
  set_tests_properties(escape/table_${major} escape/random_${major} escape/lto_${major} PROPERTIES
    SKIP_RETURN_CODE 77)
endforeach()
if(escape_majors AND TARGET cairn-lib)
  cairn_script(escape/mistakes escape 120 tests/escape/mistakes.py ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}
    ${PROJECT_SOURCE_DIR}/include ${CMAKE_CXX_COMPILER})
  set_tests_properties(escape/mistakes PROPERTIES SKIP_RETURN_CODE 77)
endif()
if(TARGET escape-examples)
  add_test(NAME escape/reasons COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target escape-examples)
  set_tests_properties(escape/reasons PROPERTIES TIMEOUT 240 LABELS escape PASS_REGULAR_EXPRESSION
    "cycle.cpp:[0-9:]+ Street 'street' escapes to heap: .*weak_cache.cpp:[0-9:]+ Document 'document' escapes")
endif()
foreach(major IN LISTS frontend_majors)
  set(quick)
  if(NOT major EQUAL 14)
    set(quick --quick)
  endif()
  cairn_script(escape/frontend_${major} escape 120 tests/escape/frontend.py ${major}
    $<TARGET_FILE:cairn-frontend-${major}> ${PROJECT_SOURCE_DIR} ${quick})
  set_tests_properties(escape/frontend_${major} PROPERTIES SKIP_RETURN_CODE 77)
endforeach()
if(escape_majors AND TARGET cairn)
  string(REPLACE ";" "," escape_majors_text "${escape_majors}")
  set(frontend_majors_text -)
  if(frontend_majors)
    string(REPLACE ";" "," frontend_majors_text "${frontend_majors}")
  endif()
  cairn_script(cli/escape cli 120 tests/cli/escape_test.py $<TARGET_FILE:cairn> ${escape_majors_text}
    ${frontend_majors_text} ${PROJECT_SOURCE_DIR})
endif()
