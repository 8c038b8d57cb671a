// Specials: records attached to an object, kept beside the heap: finalizers, weak handles, profile samples
// and others.
//
//   span.specials ─▶ [ offset 0, profile ] ─▶ [ offset 96, finalizer ] ─▶ [ offset 96, cleanup ] ─▶ ...
//
// A span's list is sorted by (offset, kind), so that the records of one object are neighbours and the sweeper
// meets a finalizer, which calls the freeing off, before the others. `offset` is what the record was attached
// to, counted from the span's start; it may lie inside a slot (tiny objects, cleanups of members).
//
// Searches begin where the last one on the span ended, if that is not too far: records are attached, looked
// for and taken off mostly in the order of addresses, and a list may have a thousand.
//
// Locks: a span's list changes and is read under its specials_lock. The sweeper of a span may walk it
// without: nobody adds to a span that is not swept. The arena's has_specials bit of the span's first page is
// kept equal to "the list is not empty" under the same lock.
//
// Floor: heap. Source: Go mheap.go specials (BSD-3).
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "base/lock.hpp"
#include "heap/span.hpp"
#include "heap/span_alloc.hpp"
#include "pages/metadata.hpp"

namespace cairn::heap {

// The order is the order in a list.
enum class SpecialKind : std::uint8_t {
    tiny_block = 1,  // marks a block with tiny objects inside that have records of their own
    finalizer,       // a function to call when the object is unreachable; the object lives until then
    weak_handle,     // an indirection that becomes null when the object is unreachable
    profile,         // the object was sampled: its freeing is counted
    reachable,       // a test asks whether the object was reached
    pin_counter,     // how often the object is pinned beyond the first time
    cleanup,         // a function to call after the object is gone; any number an object
};
inline constexpr std::size_t special_kind_count = 7;

// What all records start with.
struct Special {
    Special* next = nullptr;                  // [lock] specials_lock
    std::uintptr_t offset = 0;                // [fixed] while listed
    SpecialKind kind = SpecialKind::profile;  // [fixed]
};

struct TinyBlockSpecial : Special {
    static constexpr SpecialKind special_kind = SpecialKind::tiny_block;
};
struct FinalizerSpecial : Special {
    static constexpr SpecialKind special_kind = SpecialKind::finalizer;
    void (*function)(void* object, void* argument) = nullptr;  // [fixed]
    void* argument = nullptr;                                  // [fixed] a root while listed
    const void* descriptor = nullptr;                          // [fixed] what the front end needs to call it
};
struct WeakHandleSpecial : Special {
    static constexpr SpecialKind special_kind = SpecialKind::weak_handle;
    std::atomic<void*>* handle = nullptr;  // [fixed]
};
struct ProfileSpecial : Special {
    static constexpr SpecialKind special_kind = SpecialKind::profile;
    void* bucket = nullptr;  // [fixed]
};
struct ReachableSpecial : Special {
    static constexpr SpecialKind special_kind = SpecialKind::reachable;
    bool is_done = false;       // [lock] specials_lock
    bool is_reachable = false;  // [lock] specials_lock
};
struct PinCounterSpecial : Special {
    static constexpr SpecialKind special_kind = SpecialKind::pin_counter;
    std::uint64_t count = 0;  // [lock] specials_lock
};
struct CleanupSpecial : Special {
    static constexpr SpecialKind special_kind = SpecialKind::cleanup;
    void (*function)(void* argument) = nullptr;  // [fixed]
    void* argument = nullptr;                    // [fixed] a root while listed
    std::uint64_t id = 0;                        // [fixed] for taking it back
};

class Specials {
public:
    constexpr Specials() = default;

    void initialize(SpanAlloc& spans);

    // A blank record; nullptr when the OS refuses. Give it back by free() once it is in no list.
    template <class Record>
    [[nodiscard]] Record* make() {
        void* memory = pool(Record::special_kind).allocate();
        if (memory == nullptr) return nullptr;
        Record* record = new (memory) Record;
        record->kind = Record::special_kind;
        return record;
    }
    void free(Special* record) { pool(record->kind).free(record); }

    // Attaches `record` at `address` of `span`. False when there is one of its kind at that address (cleanups
    // may be many). Needs: the object is alive; the span is made sure to be swept here.
    [[nodiscard]] bool add(Span& span, std::uintptr_t address, Special* record);
    // Takes the first record of `kind` at `address` off the list; nullptr when there is none. The caller
    // frees it.
    [[nodiscard]] Special* remove(Span& span, std::uintptr_t address, SpecialKind kind);
    // Takes one record off.  False when it is in the list no more.
    [[nodiscard]] bool remove(Span& span, Special* record);
    // The first record of `kind` at `address`, nullptr when there is none. It stays valid while nobody
    // removes it.
    [[nodiscard]] Special* find(Span& span, std::uintptr_t address, SpecialKind kind);

