// Batches in, batches out.
// SPDX-License-Identifier: MIT
#include "heap/explicit_central.hpp"

#include <algorithm>
#include <cstring>

namespace cairn::heap {

namespace {

using base::Guard;

// The depot of a class holds at most this much: enough to pass whole magazines between threads, little enough
// that free memory of one class does not starve the others.
constexpr std::size_t depot_bytes = std::size_t{256} << 10;

}  // namespace

void ExplicitCentral::initialize(unsigned size_class, SpanAlloc& spans, PointerArrays& arrays,
                                 const Misuse& misuse) {
    size_class_ = static_cast<std::uint8_t>(size_class);
    spans_ = &spans;
    arrays_ = &arrays;
    misuse_ = &misuse;
    const std::size_t entries = depot_bytes / size_classes[size_class].object_bytes;
    depot_limit_ = std::clamp(std::bit_floor(static_cast<unsigned>(entries)), PointerArrays::min_entries,
                              PointerArrays::max_entries);
}

unsigned ExplicitCentral::take_from_spans_locked(void** out, unsigned want) {
    Span* span = partial_.first();
    if (span == nullptr) return 0;
    const unsigned taken = span->take_slots(out, want);
    if (span->alloc_count == span->slots) partial_.remove(span);
    slots_out_ += taken;
    peak_slots_out_ = std::max(peak_slots_out_, slots_out_);
    return taken;
}

unsigned ExplicitCentral::take(void** out, unsigned want, LocalPages* local) {
    {
        Guard guard(lock_);
        if (depot_count_ > 0) {
            const unsigned taken = std::min<unsigned>(depot_count_, want);
            depot_count_ -= taken;
            depot_low_ = std::min(depot_low_, depot_count_);
            std::memcpy(out, depot_ + depot_count_, taken * sizeof(void*));
            return taken;
        }
        if (const unsigned taken = take_from_spans_locked(out, want)) return taken;
    }
    Span* span =
        spans_->allocate(size_classes[size_class_].span_pages, ObjectKind::explicit_free, size_class_, local);
    Guard guard(lock_);
    if (span == nullptr) return take_from_spans_locked(out, want);  // somebody may have freed meanwhile
    ++spans_count_;
    partial_.push_front(span);
    return take_from_spans_locked(out, want);
}

bool ExplicitCentral::make_room_locked(unsigned count) {
    if (depot_count_ + count <= depot_capacity_) return true;
    if (depot_capacity_ == depot_limit_ || depot_count_ + count > depot_limit_) return false;
    unsigned capacity = std::max(depot_capacity_, PointerArrays::min_entries);
    while (capacity < depot_count_ + count) capacity *= 2;
    void** grown = arrays_->allocate(capacity);
    if (grown == nullptr) return false;
    if (depot_ != nullptr) {
        std::memcpy(grown, depot_, depot_count_ * sizeof(void*));
        arrays_->free(depot_, depot_capacity_);
    }
    depot_ = grown;
    depot_capacity_ = capacity;
    return true;
}

Span* ExplicitCentral::send_home_locked(void* const* slots, unsigned count, bool keep_one, Wrong& wrong) {
    Span* emptied = nullptr;
    for (unsigned i = 0; i < count; ++i) {
        const auto address = reinterpret_cast<std::uintptr_t>(slots[i]);
        Span* span = spans_->span_of(address);
        if (span == nullptr || span->kind != ObjectKind::explicit_free || span->size_class != size_class_) {
            wrong.add(address, true);
            continue;
        }
        const Span::Returned returned = span->return_slot(address);
        if (returned != Span::Returned::ok) {
            wrong.add(address, returned == Span::Returned::already_free);
            continue;
        }
        --slots_out_;
        if (!span->link.is_listed) partial_.push_front(span);
        if (span->alloc_count == 0 && (!keep_one || partial_.count() > 1)) {
            partial_.remove(span);
            --spans_count_;
            span->link.next = emptied;
            emptied = span;
        }
    }
    return emptied;
}

void ExplicitCentral::report(const Wrong& wrong) const {
    const std::size_t slot_bytes = size_classes[size_class_].object_bytes;
    for (unsigned i = 0; i < wrong.count; ++i) {
        const std::uintptr_t address = wrong.addresses[i];
        const Span* span = spans_->span_of(address);
        if (wrong.is_double[i] || span == nullptr) misuse_->double_free_small(address, slot_bytes);
        else misuse_->interior(Call::free, address, span->slot_address(span->slot_of(address)), slot_bytes);
    }
}

void ExplicitCentral::free_chain(Span* chain) {
    while (chain != nullptr) {
        Span* next = chain->link.next;
        chain->link = {};
        spans_->free(chain);
        chain = next;
    }
}

void ExplicitCentral::put(void* const* slots, unsigned count) {
    Span* emptied = nullptr;
    Wrong wrong;
    {
        Guard guard(lock_);
        if (make_room_locked(count)) {
            std::memcpy(depot_ + depot_count_, slots, count * sizeof(void*));
            depot_count_ += count;
            return;
        }
        emptied = send_home_locked(slots, count, true, wrong);
    }
    report(wrong);
    free_chain(emptied);
}

unsigned ExplicitCentral::drain(bool all) {
    Span* emptied = nullptr;
    Wrong wrong;
    unsigned sent = 0;
    {
        Guard guard(lock_);
        // The oldest entries are at the bottom; what was never needed since the last drain goes.
        sent = all ? depot_count_ : depot_low_;
        if (sent > 0) {
            emptied = send_home_locked(depot_, sent, false, wrong);
            depot_count_ -= sent;
            std::memmove(depot_, depot_ + sent, depot_count_ * sizeof(void*));
        }
        depot_low_ = depot_count_;
        // The one kept in reserve was alone when it became empty, and others are listed before it.
        Span* const reserve = partial_.last();
        if (reserve != nullptr && reserve->alloc_count == 0) {
            partial_.remove(reserve);
            --spans_count_;
            reserve->link.next = emptied;
            emptied = reserve;
        }
    }
    report(wrong);
    free_chain(emptied);
    return sent;
}

bool ExplicitCentral::holds(void* slot) {
    const auto address = reinterpret_cast<std::uintptr_t>(slot);
    Guard guard(lock_);
    for (unsigned i = 0; i < depot_count_; ++i) {
        if (depot_[i] == slot) return true;
    }
    const Span* span = spans_->span_of(address);
    if (span == nullptr || span->kind != ObjectKind::explicit_free || span->size_class != size_class_)
        return true;
    const std::size_t index = span->slot_of(address);
    return index < span->slots && (span->alloc_bits[index / 64] >> (index % 64) & 1) == 0;
}

ExplicitCentral::Usage ExplicitCentral::usage() {
    Guard guard(lock_);
    return {spans_count_, slots_out_, depot_count_, peak_slots_out_};
}

void ExplicitCentral::verify() {
    Guard guard(lock_);
    CAIRN_CHECK(depot_count_ <= depot_capacity_);
    for (Span* span = partial_.first(); span != nullptr; span = Partial::next(span)) {
        span->verify();
        CAIRN_CHECK(span->size_class == size_class_ && span->alloc_count < span->slots);
    }
    for (unsigned i = 0; i < depot_count_; ++i) {
        const auto address = reinterpret_cast<std::uintptr_t>(depot_[i]);
        const Span* span = spans_->span_of(address);
        CAIRN_CHECK(span != nullptr && span->size_class == size_class_);
        const std::size_t slot = span->slot_of(address);
        CAIRN_CHECK(slot < span->slots && (span->alloc_bits[slot / 64] >> (slot % 64) & 1) == 1);
    }
}

}  // namespace cairn::heap
