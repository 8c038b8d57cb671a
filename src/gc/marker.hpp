// Marker: takes grey words, marks what they lead to and scans it, with many cache misses in flight.
//
//   words ──prefetch bits──▶ ring of 64 ──▶ find the start, mark ──prefetch object──▶ batch of 16
//     ▲                                                                                   │
//     └──────────────────────────── words found inside ◀── scan ◀─────────────────────────┘
//
// The line with the bits of a word's own granule is prefetched, and by the time the word comes out of the
// ring it is there. A bit is set only where an object starts; so where that one is, the start is found. Any
// other word is resolved without touching the object: the 2-byte entry of its page and a multiplication. A
// mark is tested before it is set, since a locked instruction costs twenty times a test. Only an object
// newly marked is fetched itself, for every other word leads to a marked one. Measured: 9 times the objects a
// second of a stack without a ring.
//
// A list has one word at a time, and all of that is in its way: follow_list() goes from object to object.
//
// Every word is believed only as far as the object map goes: outside of the heap, in no span, in a slot that
// is not allocated, it leads nowhere. So a stale word costs nothing but memory.
//
// The fields are read while the program writes them: relaxed atomic loads, and what is missed is found by the
// barrier or by the dirty pages.
//
// Floor: gc. One marker, one thread. Source: prefetch ring: Cher, Hosking & Vitek 2004; the rest measured
// here.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "gc/deferred_objects.hpp"
#include "gc/work_pool.hpp"
#include "heap/shape.hpp"
#include "pages/address_space.hpp"
#include "pages/object_map.hpp"

namespace cairn::gc {

class RootJobs;
class WrittenLook;
struct ClientMarking;

// What all markers share; constant while marking.
struct MarkSpace {
    const pages::AddressSpace* addresses = nullptr;
    const pages::ObjectMap* objects = nullptr;
    const heap::Shapes* shapes = nullptr;
    WorkPool* pool = nullptr;
    DeferredObjects* deferred = nullptr;  // where a front end has such objects
    const ClientMarking* client = nullptr;  // which then is here
    WrittenLook* look = nullptr;
    const RootJobs* roots = nullptr;
};

// What a marker did.
struct MarkCount {
    std::uint64_t marked_bytes = 0;
    std::uint64_t marked_objects = 0;
    std::uint64_t scanned_bytes = 0;  // looked at for pointers

    void add(const MarkCount& other) {
        marked_bytes += other.marked_bytes;
        marked_objects += other.marked_objects;
        scanned_bytes += other.scanned_bytes;
    }
};

// Start of the slot that holds `address`, and its shape; 0: no slot there.
struct Slot {
    std::uintptr_t start = 0;
    std::uint32_t shape = 0;
};

class Marker {
public:
    explicit Marker(const MarkSpace& space)
        : space_(space), bounds_(space.objects->bounds()) {}
    // Needs: flushed.
    ~Marker() = default;
    Marker(const Marker&) = delete;
    Marker& operator=(const Marker&) = delete;

    // A word that may be a pointer.
    void push(std::uintptr_t word);
    // Every aligned word of [low, high): a stack, registers, static data. A word that points just behind an
    // array's last element counts for the array, unless it is tiny and conservative.
    void push_roots(std::uintptr_t low, std::uintptr_t high);
    // push_roots() for the root set, which knows of no markers.
    static void push_root_words(void* marker, std::uintptr_t low, std::uintptr_t high) {
        static_cast<Marker*>(marker)->push_roots(low, high);
    }
    // Scans the fields of the object that holds `address` without marking it: a finalizable object's
    // referents.
    void scan_fields(std::uintptr_t address);
    // Scans what lies in [low, high) of every marked object there again: memory written since it was scanned.
    void rescan(std::uintptr_t low, std::uintptr_t high);

    // Has the same done by and by, by whichever marker comes to it. Needs: whole OS pages.
    void add_written(std::uintptr_t low, std::uintptr_t high);
    // Until it is ended: asks which pages were written, when nothing else is left, until all is known.
    void lead_look(bool is_leader) { leads_look_ = is_leader; }
    // Marks the object that starts there, and counts it as scanned.
    void mark_only(std::uintptr_t object);

    // Scans the roots of a job in the pool; false: there is none.
    [[nodiscard]] bool scan_next_roots();
    // Marks and scans until `scan_bytes` are scanned or nothing is left here and in the pool; true: dry.
    bool drain(std::size_t scan_bytes);
    // Gives everything to the pool.
    void flush();
    // Bounds of the heap as they are now; for markers that live long.
    void refresh() { bounds_ = space_.objects->bounds(); }

