// Standard containers whose memory is on the collected heap: an allocator and a memory resource.
//
// Elements are found by the collector however the container moves them, since their memory is conservative;
// it is noscan when T holds no pointers. A container frees its memory at once when it shrinks or dies. When
// all it does at its death is that, as a member of a collected object, say so: `cairn::needs_destructor`.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <limits>
#include <memory_resource>

#include "cairn/cairn.hpp"

namespace cairn {

template <class T>
class allocator {
public:
    using value_type = T;
    using is_always_equal = std::true_type;
    using propagate_on_container_move_assignment = std::true_type;

    constexpr allocator() noexcept = default;
    template <class U>
    constexpr allocator(const allocator<U>&) noexcept {}

    [[nodiscard]] T* allocate(std::size_t count) {
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) out_of_memory();
        const std::size_t size = count * sizeof(T);
        if constexpr (kind_of<T> == Kind::noscan && alignof(T) <= 16)
            return static_cast<T*>(or_throw(cairn_alloc_noscan(size)));
        else return static_cast<T*>(or_throw(allocate_conservative(size, alignof(T))));
    }
    void deallocate(T* memory, std::size_t) noexcept { cairn_free(memory); }
    friend constexpr bool operator==(allocator, allocator) noexcept { return true; }
};

// For std::pmr: conservative memory.
class MemoryResource final : public std::pmr::memory_resource {
private:
    void* do_allocate(std::size_t size, std::size_t alignment) override {
        return or_throw(allocate_conservative(size, alignment));
    }
    void do_deallocate(void* memory, std::size_t, std::size_t) override { cairn_free(memory); }
    [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
        return this == &other;
    }
};

[[nodiscard]] inline std::pmr::memory_resource* memory_resource() noexcept {
    static MemoryResource resource;
    return &resource;
}

}  // namespace cairn
