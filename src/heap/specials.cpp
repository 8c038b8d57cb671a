// Keeping a span's records sorted, and the arena's bit with them.
// SPDX-License-Identifier: MIT
#include "heap/specials.hpp"

#include "heap/central.hpp"

namespace cairn::heap {

namespace {

bool comes_before(const Special& a, std::uintptr_t offset, SpecialKind kind) {
    return a.offset < offset || (a.offset == offset && a.kind < kind);
}

}  // namespace

void Specials::initialize(SpanAlloc& spans) {
    spans_ = &spans;
    for (pages::FixedPool& pool : pools_) pool.initialize(spans.metadata());
}

Special** Specials::find_link_locked(Span& span, std::uintptr_t offset, SpecialKind kind) {
    Special* before = span.specials_hint;
    if (before != nullptr && !comes_before(*before, offset, kind)) before = nullptr;
    Special** link = before == nullptr ? &span.specials : &before->next;
    for (; *link != nullptr && comes_before(**link, offset, kind); link = &before->next) before = *link;
    span.specials_hint = before;
    return link;
}

void Specials::unlink_locked(Span& span, Special** link) {
    Special* record = *link;
    if (span.specials_hint == record) span.specials_hint = nullptr;
    *link = record->next;
    record->next = nullptr;
    if (span.specials == nullptr) spans_->addresses().set_has_specials(span.base, false);
}

bool Specials::add(Span& span, std::uintptr_t address, Special* record) {
    were_added_.store(true, std::memory_order_relaxed);  // relaxed: as were_added()
    ensure_swept(span, *spans_);
    record->offset = address - span.base;
    CAIRN_ASSERT(record->offset < span.bytes());
    base::Guard guard(span.specials_lock);
    Special** link = find_link_locked(span, record->offset, record->kind);
    const auto is_same = [&] {
        return *link != nullptr && (*link)->offset == record->offset && (*link)->kind == record->kind;
    };
    if (is_same() && record->kind != SpecialKind::cleanup) return false;
    while (is_same()) link = &(*link)->next;  // cleanups run in the order they were attached
    const bool was_empty = span.specials == nullptr;
    record->next = *link;
    *link = record;
    if (was_empty) spans_->addresses().set_has_specials(span.base, true);
    return true;
}

Special* Specials::remove(Span& span, std::uintptr_t address, SpecialKind kind) {
    ensure_swept(span, *spans_);
    const std::uintptr_t offset = address - span.base;
    base::Guard guard(span.specials_lock);
    Special** link = find_link_locked(span, offset, kind);
    Special* record = *link;
    if (record == nullptr || record->offset != offset || record->kind != kind) return nullptr;
    unlink_locked(span, link);
    return record;
}

bool Specials::remove(Span& span, Special* record) {
    ensure_swept(span, *spans_);
    base::Guard guard(span.specials_lock);
    for (Special** link = &span.specials; *link != nullptr; link = &(*link)->next) {
        if (*link != record) continue;
        unlink_locked(span, link);
        return true;
    }
    return false;
}

Special* Specials::find(Span& span, std::uintptr_t address, SpecialKind kind) {
    const std::uintptr_t offset = address - span.base;
    base::Guard guard(span.specials_lock);
    Special* record = *find_link_locked(span, offset, kind);
    return record != nullptr && record->offset == offset && record->kind == kind ? record : nullptr;
}

void Specials::reset_locks_after_fork() {
    for (pages::FixedPool& pool : pools_) pool.reset_lock_after_fork();
}

void Specials::verify(Span& span) {
    base::Guard guard(span.specials_lock);
    CAIRN_CHECK((span.specials != nullptr) == spans_->addresses().has_specials(span.base));
    bool is_hint_listed = span.specials_hint == nullptr;
    for (const Special* record = span.specials; record != nullptr; record = record->next) {
        is_hint_listed = is_hint_listed || record == span.specials_hint;
        CAIRN_CHECK(record->offset < span.bytes());
        CAIRN_CHECK(record->kind >= SpecialKind::tiny_block && record->kind <= SpecialKind::cleanup);
        const Special* next = record->next;
        if (next == nullptr) continue;
        CAIRN_CHECK(!comes_before(*next, record->offset, record->kind));
        const bool is_repeated = next->offset == record->offset && next->kind == record->kind;
        CAIRN_CHECK(!is_repeated || record->kind == SpecialKind::cleanup);
    }
    CAIRN_CHECK(is_hint_listed);
}

}  // namespace cairn::heap
