// Finalizers in the orders of the Boehm collector, and toggle references.
//
//   order         looked at as if     queued when it is unreachable, and
//   normal        it held its fields  nothing else that waits for a finalizer reaches it, itself included
//   ignore_self   likewise            likewise, but it may point to itself
//   no_order      it held nothing     at once
//   unreachable   it held its fields  nothing that is finalized reaches it
//
// In the last stop of a cycle, when all that is reachable is marked (finish_finalizers):
//   1  toggle references become strong or weak, as the client says
//   2  short links to what is white become null
//   3  what finalizable objects hold is marked; those that are white still are queued
//   4  what is queued is marked, with all it holds: its finalizer will see it whole
//   5  links that lie in what is white are forgotten, then long links to what is white become null
//
// Calls are made by a thread of the client: GC_invoke_finalizers, or on its way through an allocation.
//
// Floor: api. Locks: alloc_lock, or the world stopped.
// SPDX-License-Identifier: MIT
#include "api/address_table.hpp"
#include "api/libgc.hpp"

namespace cairn::api::libgc {

namespace {

enum class Order : std::uint8_t { normal, ignore_self, no_order, unreachable };

struct Record {
    Record* next;            // [lock] in the queue
    std::uintptr_t object;   // [lock]
    GC_finalization_proc call;  // [lock]
    void* data;              // [lock] a root
    Order order;             // [lock]
};

struct Entry {
    Record* record;  // [lock]
};

constinit AddressTable<Entry> table;           // [lock] alloc_lock
constinit pages::TypedPool<Record> pool;
constinit bool is_pool_ready = false;          // [lock] alloc_lock
constinit Record* queue_first = nullptr;       // [lock] alloc_lock
constinit Record* queue_last = nullptr;        // [lock] alloc_lock
constinit Record* first_untold = nullptr;      // [lock] alloc_lock; in the queue
constinit std::atomic<std::size_t> queued{0};  // [atomic] written under the lock

struct Toggle {
    std::uintptr_t object;
    bool is_strong;
};
constinit AddressTable<Toggle> toggles;        // [lock] alloc_lock
constinit GC_toggleref_func toggle_call = nullptr;
constinit GC_await_finalize_proc await_call = nullptr;

Record* make_record() {
    if (!is_pool_ready) pool.initialize(runtime.heap.spans().metadata());
    is_pool_ready = true;
    return pool.allocate();
}

void enqueue(Record* record) {
    record->next = nullptr;
    if (queue_last == nullptr) queue_first = record;
    else queue_last->next = record;
    queue_last = record;
    if (first_untold == nullptr) first_untold = record;
    queued.fetch_add(1, std::memory_order_relaxed);  // relaxed: a hint beside the lock
}

void set_finalizer(void* object, GC_finalization_proc call, void* data, GC_finalization_proc* old_call,
                   void** old_data, Order order) {
    if (GC_find_leak != 0) return;  // as in the original, the old ones unsaid
    GC_finalization_proc before = nullptr;
    void* data_before = nullptr;
    bool is_refused = false;
    const Object found = object_of(object);
    const auto start = reinterpret_cast<std::uintptr_t>(object);
    if (found.start == start && start != 0) {
        Locked lock(self());
        if (Entry* known = table.find(start)) {
            Record* record = known->record;
            before = record->call;
            data_before = record->data;
            if (call == nullptr) {
                table.remove(start);
                pool.free(record);
            } else {
                *record = {nullptr, start, call, data, order};
            }
        } else if (call != nullptr) {
            Record* record = make_record();
            Entry* fresh = record == nullptr ? nullptr : table.add(start);
            is_refused = fresh == nullptr;
            if (is_refused && record != nullptr) pool.free(record);
            if (!is_refused) {
                is_free_special.store(true, std::memory_order_relaxed);  // relaxed: the caller has the object
                *record = {nullptr, start, call, data, order};
                fresh->record = record;
            }
        }
    }
    if (old_call != nullptr) *old_call = before;
    if (old_data != nullptr) *old_data = data_before;
    if (is_refused) (void)out_of_memory(sizeof(Record));
}

// ---- in the stop

void sift_toggles(gc::ClientSink& sink) {
    if (toggles.count() == 0 || toggle_call == nullptr) return;
    using Toggles = AddressTable<Toggle>;
    toggles.sift([](const Toggles::Entry&) {},
                 [&](Toggles::Entry& entry) {
                     const auto status = toggle_call(reinterpret_cast<void*>(entry.value.object));
                     if (status == GC_TOGGLE_REF_DROP) return true;
                     entry.value.is_strong = status == GC_TOGGLE_REF_STRONG;
                     if (entry.value.is_strong) sink.push(entry.value.object);
                     return false;
                 });
    sink.drain();
}

void drop_dead_toggles(gc::ClientSink& sink) {
    using Toggles = AddressTable<Toggle>;
    toggles.sift([](const Toggles::Entry&) {},
                 [&](const Toggles::Entry& entry) { return !sink.is_marked(entry.value.object); });
}

// Marks what an object holds, as its order wants it.
void mark_held(gc::ClientSink& sink, const Record& record) {
    switch (record.order) {
    case Order::no_order: return;
    case Order::ignore_self: {
        const Object object = object_of(reinterpret_cast<const void*>(record.object));
        if (object.shape->rule != heap::ScanRule::nothing) {
            const auto* words = reinterpret_cast<const std::uintptr_t*>(object.start);
            for (std::size_t i = 0; i < object.bytes / sizeof(void*); ++i)
                if (words[i] - object.start >= object.bytes) sink.push(words[i]);
            break;
        }
        sink.scan_fields(record.object);
        break;
    }
    case Order::normal:
    case Order::unreachable: sink.scan_fields(record.object); break;
    }
    sink.drain();
}

// Unlinks those that are white still into a list.
Record* take_white(gc::ClientSink& sink) {
    Record* taken = nullptr;
    using Table = AddressTable<Entry>;
    table.sift([](const Table::Entry& entry) { __builtin_prefetch(entry.value.record); },
               [&](const Table::Entry& entry) {
                   if (sink.is_marked(entry.address)) return false;
                   entry.value.record->next = taken;
                   taken = entry.value.record;
                   return true;
               });
    return taken;
}

// Those of order `unreachable` that others hold, which are finalized now, wait on.
void mark_taken(gc::ClientSink& sink, Record* taken) {
    for (Record* record = taken; record != nullptr; record = record->next) {
        if (record->order == Order::unreachable) continue;
        sink.push(record->object);
    }
    sink.drain();
    while (taken != nullptr) {
        Record* record = taken;
        taken = record->next;
        if (record->order == Order::unreachable && sink.is_marked(record->object)) {
            table.add(record->object)->record = record;  // there is room: it came from there
            continue;
        }
        if (record->order == Order::unreachable) {
            sink.push(record->object);
            sink.drain();
        }
        enqueue(record);
    }
}

}  // namespace

void push_finalizers(gc::ClientSink& sink) {
    table.for_each([&](const AddressTable<Entry>::Entry& entry) {
        sink.push(reinterpret_cast<std::uintptr_t>(entry.value.record->data));
        sink.push(reinterpret_cast<std::uintptr_t>(entry.value.record->call));
    });
    for (const Record* record = queue_first; record != nullptr; record = record->next) {
        sink.push(record->object);
        sink.push(reinterpret_cast<std::uintptr_t>(record->data));
    }
    toggles.for_each([&](const AddressTable<Toggle>::Entry& entry) {
        if (entry.value.is_strong) sink.push(entry.value.object);
    });
}

void finish_finalizers(gc::ClientSink& sink) {
    mark_from_disclaimed(sink);
    sift_toggles(sink);
    const bool may_dangle = clear_links(sink, false);
    bool has_cycle = false;
    table.for_each([&](const AddressTable<Entry>::Entry& entry) {
        if (sink.is_marked(entry.address)) return;
        mark_held(sink, *entry.value.record);
        const bool is_own = entry.value.record->order == Order::normal && sink.is_marked(entry.address);
        if (is_own) note_finalization_cycle(entry.address);
        has_cycle |= is_own;
    });
    const std::size_t before = queued.load(std::memory_order_relaxed);  // relaxed: the world is stopped
    if (Record* taken = take_white(sink)) mark_taken(sink, taken);
    drop_dangling_links(sink, false, may_dangle);
    drop_dead_toggles(sink);
    drop_dangling_links(sink, true, clear_links(sink, true));
    find_doomed(sink);
    find_leaks(sink);
    if (has_cycle) note_pending(pending_warning);
    // relaxed: the world is stopped
    if (queued.load(std::memory_order_relaxed) != before || before != 0) note_pending(pending_finalizers);
}

// Before any of their finalizers, by a thread of the program. The original does so in the cycle.
void tell_of_queued() {
    while (first_untold != nullptr) {
        const Record* record = first_untold;
        first_untold = record->next;
        if (await_call == nullptr) continue;
        Calling now;
        await_call(reinterpret_cast<void*>(record->object));
    }
}

std::size_t finalizer_count() { return table.count(); }

bool has_finalizers() { return table.count() != 0; }

void forget_finalizer(std::uintptr_t object) {
    Entry* known = table.find(object);
    if (known == nullptr) return;
    pool.free(known->record);
    table.remove(object);
}

}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

