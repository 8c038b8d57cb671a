// Which object lies at an address: the recorder's table of what is live.
//
// Open addressing with linear probing; a removed entry is filled from behind, so there are no tombstones and
// a search ends at the first hole. At most half full, for chains grow faster than what is saved; on huge
// pages where the system has them, since nearly every look misses the cache and would miss the TLB too.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

namespace cairn::trace {

// For std::vector: asks for huge pages once there is enough for one.
template <class Value>
struct HugePages {
    using value_type = Value;
    HugePages() = default;
    template <class Other>
    explicit HugePages(const HugePages<Other>&) {}

    static Value* allocate(std::size_t count) {
        const std::size_t bytes = (count * sizeof(Value) + huge_bytes - 1) / huge_bytes * huge_bytes;
        void* start = std::aligned_alloc(huge_bytes, bytes);
        if (start == nullptr) throw std::bad_alloc();
        (void)madvise(start, bytes, MADV_HUGEPAGE);  // a wish
        return static_cast<Value*>(start);
    }
    static void deallocate(Value* start, std::size_t) { std::free(start); }
    bool operator==(const HugePages&) const = default;

private:
    static constexpr std::size_t huge_bytes = std::size_t{1} << 21;
};

class ObjectTable {
public:
    ObjectTable() : entries_(std::size_t{1} << 12), mask_(entries_.size() - 1) {}

    // Puts `id` at the address. Returns what was there, or 0.
    std::uint64_t put(std::uint64_t address, std::uint64_t id) {
        if ((count_ + 1) * 2 > entries_.size()) grow();
        std::size_t at = slot_of(address);
        while (entries_[at].address != 0) {
            if (entries_[at].address == address) return std::exchange(entries_[at].id, id);
            at = (at + 1) & mask_;
        }
        entries_[at] = {address, id};
        ++count_;
        return 0;
    }

    // Takes the address out. Returns its object, or 0.
    std::uint64_t take(std::uint64_t address) {
        std::size_t at = slot_of(address);
        while (entries_[at].address != address) {
            if (entries_[at].address == 0) return 0;
            at = (at + 1) & mask_;
        }
        const std::uint64_t id = entries_[at].id;
        close_hole(at);
        --count_;
        return id;
    }

    // The object at the address, or 0.
    [[nodiscard]] std::uint64_t find(std::uint64_t address) const {
        std::size_t at = slot_of(address);
        while (entries_[at].address != address) {
            if (entries_[at].address == 0) return 0;
            at = (at + 1) & mask_;
        }
        return entries_[at].id;
    }

    // Tells the processor what will be looked for soon.
    void prefetch(std::uint64_t address) const { __builtin_prefetch(&entries_[slot_of(address)], 1); }

    [[nodiscard]] std::size_t size() const { return count_; }

    // Entries without a hole between them, the most anywhere: what a search may cost at worst.
    [[nodiscard]] std::size_t longest_run() const {
        std::size_t longest = 0, run = 0;
        for (const Entry& entry : entries_) {
            run = entry.address == 0 ? 0 : run + 1;
            longest = run > longest ? run : longest;
        }
        return longest;
    }

private:
    struct Entry {
        std::uint64_t address = 0;  // 0: free
        std::uint64_t id = 0;
    };
    using Entries = std::vector<Entry, HugePages<Entry>>;

    // Objects of 256 bytes of the heap stay neighbours here, which saves misses; more would make long chains.
    [[nodiscard]] std::size_t slot_of(std::uint64_t address) const {
        const std::uint64_t group = (address >> 8) * 0x9e3779b97f4a7c15;
        return ((group >> 20) + (address >> 4 & 15)) & mask_;
    }

    void close_hole(std::size_t hole) {
        for (std::size_t at = (hole + 1) & mask_; entries_[at].address != 0; at = (at + 1) & mask_) {
            // an entry may move back to the hole when its own place is not behind it
            const std::size_t home = slot_of(entries_[at].address);
            if (((at - home) & mask_) < ((at - hole) & mask_)) continue;
            entries_[hole] = entries_[at];
            hole = at;
        }
        entries_[hole] = {};
    }

    void grow() {
        Entries old(entries_.size() * 2);
        old.swap(entries_);
        mask_ = entries_.size() - 1;
        for (const Entry& entry : old) {
            if (entry.address == 0) continue;
            std::size_t at = slot_of(entry.address);
            while (entries_[at].address != 0) at = (at + 1) & mask_;
            entries_[at] = entry;
        }
    }

    Entries entries_;
    std::size_t mask_;
    std::size_t count_ = 0;
};

}  // namespace cairn::trace
