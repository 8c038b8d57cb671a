// The map's operations, and marking through it. The table itself is in ephemeron_table.cpp.
// SPDX-License-Identifier: MIT
#include "gc/ephemeron.hpp"

#include <bit>
#include <new>

#include "heap/central.hpp"

namespace cairn::gc {

namespace {

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

}  // namespace

void Ephemerons::initialize(heap::SpanAlloc& spans, const pages::ObjectMap& objects, WeakHandles& weak,
                            const MarkPhase& phase) {
    spans_ = &spans;
    objects_ = &objects;
    weak_ = &weak;
    phase_ = &phase;
    map_pool_.initialize(spans.metadata());
    for (pages::FixedPool& pool : segment_pools_) pool.initialize(spans.metadata());
}

EphemeronMap* Ephemerons::create() {
    EphemeronMap* memory = map_pool_.allocate();
    if (memory == nullptr) return nullptr;
    EphemeronSegment* segment = make_segment(EphemeronSegment::min_shift, 0);
    if (segment == nullptr) {
        map_pool_.free(memory);
        return nullptr;
    }
    auto* map = new (memory) EphemeronMap;
    map->few[0] = segment;
    map->directory = map->few;
    base::Guard guard(lock_);
    maps_.push_back(map);
    return map;
}

void Ephemerons::destroy(EphemeronMap* map) {
    {
        base::Guard guard(lock_);
        if (cursor_ == map) {
            cursor_ = maps_.next(map);
            position_ = 0;
        }
        maps_.remove(map);
    }
    // advance() may still be in it; no more after this.
    { base::Guard wait(map->lock); }
    for (std::size_t at = 0; at < std::size_t{1} << map->depth;) {
        EphemeronSegment* segment = map->directory[at];
        at += std::size_t{1} << (map->depth - segment->depth);
        for (unsigned slot = 0; slot < segment->slots(); ++slot)
            if (segment->entries()[slot].key != 0) weak_->release(segment->entries()[slot].cell);
        free_segment(segment);
    }
    free_directory(*map);
    map_pool_.free(map);
}

// An entry whose cell is null belongs to an object that had the address before: it is dropped here.
EphemeronEntry* Ephemerons::find_live_locked(EphemeronMap& map, std::uintptr_t key) {
    EphemeronSegment& segment = *segment_of(map, hash_of(key));
    const unsigned slot = find_slot(segment, key);
    EphemeronEntry* entry = &segment.entries()[slot];
    if (entry->key == 0) return nullptr;
    if (!WeakHandles::is_gone(entry->cell)) return entry;
    weak_->release(erase(map, segment, slot).cell);
    return nullptr;
}

bool Ephemerons::get(EphemeronMap& map, const void* key, void*& value) {
    value = nullptr;
    const CollectedObject object = object_at(*spans_, *objects_, number(key));
    if (!object) return false;
    heap::ensure_swept(*object.span, *spans_);
    {
        base::Guard guard(map.lock);
        const EphemeronEntry* entry = find_live_locked(map, object.start);
        if (entry == nullptr) return false;
        value = entry->value;
    }
    if (phase_->is_marking()) phase_->greyer()(value);
    return true;
}

bool Ephemerons::set(EphemeronMap& map, const void* key, void* value) {
    const CollectedObject object = object_at(*spans_, *objects_, number(key));
    if (!object) return false;
    WeakCell* cell = weak_->create(reinterpret_cast<void*>(object.start));
    if (cell == nullptr) return false;
    WeakCell* spare = cell;
    bool is_set = true;
    {
        base::Guard guard(map.lock);
        if (EphemeronEntry* entry = find_live_locked(map, object.start)) {
            entry->value = value;
        } else if (make_room(map, hash_of(object.start))) {
            // Not open: the value is greyed below.
            put(*segment_of(map, hash_of(object.start)), {object.start, value, cell}, false);
            ++map.count;
            spare = nullptr;
        } else {
            is_set = false;
        }
    }
    if (spare != nullptr) weak_->release(spare);
    if (is_set && phase_->is_marking()) phase_->greyer()(value);
    return is_set;
}

bool Ephemerons::remove(EphemeronMap& map, const void* key) {
    const CollectedObject object = object_at(*spans_, *objects_, number(key));
    if (!object) return false;
    heap::ensure_swept(*object.span, *spans_);
    WeakCell* cell = nullptr;
    {
        base::Guard guard(map.lock);
        if (find_live_locked(map, object.start) == nullptr) return false;
        EphemeronSegment& segment = *segment_of(map, hash_of(object.start));
        cell = erase(map, segment, find_slot(segment, object.start)).cell;
    }
    weak_->release(cell);
    return true;
}

std::uint64_t Ephemerons::count(EphemeronMap& map) {
    base::Guard guard(map.lock);
    return map.count;
}

// ---- marking

void Ephemerons::begin_mark() { ++epoch_; }

// Collects the values of open entries whose keys are marked.
std::size_t Ephemerons::settle(EphemeronMap& map, EphemeronSegment& segment, void** values) {
    if (segment.epoch != epoch_) {
        purge(map, segment);
        segment.epoch = epoch_;
        for (unsigned slot = 0; slot < segment.slots(); ++slot)
            if (segment.entries()[slot].key != 0) segment.open[slot / 64] |= std::uint64_t{1} << slot % 64;
    }
    std::size_t found = 0;
    for (unsigned word = 0; word * 64 < segment.slots(); ++word) {
        // All keys of the word at once, or every one would wait for its own cache miss.
        for (std::uint64_t bits = segment.open[word]; bits != 0; bits &= bits - 1) {
            const auto slot = word * 64 + static_cast<unsigned>(std::countr_zero(bits));
            __builtin_prefetch(&objects_->pair(segment.entries()[slot].key));
        }
        for (std::uint64_t bits = segment.open[word]; bits != 0; bits &= bits - 1) {
            const EphemeronEntry& entry =
                segment.entries()[word * 64 + static_cast<unsigned>(std::countr_zero(bits))];
            if (!objects_->is_marked(entry.key)) continue;
            values[found++] = entry.value;
            segment.open[word] &= ~(bits & (~bits + 1));
        }
    }
    return found;
}

// Greys `value`, and when it is itself a key of the map, the value of that, and so on. Returns: entries
// settled.
std::size_t Ephemerons::follow(EphemeronMap& map, void* value, const Greyer& greyer) {
    for (std::size_t settled = 0;; ++settled) {
        greyer(value);
        const CollectedObject object = object_at(*spans_, *objects_, number(value));
        if (!object) return settled;
        base::Guard guard(map.lock);
        EphemeronSegment& segment = *segment_of(map, hash_of(object.start));
        const unsigned slot = find_slot(segment, object.start);
        const std::uint64_t bit = std::uint64_t{1} << slot % 64;
        if (segment.epoch != epoch_ || (segment.open[slot / 64] & bit) == 0) return settled;
        segment.open[slot / 64] &= ~bit;
        value = segment.entries()[slot].value;
    }
}

// Looks at one segment; false when the last map is done.
bool Ephemerons::step(const Greyer& greyer, std::size_t& settled) {
    void* values[EphemeronSegment::max_slots];
    lock_.lock();
    EphemeronMap* map = cursor_;
    if (map == nullptr) {
        lock_.unlock();
        return false;
    }
    map->lock.lock();
    EphemeronSegment* segment = segment_of(*map, position_);
    // All hashes with the segment's prefix are done; an overflow says that they were the last.
    const std::uint64_t share = segment->depth == 0 ? 0 : std::uint64_t{1} << (64 - segment->depth);
    position_ = (position_ & ~(share - 1)) + share;
    if (position_ == 0) cursor_ = maps_.next(map);
    lock_.unlock();
    // In the first round most values settle by themselves: following each would cost more than it saves.
    const bool is_first_round = segment->epoch != epoch_;
    const std::size_t found = settle(*map, *segment, values);
    map->lock.unlock();
    for (std::size_t i = 0; i < found; ++i) {
        if (is_first_round) greyer(values[i]);
        else settled += follow(*map, values[i], greyer);
    }
    settled += found;
    return true;
}

std::size_t Ephemerons::advance(const Greyer& greyer) {
    {
        base::Guard guard(lock_);
        cursor_ = maps_.first();
        position_ = 0;
    }
    std::size_t settled = 0;
    while (step(greyer, settled)) {
    }
    return settled;
}

// ---- fork

void Ephemerons::lock_for_fork() {
    lock_.lock();
    for (EphemeronMap* map = maps_.first(); map != nullptr; map = maps_.next(map)) map->lock.lock();
}

void Ephemerons::unlock_after_fork() {
    for (EphemeronMap* map = maps_.first(); map != nullptr; map = maps_.next(map)) map->lock.unlock();
    lock_.unlock();
}

void Ephemerons::reset_locks_after_fork() {
    for (EphemeronMap* map = maps_.first(); map != nullptr; map = maps_.next(map))
        map->lock.reset_after_fork();
    lock_.reset_after_fork();
    map_pool_.reset_lock_after_fork();
    for (pages::FixedPool& pool : segment_pools_) pool.reset_lock_after_fork();
}

}  // namespace cairn::gc