void GC_register_finalizer(void* object, GC_finalization_proc call, void* data,
                           GC_finalization_proc* old_call, void** old_data) {
    set_finalizer(object, call, data, old_call, old_data, Order::normal);
}
void GC_register_finalizer_ignore_self(void* object, GC_finalization_proc call, void* data,
                                       GC_finalization_proc* old_call, void** old_data) {
    set_finalizer(object, call, data, old_call, old_data, Order::ignore_self);
}
void GC_register_finalizer_no_order(void* object, GC_finalization_proc call, void* data,
                                    GC_finalization_proc* old_call, void** old_data) {
    set_finalizer(object, call, data, old_call, old_data, Order::no_order);
}
void GC_register_finalizer_unreachable(void* object, GC_finalization_proc call, void* data,
                                       GC_finalization_proc* old_call, void** old_data) {
    set_finalizer(object, call, data, old_call, old_data, Order::unreachable);
}

int GC_should_invoke_finalizers() {
    return queued.load(std::memory_order_relaxed) != 0 ? 1 : 0;  // relaxed: a hint
}

int GC_invoke_finalizers() {
    int count = 0;
    while (GC_should_invoke_finalizers() != 0) {
        cairn::gc::Mutator& thread = self();
        Record due{};
        {
            Locked lock(thread);
            tell_of_queued();
            Record* record = queue_first;
            if (record == nullptr) break;
            due = *record;
            queue_first = record->next;
            if (queue_first == nullptr) queue_last = nullptr;
            queued.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a hint beside the lock
            pool.free(record);
        }
        due.call(reinterpret_cast<void*>(due.object), due.data);
        ++count;
    }
    return count;
}

