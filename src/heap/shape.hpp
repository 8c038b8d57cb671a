// Shapes: what all slots of a collected span have in common: size, kind, and where the pointers are.
//
// A span holds slots of one shape, so that an allocation writes no pointer map and a marker finds the map
// from the 2-byte entry of the page. Go writes a bit a word of every object instead; spans by shape cost a
// part-filled span a shape and thread, and save that write and the cache line it needs when marking.
//
//   ids    0 ..  67  noscan, by size class           class 0 (ids 0, 68, 136, 204): large
//         68 .. 135  typed without a known map: every word may be a pointer, but writes are barriered
//        136 .. 203  conservative
//        204 .. 271  noscan whose slots come zeroed, for front ends that promise it
//        272 ..      made as they are first used: typed with a map ("interned": equal maps are one shape),
//                    conservative with a map, deferred and described ones, and others that a front end gave
//                    a tag
//
// A deferred object is scanned by its front end, with the world stopped. Of a described one the front end
// tells the marker, at any time, where its pointers are, which the object itself says. Its tag tells the
// front end how; any other shape may have one too, for a front end that must know its objects again.
//
// When the table is full a new type gets the id 68 + class: slower to scan, as right.
//
// A map covers an element: its first `period_words` words. A single object has one element; an array's slot
// is tiled with it to its end (what lies behind the last element is zero).
//
// Floor: heap. Readers take no lock; a shape is complete before its id is known to anybody.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/lock.hpp"
#include "heap/object_kind.hpp"
#include "heap/size_class.hpp"
#include "pages/metadata.hpp"
#include "pages/object_map.hpp"

namespace cairn::heap {

using ShapeId = std::uint16_t;

inline constexpr unsigned word_bytes = 8;
inline constexpr unsigned first_zeroed_shape = 3 * size_class_count;
inline constexpr unsigned first_mapped_shape = 4 * size_class_count;
inline constexpr unsigned max_shapes = 1024;
static_assert(max_shapes <= pages::max_shape_ids);

constexpr ShapeId shape_of_class(unsigned size_class, ObjectKind kind) {
    return static_cast<ShapeId>(swept_index(kind) * size_class_count + size_class);
}

constexpr ShapeId zeroed_shape_of_class(unsigned size_class) {
    return static_cast<ShapeId>(first_zeroed_shape + size_class);
}
// Slots come as they were left by their last object.
constexpr bool is_unzeroed_shape(ShapeId shape) { return shape < size_class_count; }

// The class of collected objects of `bytes`: 0 is large. Slots start at multiples of 16, a bit each.
constexpr unsigned swept_class_of(std::size_t bytes) {
    return malloc_class_of(bytes < pages::granule_bytes ? pages::granule_bytes : bytes);
}
constexpr bool has_granular_slots(unsigned size_class) {
    return size_class == 0 || size_classes[size_class].object_bytes % pages::granule_bytes == 0;
}

enum class ScanRule : std::uint8_t {
    nothing,     // noscan
    mask,        // `mask` tells all pointers of the slot
    tiles,       // the map again and again to the end of the slot
    every_word,  // each may be a pointer
    deferred,    // the front end knows (gc/client_marking.hpp)
    described,   // the front end reads it from the object (gc/client_marking.hpp)
};

struct alignas(64) Shape {
    std::uint32_t magic = 0;       // [fixed] ceil(2^32 / slot_bytes); 0: large
    std::uint32_t slot_bytes = 0;  // [fixed] 0: large, the span knows
    // [fixed] bit i: word i may hold a pointer; 0: no pointers, or more words than bits
    std::uint64_t mask = 0;
    ScanRule rule = ScanRule::nothing;         // [fixed]
    ObjectKind kind = ObjectKind::explicit_free;  // [fixed]
    std::uint8_t size_class = 0;               // [fixed]
    std::uint8_t tag = 0;                      // [fixed] a number of the front end; 0: none
    std::uint32_t period_words = 0;            // [fixed] words of an element
    bool is_tiled = false;                     // [fixed] map repeats
    const std::uint64_t* map = nullptr;        // [fixed] period_words bits
    const char* type_name = nullptr;           // [fixed] of the first type of this shape; nullptr: unknown
};

// A type's pointers, as the front ends tell them. `words` words of which bit i says word i is a pointer.
struct PointerMap {
    const std::uint64_t* bits = nullptr;
    std::uint32_t words = 0;
    bool is_tiled = false;
    const char* type_name = nullptr;
};

// A set of shapes' ids that grows.
class ShapeIds {
public:
    // Whoever learnt of the id from who added it, or in a stop since, finds it.
    [[nodiscard]] bool holds(unsigned id) const {
        // relaxed: what the caller learnt the id from orders it
        return (words_[id / 64].load(std::memory_order_relaxed) >> (id % 64) & 1) != 0;
    }
    void add(unsigned id) {
        // relaxed: as in holds()
        words_[id / 64].fetch_or(std::uint64_t{1} << id % 64, std::memory_order_relaxed);
    }
    template <class Visit>
    void for_each(Visit visit) const {
        for (unsigned i = 0; i < max_shapes / 64; ++i) {
            std::uint64_t bits = words_[i].load(std::memory_order_relaxed);  // relaxed: as in holds()
            for (; bits != 0; bits &= bits - 1) visit(i * 64 + static_cast<unsigned>(std::countr_zero(bits)));
        }
    }

private:
    std::atomic<std::uint64_t> words_[max_shapes / 64]{};  // [atomic]
};
// Ids from first_mapped_shape on whose objects are conservative: their pages are watched, too. Of the
// process, so that an id alone tells; a shape of another heap that is taken for one costs a look.
inline constinit ShapeIds watched_shapes;

class Shapes {
public:
    constexpr Shapes() = default;

