// The extendible hash table behind an ephemeron map: probing, removing, growing by halves.
// SPDX-License-Identifier: MIT
#include <new>

#include "base/bits.hpp"
#include "base/check.hpp"
#include "gc/ephemeron.hpp"

namespace cairn::gc {

namespace {

// Where probing starts: bits of the hash that the directory never uses.
unsigned home_of(const EphemeronSegment& segment, std::uint64_t hash) {
    return static_cast<unsigned>(hash) & (segment.slots() - 1);
}

bool bit_at(const EphemeronSegment& segment, unsigned slot) {
    return (segment.open[slot / 64] >> (slot % 64) & 1) != 0;
}

void set_bit(EphemeronSegment& segment, unsigned slot, bool value) {
    const std::uint64_t bit = std::uint64_t{1} << slot % 64;
    if (value) segment.open[slot / 64] |= bit;
    else segment.open[slot / 64] &= ~bit;
}

std::size_t directory_bytes(unsigned depth) {
    return base::align_up(sizeof(EphemeronSegment*) << depth, os::page_bytes());
}

}  // namespace

std::uint64_t Ephemerons::hash_of(std::uintptr_t key) {
    std::uint64_t hash = (key >> pages::granule_shift) * 0x9e37'79b9'7f4a'7c15;
    hash ^= hash >> 32;
    return hash * 0xd6e8'feb8'6659'fd93;
}

EphemeronSegment* Ephemerons::segment_of(const EphemeronMap& map, std::uint64_t hash) {
    return map.directory[map.depth == 0 ? 0 : hash >> (64 - map.depth)];
}

// The slot of the key, or the empty one where it would go. A segment is never full.
unsigned Ephemerons::find_slot(EphemeronSegment& segment, std::uintptr_t key) {
    unsigned slot = home_of(segment, hash_of(key) >> 16);
    while (segment.entries()[slot].key != 0 && segment.entries()[slot].key != key)
        slot = (slot + 1) & (segment.slots() - 1);
    return slot;
}

void Ephemerons::put(EphemeronSegment& segment, const EphemeronEntry& entry, bool is_open) {
    const unsigned slot = find_slot(segment, entry.key);
    CAIRN_ASSERT(segment.entries()[slot].key == 0);
    segment.entries()[slot] = entry;
    set_bit(segment, slot, is_open);
    ++segment.count;
}

// Takes an entry out and moves up whoever could not be at home because of it.
EphemeronEntry Ephemerons::erase(EphemeronMap& map, EphemeronSegment& segment, unsigned slot) {
    const unsigned mask = segment.slots() - 1;
    EphemeronEntry* entries = segment.entries();
    const EphemeronEntry erased = entries[slot];
    unsigned hole = slot;
    for (unsigned next = (slot + 1) & mask; entries[next].key != 0; next = (next + 1) & mask) {
        const unsigned home = home_of(segment, hash_of(entries[next].key) >> 16);
        if (((next - home) & mask) < ((next - hole) & mask)) continue;
        entries[hole] = entries[next];
        set_bit(segment, hole, bit_at(segment, next));
        hole = next;
    }
    entries[hole] = {};
    set_bit(segment, hole, false);
    --segment.count;
    --map.count;
    return erased;
}

// Drops the entries of keys that are gone.
void Ephemerons::purge(EphemeronMap& map, EphemeronSegment& segment) {
    for (unsigned slot = 0; slot < segment.slots();) {
        const EphemeronEntry& entry = segment.entries()[slot];
        // A removal may move an entry here from behind, also around the end: this slot is looked at again.
        const bool is_dead = entry.key != 0 && WeakHandles::is_gone(entry.cell);
        if (is_dead) weak_->release(erase(map, segment, slot).cell);
        else ++slot;
    }
}

// ---- growing

EphemeronSegment* Ephemerons::make_segment(unsigned shift, unsigned depth) {
    void* memory = segment_pools_[shift - EphemeronSegment::min_shift].allocate();
    if (memory == nullptr) return nullptr;
    auto* segment = new (memory) EphemeronSegment;
    segment->shift = shift;
    segment->depth = depth;
    for (unsigned slot = 0; slot < segment->slots(); ++slot) new (&segment->entries()[slot]) EphemeronEntry;
    return segment;
}

void Ephemerons::free_segment(EphemeronSegment* segment) {
    segment_pools_[segment->shift - EphemeronSegment::min_shift].free(segment);
}

void Ephemerons::free_directory(EphemeronMap& map) {
    if (map.directory != map.few) os::free(map.directory, directory_bytes(map.depth), directories_);
}

// Sees to it that one more key with this hash finds a slot. False when the OS refuses memory.
bool Ephemerons::make_room(EphemeronMap& map, std::uint64_t hash) {
    for (;;) {
        EphemeronSegment& segment = *segment_of(map, hash);
        if (!segment.is_full()) return true;
        const std::uint32_t before = segment.count;
        purge(map, segment);
        // Only a purge that was worth it puts growth off.
        if (segment.count <= before - before / 4) return true;
        const bool is_small = segment.shift < EphemeronSegment::max_shift;
        if (!(is_small ? enlarge(map, segment, hash) : split(map, segment, hash))) return false;
    }
}

bool Ephemerons::enlarge(EphemeronMap& map, EphemeronSegment& segment, std::uint64_t hash) {
    EphemeronSegment* larger = make_segment(segment.shift + 1, segment.depth);
    if (larger == nullptr) return false;
    larger->epoch = segment.epoch;
    for (unsigned slot = 0; slot < segment.slots(); ++slot)
        if (segment.entries()[slot].key != 0) put(*larger, segment.entries()[slot], bit_at(segment, slot));
    set_directory(map, hash, larger);
    free_segment(&segment);
    return true;
}

bool Ephemerons::split(EphemeronMap& map, EphemeronSegment& segment, std::uint64_t hash) {
    if (segment.depth == map.depth && !double_directory(map)) return false;
    const unsigned depth = segment.depth + 1;
    EphemeronSegment* halves[2] = {make_segment(segment.shift, depth), make_segment(segment.shift, depth)};
    if (halves[0] == nullptr || halves[1] == nullptr) {
        for (EphemeronSegment* half : halves)
            if (half != nullptr) free_segment(half);
        return false;
    }
    for (unsigned slot = 0; slot < segment.slots(); ++slot) {
        const EphemeronEntry& entry = segment.entries()[slot];
        if (entry.key == 0) continue;
        put(*halves[hash_of(entry.key) >> (64 - depth) & 1], entry, bit_at(segment, slot));
    }
    const std::uint64_t bit = std::uint64_t{1} << (64 - depth);
    for (unsigned half = 0; half < 2; ++half) {
        halves[half]->epoch = segment.epoch;
        set_directory(map, half == 0 ? hash & ~bit : hash | bit, halves[half]);
    }
    free_segment(&segment);
    return true;
}

bool Ephemerons::double_directory(EphemeronMap& map) {
    const unsigned depth = map.depth + 1;
    if (depth > max_depth) return false;
    EphemeronSegment** larger = map.few;
    if (depth > EphemeronMap::inline_depth) {
        larger = static_cast<EphemeronSegment**>(os::alloc(directory_bytes(depth), directories_));
        if (larger == nullptr) return false;
    }
    // Backwards, since the small one doubles in place.
    for (std::size_t at = std::size_t{1} << map.depth; at-- > 0;)
        larger[2 * at + 1] = larger[2 * at] = map.directory[at];
    free_directory(map);
    map.directory = larger;
    map.depth = depth;
    return true;
}

// Points every directory entry with the segment's prefix, which `hash` has, at it.
void Ephemerons::set_directory(EphemeronMap& map, std::uint64_t hash, EphemeronSegment* segment) {
    const std::size_t share = std::size_t{1} << (map.depth - segment->depth);
    const std::size_t first = map.depth == 0 ? 0 : (hash >> (64 - map.depth)) & ~(share - 1);
    for (std::size_t at = first; at < first + share; ++at) map.directory[at] = segment;
}

void Ephemerons::verify(EphemeronMap& map) {
    base::Guard guard(map.lock);
    std::uint64_t count = 0;
    for (std::size_t at = 0; at < std::size_t{1} << map.depth;) {
        EphemeronSegment& segment = *map.directory[at];
        const std::size_t share = std::size_t{1} << (map.depth - segment.depth);
        for (std::size_t i = at; i < at + share; ++i) CAIRN_CHECK(map.directory[i] == &segment);
        std::uint32_t in_segment = 0;
        for (unsigned slot = 0; slot < segment.slots(); ++slot) {
            const EphemeronEntry& entry = segment.entries()[slot];
            CAIRN_CHECK(entry.key != 0 || !bit_at(segment, slot));
            if (entry.key == 0) continue;
            ++in_segment;
            CAIRN_CHECK(segment_of(map, hash_of(entry.key)) == &segment);
            CAIRN_CHECK(find_slot(segment, entry.key) == slot);
        }
        CAIRN_CHECK(in_segment == segment.count && segment.count < segment.slots());
        count += in_segment;
        at += share;
    }
    CAIRN_CHECK(count == map.count);
}

}  // namespace cairn::gc
