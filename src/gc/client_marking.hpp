// Client marking: what a front end adds to a cycle when its programs bring roots, marking procedures and an
// order of finalizers of their own, as those of the Boehm collector do.
//
//   may_begin       before a cycle; false: not now
//   push_roots      stop 1 and each stop 2: words and ranges that are roots
//   scan_deferred   each stop 2, and ahead of time in stop 1: one object of ScanRule::deferred, or of
//                   ScanRule::described that says so
//   describe        while marking, beside the program: where an object of ScanRule::described has pointers
//   all_marked      stop 2, when nothing is left to mark: what is white now is unreachable. May mark more
//   ended           stop 2, after the sweep has begun
//   event           as a cycle goes on (CycleEvent)
//
// All but the first, `describe` and the last are called with the world stopped, by the thread that runs the
// cycle, which may be none of the program's. `describe` is called by any thread, and takes no lock. None may
// allocate. Whatever the program may change while it runs has to be told again in stop 2, since no write into
// it is noticed.
//
// Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::gc {

class Collector;
class Marker;

// The marker, as far as such calls need it.
class ClientSink {
public:
    ClientSink(Collector& collector, Marker& marker) : collector_(collector), marker_(marker) {}

    // A word that may be a pointer; every word of [low, high).
    void push(std::uintptr_t word);
    void push_range(std::uintptr_t low, std::uintptr_t high);
    // Pushes what the object that starts at `object` holds, but does not mark it.
    void scan_fields(std::uintptr_t object);
    // Whether the object is marked. Needs: `object` is the start of a slot that is in use.
    [[nodiscard]] bool is_marked(std::uintptr_t object) const;
    // Marks the object without a look into it.
    void mark_only(std::uintptr_t object);
    // Marks what was pushed and all it leads to.
    void drain();
    // What the last cycle found reachable is marked.
    [[nodiscard]] bool is_young() const;
    // What this one found reachable will be taken for marked by young ones. Known when all is marked.
    [[nodiscard]] bool ages() const;

private:
    Collector& collector_;
    Marker& marker_;
};

// Where an object of ScanRule::described has pointers, as it says itself.
struct Description {
    enum class Form : std::uint8_t { nothing, every_word, map, deferred };
    Form form = Form::nothing;
    std::uint64_t words = 0;            // from the object's start; of the map
    const std::uint64_t* map = nullptr; // bit i: word i may be a pointer; nullptr: `bits` is the map
    std::uint64_t bits = 0;
};

// In this order, but for stops: each has its four, and a concurrent cycle marks between two or more of them.
// With a lock of ours held: none. `begins` comes again where the first stop is put off.
enum class CycleEvent : std::uint8_t {
    begins,
    stops,        // all threads are asked to
    has_stopped,  // or they go on all the same (stop_failed)
    stop_failed,
    marks,        // in the first stop
    has_marked,   // in the last one; nothing is freed yet
    resumes,
    has_resumed,
    sweeps,
    ends,  // all is swept
};

struct ClientMarking {
    bool (*may_begin)() = [] { return true; };
    void (*push_roots)(ClientSink& sink) = [](ClientSink&) {};
    void (*scan_deferred)(ClientSink& sink, std::uintptr_t object, unsigned tag) =
        [](ClientSink&, std::uintptr_t, unsigned) {};
    Description (*describe)(std::uintptr_t object, std::size_t bytes, unsigned tag) =
        [](std::uintptr_t, std::size_t, unsigned) { return Description{}; };
    void (*all_marked)(ClientSink& sink) = [](ClientSink&) {};
    void (*ended)() = [] {};
    void (*event)(CycleEvent event) = [](CycleEvent) {};
};

}  // namespace cairn::gc
