// Cairn for C++: objects that free themselves, collected beside the program, with pauses nobody notices.
//
//   struct Node {
//       cairn::Ptr<Node> left, right;                                  // fields: Ptr
//       long value = 0;
//       static constexpr auto cairn_pointers = cairn::pointers(&Node::left, &Node::right);
//   };
//   Node* tree = cairn::make<Node>();                                  // locals: plain pointers
//   cairn::Root<Node> forest = tree;                                   // static data, malloc's memory: Root
//
// ptr.hpp tells of fields, layout.hpp what a type's objects hold (the line may be left out: then every word
// counts), containers.hpp how standard containers live on this heap, fiber.hpp of stacks of your own. Objects
// with a destructor are destroyed, on the finalizer thread, some time after nothing reaches them. Out of
// memory throws std::bad_alloc (without exceptions: ends the program). Needs: a link with libcairn.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

#include "cairn/cairn.h"
#include "cairn/layout.hpp"
#include "cairn/ptr.hpp"

namespace cairn {

[[noreturn, gnu::cold, gnu::noinline]] inline void out_of_memory() {
#ifdef __cpp_exceptions
    throw std::bad_alloc();
#else
    std::abort();
#endif
}

// The memory, or no return.
template <class T>
[[gnu::always_inline]] inline T* or_throw(T* memory) {
    if (memory == nullptr) [[unlikely]]
        out_of_memory();
    return memory;
}

// ---- making objects

// Frees the memory of an object whose constructor throws.
class Unfinished {
public:
    explicit Unfinished(void* memory) noexcept : memory_(memory) {}
    Unfinished(const Unfinished&) = delete;
    Unfinished& operator=(const Unfinished&) = delete;
    ~Unfinished() { cairn_free(memory_); }
    void finish() noexcept { memory_ = nullptr; }

private:
    void* memory_;
};

// Constructs a T in zeroed memory, by parentheses, or by braces when it is an aggregate.
template <class T, class... Args>
[[gnu::always_inline]] inline T* construct(void* memory, Args&&... args) {
    if constexpr (sizeof...(Args) == 0 && std::is_trivially_default_constructible_v<T>)
        return ::new (memory) T;  // its zeros are there already
    else if constexpr (std::is_constructible_v<T, Args...>)
        return ::new (memory) T(std::forward<Args>(args)...);
    else return ::new (memory) T{std::forward<Args>(args)...};
}

// A new T, which lives until nothing reaches it.
template <class T, class... Args>
[[nodiscard, gnu::always_inline]] inline T* make(Args&&... args) {
    static_assert(std::is_object_v<T> && !std::is_array_v<T>, "make<T> makes one object; see make_array");
    if constexpr (!needs_destructor<T>) {
        return construct<T>(or_throw(cairn_alloc(sizeof(T), &type_of<T>)), std::forward<Args>(args)...);
    } else {
        void* memory = or_throw(cairn_alloc_finalized(sizeof(T), &type_of<T>));
        Unfinished unfinished(memory);
        T* object = construct<T>(memory, std::forward<Args>(args)...);
        unfinished.finish();
        return object;
    }
}

// The same, and it stays on the heap even where the escape pass would put it on the stack. Its destructor, if
// any, does not run.
template <class T, class... Args>
[[nodiscard, gnu::always_inline]] inline T* make_heap(Args&&... args) {
    return construct<T>(or_throw(cairn_alloc_heap(sizeof(T), &type_of<T>)), std::forward<Args>(args)...);
}

// Destructible elements know their number: it lies before them.
template <class T>
struct CountedArray {
    static constexpr std::size_t header = alignof(T) > 16 ? alignof(T) : 16;
    static constexpr cairn_type describe() {
        cairn_type type = type_of<T>;
        type.align = header;
        type.kind =
            static_cast<std::uint32_t>(kind_of<T> == Kind::noscan ? Kind::noscan : Kind::conservative);
        type.map_words = 0;
        type.pointer_map = nullptr;
        type.destroy = [](void* memory) {
            std::destroy_n(reinterpret_cast<T*>(static_cast<char*>(memory) + header),
                           *static_cast<std::size_t*>(memory));
        };
        type.shape = &shape_cell<CountedArray>;
        return type;
    }
};

// `count` new Ts, value-initialised.
template <class T>
[[nodiscard]] inline T* make_array(std::size_t count) {
    static_assert(std::is_object_v<T> && !std::is_array_v<T>);
    if constexpr (!needs_destructor<T>) {
        T* elements = static_cast<T*>(or_throw(cairn_alloc_array(count, &type_of<T>)));
        if constexpr (!std::is_trivially_default_constructible_v<T>)
            std::uninitialized_value_construct_n(elements, count);
        return elements;
    } else {
        static constexpr cairn_type type = CountedArray<T>::describe();
        constexpr std::size_t header = CountedArray<T>::header;
        if (count > (std::numeric_limits<std::size_t>::max() - header) / sizeof(T)) out_of_memory();
        void* memory = or_throw(cairn_alloc_finalized(header + count * sizeof(T), &type));
        Unfinished unfinished(memory);
        T* elements = reinterpret_cast<T*>(static_cast<char*>(memory) + header);
        std::uninitialized_value_construct_n(elements, count);
        *static_cast<std::size_t*>(memory) = count;
        unfinished.finish();
        return elements;
    }
}

// Destroys and frees now what the program knows to be unreachable; `object` came from make<T>.
template <class T>
inline void explicit_free(T* object) noexcept {
    if (object == nullptr) return;
    if constexpr (needs_destructor<T>) std::destroy_at(object);
    cairn_free(address_of(object));
}

// Zeroed memory of which every word counts; nullptr when there is none, or for alignments above 4096.
[[nodiscard]] inline void* allocate_conservative(std::size_t size, std::size_t alignment) noexcept {
    static constinit std::uint32_t shapes[2] = {};
    static constexpr cairn_type line{64,      64,      CAIRN_CONSERVATIVE, 0,
                                     nullptr, nullptr, "aligned memory",   &shapes[0]};
    static constexpr cairn_type page{4096,    4096,    CAIRN_CONSERVATIVE, 0,
                                     nullptr, nullptr, "aligned memory",   &shapes[1]};
    if (alignment <= 16) [[likely]]
        return cairn_alloc_conservative(size);
    if (alignment > page.align) return nullptr;
    return cairn_alloc_heap(size, alignment <= line.align ? &line : &page);
}

// A base for classes that are made by `new` (coroutine promises among them): they live on this heap, every
// word counts, and `delete` frees at once. Without it they are freed when unreachable, undestroyed.
struct Collected {
    static void* operator new(std::size_t size) { return or_throw(cairn_alloc_conservative(size)); }
    static void* operator new(std::size_t size, std::align_val_t alignment) {
        return or_throw(allocate_conservative(size, static_cast<std::size_t>(alignment)));
    }
    static void* operator new(std::size_t, void* memory) noexcept { return memory; }
    static void operator delete(void* object) noexcept { cairn_free(object); }
    static void operator delete(void* object, std::align_val_t) noexcept { cairn_free(object); }
    static void operator delete(void*, void*) noexcept {}
};

// ---- roots

// A pointer from outside the heap: static data, malloc's objects. Inside the heap use Ptr, on a stack T*.
template <class T>
class Root {
public:
    using element_type = T;

