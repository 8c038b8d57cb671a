// Making, following and counting weak handles.
// SPDX-License-Identifier: MIT
#include "gc/weak.hpp"

#include <new>

#include "base/check.hpp"
#include "heap/central.hpp"

namespace cairn::gc {

namespace {

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

[[noreturn]] void used_after_release(const WeakCell* cell) {
    base::Message text;
    text << "weak handle ";
    text.hex(number(cell)) << " used after its last release";
    base::fatal(text.view());
}

}  // namespace

void WeakHandles::initialize(heap::SpanAlloc& spans, const pages::ObjectMap& objects,
                             heap::Specials& specials, const MarkPhase& phase) {
    spans_ = &spans;
    objects_ = &objects;
    specials_ = &specials;
    phase_ = &phase;
    cells_.initialize(spans.metadata());
}

WeakCell* WeakHandles::find_and_count(heap::Span& span, std::uintptr_t address) {
    WeakCell* found = nullptr;
    specials_->visit_first(span, address, heap::SpecialKind::weak_handle, [&](heap::Special& record) {
        found = cell_of(static_cast<heap::WeakHandleSpecial&>(record));
        // relaxed: under the span's lock, which the last release takes too
        found->references.fetch_add(1, std::memory_order_relaxed);
    });
    return found;
}

heap::WeakHandleSpecial* WeakHandles::make_record(std::uintptr_t address) {
    void* memory = cells_.allocate();
    if (memory == nullptr) return nullptr;
    auto* record = specials_->make<heap::WeakHandleSpecial>();
    if (record == nullptr) {
        cells_.free(static_cast<WeakCell*>(memory));
        return nullptr;
    }
    auto* cell = new (memory) WeakCell;
    // relaxed, both: the cell is published with the record, under the span's lock
    cell->target.store(reinterpret_cast<void*>(address), std::memory_order_relaxed);
    cell->references.store(2, std::memory_order_relaxed);  // relaxed: as above; the record and the caller
    record->handle = &cell->target;
    return record;
}

WeakCell* WeakHandles::create(const void* address) {
    const CollectedObject object = object_at(*spans_, *objects_, number(address));
    if (!object) return nullptr;
    heap::ensure_swept(*object.span, *spans_);
    if (WeakCell* cell = find_and_count(*object.span, number(address))) return cell;
    heap::WeakHandleSpecial* record = make_record(number(address));
    if (record == nullptr) return nullptr;
    WeakCell* cell = cell_of(*record);
    while (!specials_->add(*object.span, number(address), record)) {
        // Somebody was faster; perhaps that handle is released again before we count it.
        WeakCell* other = find_and_count(*object.span, number(address));
        if (other == nullptr) continue;
        cells_.free(cell);
        specials_->free(record);
        return other;
    }
    return cell;
}

void* WeakHandles::get(const WeakCell* cell) const {
    // relaxed: a released cell is the caller's mistake, found on a best effort
    if (cell->references.load(std::memory_order_relaxed) == 0) [[unlikely]] used_after_release(cell);
    // acquire: pairs with detach(), both loads
    void* target = cell->target.load(std::memory_order_acquire);
    if (target == nullptr) return nullptr;
    if (heap::Span* span = spans_->span_of(number(target))) heap::ensure_swept(*span, *spans_);
    target = cell->target.load(std::memory_order_acquire);  // acquire: pairs with detach()
    if (target != nullptr && phase_->is_marking()) phase_->greyer()(target);
    return target;
}

void WeakHandles::retain(WeakCell* cell) const {
    // relaxed: the caller holds a handle, so the count cannot reach zero meanwhile
    if (cell->references.fetch_add(1, std::memory_order_relaxed) == 0) used_after_release(cell);
}

void WeakHandles::drop_reference(WeakCell* cell) {
    // acq_rel: whoever gives the cell back comes after all who used it
    const std::uint32_t before = cell->references.fetch_sub(1, std::memory_order_acq_rel);
    if (before == 0) used_after_release(cell);
    if (before == 1) cells_.free(cell);
}

void WeakHandles::release(WeakCell* cell) {
    std::uint32_t count = cell->references.load(std::memory_order_relaxed);  // relaxed: the exchange decides
    while (count > 2) {
        // release: what this handle's holder did comes before the cell is given back; relaxed: only retried
        if (cell->references.compare_exchange_weak(count, count - 1, std::memory_order_release,
                                                   std::memory_order_relaxed))
            return;
    }
    release_last(cell);
}

// Perhaps only the record's reference will be left: then the record goes too. After ensure_swept() a target
// that is still there stays until the caller leaves the runtime, so the record is on its list.
void WeakHandles::release_last(WeakCell* cell) {
    void* target = cell->target.load(std::memory_order_acquire);  // acquire: pairs with detach()
    if (target != nullptr) {
        if (heap::Span* span = spans_->span_of(number(target))) heap::ensure_swept(*span, *spans_);
        target = cell->target.load(std::memory_order_acquire);  // acquire: pairs with detach()
    }
    if (target == nullptr) return drop_reference(cell);
    heap::Span* span = spans_->span_of(number(target));
    CAIRN_CHECK(span != nullptr);
    const auto is_last = [cell](heap::Special&) {
        // acq_rel: as in drop_reference(); under the span's lock, so no create() finds the cell in between
        const std::uint32_t before = cell->references.fetch_sub(1, std::memory_order_acq_rel);
        if (before < 2) used_after_release(cell);
        return before == 2;
    };
    heap::Special* record =
        specials_->take_first_if(*span, number(target), heap::SpecialKind::weak_handle, is_last);
    if (record == nullptr) return;
    cell->references.store(0, std::memory_order_relaxed);  // relaxed: nobody else has it
    cells_.free(cell);
    specials_->free(record);
}

void WeakHandles::detach(heap::WeakHandleSpecial* record) {
    WeakCell* cell = cell_of(*record);
    cell->target.store(nullptr, std::memory_order_release);  // release: pairs with get() and is_gone()
    specials_->free(record);
    drop_reference(cell);
}

}  // namespace cairn::gc
