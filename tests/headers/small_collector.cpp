// The C interface over a collector of one thread that is small enough to be believed: the header tests run on
// it, with every allocation and barrier call on record.
//
// Mark: root cells, the arguments of finalizers and cleanups; then what they lead to, by an object's pointer
// map when it has one. Sweep: a std::map of all objects. Stacks and registers do not count, so that
// what is dead does not depend on the compiler: a test holds by a Root what it needs.
// SPDX-License-Identifier: MIT
#include "headers/small_collector.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <set>

struct cairn_weak {
    void* target;
    int references;
};
struct cairn_ephemerons {
    std::map<void*, void*> values;
};

volatile unsigned char cairn_barrier_active = 0;

namespace small_collector {

std::vector<std::pair<void**, void*>> told;

namespace {

struct Cleanup {
    std::uint64_t id;
    void (*function)(void*);
    void* argument;
};
struct Object {
    Allocation allocation;
    bool is_marked = false;
    void (*finalizer)(void*, void*) = nullptr;
    void* argument = nullptr;
    std::vector<Cleanup> cleanups;
};

std::map<std::uintptr_t, Object> objects;
std::set<void**>& roots = *new std::set<void**>;  // outlives the tests' static Roots
std::list<cairn_weak> weaks;
std::set<cairn_ephemerons*> maps;
std::vector<Cleanup> due_cleanups;
std::vector<std::pair<void*, Object>> due_finalizers;
std::size_t refusals = 0;
std::uint64_t cleanup_ids = 0;
std::uint64_t cycles = 0;
int percent = 100;
std::uint64_t limit = UINT64_MAX;

void* allocate(const char* entry, std::size_t size, const cairn_type& type) {
    if (refusals > 0) {
        --refusals;
        return nullptr;
    }
    const std::size_t align = type.align < 16 ? 16 : type.align;
    const std::size_t room = (size + align) / align * align;  // room for a pointer past the end
    void* memory = std::aligned_alloc(align, room);
    std::memset(memory, 0, room);
    Object& object = objects[reinterpret_cast<std::uintptr_t>(memory)];
    object.allocation = {size, type, entry};
    return memory;
}

void destroy_by_type(void* object, void* type) {
    static_cast<const cairn_type*>(type)->destroy(object);
}

Object* find(std::uintptr_t address, std::uintptr_t* start = nullptr) {
    auto after = objects.upper_bound(address);
    if (after == objects.begin()) return nullptr;
    --after;
    if (address > after->first + after->second.allocation.size) return nullptr;
    if (start != nullptr) *start = after->first;
    return &after->second;
}

void mark(std::uintptr_t address);

void mark_range(std::uintptr_t low, std::uintptr_t high) {
    for (std::uintptr_t at = (low + 7) & ~std::uintptr_t{7}; at + 8 <= high; at += 8)
        mark(*reinterpret_cast<std::uintptr_t*>(at));
}

void mark_fields(std::uintptr_t start, const Object& object) {
    const cairn_type& type = object.allocation.type;
    if (type.kind == CAIRN_CONSERVATIVE) mark_range(start, start + object.allocation.size);
    if (type.kind != CAIRN_TYPED) return;
    const std::size_t words = object.allocation.size / 8;
    for (std::size_t word = 0; word < words; ++word) {
        const std::size_t in_element = word % type.map_words;
        if ((type.pointer_map[in_element / 64] >> in_element % 64 & 1) != 0)
            mark(reinterpret_cast<std::uintptr_t*>(start)[word]);
    }
}

void mark(std::uintptr_t address) {
    std::uintptr_t start = 0;
    Object* object = find(address, &start);
    if (object == nullptr || object->is_marked) return;
    object->is_marked = true;
    mark_fields(start, *object);
}

bool is_marked(void* address) {
    Object* object = find(reinterpret_cast<std::uintptr_t>(address));
    return object == nullptr || object->is_marked;
}

void mark_all_roots() {
    for (void** root : roots) mark(reinterpret_cast<std::uintptr_t>(*root));
    for (const Cleanup& cleanup : due_cleanups) mark(reinterpret_cast<std::uintptr_t>(cleanup.argument));
    for (auto& [start, object] : objects) {
        mark(reinterpret_cast<std::uintptr_t>(object.argument));
        if (object.finalizer != nullptr) mark_fields(start, object);
        for (const Cleanup& cleanup : object.cleanups)
            mark(reinterpret_cast<std::uintptr_t>(cleanup.argument));
    }
    bool goes_on = true;
    while (goes_on) {
        goes_on = false;
        for (cairn_ephemerons* map : maps)
            for (auto& [key, value] : map->values)
                if (is_marked(key) && !is_marked(value)) {
                    mark(reinterpret_cast<std::uintptr_t>(value));
                    goes_on = true;
                }
    }
}

void forget_dead() {
    for (cairn_weak& weak : weaks)
        if (!is_marked(weak.target)) weak.target = nullptr;
    for (cairn_ephemerons* map : maps)
        std::erase_if(map->values, [](auto& entry) { return !is_marked(entry.first); });
}

void sweep() {
    for (auto& [start, object] : objects) {
        if (object.is_marked || object.finalizer == nullptr) continue;
        due_finalizers.push_back({reinterpret_cast<void*>(start), object});
        object.finalizer = nullptr;
        object.is_marked = true;
    }
    for (auto at = objects.begin(); at != objects.end();) {
        Object& object = at->second;
        if (!object.is_marked) {
            due_cleanups.insert(due_cleanups.end(), object.cleanups.begin(), object.cleanups.end());
            std::free(reinterpret_cast<void*>(at->first));
            at = objects.erase(at);
        } else {
            object.is_marked = false;
            ++at;
        }
    }
}

}  // namespace

void set_marking(bool is_on) {
    cairn_barrier_active = is_on;
}
void refuse(std::size_t count) {
    refusals = count;
}
std::size_t object_count() {
    return objects.size();
}
bool is_object(const void* start) {
    return objects.count(reinterpret_cast<std::uintptr_t>(start)) != 0;
}
Allocation allocation_of(const void* start) {
    auto found = objects.find(reinterpret_cast<std::uintptr_t>(start));
    return found == objects.end() ? Allocation{} : found->second.allocation;
}
void reset() {
    for (auto& [start, object] : objects) std::free(reinterpret_cast<void*>(start));
    objects.clear();
    due_finalizers.clear();
    due_cleanups.clear();
    told.clear();
    refusals = 0;
    cairn_barrier_active = 0;
}

}  // namespace small_collector

