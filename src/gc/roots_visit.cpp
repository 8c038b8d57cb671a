// Visiting roots: reading what may vanish, shards, and parts that the kernel tracks. See roots.hpp.
// SPDX-License-Identifier: MIT
#include "base/bits.hpp"
#include "gc/roots.hpp"
#include "os/memory.hpp"
#include "os/safe_read.hpp"

namespace cairn::gc {

// Shows memory to a visitor, by copies or in place. What cannot be read is skipped by whole OS pages.
class RootSet::Reader {
public:
    Reader(Reading reading, Visit visit, void* context)
        : reading_(reading), visit_(visit), context_(context) {}
    ~Reader() { flush(); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    void read(std::uintptr_t low, std::uintptr_t high) {
        if (reading_ == Reading::while_stopped) read_in_place(low, high);
        else gather(low, high);
    }

private:
    // On the stack of a thread that may have 64 KiB.
    static constexpr std::size_t copied_bytes = 8192;

    static std::uintptr_t page_end(std::uintptr_t address) {
        return base::align_down(address, os::page_bytes()) + os::page_bytes();
    }

    void read_in_place(std::uintptr_t low, std::uintptr_t high) {
        while (low < high) {
            std::uintptr_t end = low;
            while (end < high && os::is_readable(end)) end = page_end(end);
            if (end > high) end = high;
            if (end > low) visit_(context_, low, end);
            low = end < high ? page_end(end) : high;
        }
    }

    // Small pieces share one call.
    void gather(std::uintptr_t low, std::uintptr_t high) {
        while (low < high) {
            const std::size_t room = copied_bytes - waiting_bytes_;
            const std::size_t bytes = high - low < room ? high - low : room;
            pieces_[piece_count_++] = {reinterpret_cast<void*>(low), bytes};
            waiting_bytes_ += bytes;
            low += bytes;
            if (waiting_bytes_ == copied_bytes || piece_count_ == os::pieces_max) flush();
        }
    }

    void flush() {
        std::size_t first = 0;
        while (first < piece_count_) {
            std::size_t copied = os::copy_readable(copy_, pieces_ + first, piece_count_ - first);
            const auto start = reinterpret_cast<std::uintptr_t>(copy_);
            if (copied != 0) visit_(context_, start, start + copied);
            while (first < piece_count_ && copied >= pieces_[first].bytes) copied -= pieces_[first++].bytes;
            if (first < piece_count_) skip_page(pieces_[first], copied);
        }
        piece_count_ = 0;
        waiting_bytes_ = 0;
    }

    // The byte at `done` of this piece cannot be read.
    static void skip_page(os::Piece& piece, std::size_t done) {
        const auto low = reinterpret_cast<std::uintptr_t>(piece.start);
        const std::uintptr_t high = low + piece.bytes;
        const std::uintptr_t next = page_end(low + done) < high ? page_end(low + done) : high;
        piece = {reinterpret_cast<void*>(next), high - next};
    }

    const Reading reading_;                            // [fixed]
    const Visit visit_;                                // [fixed]
    void* const context_;                              // [fixed]
    std::size_t piece_count_ = 0;                      // [owner]
    std::size_t waiting_bytes_ = 0;                    // [owner]
    os::Piece pieces_[os::pieces_max];                 // [owner]
    alignas(void*) unsigned char copy_[copied_bytes];  // [owner]
};

// What the tracker's runs are cut to.
struct RootSet::TrackedVisit {
    const RootSet* roots;
    Reader* reader;
    std::uintptr_t low;
    std::uintptr_t high;
};

// ---- finding parts

std::size_t RootSet::find_part(std::uintptr_t address) const {
    std::size_t low = 0;
    std::size_t high = part_count_;
    while (low < high) {
        const std::size_t middle = (low + high) / 2;
        if (parts_[middle].high <= address) low = middle + 1;
        else high = middle;
    }
    return low;
}

std::size_t RootSet::find_place(std::uint64_t place) const {
    std::size_t low = 0;
    std::size_t high = part_count_;
    while (low + 1 < high) {
        const std::size_t middle = (low + high) / 2;
        if (parts_[middle].place <= place) low = middle;
        else high = middle;
    }
    return low;
}

// Calls visit(part, low, high) for the pieces of parts in the shard.
template <class VisitPart>
void RootSet::for_each_of_shard(std::size_t shard, VisitPart visit) const {
    const std::uint64_t from = std::uint64_t{shard} * shard_bytes;
    const std::uint64_t to = from + shard_bytes;
    for (std::size_t i = find_place(from); i < part_count_ && parts_[i].place < to; ++i) {
        const Part& part = parts_[i];
        const std::uint64_t skipped = from > part.place ? from - part.place : 0;
        const std::uint64_t reached = to - part.place;
        if (skipped >= part.high - part.low) continue;
        const std::uintptr_t high = reached < part.high - part.low ? part.low + reached : part.high;
        visit(part, part.low + skipped, high);
    }
}

void RootSet::read_within(Reader& reader, std::uintptr_t low, std::uintptr_t high) const {
    for (std::size_t i = find_part(low); i < part_count_ && parts_[i].low < high; ++i) {
        const Part& part = parts_[i];
        reader.read(part.low > low ? part.low : low, part.high < high ? part.high : high);
    }
}

// ---- visits

void RootSet::watch_parts(os::DirtyTracker& tracker) const {
    const std::size_t page = os::page_bytes();
    for (std::size_t i = 0; i < part_count_; ++i) {
        if (!is_tracked(parts_[i])) continue;
        const std::uintptr_t low = base::align_down(parts_[i].low, page);
        const std::size_t bytes = base::align_up(parts_[i].high, page) - low;
        // That also watches what is not watched yet. Refused: the visits, which ask again, get all of it.
        (void)tracker.arm(low, bytes);
    }
}

void RootSet::unwatch_parts(os::DirtyTracker& tracker) const {
    const std::size_t page = os::page_bytes();
    for (std::size_t i = 0; i < part_count_; ++i) {
        if (!is_tracked(parts_[i])) continue;
        const std::uintptr_t low = base::align_down(parts_[i].low, page);
        tracker.disarm(low, base::align_up(parts_[i].high, page) - low);
    }
}

void RootSet::visit_job(std::size_t job, Reading reading, os::DirtyTracker* tracker, Visit visit,
                        void* context) const {
    if (job < slab_count_) {
        cells_.visit_slab(job, false, visit, context);
        return;
    }
    Reader reader(reading, visit, context);
    for_each_of_shard(job - slab_count_, [&](const Part& part, std::uintptr_t low, std::uintptr_t high) {
        if (tracker == nullptr || !is_tracked(part)) {
            reader.read(low, high);
            return;
        }
        const std::uintptr_t first = base::align_down(low, os::page_bytes());
        TrackedVisit cut{this, &reader, low, high};
        const auto read_cut = [](void* what, std::uintptr_t from, std::uintptr_t to) {
            const auto& it = *static_cast<const TrackedVisit*>(what);
            it.reader->read(from > it.low ? from : it.low, to < it.high ? to : it.high);
        };
        (void)tracker->visit_present(first, base::align_up(high, os::page_bytes()) - first, read_cut, &cut);
    });
}

void RootSet::visit_changed(std::size_t job, Reading reading, os::DirtyTracker* tracker, bool is_rearmed,
                            Visit visit, void* context) const {
    if (job < slab_count_) {
        cells_.visit_slab(job, true, visit, context);
        return;
    }
    Reader reader(reading, visit, context);
    for_each_of_shard(job - slab_count_, [&](const Part& part, std::uintptr_t low, std::uintptr_t high) {
        if (tracker == nullptr || !is_tracked(part)) {
            reader.read(low, high);
            return;
        }
        const std::uintptr_t first = base::align_down(low, os::page_bytes());
        TrackedVisit all{this, &reader, low, high};
        const auto read_parts = [](void* what, std::uintptr_t from, std::uintptr_t to) {
            const auto& it = *static_cast<const TrackedVisit*>(what);
            it.roots->read_within(*it.reader, from, to);
        };
        (void)tracker->collect(first, base::align_up(high, os::page_bytes()) - first, is_rearmed, read_parts,
                               &all);
    });
}

}  // namespace cairn::gc
