// The helpers' loop and the leader's two calls.
// SPDX-License-Identifier: MIT
#include "gc/crew.hpp"

#include "base/os_calls.hpp"
#include "os/process.hpp"

namespace cairn::gc {

namespace {

// Scan work between two looks at whether the session is over.
constexpr std::uint64_t chunk_bytes = std::uint64_t{16} << 10;
// Looks at a dry pool before a helper gives its CPU away, and before it sleeps between two looks: a list is
// marked by one alone.
constexpr unsigned patient_looks = 300;
constexpr unsigned wakeful_looks = 308;
constexpr std::uint64_t nap_ns = 50'000;

}  // namespace

void Crew::hire(unsigned helpers) {
    if (helpers > most_helpers) helpers = most_helpers;
    for (; started_ < helpers; ++started_)
        if (!os::spawn_thread(&Crew::thread_entry, this, "cairn-mark")) break;
}

void Crew::open(unsigned helpers) {
    if (started_ == 0 || helpers == 0) return;
    wanted_.store(helpers, std::memory_order_relaxed);  // relaxed: ordered by session_
    leader_cpu_.store(os::current_cpu(), std::memory_order_relaxed);  // relaxed: as above
    is_open_ = true;
    session_.fetch_add(1, std::memory_order_release);  // release: the heap as it is, to the helpers
    base::os_wake(session_, true);
}

void Crew::dismiss() {
    // seq_cst: a helper raises busy_ and then reads session_, we change session_ and then read busy_; one of
    // the two sees the other's step. relaxed: the leader alone changes it
    if (session_.load(std::memory_order_relaxed) % 2 != 0) session_.fetch_add(1, std::memory_order_seq_cst);
}

MarkCount Crew::close() {
    if (!is_open_) return {};
    is_open_ = false;
    dismiss();
    while (busy_.load(std::memory_order_seq_cst) != 0) os::yield_cpu();  // seq_cst: see dismiss()
    MarkCount done{marked_bytes_.value(), marked_objects_.value(), scanned_bytes_.value()};
    marked_bytes_.subtract(done.marked_bytes);
    marked_objects_.subtract(done.marked_objects);
    scanned_bytes_.subtract(done.scanned_bytes);
    return done;
}

void Crew::thread_entry(void* self) { static_cast<Crew*>(self)->run(); }

void Crew::run() {
    std::uint32_t seen = 0;
    for (;;) {
        const std::uint32_t session = session_.load(std::memory_order_acquire);  // acquire: pairs with open()
        if (session % 2 == 0 || session == seen) {
            base::os_wait(session_, session);
            continue;
        }
        seen = session;
        std::uint32_t places = wanted_.load(std::memory_order_relaxed);  // relaxed, both: a count of places
        // relaxed: as above
        while (places != 0 && !wanted_.compare_exchange_weak(places, places - 1, std::memory_order_relaxed)) {
        }
        if (places != 0) work(session);
    }
}

void Crew::nap(std::uint32_t session, unsigned leader_cpu) {
    os::wait_for(session_, session, nap_ns);
    os::leave_cpu(leader_cpu);
}

void Crew::work(std::uint32_t session) {
    const std::uint64_t start_ns = os::thread_cpu_ns();
    const unsigned leader_cpu = leader_cpu_.load(std::memory_order_relaxed);  // relaxed: ordered by session_
    os::leave_cpu(leader_cpu);
    // seq_cst, here and below: see dismiss()
    while (session_.load(std::memory_order_seq_cst) == session) {
        space_->pool->begin_hunger();
        for (unsigned looks = 0; space_->pool->is_dry(); ++looks) {
            if (session_.load(std::memory_order_relaxed) != session) break;  // relaxed: looked at again above
            if (looks < patient_looks) base::cpu_pause();
            else if (looks < wakeful_looks) os::yield_cpu();
            else nap(session, leader_cpu);
        }
        space_->pool->end_hunger();
        busy_.fetch_add(1, std::memory_order_seq_cst);  // seq_cst: before session_ is read; see dismiss()
        // seq_cst: after busy_ was raised; see dismiss()
        if (session_.load(std::memory_order_seq_cst) == session) {
            Marker marker(*space_);
            // relaxed: later is soon enough; close() waits for busy_
            while (!marker.drain(chunk_bytes) && session_.load(std::memory_order_relaxed) == session) {
            }
            marker.flush();
            marked_bytes_.add(marker.count.marked_bytes);
            marked_objects_.add(marker.count.marked_objects);
            scanned_bytes_.add(marker.count.scanned_bytes);
        }
        busy_.fetch_sub(1, std::memory_order_seq_cst);  // seq_cst: what was marked, to close()
    }
    cpu_ns_.add(os::thread_cpu_ns() - start_ns);
}

void Crew::reset_in_child() {
    started_ = 0;
    is_open_ = false;
    // relaxed, all: the child has one thread
    session_.store(0, std::memory_order_relaxed);
    busy_.store(0, std::memory_order_relaxed);  // relaxed: as above
}

}  // namespace cairn::gc
