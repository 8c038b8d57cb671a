// A thread's way to a ring, and waiting for room.
// SPDX-License-Identifier: MIT
#include "api/recorder.hpp"

#if defined(CAIRN_RECORDING)

#include <algorithm>
#include <atomic>
#include <string_view>

#include "base/check.hpp"
#include "base/lock.hpp"
#include "os/process.hpp"
#include "os/shared_file.hpp"

namespace cairn::api {

namespace {

using record::Control;
using record::ProcessHead;
using record::Record;
using record::ring_records;
using record::RingHead;

constinit Channel blank_channel;
constexpr std::uint64_t patience_ns = 100'000'000;  // then ask whether the recorder still lives
constexpr unsigned hand_steps = 4;      // rings a new thread looks at before it takes a fresh one
constexpr unsigned shared_turns = 65536;  // in the shared ring, before one of their own is sought again

// A path in a buffer: the folder, then a name.
struct Path {
    char text[512];
    std::size_t length = 0;
    void add(std::string_view part) {
        for (const char c : part)
            if (length + 1 < sizeof text) text[length++] = c;
        text[length] = 0;
    }
    void add(std::uint64_t number) {
        base::Message digits;
        digits << number;
        add(digits.view());
    }
};

class Recorder {
public:
    constexpr Recorder() = default;
    void write(const Record* records, unsigned count);

private:
    enum class State : std::uint8_t { none, on, off };
    static constexpr std::size_t shared_ring = 0;

    [[nodiscard]] bool start_locked();
    [[nodiscard]] bool map_process_locked(Path& path);
    [[nodiscard]] Channel* attach_locked();
    [[nodiscard]] std::size_t find_ring_locked(std::uint32_t thread);
    [[nodiscard]] bool take_over_locked(std::size_t ring, std::uint32_t thread);
    [[nodiscard]] std::size_t fresh_ring_locked();
    [[nodiscard]] Channel& open_locked(std::size_t ring);
    [[nodiscard]] bool make_room(Channel& to, unsigned count);
    void ring_bell();
    static void put(Channel& to, const Record* records, unsigned count);

    // In a fork's child the channels were wiped, also this word beside them.
    [[nodiscard]] bool is_in_child() const { return *is_parent_ == 0; }

