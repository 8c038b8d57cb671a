// The sources of roots and the flat list made of them: see roots.hpp. How they are visited: roots_visit.cpp.
// SPDX-License-Identifier: MIT
#include "gc/roots.hpp"

#include <cstring>

#include "base/bits.hpp"

namespace cairn::gc {

void RootSet::initialize(pages::Metadata& metadata) {
    metadata_ = &metadata;
    cells_.initialize(metadata);
    for (RangeSet* set : {&ranges_, &segments_, &excluded_, &chosen_, &shunned_}) set->initialize(metadata);
}

// ---- sources

bool RootSet::change(RangeSet& set, bool is_added, std::uintptr_t low, std::uintptr_t high) {
    base::Guard guard(lock_);
    if (!ensure_room_locked()) return false;
    is_stale_ = true;
    return is_added ? set.add(low, high) : set.remove(low, high);
}

bool RootSet::add_range(std::uintptr_t low, std::uintptr_t high) {
    return change(ranges_, true, low, high);
}
bool RootSet::remove_range(std::uintptr_t low, std::uintptr_t high) {
    return change(ranges_, false, low, high);
}
bool RootSet::exclude_range(std::uintptr_t low, std::uintptr_t high) {
    return change(excluded_, true, low, high);
}

bool RootSet::readmit_range(std::uintptr_t low, std::uintptr_t high) {
    return change(excluded_, false, low, high);
}

bool RootSet::choose(RangeSet& set, bool is_added, std::uintptr_t address) {
    base::Guard guard(lock_);
    is_choice_new_ = true;
    return is_added ? set.add(address, address + 1) : set.remove(address, address + 1);
}

bool RootSet::add_module(std::uintptr_t address) {
    return choose(chosen_, true, address);
}
bool RootSet::remove_module(std::uintptr_t address) {
    return choose(chosen_, false, address);
}
bool RootSet::exclude_module(std::uintptr_t address) {
    return choose(shunned_, true, address);
}

void RootSet::add_all_modules() {
    base::Guard guard(lock_);
    wants_all_modules_ = true;
    is_choice_new_ = true;
}

void RootSet::remove_all_modules() {
    base::Guard guard(lock_);
    wants_all_modules_ = false;
    chosen_.clear();
    segments_.clear();
    is_choice_new_ = true;
    is_stale_ = true;
}

// Makes sure that the flat list has room, now that it is allowed to fail. A range more or a cut more in any
// source is one part more at most.
bool RootSet::ensure_room_locked() {
    const std::size_t needed = ranges_.count() + segments_.count() + excluded_.count() + 2;
    if (needed <= next_capacity_) return true;
    const std::size_t capacity = 2 * needed < 64 ? 64 : 2 * needed;
    auto* parts = static_cast<Part*>(metadata_->allocate(capacity * sizeof(Part)));
    if (parts == nullptr) return false;
    next_parts_ = parts;
    next_capacity_ = capacity;
    is_stale_ = true;
    return true;
}

// ---- modules

void RootSet::note_segment(void* context, const os::ModuleSegment& segment) {
    auto& self = *static_cast<RootSet*>(context);
    FoundModules& found = self.found_;
    if (found.count == found.capacity) {
        const std::size_t capacity = found.capacity == 0 ? 64 : 2 * found.capacity;
        void* larger = self.metadata_->allocate(capacity * sizeof(FoundSegment));
        if (larger == nullptr) {
            found.is_complete = false;
            return;
        }
        if (found.count != 0) std::memcpy(larger, found.segments, found.count * sizeof(FoundSegment));
        found.segments = static_cast<FoundSegment*>(larger);
        found.capacity = capacity;
    }
    // Asked once about a segment of which the middle is read-only.
    const FoundSegment* before = found.count == 0 ? nullptr : &found.segments[found.count - 1];
    bool is_refused = false;
    if (found.filter != nullptr)
        is_refused = before != nullptr && before->mapped_low == segment.mapped_low
                         ? before->is_refused
                         : !found.filter(segment.name, segment.mapped_low, segment.mapped_high);
    found.segments[found.count++] = {segment, is_refused};
    found.answers = (found.answers ^ (is_refused ? 1 : 2)) * 0x100000001b3;  // FNV-1a
}

void RootSet::find_modules() {
    found_.count = 0;
    found_.is_complete = true;
    found_.answers = 0;
    found_.listing = os::for_each_module_segment(note_segment, this);
}

bool RootSet::is_wanted_locked(const FoundSegment& segment) const {
    const auto has_one_inside = [&](const RangeSet& addresses) {
        const RangeSet::Range first = addresses.first_above(segment.module_low);
        return first.high != 0 && first.low < segment.module_high;
    };
    const bool is_chosen = (wants_all_modules_ && !segment.is_refused) || has_one_inside(chosen_);
    return is_chosen && !has_one_inside(shunned_);
}

bool RootSet::take_modules_locked() {
    is_stale_ = true;
    segments_.clear();
    bool is_good = found_.is_complete;
    for (std::size_t i = 0; i < found_.count && is_good; ++i) {
        const FoundSegment& segment = found_.segments[i];
        if (is_wanted_locked(segment)) is_good = segments_.add(segment.low, segment.high);
    }
    is_good = is_good && ensure_room_locked();
    if (!is_good) segments_.clear();  // the flat list has no room for them
    return is_good;
}

bool RootSet::refresh() {
    bool is_choice_new;
    {
        base::Guard guard(lock_);
        is_choice_new = is_choice_new_;
        if (!is_choice_new && !wants_modules_locked()) return true;
        is_choice_new_ = false;
        // acquire: pairs with filter_modules()
        found_.filter = wants_all_modules_ ? filter_.load(std::memory_order_acquire) : nullptr;
    }
    // Not under the lock: libc's comes before ours where a library's constructor registers roots.
    bool is_list_new = !found_.is_complete || !(os::module_version() == found_.listing.version);
    const bool was_filtered = found_.was_filtered;
    found_.was_filtered = found_.filter != nullptr;
    if (!is_list_new && !is_choice_new && !found_.was_filtered && !was_filtered) return true;
    const std::uint64_t answers = found_.answers;
    if (is_list_new || found_.was_filtered || was_filtered) find_modules();
    is_list_new |= answers != found_.answers;
    if (!is_list_new && !is_choice_new) return true;
    base::Guard guard(lock_);
    if (take_modules_locked()) return true;
    is_choice_new_ = true;
    return false;
}

bool RootSet::is_current() const {
    base::Guard guard(lock_);
    if (is_choice_new_) return false;
    return !wants_modules_locked() || os::print_of_module_list() == found_.listing.print;
}

// ---- the flat list

std::uint64_t RootSet::room_of(const Part& part) {
    const std::uint64_t bytes = part.high - part.low;
    return bytes < room_min ? room_min : bytes;
}

void RootSet::add_part_locked(std::uintptr_t low, std::uintptr_t high) {
    low = base::align_up(low, sizeof(void*));
    high = base::align_down(high, sizeof(void*));
    if (low >= high) return;
    CAIRN_CHECK(part_count_ < next_capacity_);
    std::uint64_t place = 0;
    if (part_count_ != 0) {
        const Part& last = parts_[part_count_ - 1];
        place = last.place + room_of(last);
    }
    parts_[part_count_++] = {low, high, place};
    part_bytes_ += high - low;
}

void RootSet::prepare_jobs() {
    slab_count_ = cells_.slab_count();
    base::Guard guard(lock_);
    if (!is_stale_) return;
    is_stale_ = false;
    parts_ = next_parts_;
    part_count_ = 0;
    part_bytes_ = 0;
    JointCursor sources(ranges_, segments_);
    RangeCursor exclusions(excluded_);
    RangeSet::Range hole = exclusions.next();
    for (RangeSet::Range range = sources.next(); range.high != 0; range = sources.next()) {
        while (hole.high != 0 && hole.low < range.high) {
            if (hole.low > range.low) add_part_locked(range.low, hole.low);
            if (hole.high > range.low) range.low = hole.high;
            if (hole.high > range.high) break;
            hole = exclusions.next();
        }
        if (range.low < range.high) add_part_locked(range.low, range.high);
    }
    const std::uint64_t room =
        part_count_ == 0 ? 0 : parts_[part_count_ - 1].place + room_of(parts_[part_count_ - 1]);
    shard_count_ = base::divide_up(room, shard_bytes);
}

// ---- fork

void RootSet::lock() {
    lock_.lock();
    cells_.lock();
}

void RootSet::unlock() {
    cells_.unlock();
    lock_.unlock();
}

void RootSet::reset_locks_after_fork() {
    cells_.reset_lock_after_fork();
    for (RangeSet* set : {&ranges_, &segments_, &excluded_, &chosen_, &shunned_})
        set->reset_lock_after_fork();
    lock_.reset_after_fork();
}

}  // namespace cairn::gc
