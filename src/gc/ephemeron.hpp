// Ephemerons: maps from objects to values in which a value lives only as long as its key does.
//
//   map ─▶ directory ─▶ segment { key, value, weak handle of the key } ...      all outside the heap
//
// The map is no root. While marking, advance() greys the values whose keys are marked; that may mark further
// keys, so the collector drains and calls again until nothing new is found, for the last time with the world
// stopped. Values whose keys stay unmarked are never greyed: a value may refer to its own key without keeping
// it, which no pair of weak and strong pointers can do.
//
// Each entry holds a weak handle of its key. The sweep writes null there before the key's slot can be used
// again, so an entry of a dead key is recognised wherever it is met, without a word from the sweeper; it is
// dropped when its place is wanted, or else when the next mark phase comes by.
//
// The table is an extendible hash: segments of 16 to 512 slots, found by the first bits of the hash; a full
// one of 512 splits in two and the directory of pointers doubles when it must. Nothing ever moves more than
// one segment, so no operation takes longer than a few microseconds, whatever the size of the map.
//
// `open` has a bit for every slot whose value is not known to be greyed in this cycle. Keys that are alive
// are found marked soon, so that in the last stop only entries of dead keys are looked at. A chain in which
// each value is the next key is followed in one go; chains through other objects take one round a link.
//
// Needs: every call is made inside the runtime. Locks: Rank::ephemerons for the list of maps, then the map's.
// Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/list.hpp"
#include "base/lock.hpp"
#include "gc/greyer.hpp"
#include "gc/weak.hpp"
#include "os/memory.hpp"
#include "pages/metadata.hpp"

namespace cairn::gc {

struct EphemeronEntry {
    std::uintptr_t key = 0;  // [lock] start of an object; 0: no entry
    void* value = nullptr;   // [lock]
    WeakCell* cell = nullptr;  // [lock] of the key
};

// Up to 512 entries by linear probing; a removal moves the followers up, so there are no tombstones.
struct EphemeronSegment {
    static constexpr unsigned min_shift = 4;
    static constexpr unsigned max_shift = 9;
    static constexpr unsigned max_slots = 1u << max_shift;

    std::uint32_t shift = min_shift;  // [lock] log2 of slots
    std::uint32_t depth = 0;          // [lock] bits of the hash all its keys share
    std::uint32_t count = 0;          // [lock]
    std::uint32_t epoch = 0;          // [lock] mark phase that `open` speaks of
    std::uint64_t open[max_slots / 64] = {};  // [lock]

    EphemeronEntry* entries() { return reinterpret_cast<EphemeronEntry*>(this + 1); }
    [[nodiscard]] unsigned slots() const { return 1u << shift; }
    [[nodiscard]] bool is_full() const { return count >= slots() - slots() / 4; }
    static constexpr std::size_t bytes(unsigned shift) {
        return sizeof(EphemeronSegment) + (sizeof(EphemeronEntry) << shift);
    }
};

// Opaque to callers.
struct EphemeronMap {
    static constexpr unsigned inline_depth = 2;

    base::ListLink<EphemeronMap> link;                   // [lock] of the list of maps
    base::RankedLock<base::Rank::specials> lock;
    EphemeronSegment** directory = nullptr;              // [lock] 1 << depth pointers; small: few
    EphemeronSegment* few[1u << inline_depth] = {};      // [lock]
    unsigned depth = 0;                                  // [lock]
    std::uint64_t count = 0;                             // [lock] entries, those of dead keys included
};

class Ephemerons {
public:
    constexpr Ephemerons() = default;

    void initialize(heap::SpanAlloc& spans, const pages::ObjectMap& objects, WeakHandles& weak,
                    const MarkPhase& phase);

    // An empty map, nullptr when the OS refuses memory.
    [[nodiscard]] EphemeronMap* create();
    // Needs: nobody uses the map any more.
    void destroy(EphemeronMap* map);

    // The value of the object that `key` points to or into. False, and nullptr, when there is none.
    bool get(EphemeronMap& map, const void* key, void*& value);
    // Binds a value. False when the key is no collected object or the OS refuses memory; nothing has changed.
    [[nodiscard]] bool set(EphemeronMap& map, const void* key, void* value);
    // Takes an entry out. False when there was none.
    bool remove(EphemeronMap& map, const void* key);
    // Entries, with those of dead keys that nobody met yet.
    [[nodiscard]] std::uint64_t count(EphemeronMap& map);