// Every finalizer there is, whether its object is reachable or not; for the end of a program.
void GC_finalize_all() {
    {
        Locked lock(self());
        tell_of_queued();
        using Table = cairn::api::AddressTable<Entry>;
        table.sift([](const Table::Entry&) {},
                   [](const Table::Entry& entry) {
                       enqueue(entry.value.record);
                       return true;
                   });
        first_untold = nullptr;  // they are called at once
    }
    (void)GC_invoke_finalizers();
}

int GC_toggleref_add(void* object, int is_strong) {
    Locked lock(self());
    if (toggle_call == nullptr) return GC_SUCCESS;
    const auto start = reinterpret_cast<std::uintptr_t>(object);
    if (toggles.find(start) != nullptr) return GC_SUCCESS;
    Toggle* toggle = toggles.add(start);
    if (toggle == nullptr) return GC_NO_MEMORY;
    *toggle = {start, is_strong != 0};
    return GC_SUCCESS;
}
void GC_set_toggleref_func(GC_toggleref_func call) { toggle_call = call; }
GC_toggleref_func GC_get_toggleref_func() { return toggle_call; }
void GC_set_await_finalize_proc(GC_await_finalize_proc call) { await_call = call; }
GC_await_finalize_proc GC_get_await_finalize_proc() { return await_call; }

}  // extern "C"
