// The cases, and how many heap objects a run of each makes with the pass and without it.
// SPDX-License-Identifier: MIT
#include "cases.hpp"

// clang-format off
#define CASES                                     \
    CASE(c01_local, 0, 1)                         \
    CASE(c02_returned, 1, 1)                      \
    CASE(c03_global, 1, 1)                        \
    CASE(c03b_thread_local, 1, 1)                 \
    CASE(c04_unknown, 1, 1)                       \
    CASE(c05a_known, 0, 1)                        \
    CASE(c05b_noescape, 0, 1)                     \
    CASE(c05c_leaks, 1, 1)                        \
    CASE(c06_result, 0, 1)                        \
    CASE(c06b_result_kept, 1, 1)                  \
    CASE(c06c_box, 0, 1)                          \
    CASE(c06d_box_kept, 1, 1)                     \
    CASE(c07a_virtual, 1, 1)                      \
    CASE(c07b_final, 0, 1)                        \
    CASE(c07c_body_elsewhere, 1, 1)               \
    CASE(c08a_function_away, 1, 1)                \
    CASE(c08b_lambda, 0, 1)                       \
    CASE(c08c_function_here, 0, 1)                \
    CASE(c09a_length_100, 1, 1)                   \
    CASE(c09b_array, 0, 1)                        \
    CASE(c10a_64k, 1, 1)                          \
    CASE(c10b_65k, 1, 1)                          \
    CASE(c10c_2k, 1, 1)                           \
    CASE(c10d_2k_leaf, 0, 1)                      \
    CASE(c10e_aligned, 0, 1)                      \
    CASE(c10f_scratch, 0, 3)                      \
    CASE(c10g_frame, 1, 5)                        \
    CASE(c11a_loop, 0, 10)                        \
    CASE(c11b_carried, 10, 11)                    \
    CASE(c11c_after_loop, 0, 7)                   \
    CASE(c11d_zeroed, 0, 10)                      \
    CASE(c11e_carried_in_memory, 10, 10)          \
    CASE(c11f_holder_of_the_round, 0, 10)         \
    CASE(c11g_inner_loop, 25, 25)                 \
    CASE(c12a_list, 10, 10)                       \
    CASE(c12b_two, 0, 2)                          \
    CASE(c12c_barrier, 0, 2)                      \
    CASE(c12d_ring, 0, 2)                         \
    CASE(c12e_self, 0, 1)                         \
    CASE(c12g_ring_away, 2, 2)                    \
    CASE(c12f_ring_kept, 2, 2)                    \
    CASE(c13_cold, 1, 1)                          \
    CASE(c14_recursion_50, 0, 51)                 \
    CASE(c15_phi, 0, 1)                           \
    CASE(c16a_destructor, 1, 1)                   \
    CASE(c16b_finalizer, 1, 1)                    \
    CASE(c16c_heap, 1, 1)                         \
    CASE(c16d_weak, 1, 1)                         \
    CASE(c16e_freed, 0, 1)                        \
    CASE(c16f_kept_alive, 0, 1)                   \
    CASE(c17a_throwing_constructor, 0, 1)         \
    CASE(c17b_constructor_elsewhere, 1, 1)        \
    CASE(c17c_try, 0, 1)                          \
    CASE(c17d_thrown, 1, 1)                       \
    CASE(c18a_number, 1, 1)                       \
    CASE(c18b_compared, 0, 1)                     \
    CASE(c18c_hidden, 1, 1)                       \
    CASE(c18d_byte, 1, 1)                         \
    CASE(c19_parameter, 1, 1)                     \
    CASE(c20a_holder, 0, 1)                       \
    CASE(c20b_holder_leaks, 1, 1)                 \
    CASE(c20c_holder_away, 1, 1)                  \
    CASE(c20d_holder_copied, 1, 1)                \
    CASE(c20e_put_elsewhere, 1, 1)                \
    CASE(c20f_any, 0, 1)                          \
    CASE(c20g_pair, 0, 1)                         \
    CASE(c20h_unique, 0, 1)                       \
    CASE(c21_setjmp, 1, 1)                        \
    CASE(c22_memcpy, 0, 2)                        \
    CASE(c22b_bytes_of_pointers, 1, 1)            \
    CASE(c22c_copied_holder, 0, 1)                \
    CASE(c23_atomic, 0, 2)                        \
    CASE(c24_static, 1, 1)
// clang-format on

#define CASE(name, with_pass, without) long name();
CASES
#undef CASE

#define CASE(name, with_pass, without) {#name, name, with_pass, without},
const Case cases[] = {CASES};
const unsigned case_count = sizeof cases / sizeof *cases;
