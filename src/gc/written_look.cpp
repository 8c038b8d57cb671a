// Claiming chunks.
// SPDX-License-Identifier: MIT
#include "gc/written_look.hpp"

#include <algorithm>

#include "base/bits.hpp"

namespace cairn::gc {

namespace {

// Written pages of a chunk below which the others ask as well.
constexpr std::uint64_t few_bytes = 64 * 4096;

}  // namespace

void WrittenLook::open(const pages::ObjectMap& objects, os::DirtyTracker& tracker, WorkPool& pool,
                       std::uintptr_t start, Kind kind) {
    const pages::ObjectMap::Bounds bounds = objects.bounds();
    base::Guard guard(lock_);
    objects_ = &objects;
    tracker_ = &tracker;
    pool_ = &pool;
    end_ = bounds.low + bounds.extent;
    start_ = at_ = start < bounds.low || start > end_ ? bounds.low : start;
    first_ = bounds.low;
    kind_ = kind;
    is_open_.store(true, std::memory_order_relaxed);  // relaxed: set_questions() publishes it
    pool.set_questions(kind == Kind::last && is_left());
}

std::uintptr_t WrittenLook::close() {
    base::Guard guard(lock_);
    is_open_.store(false, std::memory_order_release);  // release: before the world goes on
    pool_->set_questions(false);
    const std::uintptr_t next = at_;
    at_ = end_ = first_ = start_ = 0;
    return next;
}

void WrittenLook::note(const Chunk& chunk, std::uint64_t reported) {
    written_.add(reported);
    asked_.add(chunk.high - chunk.low);
    const bool is_nearly_clean = chunk.kind == Kind::last || reported < few_bytes;
    if (pool_->has_questions() == is_nearly_clean) return;
    base::Guard guard(lock_);
    pool_->set_questions(is_nearly_clean && is_left());
}

WrittenLook::Chunk WrittenLook::claim() {
    base::Guard guard(lock_);
    for (;;) {
        if (at_ >= end_) {
            if (first_ == start_) break;
            at_ = first_;
            end_ = first_ = start_;
        }
        const std::uintptr_t arena = base::align_down(at_, arena_bytes);
        if (!objects_->is_prepared(arena, arena_bytes)) {
            at_ = arena + arena_bytes;
            continue;
        }
        const std::size_t most = kind_ == Kind::last ? last_chunk_bytes : chunk_bytes;
        const std::uintptr_t high = std::min(base::align_down(at_, most) + most, end_);
        const Chunk chunk{at_, high, kind_};
        at_ = high;
        if (!is_left()) pool_->set_questions(false);
        return chunk;
    }
    pool_->set_questions(false);
    return {};
}

}  // namespace cairn::gc
