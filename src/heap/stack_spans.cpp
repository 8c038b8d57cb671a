// Stacks for fibers: pieces of small spans by bit masks, large ones by lists of their spans.
//
// Of a span of ours inline_bits[0] says which pieces are free, [1] which are guarded; alloc_count counts
// those that are out.
// SPDX-License-Identifier: MIT
#include "heap/stack_spans.hpp"

#include "base/check.hpp"
#include "os/memory.hpp"
#include "os/threads.hpp"

namespace cairn::heap {

namespace {

constexpr std::size_t mark_words = 8;
constexpr std::size_t mark_bytes = mark_words * sizeof(std::uintptr_t);
constexpr std::uintptr_t mark_pattern = 0x57ac'0f10'57ac'0f10;
constexpr std::size_t least_pages_for_guard = 4;
constexpr std::size_t half_cached_bytes = StackSpans::cached_bytes / 2;

std::uintptr_t* words_at(std::uintptr_t address) { return reinterpret_cast<std::uintptr_t*>(address); }

// Where the link of an idle stack of a thread lies: at the high end, which is backed and never guarded.
std::uintptr_t& link_of(std::uintptr_t high) { return words_at(high)[-1]; }

void set_mark(std::uintptr_t start) {
    for (std::size_t i = 0; i < mark_words; ++i) words_at(start)[i] = mark_pattern ^ start;
}

// True when the stack is guarded now; else it has its mark.
bool protect(std::uintptr_t start, std::size_t bytes) {
    const std::size_t page = os::page_bytes();
    if (bytes >= least_pages_for_guard * page && os::guard_pages(reinterpret_cast<void*>(start), page))
        return true;
    set_mark(start);
    return false;
}

[[noreturn]] void fail(const char* what, const FiberStack& stack) {
    base::Message text;
    text << what << ": fiber stack of " << std::uint64_t{stack.bytes} << " bytes at 0x";
    text.hex(stack.start);
    base::fatal(text.view());
}

}  // namespace

bool StackSpans::is_intact(const FiberStack& stack) {
    if (stack.is_guarded) return true;
    for (std::size_t i = 0; i < mark_words; ++i)
        if (words_at(stack.start)[i] != (mark_pattern ^ stack.start)) return false;
    return true;
}

FiberStack StackSpans::described(std::uintptr_t start, std::size_t bytes) const {
    const Span* span = spans_->span_of(start);
    const bool is_guarded = (span->inline_bits[1] >> ((start - span->base) / bytes) & 1) != 0;
    return {start, bytes, is_guarded ? os::page_bytes() : mark_bytes, is_guarded};
}

FiberStack StackSpans::allocate(StackCache* cache, std::size_t bytes) {
    if (bytes > largest_bytes) return {};
    bytes = round_up(bytes);
    const unsigned order = order_of(bytes);
    if (order >= small_orders) return take_large(cache, bytes);
    if (cache == nullptr) return take_piece(order);
    StackCache::Order& kept = cache->small[order];
    if (kept.first == 0) refill(kept, order);
    if (kept.first == 0) return {};
    const std::uintptr_t high = kept.first;
    kept.first = link_of(high);
    kept.bytes -= bytes;
    return described(high - bytes, bytes);
}

void StackSpans::free(StackCache* cache, const FiberStack& stack, bool may_free_spans) {
    if (!is_intact(stack)) fail("stack overflow", stack);
    const unsigned order = order_of(stack.bytes);
    if (order >= small_orders) {
        if (cache == nullptr || stack.bytes > kept_large_bytes) {
            give_large(stack, may_free_spans);
            return;
        }
        if (cache->large_count == StackCache::kept_large) {
            give_large(cache->large[0], may_free_spans);
            for (unsigned i = 1; i < StackCache::kept_large; ++i) cache->large[i - 1] = cache->large[i];
            --cache->large_count;
        }
        cache->large[cache->large_count++] = stack;
        return;
    }
    StackCache::Order one;
    StackCache::Order& kept = cache != nullptr ? cache->small[order] : one;
    link_of(stack.high()) = kept.first;
    kept.first = stack.high();
    kept.bytes += stack.bytes;
    if (cache == nullptr) give_back(kept, order, 0, may_free_spans);
    else if (kept.bytes > cached_bytes) give_back(kept, order, half_cached_bytes, may_free_spans);
}

void StackSpans::flush(StackCache& cache, bool may_free_spans) {
    for (unsigned order = 0; order < small_orders; ++order)
        give_back(cache.small[order], order, 0, may_free_spans);
    while (cache.large_count > 0) give_large(cache.large[--cache.large_count], may_free_spans);
}

// ---- small ones

void StackSpans::refill(StackCache::Order& kept, unsigned order) {
    while (kept.bytes < half_cached_bytes) {
        const FiberStack stack = take_piece(order);
        if (!stack) return;
        link_of(stack.high()) = kept.first;
        kept.first = stack.high();
        kept.bytes += stack.bytes;
    }
}

void StackSpans::give_back(StackCache::Order& kept, unsigned order, std::size_t down_to,
                           bool may_free_spans) {
    const std::size_t bytes = bytes_of(order);
    while (kept.bytes > down_to) {
        const std::uintptr_t high = kept.first;
        kept.first = link_of(high);
        kept.bytes -= bytes;
        give_piece(high - bytes, order, may_free_spans);
    }
}

FiberStack StackSpans::take_piece(unsigned order) {
    const std::size_t bytes = bytes_of(order);
    for (;;) {
        {
            base::Guard guard(lock_);
            if (Span* span = pool_[order].first(); span != nullptr) {
                const auto piece = static_cast<unsigned>(std::countr_zero(span->inline_bits[0]));
                span->inline_bits[0] &= span->inline_bits[0] - 1;
                ++span->alloc_count;
                if (span->inline_bits[0] == 0) pool_[order].remove(span);
                in_use_bytes_.add(bytes);
                idle_bytes_.subtract(bytes);
                return described(span->base + piece * bytes, bytes);
            }
        }
        if (!add_span(order)) return {};
    }
}

bool StackSpans::add_span(unsigned order) {
    Span* span = spans_->allocate(small_span_bytes / base::page_bytes, ObjectKind::manual, 0, nullptr);
    if (span == nullptr) return false;
    const std::size_t bytes = bytes_of(order);
    const std::size_t pieces = small_span_bytes / bytes;
    span->inline_bits[0] = (std::uint64_t{1} << pieces) - 1;
    span->inline_bits[1] = 0;
    for (std::size_t i = 0; i < pieces; ++i)
        span->inline_bits[1] |= std::uint64_t{protect(span->base + i * bytes, bytes)} << i;
    idle_bytes_.add(small_span_bytes);
    base::Guard guard(lock_);
    pool_[order].push_front(span);
    return true;
}

void StackSpans::give_piece(std::uintptr_t start, unsigned order, bool may_free_spans) {
    const std::size_t bytes = bytes_of(order);
    Span* span = spans_->span_of(start);
    {
        base::Guard guard(lock_);
        const std::uint64_t bit = std::uint64_t{1} << ((start - span->base) / bytes);
        if ((span->inline_bits[0] & bit) != 0) fail("freed twice", {start, bytes});
        if (span->inline_bits[0] == 0) pool_[order].push_front(span);
        span->inline_bits[0] |= bit;
        in_use_bytes_.subtract(bytes);
        idle_bytes_.add(bytes);
        // One empty span of a size stays, for the next fiber.
        if (--span->alloc_count > 0 || !may_free_spans || pool_[order].count() == 1) return;
        pool_[order].remove(span);
        idle_bytes_.subtract(small_span_bytes);
    }
    free_span(span, bytes);
}

// ---- large ones

FiberStack StackSpans::take_large(StackCache* cache, std::size_t bytes) {
    for (unsigned i = cache != nullptr ? cache->large_count : 0; i-- > 0;) {
        if (cache->large[i].bytes != bytes) continue;
        const FiberStack stack = cache->large[i];
        for (--cache->large_count; i < cache->large_count; ++i) cache->large[i] = cache->large[i + 1];
        return stack;
    }
    Span* span = nullptr;
    {
        base::Guard guard(lock_);
        span = large_[order_of(bytes) - small_orders].pop_front();
        if (span != nullptr) idle_bytes_.subtract(bytes);
    }
    if (span == nullptr) {
        span = spans_->allocate(bytes / base::page_bytes, ObjectKind::manual, 0, nullptr);
        if (span == nullptr) return {};
        span->inline_bits[1] = protect(span->base, bytes);
    }
    in_use_bytes_.add(bytes);
    return described(span->base, bytes);
}

void StackSpans::give_large(const FiberStack& stack, bool may_free_spans) {
    Span* span = spans_->span_of(stack.start);
    CAIRN_CHECK(span != nullptr && span->base == stack.start && span->bytes() == stack.bytes);
    in_use_bytes_.subtract(stack.bytes);
    if (may_free_spans && idle_bytes() + stack.bytes > idle_bytes_max) {
        free_span(span, stack.bytes);
        return;
    }
    idle_bytes_.add(stack.bytes);
    base::Guard guard(lock_);
    large_[order_of(stack.bytes) - small_orders].push_front(span);
}

// ---- spans

void StackSpans::free_span(Span* span, std::size_t stack_bytes) {
    const std::size_t page = os::page_bytes();
    for (std::uint64_t guarded = span->inline_bits[1]; guarded != 0; guarded &= guarded - 1) {
        const auto piece = static_cast<unsigned>(std::countr_zero(guarded));
        os::unguard_pages(reinterpret_cast<void*>(span->base + piece * stack_bytes), page);
    }
    spans_->free(span);
}

void StackSpans::free_all(Spans& spans, std::size_t stack_bytes) {
    while (Span* span = spans.pop_front()) {
        idle_bytes_.subtract(span->bytes());
        free_span(span, stack_bytes);
    }
}

void StackSpans::trim() {
    for (unsigned order = 0; order < small_orders; ++order) {
        Spans empty;
        {
            base::Guard guard(lock_);
            for (Span* span = pool_[order].first(); span != nullptr;) {
                Span* const next = Spans::next(span);
                if (span->alloc_count == 0) {
                    pool_[order].remove(span);
                    empty.push_back(span);
                }
                span = next;
            }
        }
        free_all(empty, bytes_of(order));
    }
    for (unsigned i = 0; i < large_orders; ++i) {
        Spans idle;
        {
            base::Guard guard(lock_);
            idle.take_all(large_[i]);
        }
        free_all(idle, bytes_of(small_orders + i));
    }
}

}  // namespace cairn::heap
