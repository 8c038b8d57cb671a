// Coroutines whose frames live on the collected heap: generators that are simply dropped.
//
// A promise type that derives from cairn::Collected puts its coroutine's frame there. The frame is scanned
// word by word, so locals may be plain pointers across a suspension. A generator that nobody wants any more
// needs no destroy(): its frame is garbage like everything else.
// SPDX-License-Identifier: MIT
#include <coroutine>
#include <cstdio>
#include <exception>

#include "cairn/cairn.hpp"

// A handle that copies like a pointer and owns nothing.
template <class T>
struct Generator {
    struct promise_type : cairn::Collected {
        T value{};
        Generator get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(T next) noexcept {
            value = next;
            return {};
        }
        void return_void() noexcept {}
        void unhandled_exception() { std::terminate(); }
    };

    // The next value; false at the end.
    bool next(T& value) const {
        handle.resume();
        if (handle.done()) return false;
        value = handle.promise().value;
        return true;
    }

    std::coroutine_handle<promise_type> handle;
};

struct Tree {
    cairn::Ptr<Tree> left, right;
    int key = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Tree::left, &Tree::right);
};

Tree* make_tree(int low, int high) {
    if (low >= high) return nullptr;
    const int middle = low + (high - low) / 2;
    return cairn::make<Tree>(make_tree(low, middle), make_tree(middle + 1, high), middle);
}

// Keys in order; a coroutine a level, each frame held by the one above.
Generator<int> walk(const Tree* tree) {
    if (tree == nullptr) co_return;
    int key = 0;
    const Generator<int> left = walk(tree->left);
    while (left.next(key)) co_yield key;
    co_yield tree->key;
    const Generator<int> right = walk(tree->right);
    while (right.next(key)) co_yield key;
}

// Only here is the generator known; its tree is known nowhere else.
Generator<int> half_walked(int count) {
    const Generator<int> keys = walk(make_tree(0, count));
    for (int i = 0, key = 0; i < count / 2; ++i)
        if (!keys.next(key) || key != i) std::terminate();
    return keys;
}

int main() {
    constexpr int count = 100, walks = 3000;
    for (int i = 0; i < walks; ++i) (void)half_walked(count);  // dropped in the middle, frames and all

    const Generator<int> kept = half_walked(count);
    cairn::collect();
    int sum = 0;
    for (int key = 0; kept.next(key);) sum += key;
    const cairn::Stats stats = cairn::stats();
    std::printf("%d walks dropped half-way, one finished: the other keys sum to %d\n", walks, sum);
    std::printf("%.1f MB allocated, %.2f MB live\n", static_cast<double>(stats.allocated_bytes) / 1e6,
                static_cast<double>(stats.heap_live_bytes) / 1e6);
    return sum == (50 + 99) * 50 / 2 && stats.heap_live_bytes < stats.allocated_bytes / 5 ? 0 : 1;
}
