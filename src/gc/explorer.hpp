// Explorer: finds what is reachable once more, slowly and simply, and remembers by which way.
//
//   roots ──▶ queue of { object, word that led to it, who held that word } ──▶ its fields ──▶ the queue's end
//
// Breadth first, so the first way found to an object is a shortest one. It shares with the marker only the
// facts: spans, allocated bits, shapes. Objects are found through span records, what was reached is kept in
// bits of its own (one for 16 bytes), and nothing is prefetched, split or shared. So where the two differ,
// one of them is wrong.
//
// Memory comes from the OS while it runs, 24 bytes an object, and goes back with it.
//
// Needs: the world stopped from the first root to the last question. Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gc/greyer.hpp"
#include "heap/shape.hpp"
#include "heap/span_alloc.hpp"

namespace cairn::gc {

enum class RootKind : std::uint8_t {
    stack,
    registers,
    handle,
    range,
    static_data,
    thread_data,
    finalizer,  // a queued call, or what a finalizable object holds
    ephemeron,  // a value whose key is alive
    other,
};
std::string_view name_of(RootKind kind);

// One step of the way from a root to an object: first the root, then objects.
struct HolderStep {
    bool is_root = false;
    RootKind kind = RootKind::other;  // of a root
    std::uintptr_t holder = 0;        // first byte of the object; of a root the word itself, 0: not known
    std::size_t offset = 0;           // of the word that leads on
    std::size_t bytes = 0;            // of the object's slot
    const char* type_name = nullptr;  // of an object, if known
};

class Explorer {
public:
    Explorer(const heap::SpanAlloc& spans, const heap::Shapes& shapes) : spans_(spans), shapes_(shapes) {}
    ~Explorer();
    Explorer(const Explorer&) = delete;
    Explorer& operator=(const Explorer&) = delete;

    // Takes memory for the bits; false when the OS refuses.
    [[nodiscard]] bool prepare();
    // The OS refused memory meanwhile: what was found is true, but not all.
    [[nodiscard]] bool has_failed() const { return has_failed_; }

    // Words that a cycle was right to pass although an unmarked object is where they point; asked for such
    // words in objects and in static data.
    struct Passed {
        void* context = nullptr;
        bool (*is_passed)(void* context, std::uintptr_t at) = nullptr;
    };
    void let_pass(const Passed& passed) { passed_ = passed; }

    // Every aligned word of the range is a root.
    void add_range(std::uintptr_t low, std::uintptr_t high, RootKind kind);
    void add_word(std::uintptr_t word, RootKind kind);
    // What the object at `start` holds are roots, itself is not.
    void add_fields_of(std::uintptr_t start, RootKind kind);
    // The same as verbs, for those that grey.
    [[nodiscard]] Greyer greyer();

    static constexpr std::uint32_t none = UINT32_MAX;
    // Follows what is queued until `is_wanted(context, object)` or the end; the wanted object's place, or
    // none.
    // May be called again after more roots were added.
    [[nodiscard]] std::uint32_t run(bool (*is_wanted)(void* context, std::uintptr_t object), void* context);
    [[nodiscard]] bool is_reached(std::uintptr_t start) const;
    // Objects reached so far.
    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] std::uintptr_t object(std::uint32_t place) const { return entry(place).object; }

    // Steps of the way to the object of `place`, the root's included and itself not.
    [[nodiscard]] std::size_t path_length(std::uint32_t place) const;
    // Calls visit(number, step) for each, the last first; number 0 is the root's.
    template <class Visit>
    void for_each_step_backwards(std::uint32_t place, Visit visit) const {
        for (std::size_t number = path_length(place); number-- > 0; place = entry(place).parent)
            visit(number, step_to(entry(place)));
    }

private:
    struct Entry {
        std::uintptr_t object;
        std::uintptr_t word;    // where the pointer to it was; 0: unknown
        std::uint32_t parent;   // none: a root
        RootKind kind;
    };
    struct Range {
        std::uintptr_t low;
        std::uintptr_t high;
    };
    static constexpr unsigned block_shift = 16;  // entries in a block: 1.5 MiB
    static constexpr std::size_t block_bytes = sizeof(Entry) << block_shift;
    static constexpr std::size_t directory_bytes = std::size_t{8} << (32 - block_shift);

    [[nodiscard]] Entry& entry(std::uint32_t place) const {
        return blocks_[place >> block_shift][place & ((1u << block_shift) - 1)];
    }
    [[nodiscard]] std::uint64_t* bits_of(std::uintptr_t start) const;
    void reach(std::uintptr_t word, std::uintptr_t at, std::uint32_t parent, RootKind kind);
    [[nodiscard]] bool is_garbage(const CollectedObject& object) const;
    [[nodiscard]] bool is_passed(const CollectedObject& object, std::uintptr_t at, std::uint32_t parent,
                                 RootKind kind) const;
    void append(const Entry& entry);
    void scan(const CollectedObject& object, std::uint32_t parent, RootKind kind);
    [[nodiscard]] HolderStep step_to(const Entry& reached) const;
    void describe(HolderStep& step, std::uintptr_t holder, std::uintptr_t word) const;

    const heap::SpanAlloc& spans_;
    const heap::Shapes& shapes_;
    Passed passed_;
    pages::ObjectMap::Bounds bounds_;
    std::uint64_t** bits_ = nullptr;   // an array for each arena within bounds, made when it is first needed
    std::size_t bits_bytes_ = 0;
    Entry** blocks_ = nullptr;
    std::uint32_t count_ = 0;
    std::uint32_t next_ = 0;           // first entry whose object was not followed
    bool has_failed_ = false;
    os::Stat memory_;
};

}  // namespace cairn::gc
