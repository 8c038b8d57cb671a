// What the tests of libcairn share: objects that count their deaths, and dead frames wiped.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "cairn/cairn.hpp"

namespace library {

struct Node {
    cairn::Ptr<Node> left, right;
    long value = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::left, &Node::right);
};
// The same with every word a pointer, perhaps.
struct Loose {
    Loose* left = nullptr;
    Loose* right = nullptr;
    long value = 0;
};

// Calls `function` with the stack below wiped before and after, so that what it held is garbage.
[[gnu::noinline]] inline void wipe_stack() {
    volatile char room[16384];
    for (volatile char& byte : room) byte = 0;
}
template <class Function>
[[gnu::noinline]] void apart(Function function) {
    wipe_stack();
    function();
    wipe_stack();
}

// Live objects by weak handles.
template <class T>
class Watched {
public:
    T* watch(T* object) {
        handles_.push_back(object);
        return object;
    }
    [[nodiscard]] std::size_t count() const { return handles_.size(); }
    [[nodiscard]] std::size_t alive() const {
        std::size_t count = 0;
        for (const cairn::Weak<T>& handle : handles_) count += handle.get() != nullptr;
        return count;
    }

private:
    std::vector<cairn::Weak<T>> handles_;
};

// A stale word on the stack keeps what it leads to. So of many dead things a few may live, not many.
inline constexpr std::size_t stale_max = 50;

}  // namespace library
