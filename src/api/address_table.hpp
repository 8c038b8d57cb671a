// Address table: what is known of an address, by open addressing: links, finalizers, uncollectable objects.
//
// Linear probing at a load of at most three quarters; taking one out moves those behind it up, so there are
// no graves and a walk may erase what it stands on. The array comes straight from the OS and goes back when
// it is outgrown. No array until the first entry.
//
// Not synchronised: every call but count() holds the lock of the table's owner, or the world is stopped.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "os/memory.hpp"

namespace cairn::api {

template <class Value>
class AddressTable {
public:
    struct Entry {
        std::uintptr_t address;  // 0: free
        Value value;
    };

    constexpr AddressTable() = default;

    // Without the lock: what it was a moment ago.
    [[nodiscard]] std::size_t count() const {
        return count_.load(std::memory_order_relaxed);  // relaxed: a number alone
    }

    [[nodiscard]] Value* find(std::uintptr_t address) {
        if (count() == 0) return nullptr;
        for (std::size_t i = place_of(address);; i = next(i)) {
            if (entries_[i].address == address) return &entries_[i].value;
            if (entries_[i].address == 0) return nullptr;
        }
    }
    // The value of an address that has none yet, to be filled in; nullptr when the OS refuses memory.
    [[nodiscard]] Value* add(std::uintptr_t address) {
        if (4 * (count() + 1) > 3 * capacity_ && !grow()) return nullptr;
        set_count(count() + 1);
        return &place(address);
    }
    bool remove(std::uintptr_t address) {
        Value* value = find(address);
        if (value == nullptr) return false;
        erase(static_cast<std::size_t>(reinterpret_cast<Entry*>(reinterpret_cast<char*>(value) -
                                                                offsetof(Entry, value)) -
                                       entries_));
        return true;
    }

    // Calls visit(entry) for each; true: erase it. `touch` is called some entries ahead, to start cache
    // misses.
    template <class Touch, class Visit>
    void sift(Touch touch, Visit visit) {
        constexpr std::size_t ahead = 16;
        for (std::size_t i = 0; i < capacity_;) {
            if (i + ahead < capacity_ && entries_[i + ahead].address != 0) touch(entries_[i + ahead]);
            if (entries_[i].address != 0 && visit(entries_[i])) erase(i);
            else ++i;
        }
    }
    template <class Visit>
    void for_each(Visit visit) const {
        for (std::size_t i = 0; i < capacity_; ++i)
            if (entries_[i].address != 0) visit(entries_[i]);
    }

private:
    static constexpr std::size_t first_capacity = 256;

    void set_count(std::size_t count) {
        count_.store(count, std::memory_order_relaxed);  // relaxed: as count()
    }
    [[nodiscard]] std::size_t next(std::size_t i) const { return (i + 1) & (capacity_ - 1); }
    // Neighbours in memory are neighbours here: programs enter and walk them in order.
    [[nodiscard]] std::size_t place_of(std::uintptr_t address) const {
        const std::uint64_t hash = (address >> 7) * 0x9e37'79b9'7f4a'7c15;
        return static_cast<std::size_t>(hash >> 20 << 3 | (address >> 4 & 7)) & (capacity_ - 1);
    }
    [[nodiscard]] Value& place(std::uintptr_t address) {
        std::size_t i = place_of(address);
        while (entries_[i].address != 0) i = next(i);
        entries_[i].address = address;
        return entries_[i].value;
    }
    // Moves up what a probe would no longer find.
    void erase(std::size_t hole) {
        set_count(count() - 1);
        for (std::size_t i = next(hole); entries_[i].address != 0; i = next(i)) {
            const std::size_t home = place_of(entries_[i].address);
            // Stays when its home lies behind the hole, going round.
            if (((i - home) & (capacity_ - 1)) < ((i - hole) & (capacity_ - 1))) continue;
            entries_[hole] = entries_[i];
            hole = i;
        }
        entries_[hole].address = 0;
    }
    [[nodiscard]] bool grow() {
        const std::size_t capacity = capacity_ == 0 ? first_capacity : 2 * capacity_;
        auto* fresh = static_cast<Entry*>(os::alloc(bytes_of(capacity), memory_));
        if (fresh == nullptr) return false;
        Entry* const old = entries_;
        const std::size_t old_capacity = capacity_;
        entries_ = fresh;
        capacity_ = capacity;
        for (std::size_t i = 0; i < old_capacity; ++i)
            if (old[i].address != 0) place(old[i].address) = old[i].value;
        if (old != nullptr) os::free(old, bytes_of(old_capacity), memory_);
        return true;
    }
    static std::size_t bytes_of(std::size_t capacity) {
        return (capacity * sizeof(Entry) + os::page_bytes() - 1) & ~(os::page_bytes() - 1);
    }

    Entry* entries_ = nullptr;   // [lock] of the owner, as all
    std::size_t capacity_ = 0;   // [lock] a power of two
    std::atomic<std::size_t> count_{0};  // [atomic] written under the lock
    os::Stat memory_;
};

}  // namespace cairn::api
