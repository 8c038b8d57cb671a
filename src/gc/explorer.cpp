// Following pointers breadth first.
// SPDX-License-Identifier: MIT
#include "gc/explorer.hpp"

#include "base/bits.hpp"
#include "base/check.hpp"
#include "heap/central.hpp"
#include "os/memory.hpp"

namespace cairn::gc {

namespace {

using heap::word_bytes;

constexpr std::size_t arena_bit_bytes = pages::arena_bytes / pages::granule_bytes / 8;

bool is_pointer_word(const heap::Shape& shape, std::size_t word) {
    switch (shape.rule) {
    case heap::ScanRule::nothing: return false;
    case heap::ScanRule::every_word: return true;
    case heap::ScanRule::deferred:
    case heap::ScanRule::described: return false;  // the front end alone knows
    case heap::ScanRule::mask: return word < 64 && (shape.mask >> word & 1) != 0;
    case heap::ScanRule::tiles: break;
    }
    if (!shape.is_tiled && word >= shape.period_words) return false;
    const std::size_t in_period = word % shape.period_words;
    return (shape.map[in_period / 64] >> (in_period % 64) & 1) != 0;
}

[[gnu::no_sanitize("thread", "address")]] std::uintptr_t load_word(std::uintptr_t at) {
    return __atomic_load_n(reinterpret_cast<const std::uintptr_t*>(at), __ATOMIC_RELAXED);
}

}  // namespace

std::string_view name_of(RootKind kind) {
    switch (kind) {
    case RootKind::stack: return "stack";
    case RootKind::registers: return "register";
    case RootKind::handle: return "handle";
    case RootKind::range: return "range";
    case RootKind::static_data: return "static data";
    case RootKind::thread_data: return "thread data";
    case RootKind::finalizer: return "finalizer";
    case RootKind::ephemeron: return "ephemeron";
    case RootKind::other: break;
    }
    return "root";
}

bool Explorer::prepare() {
    bounds_ = spans_.objects().bounds();
    const std::size_t arenas = bounds_.extent / pages::arena_bytes + 1;
    bits_bytes_ = base::align_up(arenas * sizeof(std::uint64_t*), os::page_bytes());
    bits_ = static_cast<std::uint64_t**>(os::alloc(bits_bytes_, memory_));
    blocks_ = static_cast<Entry**>(os::alloc(directory_bytes, memory_));
    has_failed_ = bits_ == nullptr || blocks_ == nullptr;
    return !has_failed_;
}

Explorer::~Explorer() {
    if (bits_ != nullptr) {
        for (std::size_t arena = 0; arena <= bounds_.extent / pages::arena_bytes; ++arena)
            if (bits_[arena] != nullptr) os::free(bits_[arena], arena_bit_bytes, memory_);
        os::free(bits_, bits_bytes_, memory_);
    }
    if (blocks_ == nullptr) return;
    for (std::uint64_t first = 0; first < count_; first += std::uint64_t{1} << block_shift)
        os::free(blocks_[first >> block_shift], block_bytes, memory_);
    os::free(blocks_, directory_bytes, memory_);
}

// The word of bits that has the granule of `start`; nullptr: its arena has none yet.
std::uint64_t* Explorer::bits_of(std::uintptr_t start) const {
    std::uint64_t* arena = bits_[(start - bounds_.low) / pages::arena_bytes];
    if (arena == nullptr) return nullptr;
    return &arena[start % pages::arena_bytes >> (pages::granule_shift + 6)];
}

bool Explorer::is_reached(std::uintptr_t start) const {
    if (!bounds_.holds(start)) return false;
    const std::uint64_t* bits = bits_of(start);
    return bits != nullptr && (*bits & pages::ObjectMap::bit(start)) != 0;
}

// An object that the last cycle left unmarked in a span that is not swept yet: a stale word's.
bool Explorer::is_garbage(const CollectedObject& object) const {
    // relaxed: the world is stopped
    const std::uint32_t heap_generation = spans_.sweep_generation.load(std::memory_order_relaxed);
    // relaxed: nobody sweeps meanwhile
    const std::uint32_t generation = object.span->sweep_generation.load(std::memory_order_relaxed);
    return heap::sweep_state(generation, heap_generation) == heap::SweepState::unswept &&
           !spans_.objects().is_marked(object.start);
}

bool Explorer::is_passed(const CollectedObject& object, std::uintptr_t at, std::uint32_t parent,
                         RootKind kind) const {
    if (passed_.is_passed == nullptr || (parent == none && kind != RootKind::static_data)) return false;
    return !spans_.objects().is_marked(object.start) && passed_.is_passed(passed_.context, at);
}

void Explorer::append(const Entry& entry) {
    Entry*& block = blocks_[count_ >> block_shift];
    if (count_ == none) has_failed_ = true;
    else if (block == nullptr) block = static_cast<Entry*>(os::alloc(block_bytes, memory_));
    if (has_failed_ || block == nullptr) {
        has_failed_ = true;
        return;
    }
    block[count_ & ((1u << block_shift) - 1)] = entry;
    ++count_;
}

void Explorer::reach(std::uintptr_t word, std::uintptr_t at, std::uint32_t parent, RootKind kind) {
    if (!bounds_.holds(word) || has_failed_) return;
    const CollectedObject object = object_at(spans_, spans_.objects(), word);
    if (!object || is_garbage(object) || is_passed(object, at, parent, kind)) return;
    if (bits_of(object.start) == nullptr) {
        void* bits = os::alloc(arena_bit_bytes, memory_);
        has_failed_ = bits == nullptr;
        if (has_failed_) return;
        bits_[(object.start - bounds_.low) / pages::arena_bytes] = static_cast<std::uint64_t*>(bits);
    }
    std::uint64_t& bits = *bits_of(object.start);
    const std::uint64_t bit = pages::ObjectMap::bit(object.start);
    if ((bits & bit) != 0) return;
    bits |= bit;
    append({object.start, at, parent, kind});
}

void Explorer::scan(const CollectedObject& object, std::uint32_t parent, RootKind kind) {
    const heap::Shape& shape = shapes_[object.span->shape];
    if (shape.rule == heap::ScanRule::nothing) return;
    const std::size_t words = object.span->slot_bytes / word_bytes;
    for (std::size_t word = 0; word < words; ++word) {
        const std::uintptr_t at = object.start + word * word_bytes;
        if (is_pointer_word(shape, word)) reach(load_word(at), at, parent, kind);
    }
}

void Explorer::add_range(std::uintptr_t low, std::uintptr_t high, RootKind kind) {
    for (std::uintptr_t at = base::align_up(low, word_bytes); at + word_bytes <= high; at += word_bytes)
        reach(load_word(at), at, none, kind);
}

void Explorer::add_word(std::uintptr_t word, RootKind kind) { reach(word, 0, none, kind); }

void Explorer::add_fields_of(std::uintptr_t start, RootKind kind) {
    const CollectedObject object = object_at(spans_, spans_.objects(), start);
    if (object) scan(object, none, kind);
}

Greyer Explorer::greyer() {
    return {this,
            [](void* self, std::uintptr_t word) {
                static_cast<Explorer*>(self)->add_word(word, RootKind::finalizer);
            },
            [](void* self, std::uintptr_t object) {
                static_cast<Explorer*>(self)->add_fields_of(object, RootKind::finalizer);
            }};
}

std::uint32_t Explorer::run(bool (*is_wanted)(void*, std::uintptr_t), void* context) {
    for (; next_ < count_ && !has_failed_; ++next_) {
        const std::uintptr_t start = entry(next_).object;
        if (is_wanted(context, start)) return next_++;
        scan(object_at(spans_, spans_.objects(), start), next_, RootKind::other);
    }
    return none;
}

// ---- the way back

std::size_t Explorer::path_length(std::uint32_t place) const {
    std::size_t length = 1;
    for (; entry(place).parent != none; place = entry(place).parent) ++length;
    return length;
}

void Explorer::describe(HolderStep& step, std::uintptr_t holder, std::uintptr_t word) const {
    const CollectedObject object = object_at(spans_, spans_.objects(), holder);
    if (!object) return;
    step.holder = object.start;
    step.offset = word - object.start;
    step.bytes = object.span->slot_bytes;
    step.type_name = shapes_[object.span->shape].type_name;
}

HolderStep Explorer::step_to(const Entry& reached) const {
    HolderStep step;
    step.is_root = reached.parent == none;
    step.kind = reached.kind;
    step.holder = reached.word;
    // A root word may lie in an object: in a finalizable one.
    const std::uintptr_t holder = step.is_root ? reached.word : entry(reached.parent).object;
    if (holder != 0) describe(step, holder, reached.word);
    return step;
}

}  // namespace cairn::gc
