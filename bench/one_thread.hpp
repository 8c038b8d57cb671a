// One-thread cases: each path of an allocator alone, so that a figure names the path that is slow.
//
// pair     malloc then free of one size: the two fast paths back to back
// batch    1,000 blocks live at once, then freed in one of three orders: refills, flushes and locality
// calloc   the price of zero: small blocks are cleared, big ones should come clean from the OS
// realloc  growth in steps to 1 MiB: how often is the block copied?
// SPDX-License-Identifier: MIT
#pragma once

#include "harness.hpp"

namespace bench {

template <std::size_t bytes>
Sample pair(std::uint64_t ops) {
    const std::uint64_t start = now_ns();
    for (std::uint64_t i = 0; i < ops; ++i) {
        void* p = take(bytes);
        escape(p);
        std::free(p);
    }
    return {ops, now_ns() - start};
}

template <std::size_t bytes>
Sample calloc_pair(std::uint64_t ops) {
    const std::uint64_t start = now_ns();
    for (std::uint64_t i = 0; i < ops; ++i) {
        void* p = must(std::calloc(1, bytes));
        *static_cast<volatile char*>(p) = 1;
        escape(p);
        std::free(p);
    }
    return {ops, now_ns() - start};
}

inline constexpr std::size_t batch_count = 1000;
enum class Order { lifo, fifo, random };

// The order in which a batch is freed: entry i is the index of the i-th block to go.
constexpr std::array<std::uint16_t, batch_count> freeing_order(Order order) {
    std::array<std::uint16_t, batch_count> turn{};
    for (std::size_t i = 0; i < batch_count; ++i) {
        turn[i] = static_cast<std::uint16_t>(order == Order::lifo ? batch_count - 1 - i : i);
    }
    if (order == Order::random) {
        Random dice(7);
        for (std::size_t i = batch_count - 1; i > 0; --i) {
            const std::size_t j = dice.below(static_cast<std::uint32_t>(i + 1));
            const std::uint16_t kept = turn[i];
            turn[i] = turn[j];
            turn[j] = kept;
        }
    }
    return turn;
}

template <std::size_t bytes, Order order>
Sample batch(std::uint64_t ops) {
    static constexpr auto turn = freeing_order(order);
    static std::array<void*, batch_count> block;
    const std::uint64_t rounds = ops / batch_count + 1;
    const std::uint64_t start = now_ns();
    for (std::uint64_t r = 0; r < rounds; ++r) {
        for (std::size_t i = 0; i < batch_count; ++i) block[i] = take(bytes);
        escape(block.data());
        for (std::size_t i = 0; i < batch_count; ++i) std::free(block[turn[i]]);
    }
    return {rounds * batch_count, now_ns() - start};
}

// Grows one block from 64 B to 1 MiB by 512 B a step, writing its last byte each time. A step is one op.
inline Sample realloc_growth(std::uint64_t ops) {
    constexpr std::size_t goal = std::size_t{1} << 20;
    constexpr std::size_t step = 512;
    std::uint64_t done = 0;
    const std::uint64_t start = now_ns();
    while (done < ops) {
        char* p = static_cast<char*>(take(64));
        for (std::size_t bytes = step; bytes <= goal; bytes += step, ++done) {
            p = static_cast<char*>(must(std::realloc(p, bytes)));
            static_cast<volatile char*>(p)[bytes - 1] = 1;
        }
        escape(p);
        std::free(p);
    }
    return {done, now_ns() - start};
}

}  // namespace bench