    // False when the OS refuses the table.
    [[nodiscard]] bool initialize(pages::Metadata& metadata);

    [[nodiscard]] const Shape& operator[](unsigned id) const { return table_[id]; }
    [[nodiscard]] const Shape* table() const { return table_; }
    // Ids below this are in use.
    [[nodiscard]] unsigned count() const {
        return count_.load(std::memory_order_acquire);  // acquire: pairs with intern()
    }

    // The id for objects of `size_class` (0: large) with these pointers. No pointer at all: the zeroed noscan
    // id.
    // Cost: a lock and a hash probe; callers keep the answer.
    // `kind`: typed, or conservative where stores have no barrier.
    [[nodiscard]] ShapeId intern(unsigned size_class, const PointerMap& map,
                                 ObjectKind kind = ObjectKind::typed);
    // A new id for objects of `rule`, deferred or described; 0 when the table is full.
    [[nodiscard]] ShapeId make_told(unsigned size_class, ScanRule rule, std::uint8_t tag);
    // A new id for objects like those of `like` that are told by their tag; 0 when the table is full.
    [[nodiscard]] ShapeId make_tagged(ShapeId like, std::uint8_t tag);

    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    static constexpr unsigned hash_slots = 2 * max_shapes;

    [[nodiscard]] bool is_same(const Shape& shape, unsigned size_class, const PointerMap& map,
                               ObjectKind kind) const;
    [[nodiscard]] bool fill(Shape& shape, unsigned size_class, const PointerMap& map, ObjectKind kind);
    [[nodiscard]] ShapeId add(const Shape& shape);

    base::RankedLock<base::Rank::central> lock_;
    Shape* table_ = nullptr;               // [fixed] max_shapes
    std::uint16_t* hash_ = nullptr;        // [lock] ids; 0: empty
    std::atomic<unsigned> count_{0};       // [atomic]
    pages::Metadata* metadata_ = nullptr;  // [fixed]
};

}  // namespace cairn::heap
