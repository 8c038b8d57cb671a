// Policy of the set: Cairn told as little as libgc is; raw pointers anywhere, every word may be one.
//
// Objects without pointers are said to be so here too, as libgc's `atomic` ones are.
// SPDX-License-Identifier: MIT
#pragma once

#include <new>
#include <type_traits>
#include <utility>

#include "cairn_report.hpp"

namespace policy {

template <class T>
using Field = T*;

// How many fields a type named: without any it holds no pointers.
template <class Owner, class... Members>
constexpr std::size_t pointers(Members...) {
    return sizeof...(Members);
}

template <class T, class... Arguments>
[[gnu::always_inline]] inline T* make(Arguments&&... arguments) {
    constexpr bool plain = T::cairn_pointers == 0;
    void* place = plain ? cairn_alloc_noscan(sizeof(T)) : cairn_alloc_conservative(sizeof(T));
    return new (bench::must(place)) T(std::forward<Arguments>(arguments)...);
}

template <class T>
T* make_array(std::size_t count) {
    if constexpr (std::is_arithmetic_v<T>) return cairn::make_array<T>(count);
    else return static_cast<T*>(bench::must(cairn_alloc_conservative(count * sizeof(T))));
}

}  // namespace policy
