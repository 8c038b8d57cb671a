// Appending, taking and greying queued calls.
// SPDX-License-Identifier: MIT
#include "gc/finalizer_queue.hpp"

#include <cstddef>

namespace cairn::gc {

FinalizerCall FinalizerQueue::call_of(const heap::Special& record) {
    FinalizerCall call;
    if (record.kind == heap::SpecialKind::cleanup) {
        const auto& cleanup = static_cast<const heap::CleanupSpecial&>(record);
        call.cleanup = cleanup.function;
        call.argument = cleanup.argument;
        return call;
    }
    const auto& finalizer = static_cast<const heap::FinalizerSpecial&>(record);
    call.finalizer = finalizer.function;
    call.object = reinterpret_cast<void*>(finalizer.offset);
    call.argument = finalizer.argument;
    call.descriptor = finalizer.descriptor;
    return call;
}

void FinalizerQueue::append(heap::Special* first, heap::Special* last, std::uint64_t count) {
    appended_.add(count);
    base::Guard guard(lock_);
    last->next = nullptr;
    if (tail_ != nullptr) tail_->next = first;
    else head_ = first;
    tail_ = last;
    length_.fetch_add(count, std::memory_order_relaxed);  // relaxed: under the lock; readers take a hint
}

bool FinalizerQueue::take(FinalizerCall& call) {
    heap::Special* record = nullptr;
    {
        base::Guard guard(lock_);
        record = head_;
        if (record == nullptr) return false;
        if (cursor_ == record) cursor_ = record->next;
        head_ = record->next;
        if (head_ == nullptr) tail_ = nullptr;
        length_.fetch_sub(1, std::memory_order_relaxed);   // relaxed: under the lock; readers take a hint
        running_.fetch_add(1, std::memory_order_relaxed);  // relaxed: as above
    }
    call = call_of(*record);
    specials_->free(record);
    return true;
}

void FinalizerQueue::finished() {
    finished_.add(1);
    base::Guard guard(lock_);
    running_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: under the lock; readers take a hint
}

void FinalizerQueue::mark(const Greyer& greyer) {
    constexpr std::size_t step = 64;  // calls copied under the lock at a time
    {
        base::Guard guard(lock_);
        cursor_ = head_;
    }
    for (std::size_t count = step; count == step;) {
        FinalizerCall calls[step];
        count = 0;
        {
            base::Guard guard(lock_);
            for (; cursor_ != nullptr && count < step; cursor_ = cursor_->next)
                calls[count++] = call_of(*cursor_);
        }
        for (std::size_t i = 0; i < count; ++i) grey_call(calls[i], greyer);
    }
}

}  // namespace cairn::gc