    constexpr Root() noexcept = default;
    Root(T* object) : cell_(or_throw(cairn_root_create(address_of(object)))) {}
    template <class U>
    requires(!std::is_same_v<U, Root> && std::is_convertible_v<const U&, T*>) Root(const U& object)
        : Root(static_cast<T*>(object)) {}
    Root(const Root& other) : Root(other.get()) {}
    Root(Root&& other) noexcept : cell_(std::exchange(other.cell_, nullptr)) {}
    ~Root() {
        if (cell_ != nullptr) cairn_root_destroy(cell_);
    }

    Root& operator=(const Root& other) { return *this = other.get(); }
    Root& operator=(Root&& other) noexcept {
        std::swap(cell_, other.cell_);
        return *this;
    }
    Root& operator=(T* object) {
        if (cell_ != nullptr) cairn_store(cell_, address_of(object));
        else if (object != nullptr) cell_ = or_throw(cairn_root_create(address_of(object)));
        return *this;
    }

    [[nodiscard]] T* get() const noexcept { return cell_ == nullptr ? nullptr : static_cast<T*>(*cell_); }
    operator T*() const noexcept { return get(); }
    T* operator->() const noexcept { return get(); }
    std::add_lvalue_reference_t<T> operator*() const noexcept { return *get(); }

private:
    void** cell_ = nullptr;
};
template <class T>
Root(T*) -> Root<T>;

// Static data of the program or library that holds `address` may hold pointers into this heap.
inline bool scan_static_data(const void* address) noexcept {
    return cairn_roots_add_module(address) == 0;
}

// ---- weak pointers

// Finds an object while something else keeps it alive. Equal when made for the same object, dead or not.
template <class T>
class Weak {
public:
    constexpr Weak() noexcept = default;
    Weak(T* object)
        : handle_(object == nullptr ? nullptr : or_throw(cairn_weak_create(address_of(object)))) {}
    Weak(const Weak& other) noexcept
        : handle_(other.handle_ == nullptr ? nullptr : cairn_weak_copy(other.handle_)) {}
    Weak(Weak&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~Weak() {
        if (handle_ != nullptr) cairn_weak_destroy(handle_);
    }
    Weak& operator=(Weak other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }

    // The object, kept alive by the pointer returned; nullptr once it is gone.
    [[nodiscard]] T* get() const noexcept { return static_cast<T*>(cairn_weak_get(handle_)); }
    friend bool operator==(const Weak& a, const Weak& b) noexcept { return a.handle_ == b.handle_; }

private:
    cairn_weak* handle_ = nullptr;
};

// Values that live while their keys do, even if they refer to them.
template <class Key, class Value>
class EphemeronMap {
public:
    EphemeronMap() : map_(or_throw(cairn_ephemerons_create())) {}
    EphemeronMap(EphemeronMap&& other) noexcept : map_(std::exchange(other.map_, nullptr)) {}
    EphemeronMap& operator=(EphemeronMap&& other) noexcept {
        std::swap(map_, other.map_);
        return *this;
    }
    ~EphemeronMap() {
        if (map_ != nullptr) cairn_ephemerons_destroy(map_);
    }

