// Columns to and from events.
// SPDX-License-Identifier: MIT
#include "trace/block.hpp"

#include <bit>

namespace cairn::trace {

namespace {

constexpr std::size_t varint_limit = 10;
constexpr unsigned char thread_changes = 0x80;

}  // namespace

BlockBuilder::BlockBuilder(bool has_sites) : has_sites_(has_sites) {
    for (unsigned column = 0; column < column_count; ++column) {
        // extras may hold a byte and a varint an event
        const std::size_t most = column == ops ? 1 : column == extras ? varint_limit + 1 : varint_limit;
        columns_[column].resize(events_limit * most);
    }
    begin({});
}

void BlockBuilder::begin(const Running& running) {
    first_ = running;
    events_ = 0;
    for (unsigned column = 0; column < column_count; ++column) ends_[column] = columns_[column].data();
}

void BlockBuilder::add(const Event& event, Running& running) {
    const bool changes = event.thread != running.thread;
    const auto op = static_cast<unsigned char>(event.op);
    *ends_[ops]++ = changes ? op | thread_changes : op;
    if (changes) put(threads, event.thread);
    put(times, event.time_ns - running.time_ns);
    if (has_size(event.op)) put(sizes, event.size);
    if (names_object(event.op)) put(objects, event.id == 0 ? 0 : running.next_id - event.id);
    if (event.op == Op::allocate_align) put(extras, static_cast<unsigned>(std::countr_zero(event.align)));
    if (has_sites_ && has_site(event.op)) put(extras, event.site);
    running.thread = event.thread;
    running.time_ns = event.time_ns;
    if (makes_object(event.op)) ++running.next_id;
    ++events_;
}

std::vector<unsigned char>& BlockBuilder::finish() {
    std::size_t total = events_head_bytes;
    for (unsigned column = 0; column < column_count; ++column)
        total += static_cast<std::size_t>(ends_[column] - columns_[column].data());
    raw_.resize(total);
    unsigned char* at = raw_.data();
    store(at, first_.time_ns);
    store(at + 8, first_.next_id);
    store(at + 16, first_.thread);
    unsigned char* bytes = at + events_head_bytes;
    for (unsigned column = 0; column < column_count; ++column) {
        const auto length = static_cast<std::uint32_t>(ends_[column] - columns_[column].data());
        store(at + 20 + 4 * column, length);
        if (length != 0) std::memcpy(bytes, columns_[column].data(), length);
        bytes += length;
    }
    return raw_;
}

bool BlockView::begin(std::span<const unsigned char> raw, std::uint32_t events, bool has_sites,
                      std::size_t sites, const Running& running) {
    left_ = 0;
    if (raw.size() < events_head_bytes || events > events_limit) return false;
    const unsigned char* head = raw.data();
    if (load<std::uint64_t>(head) != running.time_ns || load<std::uint64_t>(head + 8) != running.next_id ||
        load<std::uint32_t>(head + 16) != running.thread)
        return false;
    std::size_t at = events_head_bytes;
    for (unsigned column = 0; column < column_count; ++column) {
        const auto length = load<std::uint32_t>(head + 20 + 4 * column);
        if (length > raw.size() - at) return false;
        columns_[column] = raw.subspan(at, length);
        at += length;
    }
    if (at != raw.size() || columns_[ops].size() != events) return false;
    left_ = events;
    has_sites_ = has_sites;
    sites_ = sites;
    return true;
}

bool BlockView::take(unsigned column, std::uint64_t& number) {
    std::span<const unsigned char>& bytes = columns_[column];
    number = 0;
    for (std::size_t i = 0; i < bytes.size() && i < varint_limit; ++i) {
        const std::uint64_t low = bytes[i] & 0x7f;
        if (i == varint_limit - 1 && low > 1) return false;  // beyond 64 bits
        number |= low << 7 * i;
        if (bytes[i] < 0x80) {
            bytes = bytes.subspan(i + 1);
            return true;
        }
    }
    return false;
}

bool BlockView::take_extras(Event& event) {
    std::uint64_t number = 0;
    event.align = 0;
    event.site = 0;
    if (event.op == Op::allocate_align) {
        if (!take(extras, number) || number >= align_shift_limit) return false;
        event.align = std::uint64_t{1} << number;
    }
    if (has_sites_ && has_site(event.op)) {
        if (!take(extras, number) || number > sites_) return false;
        event.site = static_cast<std::uint32_t>(number);
    }
    return true;
}

bool BlockView::next(Event& event, Running& running) {
    --left_;
    const unsigned char op = columns_[ops].front();
    columns_[ops] = columns_[ops].subspan(1);
    if ((op & ~thread_changes) >= op_count) return false;
    event.op = static_cast<Op>(op & ~thread_changes);
    std::uint64_t number = 0;
    if ((op & thread_changes) != 0) {
        if (!take(threads, number) || number >= thread_limit) return false;
        running.thread = static_cast<std::uint32_t>(number);
    }
    event.thread = running.thread;
    if (!take(times, number) || number > UINT64_MAX - running.time_ns) return false;
    event.time_ns = running.time_ns += number;
    event.size = 0;
    if (has_size(event.op) && (!take(sizes, event.size) || event.size >= size_limit)) return false;
    event.id = 0;
    if (names_object(event.op)) {
        if (!take(objects, number) || number >= running.next_id) return false;
        if (number == 0 && event.op == Op::reallocate) return false;
        event.id = number == 0 ? 0 : running.next_id - number;
    } else if (makes_object(event.op)) {
        event.id = running.next_id++;
    }
    return take_extras(event);
}

bool BlockView::is_used_up() const {
    for (const auto& column : columns_)
        if (!column.empty()) return false;
    return true;
}

}  // namespace cairn::trace
