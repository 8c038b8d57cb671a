// White objects: what a cycle found unreachable, looked at in its last stop, before the sweep takes it.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "api/gc_runtime.hpp"
#include "heap/span.hpp"
#include "heap/swept_cache.hpp"
#include "os/memory.hpp"

namespace cairn::api::libgc {

// Addresses, for a walk that appends them in rising order. The lowest bit of each is the owner's.
class AddressList {
public:
    [[nodiscard]] bool append(std::uintptr_t address) {
        if (count_ == capacity_ && !grow()) return false;
        is_sorted_ &= count_ == 0 || addresses_[count_ - 1] < address;
        addresses_[count_++] = address;
        return true;
    }
    void sort() {
        if (!is_sorted_) std::sort(addresses_, addresses_ + count_);
        is_sorted_ = true;
    }
    void clear() {
        count_ = 0;
        is_sorted_ = true;
    }
    void keep_first(std::size_t count) { count_ = count; }
    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] std::uintptr_t& operator[](std::size_t i) { return addresses_[i]; }
    // How many are not above `address`. Needs: sorted.
    [[nodiscard]] std::size_t count_to(std::uintptr_t address) const {
        const std::uintptr_t* above = std::upper_bound(addresses_, addresses_ + count_, address);
        return static_cast<std::size_t>(above - addresses_);
    }
    // The entry of an address from `from` on, nullptr if there is none. Needs: sorted.
    [[nodiscard]] std::uintptr_t* find(std::uintptr_t address, std::size_t from) {
        std::uintptr_t* const end = addresses_ + count_;
        std::uintptr_t* const found = std::lower_bound(addresses_ + from, end, address);
        return found != end && (*found & ~std::uintptr_t{1}) == address ? found : nullptr;
    }

private:
    [[nodiscard]] bool grow() {
        const std::size_t bytes = capacity_ == 0 ? os::page_bytes() : 2 * capacity_ * sizeof(std::uintptr_t);
        auto* fresh = static_cast<std::uintptr_t*>(os::alloc(bytes, memory_));
        if (fresh == nullptr) return false;
        if (count_ != 0) std::memcpy(fresh, addresses_, count_ * sizeof(std::uintptr_t));
        if (addresses_ != nullptr) os::free(addresses_, capacity_ * sizeof(std::uintptr_t), memory_);
        addresses_ = fresh;
        capacity_ = bytes / sizeof(std::uintptr_t);
        return true;
    }

    std::uintptr_t* addresses_ = nullptr;  // [lock]
    std::size_t count_ = 0;                // [lock]
    std::size_t capacity_ = 0;             // [lock]
    bool is_sorted_ = true;                // [lock]
    os::Stat memory_;
};

// Visits every white object of the spans that `chooses`, but for slots that the program gave back. Needs: the
// world stopped, all that is reachable marked.
template <class Choose, class Visit>
void for_each_white(Choose chooses, Visit visit) {
    heap::SpanAlloc& spans = runtime.heap.spans();
    const pages::ObjectMap::View map = spans.objects().view();
    spans.addresses().for_each_span_start([&](std::uintptr_t, const heap::Span* span) {
        if (span == nullptr || !span->is_alive() || !heap::is_swept(span->kind) || !chooses(*span)) return;
        const std::uintptr_t end = span->is_large() ? span->base + 1 : span->end();
        for (std::uintptr_t at = span->base; at < end; at += std::size_t{1} << pages::pair_shift) {
            const pages::BitPair& pair = map.pair(at);
            // relaxed, both: the world is stopped
            std::uint64_t white = pair.allocated.load(std::memory_order_relaxed) &
                                  ~pair.marked.load(std::memory_order_relaxed);  // relaxed: as above
            for (; white != 0; white &= white - 1) {
                const auto granule = static_cast<unsigned>(std::countr_zero(white));
                const std::uintptr_t object = at + (std::uintptr_t{granule} << pages::granule_shift);
                if (!heap::SweptCache::was_given_back(object)) visit(object);
            }
        }
    });
}

}  // namespace cairn::api::libgc
