// Policy of the set: Cairn as a C++ program is meant to use it, with types that name their pointers.
// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "cairn_report.hpp"

namespace policy {

template <class T>
using Field = cairn::Ptr<T>;

using cairn::make_array;
using cairn::pointers;

template <class T, class... Arguments>
[[gnu::always_inline]] inline T* make(Arguments&&... arguments) {
    return cairn::make<T>(std::forward<Arguments>(arguments)...);
}

}  // namespace policy
