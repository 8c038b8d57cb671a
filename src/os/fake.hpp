// A strict OS for tests: every OS page has a state, and an illegal move aborts with a message.
//
// Links instead of linux*.cpp. Pages are real and fault where they must: nobody touches reserved or prepared
// memory, and memory that was `unused` comes back with junk in it, so that no test relies on what Linux
// happens to do. What Linux does at random, a test orders here: refusals, neighbours, the clock.
//
//   os::fake::reset();                                  // at the start of each test
//   os::fake::fail(Move::map, 3);                       // the third map() from now is refused
//   os::fake::occupy(hint, bytes);                      // somebody else is there
//   os::fake::advance_time(5'000'000'000);              // five seconds later
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::os::fake {

enum class State : std::uint8_t { none, reserved, prepared, ready, foreign };
enum class Move : std::uint8_t {
    alloc, free, reserve, release, map, used, unused, fault, back, want_huge_pages, refuse_huge_pages, any
};
inline constexpr unsigned move_count = static_cast<unsigned>(Move::any) + 1;

// Unmaps all that is ours or foreign, zeroes mapped_ready() and undoes every order given below.
void reset();
// The part of it that concerns clocks, CPUs and the background thread.
void reset_process();

// State of the OS page around `address`.
[[nodiscard]] State state_of(const void* address);
// True when the whole range is in this state.
[[nodiscard]] bool is_all(const void* start, std::size_t bytes, State state);
[[nodiscard]] std::uint64_t bytes_in(State state);
// Highest mapped_ready() since reset().
[[nodiscard]] std::uint64_t ready_peak();
// Calls since reset(), refused ones included. Move::any sums all.
[[nodiscard]] std::uint64_t calls(Move move);

// Refuses the `nth` (1: the next) call of `move` and the `times` - 1 that follow. Only alloc, reserve and map
// can be refused; Move::any counts those three together. An order replaces the one before for the same move.
inline constexpr std::uint64_t for_ever = ~std::uint64_t{0};
void fail(Move move, std::uint64_t nth, std::uint64_t times = 1);

// Somebody else's mapping: a reserve() hint into it is answered elsewhere, or refused.
void occupy(void* start, std::size_t bytes);
void refuse_hints_into_foreign(bool is_refused);

// Both clocks stand still but for these, sleeping, and the cost given to moves. The start is one second.
void set_time(std::uint64_t ns);
void advance_time(std::uint64_t ns);
void set_thread_cpu_time(std::uint64_t ns);
void advance_thread_cpu_time(std::uint64_t ns);
// Each call of `move` takes so long on both clocks.
void set_cost(Move move, std::uint64_t ns_per_call);

// Default: 4096 and 2 MiB, 2 CPUs. `page` must be a multiple of the machine's.
void set_page_bytes(std::size_t page, std::size_t huge_page);
void set_cpu_count(unsigned count);

// spawn_background() is refused unless allowed here; then it only notes its entry, and run_background() calls
// it on the test's thread. Sleeping in it moves the clock; when nothing woke it, it sleeps the whole time.
void allow_background(bool is_allowed);
void run_background();
// Wake-ups since reset().
[[nodiscard]] std::uint64_t wakes();

}  // namespace cairn::os::fake
