// The fake's dirty tracker: see fake_dirty_pages.hpp.
// SPDX-License-Identifier: MIT
#include "os/fake_dirty_pages.hpp"

#include <cstdint>

#include "base/check.hpp"
#include "os/dirty_pages.hpp"
#include "os/fake.hpp"
#include "os/memory.hpp"

namespace cairn::os {
namespace {

// Open addressing; an entry stays when its page is disarmed, and is used again for the same page.
struct ArmedPage {
    std::uintptr_t page;  // [lock] 0: never used
    std::uint64_t print;  // [lock] of its bytes; 0: not armed
};
constexpr std::size_t capacity = std::size_t{1} << 16;
constexpr unsigned table_shift = 64 - 16;

struct Table {
    base::RankedLock<base::Rank::leaf> lock;
    ArmedPage pages[capacity];  // [lock]
    std::size_t used = 0;       // [lock]
    bool is_allowed = false;    // [lock]
    unsigned losses = 0;        // [lock]
};

constinit Table table{};

ArmedPage& find_locked(std::uintptr_t page) {
    std::size_t i = (page * 0x9e3779b97f4a7c15) >> table_shift;
    while (table.pages[i].page != page && table.pages[i].page != 0) i = (i + 1) % capacity;
    if (table.pages[i].page == 0) {
        CAIRN_CHECK(++table.used < capacity);
        table.pages[i].page = page;
    }
    return table.pages[i];
}

// Never 0. Source: FNV-1a, by words.
std::uint64_t print_of(std::uintptr_t page) {
    const auto* words = reinterpret_cast<const std::uint64_t*>(page);
    std::uint64_t print = 0xcbf29ce484222325;
    for (std::size_t i = 0; i < page_bytes() / sizeof *words; ++i) print = (print ^ words[i]) * 0x100000001b3;
    return print | 1;
}

// What is ours and not ready faults when it is read; nothing can be written there.
bool is_touchable(std::uintptr_t page) {
    const fake::State state = fake::state_of(reinterpret_cast<const void*>(page));
    return state != fake::State::reserved && state != fake::State::prepared;
}

void forget_all_locked() {
    for (ArmedPage& page : table.pages) page.print = 0;
}

}  // namespace

namespace fake {

void allow_dirty_tracking(bool is_allowed) {
    base::Guard guard(table.lock);
    table.is_allowed = is_allowed;
    table.losses = 0;
    forget_all_locked();
}

void lose_dirty_tracking() {
    base::Guard guard(table.lock);
    ++table.losses;
    forget_all_locked();
}

std::size_t armed_pages() {
    base::Guard guard(table.lock);
    std::size_t count = 0;
    for (const ArmedPage& page : table.pages) count += page.print != 0;
    return count;
}

}  // namespace fake

bool DirtyTracker::refuse(const char* reason) {
    reason_ = reason;
    return false;
}

bool DirtyTracker::start() {
    base::Guard guard(table.lock);
    is_started_.store(table.is_allowed, std::memory_order_relaxed);  // relaxed: under the lock
    if (!table.is_allowed) return refuse("the fake OS was not told to");
    reason_ = "";
    return true;
}

bool DirtyTracker::watch(std::uintptr_t, std::size_t) {
    return is_started();
}
void DirtyTracker::unwatch(std::uintptr_t start, std::size_t bytes) {
    disarm(start, bytes);
}

bool DirtyTracker::arm(std::uintptr_t start, std::size_t bytes) {
    if (!is_started()) return false;
    base::Guard guard(table.lock);
    for (std::uintptr_t page = start; page < start + bytes; page += page_bytes())
        if (is_touchable(page)) find_locked(page).print = print_of(page);
    return true;
}

bool DirtyTracker::collect(std::uintptr_t start, std::size_t bytes, bool is_rearmed, Visit visit,
                           void* context) {
    bool is_known = is_started();
    if (is_known) {
        base::Guard guard(table.lock);
        is_known = table.losses == 0;
        if (!is_known) --table.losses;
    }
    if (!is_known) {
        if (is_rearmed) (void)arm(start, bytes);
        visit(context, start, start + bytes);
        return false;
    }
    for (std::uintptr_t page = start; page < start + bytes; page += page_bytes()) {
        if (!is_touchable(page)) continue;
        bool is_written;
        {
            base::Guard guard(table.lock);
            ArmedPage& armed = find_locked(page);
            const std::uint64_t print = print_of(page);
            is_written = armed.print != print;
            if (is_rearmed) armed.print = print;
        }
        if (is_written) visit(context, page, page + page_bytes());
    }
    return true;
}

bool DirtyTracker::visit_present(std::uintptr_t start, std::size_t bytes, Visit visit, void* context) {
    if (!is_started()) {
        visit(context, start, start + bytes);
        return false;
    }
    for (std::uintptr_t page = start; page < start + bytes; page += page_bytes())
        if (is_touchable(page)) visit(context, page, page + page_bytes());
    return true;
}

void DirtyTracker::disarm(std::uintptr_t start, std::size_t bytes) {
    base::Guard guard(table.lock);
    for (std::uintptr_t page = start; page < start + bytes; page += page_bytes()) find_locked(page).print = 0;
}

void DirtyTracker::after_fork_child() {
    // relaxed: the child has one thread
    is_started_.store(false, std::memory_order_relaxed);
    reason_ = "not started";
    fake::allow_dirty_tracking(table.is_allowed);
}

}  // namespace cairn::os
