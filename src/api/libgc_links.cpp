// Disappearing links: places that become null when the object they name is unreachable.
//
// Short links are cleared before finalizers are looked at, long ones after. A link that lies in a dead object
// is forgotten. Both tables are walked in the last stop of a cycle, when marks are final; a program copies
// what a link holds under the lock, so it never holds what is about to be cleared. Marks are only added
// meanwhile: where the first walk met no link in a dead object, there is no second one for them.
//
// Floor: api. Locks: alloc_lock, or the world stopped.
// SPDX-License-Identifier: MIT
#include <cstring>

#include "api/address_table.hpp"
#include "api/libgc.hpp"

namespace cairn::api::libgc {

namespace {

struct Link {
    std::uintptr_t object;  // [lock] start of what it names
};

// A table, and which of its links are new: a young cycle looks at these alone, since what the others name and
// lie in is marked. Addresses of links taken out meanwhile may be among them, and some may stand there twice:
// when there are more than links, all are looked at.
class Links {
public:
    using Entry = AddressTable<Link>::Entry;

    [[nodiscard]] Link* find(std::uintptr_t address) { return table_.find(address); }
    [[nodiscard]] Link* add(std::uintptr_t address) { return table_.add(address); }
    bool remove(std::uintptr_t address) { return table_.remove(address); }
    [[nodiscard]] std::size_t count() const { return table_.count(); }
    // The link was added, or names another object.
    void note_new(std::uintptr_t address) {
        if (fresh_count_ > 2 * table_.count() + few) knows_fresh_ = false;
        if (knows_fresh_ && fresh_count_ == most_fresh_) knows_fresh_ = grow();
        if (knows_fresh_) fresh_[fresh_count_++] = address;
    }
    // All links were looked at.
    void forget_new() {
        fresh_count_ = 0;
        knows_fresh_ = true;
    }
    // As AddressTable::sift().
    template <class Touch, class Visit>
    void sift(bool is_young, Touch touch, Visit visit) {
        if (!is_young || !knows_fresh_) return table_.sift(touch, visit);
        std::size_t kept = 0;
        for (std::size_t i = 0; i < fresh_count_; ++i) {
            Link* link = table_.find(fresh_[i]);
            if (link == nullptr) continue;
            if (visit(Entry{fresh_[i], *link})) table_.remove(fresh_[i]);
            else fresh_[kept++] = fresh_[i];
        }
        fresh_count_ = kept;
    }

private:
    static constexpr std::size_t few = 512;

    [[nodiscard]] bool grow() {
        const std::size_t most = most_fresh_ == 0 ? few : 2 * most_fresh_;
        auto* fresh = static_cast<std::uintptr_t*>(os::alloc(most * sizeof *fresh_, memory_));
        if (fresh == nullptr) return false;
        if (fresh_ != nullptr) {
            std::memcpy(fresh, fresh_, fresh_count_ * sizeof *fresh_);
            os::free(fresh_, most_fresh_ * sizeof *fresh_, memory_);
        }
        fresh_ = fresh;
        most_fresh_ = most;
        return true;
    }

    AddressTable<Link> table_;        // [lock] alloc_lock, as all
    std::uintptr_t* fresh_ = nullptr; // [lock] addresses of links
    std::size_t fresh_count_ = 0;     // [lock]
    std::size_t most_fresh_ = 0;      // [lock]
    bool knows_fresh_ = true;         // [lock] false: memory was short, all may be new
    os::Stat memory_;                 // [atomic]
};
constinit Links short_links;  // [lock] alloc_lock
constinit Links long_links;   // [lock] alloc_lock

Links& links(bool are_long) { return are_long ? long_links : short_links; }

std::uintptr_t address_of(void** link) { return reinterpret_cast<std::uintptr_t>(link); }

int add(Links& table, void** link, const void* object) {
    if (GC_find_leak != 0) return GC_UNIMPLEMENTED;
    Locked lock(self());
    const auto named = reinterpret_cast<std::uintptr_t>(object);
    if (Link* known = table.find(address_of(link))) {
        known->object = named;
        table.note_new(address_of(link));
        return GC_DUPLICATE;
    }
    Link* fresh = table.add(address_of(link));
    if (fresh == nullptr) return GC_NO_MEMORY;
    fresh->object = named;
    table.note_new(address_of(link));
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
    table.note_new(address_of(new_link));
    return GC_SUCCESS;
}

void fetch(std::uintptr_t object) {
    const pages::ObjectMap& objects = *collector().mark_space().objects;
    if (objects.bounds().holds(object) && objects.entry(object) != 0)
        __builtin_prefetch(&objects.pair(object));
}

// Asks for the objects that links lie in: often the same one, a client's table.
class Homes {
public:
    explicit Homes(const gc::ClientSink& sink) : sink_(sink) {}

    // False as well for what lies in none.
    [[nodiscard]] bool is_dead(std::uintptr_t link) {
        if (link - start_ < bytes_) return is_dead_;
        const Object home = object_of(reinterpret_cast<const void*>(link));
        if (home.start == 0) return false;
        start_ = home.start;
        bytes_ = home.bytes;
        return is_dead_ = !sink_.is_marked(home.start);
    }

private:
    const gc::ClientSink& sink_;
    std::uintptr_t start_ = 0;  // the last one asked for
    std::size_t bytes_ = 0;
    bool is_dead_ = false;
};

}  // namespace

std::size_t link_count(bool are_long) { return links(are_long).count(); }

bool clear_links(gc::ClientSink& sink, bool are_long) {
    Homes homes(sink);
    bool may_dangle = false;
    links(are_long).sift(
        sink.is_young(), [](const Links::Entry& entry) { fetch(entry.value.object); },
        [&](const Links::Entry& entry) {
            if (sink.is_marked(entry.value.object)) {
                may_dangle |= homes.is_dead(entry.address);
                return false;
            }
            *reinterpret_cast<void**>(entry.address) = nullptr;
            return true;
        });
    return may_dangle;
}

void drop_dangling_links(gc::ClientSink& sink, bool are_long, bool may_dangle) {
    Links& table = links(are_long);
    Homes homes(sink);
    if (may_dangle)
        table.sift(
            sink.is_young(), [](const Links::Entry& entry) { fetch(entry.address); },
            [&](const Links::Entry& entry) { return homes.is_dead(entry.address); });
    if (sink.ages()) table.forget_new();
}

}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

int GC_general_register_disappearing_link(void** link, const void* object) {
    return add(short_links, link, object);
}
int GC_register_disappearing_link(void** link) {
    void* const object = GC_base(link);
    if (object == nullptr) stop_program("GC_register_disappearing_link: the link is in no object");
    return add(short_links, link, object);
}
int GC_unregister_disappearing_link(void** link) { return remove(short_links, link); }
int GC_move_disappearing_link(void** link, void** new_link) { return move(short_links, link, new_link); }

int GC_register_long_link(void** link, const void* object) { return add(long_links, link, object); }
int GC_unregister_long_link(void** link) { return remove(long_links, link); }
int GC_move_long_link(void** link, void** new_link) { return move(long_links, link, new_link); }

}  // extern "C"