    MarkCount count;

    // The slot of an address within bounds; start 0: no collected span is there.
    [[nodiscard, gnu::always_inline]] static Slot resolve(const MarkSpace& space, std::uintptr_t address) {
        const std::uint32_t entry = space.objects->entry(address);
        if (entry == 0) return {};
        const std::uint32_t id = pages::object_entry_shape(entry);
        const std::uint32_t page = entry & pages::object_entry_page_mask;
        if (page == pages::object_entry_large) [[unlikely]] return resolve_large(space, address, id);
        const heap::Shape& shape = (*space.shapes)[id];
        const std::uint64_t offset = page << base::page_shift | (address & (base::page_bytes - 1));
        const std::uint64_t index = offset * shape.magic >> 32;
        return {address - offset + index * shape.slot_bytes, id};
    }

private:
    class PendingMarks;

    static constexpr unsigned ring_size = 64;
    static constexpr unsigned batch_size = 16;

    [[nodiscard]] static Slot locate(const MarkSpace& space, const pages::ObjectMap::View& map,
                                     const heap::Shape* shapes, std::uintptr_t word);
    [[nodiscard]] static Slot start_of(const MarkSpace& space, const pages::ObjectMap::View& map,
                                       const heap::Shape* shapes, std::uintptr_t word);
    template <class Visit>
    static void for_each_field(const heap::Shape& shape, std::uintptr_t start, Visit visit);
    [[nodiscard]] static Slot resolve_large(const MarkSpace& space, std::uintptr_t address, std::uint32_t id);

    [[nodiscard]] static bool set_mark(const pages::ObjectMap::View& map, std::uintptr_t start);
    void push_root(std::uintptr_t word);
    void push_inside(std::uintptr_t word);
    void keep(std::uintptr_t word);
    WorkBuffer* keep_slow(std::uintptr_t word);
    const heap::Shape* mark_white(std::uintptr_t word);
    void mark_unscanned(std::uintptr_t word);
    void feed(std::uintptr_t word);
    [[nodiscard]] bool refill_ring();
    [[nodiscard]] bool take_work();
    [[nodiscard]] bool rescan_next();
    [[nodiscard]] bool ask_next();
    void share();
    void drain_ring(std::size_t visits);
    [[nodiscard]] bool is_list() const;
    void follow_list(std::size_t visits);
    void scan_new(std::uintptr_t start, const heap::Shape& shape);
    // Scans [from, to) of the object at `base`.
    void scan(const heap::Shape& shape, std::uintptr_t base, std::uintptr_t from, std::uintptr_t to);
    void scan_mask(std::uint64_t mask, std::uintptr_t base);
    void scan_words(std::uintptr_t low, std::uintptr_t high);
    void scan_tiles(const heap::Shape& shape, std::uintptr_t base, std::uintptr_t from, std::uintptr_t to);
    void scan_described(const heap::Shape& shape, std::uintptr_t base, std::uintptr_t from,
                        std::uintptr_t to);

    // Words within bounds whose bits are on their way.
    struct Awaited {
        unsigned count = 0;  // grows without end
        std::uintptr_t words[ring_size];
    };
    void rescan_words(Awaited& awaited, std::uintptr_t low, std::uintptr_t high);
    void look_at(const pages::ObjectMap::View& map, std::uintptr_t word);
    void push_if_white(std::uintptr_t word);
    void look_at_rest(Awaited& awaited);
    void rescan_slots(Awaited& awaited, const heap::Span& span, std::uintptr_t low, std::uintptr_t high);
    void rescan_spans(Awaited& awaited, std::uintptr_t low, std::uintptr_t high);

    const MarkSpace space_;
    pages::ObjectMap::Bounds bounds_;
    WorkBuffer* buffer_ = nullptr;
    WorkBuffer* pages_ = nullptr;  // page runs
    std::size_t gathered_pages_ = 0;  // of late; see add_written()
    bool leads_look_ = false;
    std::uint64_t asked_bytes_ = 0;  // of written pages that the kernel told us of
    unsigned head_ = 0;   // of the ring; grows without end
    unsigned tail_ = 0;
    unsigned marked_count_ = 0;  // in the batch whose turn it is
    unsigned turn_ = 0;
    std::uintptr_t ring_[ring_size]; // words within bounds, whose bits are on their way
    Slot batches_[2][batch_size];    // marked, to be scanned: one is filled while the other is scanned
};

}  // namespace cairn::gc
