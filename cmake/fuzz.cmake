# Fuzzers of what reads files: tests/fuzz/NAME.cpp with its corpus in tests/fuzz/NAME_corpus.
#
#   fuzz/NAME             by any compiler: runs the corpus and 2000 changed copies of each file
#   fuzz/NAME_libfuzzer   where there is a clang with libFuzzer: some seconds of it, with ASan and UBSan. It
#                         is built by the test fuzz/build, not before; `make fuzz` runs it longer.
# SPDX-License-Identifier: MIT

find_program(CAIRN_CLANGXX NAMES clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14)
set(has_libfuzzer FALSE)
if(CAIRN_CLANGXX AND TARGET cairn_map)
  set(probe ${CMAKE_BINARY_DIR}/fuzz/probe)
  file(WRITE ${probe}.cpp
    "#include <string>\n"
    "extern \"C\" int LLVMFuzzerTestOneInput(const unsigned char*, std::size_t) { return 0; }\n")
  execute_process(
    COMMAND ${CAIRN_CLANGXX} -std=c++20 -fsanitize=fuzzer,address,undefined ${probe}.cpp -o ${probe}
    RESULT_VARIABLE probe_result OUTPUT_QUIET ERROR_QUIET)
  if(probe_result EQUAL 0)
    set(has_libfuzzer TRUE)
  endif()
  add_custom_target(fuzzers)
endif()

# cairn_fuzzer(NAME LIBRARY SOURCES...): the sources are what it needs of the library, for clang to compile.
function(cairn_fuzzer name library)
  if(NOT TARGET ${library})
    return()
  endif()
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/${name}_corpus)
  file(GLOB inputs CONFIGURE_DEPENDS ${corpus}/*)
  add_executable(fuzz_${name} tests/fuzz/${name}.cpp)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_definitions(fuzz_${name} PRIVATE CAIRN_FUZZ_MAIN)
  target_link_libraries(fuzz_${name} PRIVATE ${library})
  add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${inputs})
  set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT 120 LABELS tools)
  if(NOT has_libfuzzer)
    return()
  endif()
  set(fuzzer ${CMAKE_BINARY_DIR}/fuzz/${name})
  set(found ${CMAKE_BINARY_DIR}/fuzz/${name}_found)  # inputs that reach new code, and crashes
  file(MAKE_DIRECTORY ${found})
  list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/ REGEX "^[^/]")
  set(own ${PROJECT_SOURCE_DIR}/tests/fuzz/${name}.cpp)
  add_custom_command(OUTPUT ${fuzzer} DEPENDS ${own} ${library} VERBATIM
    COMMENT "clang compiles the fuzzer ${name}"
    COMMAND ${CAIRN_CLANGXX} -std=c++20 -O1 -g1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
      -I ${PROJECT_SOURCE_DIR}/tools -I ${PROJECT_SOURCE_DIR}/include -DFMT_HEADER_ONLY
      ${own} ${ARGN} ${zstd_library} -o ${fuzzer})
  add_custom_target(fuzzer_${name} DEPENDS ${fuzzer})
  add_dependencies(fuzzers fuzzer_${name})
  add_test(NAME fuzz/${name}_libfuzzer
    COMMAND ${fuzzer} ${found} ${corpus} -max_total_time=4 -seed=1 -max_len=65536 -timeout=20
      -rss_limit_mb=2048 -verbosity=0 -artifact_prefix=${found}/)
  set_tests_properties(fuzz/${name}_libfuzzer PROPERTIES TIMEOUT 60 LABELS tools FIXTURES_REQUIRED fuzzers)
endfunction()

cairn_fuzzer(trace_reader cairn_trace tools/trace/block.cpp tools/trace/reader.cpp tools/trace/statistics.cpp)
cairn_fuzzer(snapshot_reader cairn_map tools/map/heap_file.cpp tools/map/heap_model.cpp tools/map/picture.cpp
  tools/map/page_html.cpp ${CMAKE_BINARY_DIR}/map/page.cpp tools/draw/picture.cpp tools/draw/png.cpp)

if(has_libfuzzer)
  add_test(NAME fuzz/build COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target fuzzers)
  set_tests_properties(fuzz/build PROPERTIES TIMEOUT 300 LABELS tools FIXTURES_SETUP fuzzers)
endif()
