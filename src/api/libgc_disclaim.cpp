// Disclaim procedures: asked about each object of their kind before it is reclaimed, and free to refuse.
//
// In the last stop of a cycle
//   1  what objects of a kind that marks from all hold is marked, be they reachable or not; so a chain of
//      them goes one a cycle, and a ring never
//   2  when finalizers and links have had their turn, the objects of such kinds that are still white are the
//      doomed: they are noted, and marked alone, so that this cycle's sweep leaves them
// and later, on threads of the program, holding alloc_lock as the original does:
//   3  the procedure is called. 0: the object is freed. Else it stays; the next cycle looks again. What the
//      program marked itself meanwhile (GC_set_mark_bit) is not asked about.
//
// A doomed object that was not asked about when the next cycle ends is found white again, or is carried over.
// A slot that was freed, and waits for its sweep, is white too, and known by its seal (heap/swept_cache.hpp).
//
// Floor: api. Locks: alloc_lock, or the world stopped.
// SPDX-License-Identifier: MIT
#include <cstring>

#include "api/libgc.hpp"
#include "api/white_objects.hpp"
#include "heap/swept_cache.hpp"

namespace cairn::api::libgc {

namespace {

struct Disclaimer {
    std::atomic<GC_disclaim_proc> call{nullptr};  // [atomic] written under alloc_lock
    bool marks_from_all = false;                  // [lock]
};
constinit Disclaimer disclaimers[most_kinds];
constinit std::atomic<unsigned> disclaimer_count{0};  // [atomic] kinds that have one

// Of an entry in the lists below: the program marked it.
constexpr std::uintptr_t spared_flag = 1;

constinit AddressList lists[2];                     // [lock] the doomed, and room for those of the next cycle
constinit unsigned current = 0;                     // [lock]
constinit std::size_t next_to_ask = 0;              // [lock] in the current list
constinit std::atomic<std::size_t> waiting{0};      // [atomic] from there on; written under the lock
constinit bool is_asking = false;                   // [lock] by the holder of alloc_lock

void set_waiting() {
    waiting.store(lists[current].count() - next_to_ask, std::memory_order_relaxed);  // relaxed: a hint
}

GC_disclaim_proc procedure_of(int kind) {
    if (kind < 0 || kind >= most_kinds) return nullptr;
    return disclaimers[kind].call.load(std::memory_order_acquire);  // acquire: what the program set up for it
}

int kind_of_span(const heap::Span& span) {
    return kind_of_shape(collector().swept().centrals().shapes()[span.shape], span.shape);
}

// Visits every white object of the kinds that `chooses`. Needs: the world stopped.
template <class Choose, class Visit>
void for_each_white_of(Choose chooses, Visit visit) {
    for_each_white(
        [&](const heap::Span& span) {
            const int kind = kind_of_span(span);
            return procedure_of(kind) != nullptr && chooses(kind);
        },
        visit);
}

// What is left of the last cycle's, and would not be found again: marked, but not by the program.
void carry_over(gc::ClientSink& sink, AddressList& into) {
    AddressList& from = lists[current];
    for (std::size_t i = next_to_ask; i < from.count(); ++i) {
        const std::uintptr_t object = from[i];
        if (object == 0 || (object & spared_flag) != 0 || !sink.is_marked(object)) continue;
        if (!into.append(object)) return;
    }
}

// The next to be asked about; 0: none. Needs: alloc_lock.
std::uintptr_t take_doomed() {
    AddressList& list = lists[current];
    while (next_to_ask < list.count()) {
        const std::uintptr_t object = list[next_to_ask++];
        if ((object & spared_flag) == 0 && !heap::SweptCache::was_given_back(object))
            return object;
    }
    return 0;
}

void ask(gc::Mutator& thread, std::uintptr_t address) {
    const Object object = object_of(reinterpret_cast<const void*>(address));
    if (object.start != address) return;
    const GC_disclaim_proc call = procedure_of(kind_of_shape(*object.shape, object.shape_id));
    is_asking = true;
    const bool stays = call != nullptr && call(reinterpret_cast<void*>(address)) != 0;
    is_asking = false;
    if (!stays) free_disclaimed(thread, address);
}

// Needs: alloc_lock. The entry of an object that was not asked about yet.
std::uintptr_t* find_waiting(std::uintptr_t object) {
    // relaxed: under the lock, or a hint for who had no part in what was doomed
    if (waiting.load(std::memory_order_relaxed) == 0) return nullptr;
    return lists[current].find(object, next_to_ask);
}

// ---- GC_finalized_malloc: objects whose first word is a closure, told from others by its lowest bit

constexpr GC_word closure_flag = 1;
constinit std::atomic<int> finalized_kind{0};  // [atomic] 0: none yet

int call_closure(void* object) {
    const GC_word word = *static_cast<const GC_word*>(object);
    if ((word & closure_flag) == 0) return 0;
    const auto* closure = reinterpret_cast<const GC_finalizer_closure*>(word & ~closure_flag);
    closure->proc(static_cast<GC_word*>(object) + 1, closure->cd);
    return 0;
}

}  // namespace

bool is_disclaimed(int kind) {
    // relaxed: who has an object of the kind has seen it registered
    return disclaimer_count.load(std::memory_order_relaxed) != 0 && procedure_of(kind) != nullptr;
}

void mark_from_disclaimed(gc::ClientSink& sink) {
    if (disclaimer_count.load(std::memory_order_relaxed) == 0) return;  // relaxed: the world is stopped
    for_each_white_of([](int kind) { return disclaimers[kind].marks_from_all; },
                      [&](std::uintptr_t object) { sink.scan_fields(object); });
    sink.drain();
}

void find_doomed(gc::ClientSink& sink) {
    if (disclaimer_count.load(std::memory_order_relaxed) == 0) return;  // relaxed: the world is stopped
    AddressList& found = lists[1 - current];
    found.clear();
    carry_over(sink, found);
    for_each_white_of([](int) { return true; },
                      [&](std::uintptr_t object) {
                          (void)found.append(object);  // without memory for it the next cycle finds it
                          sink.mark_only(object);
                      });
    found.sort();
    current = 1 - current;
    next_to_ask = 0;
    set_waiting();
    if (found.count() != 0) note_pending(pending_disclaim);
}

void ask_doomed(bool all) {
    constexpr unsigned most_at_once = 64;  // a stop waits for so many
    constexpr unsigned most_for_one = 1024;
    if (waiting.load(std::memory_order_relaxed) == 0) return;  // relaxed: a hint
    gc::Mutator& thread = self();
    for (unsigned asked = 0; all || asked < most_for_one;) {
        Locked lock(thread);
        if (is_asking) return;  // a procedure that allocates
        for (unsigned i = 0; i < most_at_once; ++i, ++asked) {
            const std::uintptr_t object = take_doomed();
            if (object != 0) ask(thread, object);
            set_waiting();
            if (object == 0) return;
        }
    }
    note_pending(pending_disclaim);
}

bool is_doomed(std::uintptr_t object) {
    if (disclaimer_count.load(std::memory_order_relaxed) == 0) return false;  // relaxed: a hint
    Locked lock(self());
    if (heap::SweptCache::was_given_back(object)) return true;
    const std::uintptr_t* entry = find_waiting(object);
    return entry != nullptr && (*entry & spared_flag) == 0;
}

void set_spared(std::uintptr_t object, bool is_spared) {
    if (waiting.load(std::memory_order_relaxed) == 0) return;  // relaxed: a hint
    Locked lock(self());
    if (std::uintptr_t* entry = find_waiting(object)) *entry = object | (is_spared ? 1 : 0);
}

// It must not be asked about again. A slot that is not given back at once is sealed as if it were: its sweep
// frees it.
void free_disclaimed(gc::Mutator& by, std::uintptr_t object) {
    auto* const pointer = reinterpret_cast<void*>(object);
    const Object found = object_of(pointer);
    if (found.shape == nullptr || found.start != object) return;
    // Whoever gets its place is not meant.
    if (std::uintptr_t* entry = find_waiting(object)) *entry |= spared_flag;
    if (found.shape->slot_bytes == 0) {
        std::memset(pointer, 0, found.bytes);
        heap::SweptCache::seal(object);  // before the memory may be another's
        collector().free(by, pointer);
        return;
    }
    if (heap::SweptCache::was_given_back(object)) return;
    if (!collector().try_free(by, object, found.shape_id)) collector().free(by, pointer);
    if (heap::SweptCache::was_given_back(object)) return;
    std::memset(pointer, 0, found.bytes);
    heap::SweptCache::seal(object);
}

}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

