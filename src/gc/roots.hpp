// The root set: where the collector starts besides the stacks.
//
//   sources  cells          single pointers of handles                      root_cells.hpp
//            ranges         [low, high) that the program registered
//            modules        .data and .bss of chosen programs and libraries, as the loader has them
//            excluded       what is no root although one of the above covers it
//   parts    (ranges + modules) - excluded, flat, in address order
//   jobs     0 .. cell slabs - 1, then shards of 64 KiB of the parts laid end to end
//
// A cycle: refresh() with nobody stopped; prepare_jobs() in stop 1; visit_job() for each job beside the
// program; once more refresh(), and in stop 2 is_current(), prepare_jobs(), visit_changed() for each job.
//
// Registered memory may vanish at any moment (dlclose, munmap, a guard page). Beside the program, visits show
// copies made by a call that cannot fault; in a stop they show the memory itself, each page after a look.
//
// Parts of 16 KiB and more are given to the kernel's dirty tracking by watch_parts(): then a first visit
// reads the pages that exist, and later ones those written since. Whoever takes a page's dirty mark visits
// all parts in that page, so neighbours in one page lose nothing.
//
// Locks: lock_ (Rank::roots) for the sources; parts change in prepare_jobs() only, while no job is visited.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/lock.hpp"
#include "gc/range_set.hpp"
#include "gc/root_cells.hpp"
#include "os/dirty_pages.hpp"
#include "os/modules.hpp"
#include "pages/metadata.hpp"

namespace cairn::gc {

// How a visit may read what is not ours.
enum class Reading : std::uint8_t {
    beside_program,  // from copies
    while_stopped,   // where it is
};

class RootSet {
public:
    // Words in [low, high), both multiples of 8, readable for the length of the call. Others may write them.
    using Visit = void (*)(void* context, std::uintptr_t low, std::uintptr_t high);

    static constexpr std::size_t shard_bytes = std::size_t{64} << 10;

    constexpr RootSet() = default;

    void initialize(pages::Metadata& metadata);

    [[nodiscard]] RootCells& cells() { return cells_; }

    // ---- sources; by any thread, at any time. False: the OS refuses memory, and nothing has changed.

    // Adding twice is adding once; removing may take a part of what was added.
    [[nodiscard]] bool add_range(std::uintptr_t low, std::uintptr_t high);
    [[nodiscard]] bool remove_range(std::uintptr_t low, std::uintptr_t high);
    // Is not scanned, whoever adds it.
    [[nodiscard]] bool exclude_range(std::uintptr_t low, std::uintptr_t high);
    // The module that has `address` in its image, until the same address is removed.
    [[nodiscard]] bool add_module(std::uintptr_t address);
    [[nodiscard]] bool remove_module(std::uintptr_t address);
    // All there are and will be, but for the excluded. Our own library is to be excluded if it is a module of
    // its own; where it is linked into a program or another library, exclude_range() takes its objects.
    void add_all_modules();
    // None any more, but those that are added after this.
    void remove_all_modules();
    [[nodiscard]] bool exclude_module(std::uintptr_t address);
    // Is excluded no more.
    [[nodiscard]] bool readmit_range(std::uintptr_t low, std::uintptr_t high);
    // Asked about each writable segment of a module before each cycle, nobody stopped and no lock of ours
    // held; false: it is no root because of add_all_modules(). nullptr: all are.
    using WantsSegment = bool (*)(const char* name, std::uintptr_t low, std::uintptr_t high);
    void filter_modules(WantsSegment wants) {
        filter_.store(wants, std::memory_order_release);  // release: what the asked one needs
    }

    // ---- a cycle; by one thread

    // Reads the loader's list if it or the choice of modules changed. Needs: nobody is stopped (libc's lock).
    // False: no memory, and not all roots are known: nothing may be freed by this cycle.
    [[nodiscard]] bool refresh();
    // In a stop: whether refresh() saw the modules there are. If not, new variables may hold the only pointer
    // to an object: let the program go on, refresh() and stop again.
    [[nodiscard]] bool is_current() const;

    // Makes the flat list. Needs: no job is being visited.
    void prepare_jobs();
    [[nodiscard]] std::size_t job_count() const { return slab_count_ + shard_count_; }
    // The first ones.
    [[nodiscard]] std::size_t cell_job_count() const { return slab_count_; }
    // Bytes of roots, cells included, at the last prepare_jobs().
    [[nodiscard]] std::uint64_t total_bytes() const {
        return slab_count_ * RootCells::slab_bytes + part_bytes_;
    }