    base::RankedLock<base::Rank::leaf> lock_;
    std::atomic<State> state_{State::none};         // [atomic]
    Control* control_ = nullptr;                    // [fixed] once on
    ProcessHead* head_ = nullptr;                   // [fixed]
    RingHead* rings_ = nullptr;                     // [fixed]
    Channel* channels_ = nullptr;                   // [fixed] one a ring
    std::uint64_t* is_parent_ = nullptr;            // [fixed]
    std::size_t hand_ = 1;                          // [lock]
    unsigned shared_turns_ = 0;                     // [lock] left
};

constinit Recorder recorder;

}  // namespace

__thread Channel* channel __attribute__((tls_model("initial-exec"))) = &blank_channel;

void write_slow(const Record* records, unsigned count) { recorder.write(records, count); }

namespace {

void Recorder::ring_bell() {
    // seq_cst: the recorder says it sleeps, then compares the bell; we change the bell, then ask whether it
    // sleeps. One of the two must see the other.
    control_->bell.fetch_add(1, std::memory_order_seq_cst);
    // seq_cst: as above
    if (control_->is_asleep.load(std::memory_order_seq_cst) != 0) os::shared_wake(control_->bell);
}

// A short program may be gone before the recorder can ask where its code lay.
void save_maps(Path path) {
    path.add(".maps");
    void* const file = os::map_file(path.text, record::maps_bytes, true);
    if (file == nullptr) return;
    (void)os::read_small_file("/proc/self/maps", static_cast<char*>(file), record::maps_bytes);
    os::unmap_file(file, record::maps_bytes);
}

bool Recorder::map_process_locked(Path& path) {
    const std::size_t folder = path.length;
    const std::size_t most = std::min<std::size_t>(control_->rings, record::ring_limit);
    for (std::size_t rings = most; rings != 0; rings /= 4) {
        const std::uint64_t start = record::ticks();
        path.length = folder;
        path.add("/");
        path.add(os::process_id());
        path.add("-");
        path.add(start);
        void* file = os::map_file(path.text, record::process_bytes(rings), true);
        if (file == nullptr) continue;  // little address space: fewer rings
        head_ = static_cast<ProcessHead*>(file);
        head_->pid = os::process_id();
        head_->rings = static_cast<std::uint32_t>(rings);
        head_->start_ticks = start;
        head_->command_bytes = static_cast<std::uint32_t>(
            os::read_small_file("/proc/self/cmdline", head_->command, sizeof head_->command));
        head_->rings_used.store(1, std::memory_order_relaxed);  // relaxed: magic orders it
        if (control_->wants_sites != 0) save_maps(path);
        head_->magic.store(record::process_magic, std::memory_order_release);  // release: complete from here
        rings_ = reinterpret_cast<RingHead*>(static_cast<char*>(file) + record::heads_offset);
        return true;
    }
    return false;
}

// False when nobody asked for a recording, or it cannot be.
bool Recorder::start_locked() {
    state_.store(State::off, std::memory_order_relaxed);  // relaxed: under the lock
    const char* folder = os::environment(record::folder_variable);
    if (folder == nullptr || *folder == 0) return false;
    Path path;
    path.add(folder);
    const std::size_t length = path.length;
    path.add("/control");
    control_ = static_cast<Control*>(os::map_file(path.text, record::control_bytes, false));
    path.length = length;
    const std::size_t bytes = (record::ring_limit + 1) * sizeof(Channel);
    void* const wiped = os::map_wiped_on_fork(bytes);
    if (control_ == nullptr || control_->magic != record::control_magic || wiped == nullptr ||
        !map_process_locked(path)) {
        base::report("cannot record: the recorder's files cannot be mapped; going on without");
        return false;
    }
    is_parent_ = static_cast<std::uint64_t*>(wiped);
    *is_parent_ = 1;
    channels_ = static_cast<Channel*>(wiped) + 1;
    control_->arrivals.fetch_add(1, std::memory_order_release);  // release: the head is complete
    state_.store(State::on, std::memory_order_release);          // release: publishes the fields above
    ring_bell();
    return true;
}

// Takes a ring whose thread has ended.
bool Recorder::take_over_locked(std::size_t ring, std::uint32_t thread) {
    // relaxed: under the lock
    const std::uint32_t owner = rings_[ring].thread.load(std::memory_order_relaxed);
    return owner == thread || !os::thread_exists(owner);
}

std::size_t Recorder::fresh_ring_locked() {
    const std::uint32_t used = head_->rings_used.load(std::memory_order_relaxed);  // relaxed: under the lock
    if (used == head_->rings) return shared_ring;
    head_->rings_used.store(used + 1, std::memory_order_release);  // release: for the recorder
    return used;
}

// A thread's identity may come back: its old ring is then still in its name, and its own.
std::size_t Recorder::find_ring_locked(std::uint32_t thread) {
    const std::uint32_t used = head_->rings_used.load(std::memory_order_relaxed);  // relaxed: under the lock
    for (std::size_t ring = 1; ring < used; ++ring)
        if (rings_[ring].thread.load(std::memory_order_relaxed) == thread) return ring;  // relaxed: as above
    const bool is_full = used == head_->rings;
    const unsigned steps = is_full ? used : used < hand_steps ? 0 : hand_steps;
    for (unsigned i = 0; i < steps; ++i) {
        hand_ = hand_ + 1 < used ? hand_ + 1 : 1;
        if (hand_ < used && take_over_locked(hand_, thread)) return hand_;
    }
    return fresh_ring_locked();
}

Channel& Recorder::open_locked(std::size_t ring) {
    Channel& opened = channels_[ring];
    char* const file = reinterpret_cast<char*>(head_);
    opened.records = reinterpret_cast<Record*>(file + record::rings_offset(head_->rings) +
                                               ring * record::ring_bytes);
    opened.ring = &rings_[ring];
    opened.next = rings_[ring].written.load(std::memory_order_relaxed);  // relaxed: its writer is gone
    opened.limit = opened.next;
    return opened;
}

// A channel of the calling thread's own; nullptr when it must use the shared ring.
Channel* Recorder::attach_locked() {
    if (shared_turns_ != 0) return --shared_turns_, nullptr;
    const std::uint32_t thread = os::thread_id();
    const std::size_t ring = find_ring_locked(thread);
    if (ring == shared_ring) return shared_turns_ = shared_turns, nullptr;
    rings_[ring].thread.store(thread, std::memory_order_relaxed);  // relaxed: for us alone, under the lock
    return &open_locked(ring);
}

// Waits until `count` records fit. False: the recording is over.
bool Recorder::make_room(Channel& to, unsigned count) {
    RingHead& ring = *to.ring;
    for (;;) {
        // relaxed: seen a little later is soon enough
        if (control_->is_over.load(std::memory_order_relaxed) != 0) break;
        // acquire: pairs with the recorder's release; it has read what lay there
        const std::uint64_t end = ring.taken.load(std::memory_order_acquire) + ring_records;
        if (end - to.next >= count) {
            // half a ring at a time, so that the recorder hears of it before the ring is full
            const std::uint64_t half = to.next + ring_records / 2;
            to.limit = half < end ? half : end;
            return true;
        }
        ring.is_waiting.store(1, std::memory_order_seq_cst);  // seq_cst: before the bell, and before we look
        ring_bell();
        // seq_cst: the recorder moves `taken`, then looks whether somebody waits
        if (ring.taken.load(std::memory_order_seq_cst) + ring_records != end) continue;
        os::shared_wait(ring.is_waiting, 1, patience_ns);
        // relaxed: nothing follows from it but that nobody will wake us
        if ((control_->holder.load(std::memory_order_relaxed) & record::holder_died) != 0) break;
    }
    state_.store(State::off, std::memory_order_relaxed);  // relaxed: others may follow when they see it
    return false;
}

void Recorder::put(Channel& to, const Record* records, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
        Record& place = to.records[to.next++ % ring_records];
        place = records[i];
        place.ticks = record::ticks();
    }
    to.ring->written.store(to.next, std::memory_order_release);  // release: the records before their number
}

void Recorder::write(const Record* records, unsigned count) {
    // acquire: pairs with start_locked()
    const State state = state_.load(std::memory_order_acquire);
    if (state == State::off || (state == State::on && is_in_child())) return;
    if (state == State::on && channel != &blank_channel) {
        Channel& own = *channel;
        if (own.limit - own.next < count) {
            ring_bell();
            if (!make_room(own, count)) {
                own.limit = own.next;
                return;
            }
        }
        return put(own, records, count);
    }
    base::Guard guard(lock_);
    // relaxed: under the lock
    if (state_.load(std::memory_order_relaxed) == State::none && !start_locked()) return;
    Record whole[3] = {{0, record::place_of(record::What::thread, 0, 0), os::thread_id(), 0}};
    for (unsigned i = 0; i < count; ++i) whole[i + 1] = records[i];
    Channel* own = attach_locked();
    if (own != nullptr) channel = own;
    else own = &(channels_[shared_ring].ring != nullptr ? channels_[shared_ring] : open_locked(shared_ring));
    if (own->limit - own->next >= count + 1 || make_room(*own, count + 1)) put(*own, whole, count + 1);
}

}  // namespace

}  // namespace cairn::api

#endif
