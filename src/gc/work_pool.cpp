// Lists of buffers and of large objects.
// SPDX-License-Identifier: MIT
#include "gc/work_pool.hpp"

#include <new>

namespace cairn::gc {

using base::Guard;

bool WorkPool::refill_locked() {
    auto* block = static_cast<char*>(metadata_->allocate(block_bytes, base::cache_line_bytes));
    if (block == nullptr) return false;
    for (std::size_t at = 0; at < block_bytes; at += WorkBuffer::bytes) {
        auto* buffer = reinterpret_cast<WorkBuffer*>(block + at);
        buffer->next = empty_;
        empty_ = buffer;
    }
    return true;
}

WorkBuffer* WorkPool::take_empty() {
    Guard guard(lock_);
    if (empty_ == nullptr && !refill_locked()) return nullptr;
    WorkBuffer* buffer = empty_;
    empty_ = buffer->next;
    buffer->next = nullptr;
    buffer->count = 0;
    return buffer;
}

WorkBuffer* WorkPool::take(WorkBuffer*& list, std::atomic<std::size_t>& count) {
    if (count.load(std::memory_order_relaxed) == 0) return nullptr;  // relaxed: a hint
    Guard guard(lock_);
    WorkBuffer* buffer = list;
    if (buffer == nullptr) return nullptr;
    list = buffer->next;
    buffer->next = nullptr;
    count.fetch_sub(1, std::memory_order_release);  // release: see is_dry()
    return buffer;
}

void WorkPool::put(WorkBuffer* buffer, WorkBuffer*& list, std::atomic<std::size_t>& count) {
    Guard guard(lock_);
    const bool is_empty = buffer->count == 0;
    WorkBuffer*& first = is_empty ? empty_ : list;
    buffer->next = first;
    first = buffer;
    if (!is_empty) count.fetch_add(1, std::memory_order_release);  // release: see is_dry()
}

WorkBuffer* WorkPool::take_full() { return take(full_, full_count_); }
void WorkPool::put(WorkBuffer* buffer) { put(buffer, full_, full_count_); }
WorkBuffer* WorkPool::take_pages() { return take(pages_, pages_count_); }
void WorkPool::put_pages(WorkBuffer* buffer) { put(buffer, pages_, pages_count_); }

bool WorkPool::add_large(heap::Span& span) {
    Guard guard(lock_);
    Large* record = spare_large_;
    if (record != nullptr) spare_large_ = record->next;
    else record = static_cast<Large*>(metadata_->allocate(sizeof(Large), alignof(Large)));
    if (record == nullptr) return false;
    *record = {large_, &span, span.base};
    large_ = record;
    large_count_.fetch_add(1, std::memory_order_release);  // release: see is_dry()
    return true;
}

WorkPool::Piece WorkPool::take_piece() {
    if (large_count_.load(std::memory_order_relaxed) == 0) return {};  // relaxed: a hint
    Guard guard(lock_);
    Large* record = large_;
    if (record == nullptr) return {};
    const std::uintptr_t end = record->span->end();
    Piece piece{record->span, record->cursor, record->cursor + piece_bytes};
    if (piece.to < end) {
        record->cursor = piece.to;
        return piece;
    }
    piece.to = end;
    large_ = record->next;
    record->next = spare_large_;
    spare_large_ = record;
    large_count_.fetch_sub(1, std::memory_order_release);  // release: see is_dry()
    return piece;
}

}  // namespace cairn::gc
