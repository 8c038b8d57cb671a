// Ptr<T>: a pointer field of a collected object, as natural as a raw pointer; every assignment tells the
// collector while a cycle marks.
//
// Reading, copying and passing one costs what a raw pointer costs: it is a pointer, is trivially copied and
// destroyed, travels in a register, and converts to T* by itself, so comparison, [], + and ->* are those of
// T*. An assignment is a test of one byte and a store. On a stack use a plain T*: stacks are scanned.
//
// Why copies need no barrier: the value comes from another Ptr, which the collector knew already or was told
// about when that one got its value. A raw pointer may come from anywhere, so making a Ptr of one tells.
// AtomicPtr<T> is the same for fields that threads race for.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "cairn/cairn.h"

namespace cairn {

// True while a cycle marks. One load and a compare.
[[nodiscard, gnu::always_inline]] inline bool is_marking() noexcept {
    // relaxed: it changes while all threads are stopped, and the stop orders it
    return __atomic_load_n(&cairn_barrier_active, __ATOMIC_RELAXED) != 0;
}

// The address as the C interface takes it, without const and volatile.
template <class T>
[[nodiscard, gnu::always_inline]] constexpr void* address_of(T* pointer) noexcept {
    return const_cast<void*>(static_cast<const volatile void*>(pointer));
}

template <class T>
class Ptr {
    static_assert(!std::is_reference_v<T> && !std::is_function_v<T>, "a Ptr points to an object");

public:
    using element_type = T;

    constexpr Ptr() noexcept = default;
    constexpr Ptr(std::nullptr_t) noexcept {}
    constexpr Ptr(T* value) noexcept : slot_(value) {
        if (!std::is_constant_evaluated() && is_marking()) [[unlikely]]
            cairn_shade(address_of(value));
    }
    // From what is, or converts to, a pointer that T* takes: a derived class, a Ptr of one, a Root, an array.
    template <class U>
    requires(!std::is_same_v<U, Ptr> &&
             std::is_convertible_v<const U&, T*>) constexpr Ptr(const U& value) noexcept
        : Ptr(static_cast<T*>(value)) {}
    constexpr Ptr(const Ptr&) noexcept = default;
    ~Ptr() = default;

    Ptr& operator=(const Ptr& other) noexcept {
        set(other.slot_);
        return *this;
    }
    template <class U>
    requires(!std::is_same_v<U, Ptr> && std::is_convertible_v<const U&, T*>) Ptr& operator=(
        const U& value) noexcept {
        set(value);
        return *this;
    }

    [[nodiscard]] constexpr T* get() const noexcept { return slot_; }
    constexpr operator T*() const noexcept { return slot_; }
    constexpr T* operator->() const noexcept { return slot_; }
    constexpr std::add_lvalue_reference_t<T> operator*() const noexcept { return *slot_; }

    Ptr& operator+=(std::ptrdiff_t count) noexcept { return *this = slot_ + count; }
    Ptr& operator-=(std::ptrdiff_t count) noexcept { return *this = slot_ - count; }
    Ptr& operator++() noexcept { return *this += 1; }
    Ptr& operator--() noexcept { return *this -= 1; }
    T* operator++(int) noexcept { return std::exchange(*this, slot_ + 1); }
    T* operator--(int) noexcept { return std::exchange(*this, slot_ - 1); }

private:
    [[gnu::always_inline]] void set(T* value) noexcept {
        if (is_marking()) [[unlikely]]
            cairn_barrier_slow(reinterpret_cast<void**>(const_cast<std::remove_const_t<T>**>(&slot_)),
                               address_of(value));
        // relaxed: the collector reads whole words and only asks which object they name
        __atomic_store_n(&slot_, value, __ATOMIC_RELAXED);
    }

    T* slot_ = nullptr;
};

template <class T>
Ptr(T*) -> Ptr<T>;

// A field that threads race for. The orders are std::atomic's.
template <class T>
class AtomicPtr {
public:
    using element_type = T;

    constexpr AtomicPtr() noexcept = default;
    AtomicPtr(T* value) noexcept : slot_(value) {
        if (is_marking()) [[unlikely]]
            cairn_shade(address_of(value));
    }
    AtomicPtr(const AtomicPtr&) = delete;
    AtomicPtr& operator=(const AtomicPtr&) = delete;

    // seq_cst unless told otherwise: what std::atomic does, and what a reader expects of the same names
    static constexpr std::memory_order strict = std::memory_order_seq_cst;

    [[nodiscard]] T* load(std::memory_order order = strict) const noexcept { return slot_.load(order); }
    operator T*() const noexcept { return load(); }
    T* operator->() const noexcept { return load(); }

    void store(T* value, std::memory_order order = strict) noexcept {
        tell(value);
        slot_.store(value, order);
    }
    T* operator=(T* value) noexcept {
        store(value);
        return value;
    }
    T* exchange(T* value, std::memory_order order = strict) noexcept {
        tell(value);
        T* old = slot_.exchange(value, order);
        // Another thread may have stored in between what we took out now.
        if (is_marking()) [[unlikely]]
            cairn_shade(address_of(old));
        return old;
    }
    bool compare_exchange_strong(T*& expected, T* desired, std::memory_order order = strict) noexcept {
        tell(expected, desired);
        return slot_.compare_exchange_strong(expected, desired, order, on_failure(order));
    }
    bool compare_exchange_weak(T*& expected, T* desired, std::memory_order order = strict) noexcept {
        tell(expected, desired);
        return slot_.compare_exchange_weak(expected, desired, order, on_failure(order));
    }

private:
    static constexpr std::memory_order on_failure(std::memory_order order) noexcept {
        // acq_rel, release: a failed exchange only loads; std::atomic's own rule
        if (order == std::memory_order_acq_rel) return std::memory_order_acquire;
        if (order == std::memory_order_release) return std::memory_order_relaxed;  // as above
        return order;
    }
    void tell(T* value) noexcept {
        if (is_marking()) [[unlikely]]
            cairn_barrier_slow(reinterpret_cast<void**>(&slot_), address_of(value));
    }
    // A successful exchange replaces `expected`.
    void tell(T* expected, T* desired) noexcept {
        if (!is_marking()) [[likely]]
            return;
        cairn_shade(address_of(expected));
        cairn_shade(address_of(desired));
    }

    std::atomic<T*> slot_{nullptr};
    static_assert(sizeof(std::atomic<T*>) == sizeof(void*) && std::atomic<T*>::is_always_lock_free);
};

}  // namespace cairn

// A Ptr is hashed as its address.
template <class T>
struct std::hash<cairn::Ptr<T>> {
    std::size_t operator()(const cairn::Ptr<T>& pointer) const noexcept {
        return reinterpret_cast<std::size_t>(cairn::address_of(pointer.get()));
    }
};