    [[nodiscard]] Value* get(const Key* key) const noexcept {
        return static_cast<Value*>(cairn_ephemerons_get(map_, key));
    }
    void set(Key* key, Value* value) {
        if (cairn_ephemerons_set(map_, address_of(key), address_of(value)) != 0) out_of_memory();
    }
    bool remove(const Key* key) noexcept { return cairn_ephemerons_remove(map_, key) != 0; }
    [[nodiscard]] std::size_t size() const noexcept { return cairn_ephemerons_count(map_); }

private:
    cairn_ephemerons* map_;
};

// ---- finalizers

class Cleanup {
public:
    constexpr explicit Cleanup(std::uint64_t id) noexcept : id_(id) {}
    // True: it will not run.
    bool cancel() const noexcept { return cairn_cancel_cleanup(id_) != 0; }

private:
    std::uint64_t id_;
};

// Calls `function()` after the object is gone. What it captures is kept alive: not the object itself, then.
template <class T, class Function>
inline Cleanup on_unreachable(T* object, Function function) {
    static_assert(std::is_invocable_v<Function&>, "a cleanup is called without arguments");
    Function* kept = make<Function>(std::move(function));
    const std::uint64_t id = cairn_add_cleanup(
        address_of(object), [](void* kept) { (*static_cast<Function*>(kept))(); }, kept);
    if (id == 0) out_of_memory();
    return Cleanup(id);
}

// Calls `function(object)` when the object is unreachable, which brings it back once. It takes the place of
// the destructor, which then runs only if `function` sees to it.
template <class T, class Function>
inline void set_finalizer(T* object, Function function) {
    static_assert(std::is_invocable_v<Function&, T*>, "a finalizer is called with the object");
    Function* kept = make<Function>(std::move(function));
    const auto call = [](void* object, void* kept) {
        (*static_cast<Function*>(kept))(static_cast<T*>(object));
    };
    if (cairn_set_finalizer(address_of(object), call, kept) != 0) out_of_memory();
}

// Takes back the finalizer, or the destructor that was to run.
template <class T>
inline void clear_finalizer(T* object) noexcept {
    cairn_set_finalizer(address_of(object), nullptr, nullptr);
}

enum class Finalizers : int { on_thread = CAIRN_FINALIZER_THREAD, drained = CAIRN_FINALIZER_DRAIN };
inline Finalizers finalizers(Finalizers mode) noexcept {
    return static_cast<Finalizers>(cairn_finalizer_mode(static_cast<int>(mode)));
}
inline std::size_t run_finalizers(std::size_t max = std::numeric_limits<std::size_t>::max()) noexcept {
    return cairn_run_finalizers(max);
}
inline bool finalize_at_exit(bool on) noexcept {
    return cairn_finalize_at_exit(on) != 0;
}

// ---- the collector

using Stats = cairn_stats_t;

inline void collect() noexcept {
    cairn_collect();
}
// Both return what was set; without an argument they only ask.
inline int gc_percent(int percent = CAIRN_ASK) noexcept {
    return cairn_gc_percent(percent);
}
inline std::uint64_t memory_limit(std::uint64_t bytes = 0) noexcept {
    return cairn_memory_limit(bytes);
}
[[nodiscard]] inline Stats stats() noexcept {
    Stats stats{};
    stats.size = sizeof stats;
    cairn_stats(&stats);
    return stats;
}

template <class T>
inline void keep_alive(T* pointer) noexcept {
    cairn_keep_alive(const_cast<const void*>(static_cast<const volatile void*>(pointer)));
}
[[nodiscard]] inline void* object_base(const void* pointer) noexcept {
    return cairn_object_base(pointer);
}
[[nodiscard]] inline std::size_t object_size(const void* pointer) noexcept {
    return cairn_object_size(pointer);
}
[[nodiscard]] inline bool is_collected(const void* pointer) noexcept {
    return cairn_is_collected(pointer) != 0;
}

// ---- threads

// Attaches the thread while it is in scope; for threads not started by pthread_create.
class Attach {
public:
    Attach() {
        if (cairn_attach_thread() != 0) out_of_memory();
    }
    Attach(const Attach&) = delete;
    Attach& operator=(const Attach&) = delete;
    ~Attach() { cairn_detach_thread(); }
};

// While in scope the thread touches no collected object and is not disturbed by stops.
class Blocking {
public:
    Blocking() noexcept { cairn_blocking_begin(); }
    Blocking(const Blocking&) = delete;
    Blocking& operator=(const Blocking&) = delete;
    ~Blocking() { cairn_blocking_end(); }
};

}  // namespace cairn