    // Calls visit(Special&) for the first record of `kind` at `address`, under the span's lock; false when
    // there is none. As in for_each(), visit may not call back.
    template <class Visit>
    bool visit_first(Span& span, std::uintptr_t address, SpecialKind kind, Visit visit) {
        base::Guard guard(span.specials_lock);
        Special* record = *find_link_locked(span, address - span.base, kind);
        if (record == nullptr || !is_at(*record, address - span.base, kind)) return false;
        visit(*record);
        return true;
    }
    // Unlinks the first record of `kind` at `address` for which is_due(Special&), called under the lock.
    template <class Predicate>
    [[nodiscard]] Special* take_first_if(Span& span, std::uintptr_t address, SpecialKind kind,
                                         Predicate is_due) {
        base::Guard guard(span.specials_lock);
        Special** link = find_link_locked(span, address - span.base, kind);
        for (; *link != nullptr && is_at(**link, address - span.base, kind); link = &(*link)->next) {
            if (!is_due(**link)) continue;
            Special* record = *link;
            unlink_locked(span, link);
            return record;
        }
        return nullptr;
    }

    // Calls visit(Special&) in order, under the span's lock: it may not allocate, nor call back here.
    template <class Visit>
    void for_each(Span& span, Visit visit) {
        base::Guard guard(span.specials_lock);
        for (Special* record = span.specials; record != nullptr; record = record->next) visit(*record);
    }

    // Unlinks every record for which is_due(Special&) and returns them as a chain in order: the sweeper's
    // way. Needs: the caller sweeps the span, or nobody minds `is_due` running under the lock.
    template <class Predicate>
    [[nodiscard]] Special* take_if(Span& span, Predicate is_due) {
        base::Guard guard(span.specials_lock);
        span.specials_hint = nullptr;
        Special* taken = nullptr;
        Special** taken_end = &taken;
        for (Special** link = &span.specials; *link != nullptr;) {
            Special* record = *link;
            if (!is_due(*record)) {
                link = &record->next;
                continue;
            }
            *link = record->next;
            record->next = nullptr;
            *taken_end = record;
            taken_end = &record->next;
        }
        if (taken != nullptr && span.specials == nullptr)
            spans_->addresses().set_has_specials(span.base, false);
        return taken;
    }

    // False: no object ever had one. A hint, true for ever once an add() has begun.
    [[nodiscard]] bool were_added() const {
        return were_added_.load(std::memory_order_relaxed);  // relaxed: who added one to an object knows
    }
    // Records of `kind` that exist, listed or not.
    [[nodiscard]] std::uint64_t in_use(SpecialKind kind) const { return pools_[index_of(kind)].in_use(); }

    void reset_locks_after_fork();
    // Checks the span's list: order, kinds, bounds, and the arena's bit.
    void verify(Span& span);

private:
    static constexpr std::size_t index_of(SpecialKind kind) { return static_cast<std::size_t>(kind) - 1; }
    [[nodiscard]] pages::FixedPool& pool(SpecialKind kind) { return pools_[index_of(kind)]; }
    [[nodiscard]] static bool is_at(const Special& record, std::uintptr_t offset, SpecialKind kind) {
        return record.offset == offset && record.kind == kind;
    }
    // The link where a record of (offset, kind) is, or would be put in before.
    [[nodiscard]] static Special** find_link_locked(Span& span, std::uintptr_t offset, SpecialKind kind);
    void unlink_locked(Span& span, Special** link);

    SpanAlloc* spans_ = nullptr;            // [fixed]
    std::atomic<bool> were_added_{false};  // [atomic]
    std::array<pages::FixedPool, special_kind_count> pools_{
        pages::FixedPool{sizeof(TinyBlockSpecial)},  pages::FixedPool{sizeof(FinalizerSpecial)},
        pages::FixedPool{sizeof(WeakHandleSpecial)}, pages::FixedPool{sizeof(ProfileSpecial)},
        pages::FixedPool{sizeof(ReachableSpecial)},  pages::FixedPool{sizeof(PinCounterSpecial)},
        pages::FixedPool{sizeof(CleanupSpecial)}};
};

}  // namespace cairn::heap