using namespace small_collector;

extern "C" {

void* cairn_alloc(size_t size, const cairn_type* type) noexcept {
    return allocate("alloc", size, *type);
}
void* cairn_alloc_heap(size_t size, const cairn_type* type) noexcept {
    return allocate("heap", size, *type);
}
void* cairn_alloc_finalized(size_t size, const cairn_type* type) noexcept {
    void* memory = allocate("finalized", size, *type);
    if (memory == nullptr) return nullptr;
    Object& object = objects[reinterpret_cast<std::uintptr_t>(memory)];
    object.finalizer = destroy_by_type;
    object.argument = const_cast<cairn_type*>(type);
    return memory;
}
void* cairn_alloc_array(size_t count, const cairn_type* type) noexcept {
    size_t size = 0;
    if (__builtin_mul_overflow(count, size_t{type->size}, &size)) return nullptr;
    return allocate("array", size, *type);
}
void* cairn_alloc_noscan(size_t size) noexcept {
    return allocate("noscan", size, {1, 1, CAIRN_NOSCAN, 0, nullptr, nullptr, nullptr, nullptr});
}
void* cairn_alloc_conservative(size_t size) noexcept {
    return allocate("conservative", size, {1, 1, CAIRN_CONSERVATIVE, 0, nullptr, nullptr, nullptr, nullptr});
}
void cairn_free(void* object CAIRN_NOESCAPE) noexcept {
    auto found = objects.find(reinterpret_cast<std::uintptr_t>(object));
    if (found == objects.end()) return;
    for (cairn_weak& weak : weaks)
        if (find(reinterpret_cast<std::uintptr_t>(weak.target)) == &found->second) weak.target = nullptr;
    const std::vector<Cleanup> cleanups = found->second.cleanups;
    due_cleanups.insert(due_cleanups.end(), cleanups.begin(), cleanups.end());
    objects.erase(found);
    std::free(object);
}

void cairn_barrier_slow(void** slot CAIRN_NOESCAPE, void* value CAIRN_NOESCAPE) noexcept {
    told.push_back({slot, value});
}
void cairn_shade(void* value CAIRN_NOESCAPE) noexcept {
    told.push_back({nullptr, value});
}

void** cairn_root_create(void* initial) noexcept {
    if (refusals > 0) return --refusals, nullptr;
    return *roots.insert(new void*(initial)).first;
}
void cairn_root_destroy(void** root CAIRN_NOESCAPE) noexcept {
    if (roots.erase(root) != 0) delete root;
}

cairn_weak* cairn_weak_create(void* object) noexcept {
    if (find(reinterpret_cast<std::uintptr_t>(object)) == nullptr) return nullptr;
    for (cairn_weak& weak : weaks)
        if (weak.target == object) return ++weak.references, &weak;
    return &weaks.emplace_back(cairn_weak{object, 1});
}
cairn_weak* cairn_weak_copy(cairn_weak* weak) noexcept {
    return ++weak->references, weak;
}
void cairn_weak_destroy(cairn_weak* weak CAIRN_NOESCAPE) noexcept {
    if (--weak->references == 0) weaks.remove_if([weak](const cairn_weak& other) { return &other == weak; });
}
void* cairn_weak_get(cairn_weak* weak CAIRN_NOESCAPE) noexcept {
    return weak == nullptr ? nullptr : weak->target;
}

cairn_ephemerons* cairn_ephemerons_create() noexcept {
    return *maps.insert(new cairn_ephemerons).first;
}
void cairn_ephemerons_destroy(cairn_ephemerons* map CAIRN_NOESCAPE) noexcept {
    maps.erase(map);
    delete map;
}
void* cairn_ephemerons_get(cairn_ephemerons* map CAIRN_NOESCAPE, const void* key CAIRN_NOESCAPE) noexcept {
    auto found = map->values.find(const_cast<void*>(key));
    return found == map->values.end() ? nullptr : found->second;
}
int cairn_ephemerons_set(cairn_ephemerons* map CAIRN_NOESCAPE, void* key, void* value) noexcept {
    if (find(reinterpret_cast<std::uintptr_t>(key)) == nullptr) return -1;
    map->values[key] = value;
    return 0;
}
int cairn_ephemerons_remove(cairn_ephemerons* map CAIRN_NOESCAPE, const void* key CAIRN_NOESCAPE) noexcept {
    return static_cast<int>(map->values.erase(const_cast<void*>(key)));
}
size_t cairn_ephemerons_count(cairn_ephemerons* map CAIRN_NOESCAPE) noexcept {
    return map->values.size();
}

int cairn_set_finalizer(void* start, void (*function)(void*, void*), void* argument) noexcept {
    auto found = objects.find(reinterpret_cast<std::uintptr_t>(start));
    if (found == objects.end()) return -1;
    found->second.finalizer = function;
    found->second.argument = argument;
    return 0;
}
uint64_t cairn_add_cleanup(void* object, void (*function)(void*), void* argument) noexcept {
    Object* found = find(reinterpret_cast<std::uintptr_t>(object));
    if (found == nullptr) return 0;
    found->cleanups.push_back({++cleanup_ids, function, argument});
    return cleanup_ids;
}
int cairn_cancel_cleanup(uint64_t id) noexcept {
    for (auto& [start, object] : objects)
        if (std::erase_if(object.cleanups, [id](const Cleanup& cleanup) { return cleanup.id == id; }) != 0)
            return 1;
    return 0;
}
int cairn_finalizer_mode(int) noexcept {
    return CAIRN_FINALIZER_DRAIN;
}
size_t cairn_run_finalizers(size_t) noexcept {
    const auto finalizers = std::exchange(due_finalizers, {});
    const auto cleanups = std::exchange(due_cleanups, {});
    for (const auto& [start, object] : finalizers) object.finalizer(start, object.argument);
    for (const Cleanup& cleanup : cleanups) cleanup.function(cleanup.argument);
    return finalizers.size() + cleanups.size();
}
int cairn_finalize_at_exit(int) noexcept {
    return 0;
}

void cairn_collect() noexcept {
    mark_all_roots();
    forget_dead();
    sweep();
    ++cycles;
}
int cairn_gc_percent(int value) noexcept {
    return value == CAIRN_ASK ? percent : std::exchange(percent, value);
}
uint64_t cairn_memory_limit(uint64_t bytes) noexcept {
    return bytes == 0 ? limit : std::exchange(limit, bytes);
}
void cairn_stats(cairn_stats_t* stats CAIRN_NOESCAPE) noexcept {
    stats->cycles = cycles;
    stats->heap_objects = objects.size();
}

int cairn_attach_thread() noexcept {
    return 0;
}
void cairn_detach_thread() noexcept {}
void cairn_blocking_begin() noexcept {}
void cairn_blocking_end() noexcept {}
void* cairn_object_base(const void* pointer) noexcept {
    std::uintptr_t start = 0;
    return find(reinterpret_cast<std::uintptr_t>(pointer), &start) ? reinterpret_cast<void*>(start) : nullptr;
}
size_t cairn_object_size(const void* pointer CAIRN_NOESCAPE) noexcept {
    Object* object = find(reinterpret_cast<std::uintptr_t>(pointer));
    return object == nullptr ? 0 : object->allocation.size;
}
int cairn_is_collected(const void* pointer CAIRN_NOESCAPE) noexcept {
    return cairn_object_size(pointer) != 0;
}
}