void GC_register_disclaim_proc(int kind, GC_disclaim_proc call, int marks_from_all) {
    Locked lock(self());
    if (kind < 0 || kind >= most_kinds) stop_program("GC_register_disclaim_proc: no such kind");
    if (GC_find_leak != 0) return;
    disclaimers[kind].marks_from_all = marks_from_all != 0;
    disclaimers[kind].call.store(call, std::memory_order_release);  // release: pairs with procedure_of()
    is_free_special.store(true, std::memory_order_relaxed);         // relaxed: the kind has no object yet
    disclaimer_count.fetch_add(1, std::memory_order_relaxed);       // relaxed: a hint beside the procedures
}

// Its kind marks from all, so that what the finalizer sees is whole.
void GC_init_finalized_malloc() {
    Locked lock(self());
    if (finalized_kind.load(std::memory_order_relaxed) != 0) return;  // relaxed: under the lock
    const unsigned kind = GC_new_kind_inner(GC_new_free_list_inner(), GC_DS_LENGTH, 1, 1);
    GC_register_disclaim_proc(static_cast<int>(kind), call_closure, 1);
    finalized_kind.store(static_cast<int>(kind), std::memory_order_release);  // release: the kind is complete
}

void* GC_finalized_malloc(size_t bytes, const GC_finalizer_closure* closure) {
    // acquire: pairs with GC_init_finalized_malloc()
    int kind = finalized_kind.load(std::memory_order_acquire);
    if (kind == 0) {
        GC_init_finalized_malloc();
        kind = finalized_kind.load(std::memory_order_acquire);  // acquire: as above
    }
    if (bytes > SIZE_MAX - sizeof(GC_word)) return out_of_memory(SIZE_MAX);
    auto* object = static_cast<GC_word*>(allocate_kind(bytes + sizeof(GC_word), kind));
    if (object == nullptr) return nullptr;
    *object = reinterpret_cast<GC_word>(closure) | closure_flag;
    return object + 1;
}

}  // extern "C"