    // Gives the large parts to the tracker and arms them. Needs: prepare_jobs(); nobody is stopped.
    void watch_parts(os::DirtyTracker& tracker) const;
    // Their stores are free again.
    void unwatch_parts(os::DirtyTracker& tracker) const;
    // All roots of a job. With a tracker, pages that do not exist are left out.
    void visit_job(std::size_t job, Reading reading, os::DirtyTracker* tracker, Visit visit,
                   void* context) const;
    // Roots of a job that may have changed: cells since begin_epoch(), pages since they were armed or
    // collected; parts that are not tracked, all of them.
    void visit_changed(std::size_t job, Reading reading, os::DirtyTracker* tracker, bool is_rearmed,
                       Visit visit, void* context) const;

    void lock();
    void unlock();
    void reset_locks_after_fork();

private:
    struct Part {
        std::uintptr_t low;
        std::uintptr_t high;
        std::uint64_t place;  // where it starts when all are laid end to end
    };
    struct FoundSegment : os::ModuleSegment {  // without its name
        bool is_refused;
    };
    // What the loader has, wanted or not.
    struct FoundModules {
        FoundSegment* segments = nullptr;
        std::size_t count = 0;
        std::size_t capacity = 0;
        bool is_complete = false;
        bool was_filtered = false;
        std::uint64_t answers = 0;  // what the filter said, in one number
        WantsSegment filter = nullptr;
        os::ModuleListing listing;
    };
    class Reader;
    struct TrackedVisit;

    // A small part takes this much room in a shard: finding it costs more than reading it.
    static constexpr std::size_t room_min = 256;
    static constexpr std::size_t tracked_bytes_min = std::size_t{16} << 10;

    [[nodiscard]] static std::uint64_t room_of(const Part& part);
    [[nodiscard]] static bool is_tracked(const Part& part) {
        return part.high - part.low >= tracked_bytes_min;
    }
    static void note_segment(void* context, const os::ModuleSegment& segment);
    void find_modules();
    [[nodiscard]] bool change(RangeSet& set, bool is_added, std::uintptr_t low, std::uintptr_t high);
    [[nodiscard]] bool choose(RangeSet& set, bool is_added, std::uintptr_t address);
    [[nodiscard]] bool wants_modules_locked() const { return wants_all_modules_ || chosen_.count() != 0; }
    [[nodiscard]] bool ensure_room_locked();
    [[nodiscard]] bool is_wanted_locked(const FoundSegment& segment) const;
    [[nodiscard]] bool take_modules_locked();
    void add_part_locked(std::uintptr_t low, std::uintptr_t high);
    // Index of the first part that ends above `address`; of the part that has the room at `place`.
    [[nodiscard]] std::size_t find_part(std::uintptr_t address) const;
    [[nodiscard]] std::size_t find_place(std::uint64_t place) const;
    void read_within(Reader& reader, std::uintptr_t low, std::uintptr_t high) const;
    template <class VisitPart>
    void for_each_of_shard(std::size_t shard, VisitPart visit) const;

    mutable base::RankedLock<base::Rank::roots> lock_;
    RootCells cells_;
    RangeSet ranges_;                      // [lock]
    RangeSet segments_;                    // [lock] of wanted modules
    RangeSet excluded_;                    // [lock]
    RangeSet chosen_;                      // [lock] an address of each added module
    RangeSet shunned_;                     // [lock] an address of each excluded module
    pages::Metadata* metadata_ = nullptr;  // [fixed]
    bool wants_all_modules_ = false;       // [lock]
    bool is_choice_new_ = false;           // [lock] since refresh()
    std::atomic<WantsSegment> filter_{nullptr};  // [atomic]
    bool is_stale_ = true;                 // [lock] parts are not what the sources say
    FoundModules found_;                   // [owner] who refreshes
    Part* parts_ = nullptr;                // [owner] who prepares; old arrays stay valid
    Part* next_parts_ = nullptr;           // [lock] with room for what the sources may give
    std::size_t next_capacity_ = 0;        // [lock]
    std::size_t part_count_ = 0;           // [owner] who prepares, as all below
    std::uint64_t part_bytes_ = 0;         // [owner]
    std::size_t slab_count_ = 0;           // [owner]
    std::size_t shard_count_ = 0;          // [owner]
};

}  // namespace cairn::gc
