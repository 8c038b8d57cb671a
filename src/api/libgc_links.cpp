// Disappearing links: places that become null when the object they name is unreachable.
//
// Short links are cleared before finalizers are looked at, long ones after. A link that lies in a dead object
// is forgotten. Both tables are walked in the last stop of a cycle, when marks are final; a program copies
// what a link holds under the lock, so it never holds what is about to be cleared.
//
// Floor: api. Locks: alloc_lock, or the world stopped.
// SPDX-License-Identifier: MIT
#include "api/address_table.hpp"
#include "api/libgc.hpp"

namespace cairn::api::libgc {

namespace {

struct Link {
    std::uintptr_t object;  // [lock] start of what it names
};
using Links = AddressTable<Link>;
constinit Links short_links;  // [lock] alloc_lock
constinit Links long_links;   // [lock] alloc_lock

Links& links(bool are_long) { return are_long ? long_links : short_links; }

std::uintptr_t address_of(void** link) { return reinterpret_cast<std::uintptr_t>(link); }

int add(Links& table, void** link, const void* object) {
    Locked lock(self());
    const auto named = reinterpret_cast<std::uintptr_t>(object);
    if (Link* known = table.find(address_of(link))) {
        known->object = named;
        return GC_DUPLICATE;
    }
    Link* fresh = table.add(address_of(link));
    if (fresh == nullptr) return GC_NO_MEMORY;
    fresh->object = named;
    return GC_SUCCESS;
}

int remove(Links& table, void** link) {
    Locked lock(self());
    return table.remove(address_of(link)) ? 1 : 0;
}

int move(Links& table, void** link, void** new_link) {
    Locked lock(self());
    Link* known = table.find(address_of(link));
    if (known == nullptr) return GC_NOT_FOUND;
    if (link == new_link) return GC_SUCCESS;
    if (table.find(address_of(new_link)) != nullptr) return GC_DUPLICATE;
    const Link moved = *known;
    table.remove(address_of(link));
    Link* fresh = table.add(address_of(new_link));
    if (fresh == nullptr) return GC_NO_MEMORY;
    *fresh = moved;
    return GC_SUCCESS;
}

void fetch(std::uintptr_t object) {
    const pages::ObjectMap& objects = *collector().mark_space().objects;
    if (objects.bounds().holds(object) && objects.entry(object) != 0)
        __builtin_prefetch(&objects.pair(object));
}

}  // namespace

void clear_links(gc::ClientSink& sink, bool are_long) {
    links(are_long).sift([](const Links::Entry& entry) { fetch(entry.value.object); },
                         [&](const Links::Entry& entry) {
                             if (sink.is_marked(entry.value.object)) return false;
                             *reinterpret_cast<void**>(entry.address) = nullptr;
                             return true;
                         });
}

void drop_dangling_links(gc::ClientSink& sink, bool are_long) {
    links(are_long).sift([](const Links::Entry& entry) { fetch(entry.address); },
                         [&](const Links::Entry& entry) {
                             const Object home = object_of(reinterpret_cast<const void*>(entry.address));
                             return home.start != 0 && !sink.is_marked(home.start);
                         });
}

}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

int GC_general_register_disappearing_link(void** link, const void* object) {
    return add(short_links, link, object);
}
int GC_register_disappearing_link(void** link) {
    void* const object = GC_base(link);
    if (object == nullptr) cairn::base::fatal("GC_register_disappearing_link: the link is in no object");
    return add(short_links, link, object);
}
int GC_unregister_disappearing_link(void** link) { return remove(short_links, link); }
int GC_move_disappearing_link(void** link, void** new_link) { return move(short_links, link, new_link); }

int GC_register_long_link(void** link, const void* object) { return add(long_links, link, object); }
int GC_unregister_long_link(void** link) { return remove(long_links, link); }
int GC_move_long_link(void** link, void** new_link) { return move(long_links, link, new_link); }

}  // extern "C"
