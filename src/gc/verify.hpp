// Verification: the heap checked against its own rules, the marks against a second marking, and who holds
// what.
//
//   check_spans    every collected span: its record, its page entries, its bits, its records, its list
//   check_marks    at the end of marking: every object that can be reached is marked, or the way to it is
//   shown HolderPath     a shortest way from a root to an object
//
// A broken rule ends the program with one line that says where; these are our mistakes, or somebody's write
// to where he has no business.
//
// Floor: gc. Needs: the world stopped, and nobody inside the runtime. Locks: those of specials and lists.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "gc/explorer.hpp"
#include "gc/finalize.hpp"
#include "heap/swept_heap.hpp"

namespace cairn::gc {

// How the collector shows its roots: calls visit(visitor, low, high, kind) for every range there is. What
// finalizers, the queue and ephemerons keep is not among them.
struct RootSource {
    void* context = nullptr;
    void (*enumerate)(void* context,
                      void (*visit)(void* visitor, std::uintptr_t low, std::uintptr_t high, RootKind kind),
                      void* visitor) = nullptr;
};

// What was seen; 0 objects: memory for the second marking was refused, nothing is known.
struct MarkCheck {
    std::size_t reachable_objects = 0;
};

class Verifier {
public:
    Verifier(heap::SweptHeap& heap, Finalizer& finalizer, const RootSource& roots)
        : heap_(heap), finalizer_(finalizer), roots_(roots) {}

    // Walks all spans. `is_sweep_done`: none may be unswept.
    void check_spans(bool is_sweep_done);
    // Marks again. Needs: marking is complete, and no span was swept since.
    MarkCheck check_marks(const Explorer::Passed& passed = {});

private:
    friend class HolderPath;

    // One span's checks, each of which stops the program.
    void check_record(heap::Span& span, bool is_sweep_done) const;
    void check_entries(const heap::Span& span) const;
    void check_bits(const heap::Span& span) const;
    void check_specials(heap::Span& span);
    void check_lists(bool is_sweep_done);

    void add_roots(Explorer& explorer, bool with_stacks) const;
    // Reaches everything, ephemerons' values too, until something is wanted.
    [[nodiscard]] std::uint32_t explore(Explorer& explorer, bool (*is_wanted)(void*, std::uintptr_t),
                                        void* context) const;

    heap::SweptHeap& heap_;
    Finalizer& finalizer_;
    RootSource roots_;
};

// The way from a root to an object. It is looked for with the world stopped and may be read afterwards.
class HolderPath {
public:
    HolderPath() = default;
    ~HolderPath();
    HolderPath(const HolderPath&) = delete;
    HolderPath& operator=(const HolderPath&) = delete;

    // Finds a shortest way to the object that `address` points into. One that does not begin on a stack is
    // preferred, since whoever asks has the address on his own. False when there is none or memory is
    // refused.
    [[nodiscard]] bool find(Verifier& verifier, std::uintptr_t address);

    // The root's step and those of the objects between; the object itself is not among them.
    [[nodiscard]] std::size_t length() const { return length_; }
    [[nodiscard]] const HolderStep& operator[](std::size_t i) const { return steps_[i]; }

private:
    [[nodiscard]] bool keep(const Explorer& explorer, std::uint32_t place);

    HolderStep* steps_ = nullptr;
    std::size_t length_ = 0;
    std::size_t bytes_ = 0;
    os::Stat memory_;
};

}  // namespace cairn::gc
