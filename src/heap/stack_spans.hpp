// Stacks for fibers: manual spans cut by powers of two, guarded at their low end, kept for the next fiber.
//
//   2, 4, 8, 16 KiB    pieces of 32 KiB spans:   a thread's list -> the spans with free pieces -> a new span
//   32 KiB .. 1 GiB    a span each:              a thread's few  -> the list of that size      -> a new span
//
// The low end. A stack of at least four OS pages gives the lowest up as a guard: an overflow faults. Below
// that a guard would take half of the stack or more, so the lowest words hold a mark instead, looked at when
// the stack is given back: an overflow is found late, but found. The same where the kernel refuses guards.
//
//   start            low()                                            high()
//    | guard or mark | usable, grows downward                          |
//
// What is kept stays guarded and backed. While a mark phase runs nothing goes back to the page heap: the
// collector may hold an address of it, which must not meet another span. trim() does that once it is over.
//
// Floor: heap. Locks: Rank::stacks; a thread's cache is its own. Source: Go stack.go (BSD-3): orders, the
// 32 KiB spans, caching half, and when to free. Guards are ours: Go's compiler checks instead.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/list.hpp"
#include "base/lock.hpp"
#include "base/telemetry.hpp"
#include "heap/span_alloc.hpp"

namespace cairn::heap {

struct FiberStack {
    std::uintptr_t start = 0;
    std::size_t bytes = 0;       // a power of two
    std::size_t low_bytes = 0;   // of them the guard, or the mark
    bool is_guarded = false;

    explicit operator bool() const { return bytes != 0; }
    [[nodiscard]] std::uintptr_t low() const { return start + low_bytes; }
    [[nodiscard]] std::uintptr_t high() const { return start + bytes; }
};

// What one thread keeps.
struct StackCache {
    static constexpr unsigned small_orders = 4;
    static constexpr unsigned kept_large = 4;

    struct Order {
        std::uintptr_t first = 0;   // [owner] high end of a stack, linked through the word below it
        std::size_t bytes = 0;      // [owner]
    };
    Order small[small_orders];      // [owner]
    FiberStack large[kept_large];   // [owner]
    unsigned large_count = 0;       // [owner]
};

class StackSpans {
public:
    static constexpr std::size_t smallest_bytes = std::size_t{2} << 10;
    static constexpr std::size_t largest_bytes = std::size_t{1} << 30;
    static constexpr std::size_t small_span_bytes = std::size_t{32} << 10;
    static constexpr std::size_t cached_bytes = std::size_t{32} << 10;       // a thread's, of one small order
    static constexpr std::size_t kept_large_bytes = std::size_t{256} << 10;  // the largest a thread keeps
    static constexpr std::size_t idle_bytes_max = std::size_t{8} << 20;      // large ones, in all lists

    constexpr StackSpans() = default;
    void initialize(SpanAlloc& spans) { spans_ = &spans; }

    // Takes a stack of `bytes` rounded up to a power of two, guard or mark included. `cache` may be nullptr.
    // Returns none when the OS refuses, or above 1 GiB.
    [[nodiscard]] FiberStack allocate(StackCache* cache, std::size_t bytes);
    // Gives it back. Stops the program when the stack ran over its mark. `may_free_spans`: no mark phase
    // runs.
    void free(StackCache* cache, const FiberStack& stack, bool may_free_spans);
    // Gives all that a thread keeps to the lists, as before it ends.
    void flush(StackCache& cache, bool may_free_spans);
    // Gives all idle spans back to the page heap. Needs: no mark phase runs.
    void trim();

    [[nodiscard]] static std::size_t round_up(std::size_t bytes) {
        return bytes <= smallest_bytes ? smallest_bytes : std::bit_ceil(bytes);
    }
    // False when the stack ran over its mark; guarded ones would have faulted.
    [[nodiscard]] static bool is_intact(const FiberStack& stack);

    // Bytes of stacks in use (a thread's cached ones too), and in the lists.
    [[nodiscard]] std::uint64_t in_use_bytes() const { return in_use_bytes_.value(); }
    [[nodiscard]] std::uint64_t idle_bytes() const { return idle_bytes_.value(); }

    void lock() { lock_.lock(); }
    void unlock() { lock_.unlock(); }
    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    static constexpr unsigned small_orders = StackCache::small_orders;
    static constexpr unsigned large_orders = 16;  // 32 KiB to 1 GiB
    using Spans = base::List<Span, &Span::link>;

    [[nodiscard]] static unsigned order_of(std::size_t bytes) {
        return static_cast<unsigned>(std::countr_zero(bytes / smallest_bytes));
    }
    [[nodiscard]] static std::size_t bytes_of(unsigned order) { return smallest_bytes << order; }
    [[nodiscard]] FiberStack take_piece(unsigned order);
    void give_piece(std::uintptr_t start, unsigned order, bool may_free_spans);
    [[nodiscard]] bool add_span(unsigned order);
    [[nodiscard]] FiberStack take_large(StackCache* cache, std::size_t bytes);
    void give_large(const FiberStack& stack, bool may_free_spans);
    void refill(StackCache::Order& kept, unsigned order);
    void give_back(StackCache::Order& kept, unsigned order, std::size_t down_to, bool may_free_spans);
    void free_span(Span* span, std::size_t stack_bytes);
    void free_all(Spans& spans, std::size_t stack_bytes);
    [[nodiscard]] FiberStack described(std::uintptr_t start, std::size_t bytes) const;

    base::RankedLock<base::Rank::stacks> lock_;
    SpanAlloc* spans_ = nullptr;    // [fixed]
    Spans pool_[small_orders];      // [lock] spans with free pieces
    Spans large_[large_orders];     // [lock] idle ones
    base::Counter in_use_bytes_;    // [atomic]
    base::Counter idle_bytes_;      // [atomic]
};

}  // namespace cairn::heap
