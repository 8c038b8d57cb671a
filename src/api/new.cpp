// operator new and delete over the same heap.
//
// A program may replace only the plain forms; the standard says the others then go through them. So every
// other form here first looks whether the plain one is ours, as the dynamic linker resolved it, and calls
// whichever it is. The nothrow forms are left to the C++ library, which wraps the plain ones.
//
// Nothing here links to a C++ library (a C program would pay a millisecond for it): what a failure needs is
// found by weak symbols, which every C++ program has.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <new>

#include "api/malloc_entry.hpp"
#include "api/recorder.hpp"
#include "base/check.hpp"

// std::__throw_bad_alloc() and std::get_new_handler(), by their mangled names.
extern "C" [[noreturn]] void throw_bad_alloc() __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));
extern "C" std::new_handler find_new_handler() __asm__("_ZSt15get_new_handlerv") __attribute__((weak));

namespace cairn::api {

namespace {

// The standard's loop: while there is a handler, it may make room or throw.
[[gnu::noinline, gnu::cold]] void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
    while (true) {
        const std::new_handler handler = find_new_handler != nullptr ? find_new_handler() : nullptr;
        if (handler == nullptr) break;
        handler();
        if (void* start = allocate_aligned(bytes, alignment)) return start;
    }
    if (throw_bad_alloc == nullptr)
        base::fatal("operator new: out of memory, and no C++ library to throw with");
    throw_bad_alloc();
}


}  // namespace

}  // namespace cairn::api

#define CAIRN_EXPORT __attribute__((visibility("default")))
// Who called, for a recording; nothing in the library that does not record.
#define CAIRN_CALLER __builtin_return_address(0)

CAIRN_EXPORT void* operator new(std::size_t bytes) {
    if (void* start = cairn::api::allocate(bytes)) [[likely]]
        return cairn::api::made(start, bytes, CAIRN_CALLER);
    return cairn::api::made(cairn::api::allocate_or_throw(bytes, 1), bytes, CAIRN_CALLER);
}

CAIRN_EXPORT void operator delete(void* start) noexcept {
    cairn::api::gone(start);
    cairn::api::release(start);
}

CAIRN_EXPORT void* operator new(std::size_t bytes, std::align_val_t alignment) {
    const auto wanted = static_cast<std::size_t>(alignment);
    if (void* start = cairn::api::allocate_aligned(bytes, wanted)) [[likely]]
        return cairn::api::made_aligned(start, bytes, wanted, CAIRN_CALLER);
    void* start = cairn::api::allocate_or_throw(bytes, wanted);
    return cairn::api::made_aligned(start, bytes, wanted, CAIRN_CALLER);
}

CAIRN_EXPORT void operator delete(void* start, std::align_val_t) noexcept {
    cairn::api::gone(start);
    cairn::api::release(start);
}

// The calls below go through the dynamic symbols: ours, or the program's own.
CAIRN_EXPORT void* operator new[](std::size_t bytes) { return ::operator new(bytes); }
CAIRN_EXPORT void operator delete[](void* start) noexcept { ::operator delete(start); }
CAIRN_EXPORT void operator delete(void* start, std::size_t) noexcept { ::operator delete(start); }
CAIRN_EXPORT void operator delete[](void* start, std::size_t) noexcept { ::operator delete[](start); }
CAIRN_EXPORT void* operator new[](std::size_t bytes, std::align_val_t alignment) {
    return ::operator new(bytes, alignment);
}
CAIRN_EXPORT void operator delete[](void* start, std::align_val_t a) noexcept { ::operator delete(start, a); }
CAIRN_EXPORT void operator delete(void* start, std::size_t, std::align_val_t a) noexcept {
    ::operator delete(start, a);
}
CAIRN_EXPORT void operator delete[](void* start, std::size_t, std::align_val_t a) noexcept {
    ::operator delete[](start, a);
}