    // Start of a mark phase. Needs: the world stopped.
    void begin_mark();
    // Greys the values of keys that are marked by now, and says how many entries that settled: nothing more
    // to find when it is 0 with the queues empty and the world stopped. Needs: one caller at a time.
    std::size_t advance(const Greyer& greyer);

    // Calls visit(key, value) for every entry of every map; for the reference marker. Needs: the world
    // stopped.
    template <class Visit>
    void for_each_entry(Visit visit);

    void lock_for_fork();
    void unlock_after_fork();
    void reset_locks_after_fork();
    // Checks the map's structure: counts, places, directory.
    void verify(EphemeronMap& map);

private:
    static constexpr unsigned max_depth = 30;
    static constexpr unsigned segment_sizes = EphemeronSegment::max_shift - EphemeronSegment::min_shift + 1;

    [[nodiscard]] static std::uint64_t hash_of(std::uintptr_t key);
    [[nodiscard]] static EphemeronSegment* segment_of(const EphemeronMap& map, std::uint64_t hash);
    [[nodiscard]] static unsigned find_slot(EphemeronSegment& segment, std::uintptr_t key);
    static void put(EphemeronSegment& segment, const EphemeronEntry& entry, bool is_open);
    [[nodiscard]] EphemeronEntry erase(EphemeronMap& map, EphemeronSegment& segment, unsigned slot);
    void purge(EphemeronMap& map, EphemeronSegment& segment);
    [[nodiscard]] bool make_room(EphemeronMap& map, std::uint64_t hash);
    [[nodiscard]] bool enlarge(EphemeronMap& map, EphemeronSegment& segment, std::uint64_t hash);
    [[nodiscard]] bool split(EphemeronMap& map, EphemeronSegment& segment, std::uint64_t hash);
    [[nodiscard]] bool double_directory(EphemeronMap& map);
    void set_directory(EphemeronMap& map, std::uint64_t hash, EphemeronSegment* segment);
    [[nodiscard]] EphemeronSegment* make_segment(unsigned shift, unsigned depth);
    void free_segment(EphemeronSegment* segment);
    void free_directory(EphemeronMap& map);
    [[nodiscard]] EphemeronEntry* find_live_locked(EphemeronMap& map, std::uintptr_t key);
    [[nodiscard]] std::size_t settle(EphemeronMap& map, EphemeronSegment& segment, void** values);
    std::size_t follow(EphemeronMap& map, void* value, const Greyer& greyer);
    [[nodiscard]] bool step(const Greyer& greyer, std::size_t& settled);

    heap::SpanAlloc* spans_ = nullptr;           // [fixed]
    const pages::ObjectMap* objects_ = nullptr;  // [fixed]
    WeakHandles* weak_ = nullptr;                // [fixed]
    const MarkPhase* phase_ = nullptr;           // [fixed]
    base::RankedLock<base::Rank::ephemerons> lock_;
    base::List<EphemeronMap, &EphemeronMap::link> maps_;  // [lock]
    EphemeronMap* cursor_ = nullptr;             // [lock] the map advance() is at
    std::uint64_t position_ = 0;                 // [lock] first hash in it that was not looked at
    std::uint32_t epoch_ = 0;                    // [stopped] number of the mark phase
    pages::TypedPool<EphemeronMap> map_pool_;
    pages::FixedPool segment_pools_[segment_sizes] = {
        pages::FixedPool(EphemeronSegment::bytes(4)), pages::FixedPool(EphemeronSegment::bytes(5)),
        pages::FixedPool(EphemeronSegment::bytes(6)), pages::FixedPool(EphemeronSegment::bytes(7)),
        pages::FixedPool(EphemeronSegment::bytes(8)), pages::FixedPool(EphemeronSegment::bytes(9))};
    os::Stat directories_;                       // [atomic]
};

template <class Visit>
void Ephemerons::for_each_entry(Visit visit) {
    for (EphemeronMap* map = maps_.first(); map != nullptr; map = maps_.next(map)) {
        for (std::size_t at = 0; at < std::size_t{1} << map->depth;) {
            EphemeronSegment* segment = map->directory[at];
            for (unsigned slot = 0; slot < segment->slots(); ++slot) {
                const EphemeronEntry& entry = segment->entries()[slot];
                if (entry.key != 0 && !WeakHandles::is_gone(entry.cell)) visit(entry.key, entry.value);
            }
            at += std::size_t{1} << (map->depth - segment->depth);
        }
    }
}

}  // namespace cairn::gc
