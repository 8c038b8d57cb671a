// From rings to events.
// SPDX-License-Identifier: MIT
#include "trace/process_stream.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>

namespace cairn::trace {

namespace {

using record::Record;
using record::ring_records;
using record::What;

constexpr std::uint64_t run_records = 4096;    // then the thread is told of its room
constexpr std::uint64_t prefetch_records = 12;  // ahead: about a cache miss of work

std::uint64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

std::string utc_now() {
    const time_t now = ::time(nullptr);
    tm parts{};
    char text[32];
    gmtime_r(&now, &parts);
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

std::vector<std::string> words_of(const record::ProcessHead& head) {
    const std::string_view text(head.command, std::min<std::size_t>(head.command_bytes, sizeof head.command));
    std::vector<std::string> words;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\0', at), text.size());
        words.emplace_back(text.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

// Up to the first 0: the file is longer than its text.
std::string read_whole(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    std::string text;
    std::getline(in, text, '\0');
    return text;
}

// State and start time of a process: two processes of one number differ in the latter.
struct About {
    char state = 0;
    std::string start_time;
};

About about(std::uint32_t pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(in, line);
    const std::size_t name_end = line.rfind(')');
    if (name_end == std::string::npos || name_end + 2 >= line.size()) return {};
    About found{line[name_end + 2], {}};
    std::size_t at = name_end + 1;
    for (int field = 3; field < 22 && at != std::string::npos; ++field) at = line.find(' ', at + 1);
    if (at != std::string::npos) found.start_time = line.substr(at, line.find(' ', at + 1) - at);
    return found;
}

}  // namespace

TickClock::TickClock() : first_ticks_(record::ticks()), first_ns_(now_ns()) {
    // a first idea, good to a percent, before there is anything to convert
    while (now_ns() - first_ns_ < 200'000) {
    }
    update();
}

void TickClock::update() {
    const std::uint64_t ticks = record::ticks() - first_ticks_;
    ns_per_tick_ = static_cast<double>(now_ns() - first_ns_) / static_cast<double>(ticks);
}

ProcessStream::~ProcessStream() {
    if (head_ != nullptr) munmap(head_, mapped_bytes_);
}

bool ProcessStream::map(const std::string& file) {
    const int opened = open(file.c_str(), O_RDWR | O_CLOEXEC);
    if (opened < 0) return false;
    struct stat size {};
    void* start = MAP_FAILED;
    if (fstat(opened, &size) == 0 && size.st_size >= static_cast<off_t>(record::process_bytes(1))) {
        mapped_bytes_ = static_cast<std::size_t>(size.st_size);
        start = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
    }
    close(opened);
    if (start == MAP_FAILED) return false;
    head_ = static_cast<record::ProcessHead*>(start);
    // acquire: pairs with the process, which writes the rest before
    if (head_->magic.load(std::memory_order_acquire) != record::process_magic ||
        head_->rings > record::ring_limit || record::process_bytes(head_->rings) != mapped_bytes_) {
        munmap(start, mapped_bytes_);
        head_ = nullptr;
        return false;
    }
    maps_ = read_whole(file + ".maps");
    unlink((file + ".maps").c_str());
    unlink(file.c_str());  // both have it; nothing is left behind whoever dies
    return true;
}

bool ProcessStream::begin(const std::string& trace, bool with_sites) {
    trace_ = trace;
    Header header;
    header.command = words_of(*head_);
    header.pid = pid();
    header.started = utc_now();
    header.has_sites = with_sites;
    name_ = header.command.empty() ? "?" : header.command.front();
    start_time_ = about(pid()).start_time;
    rings_.resize(head_->rings);
    char* const file = reinterpret_cast<char*>(head_);
    for (std::size_t i = 0; i < rings_.size(); ++i) {
        rings_[i].head = reinterpret_cast<record::RingHead*>(file + record::heads_offset) + i;
        rings_[i].records = reinterpret_cast<const Record*>(file + record::rings_offset(head_->rings) +
                                                            i * record::ring_bytes);
    }
    writer_ = std::make_unique<Writer>();
    if (with_sites) sites_.emplace(pid(), maps_, *writer_);
    return writer_->open(trace, header);
}

bool ProcessStream::rename(const std::string& trace) {
    if (std::rename(trace_.c_str(), trace.c_str()) != 0) return false;
    trace_ = trace;
    return true;
}

bool ProcessStream::has_ended() const {
    const About now = about(pid());
    return now.state == 0 || now.state == 'Z' || now.state == 'X' || now.start_time != start_time_;
}

// Finds how far a ring may be taken in this round.
void ProcessStream::look(Ring& ring, std::uint64_t until) {
    // acquire: pairs with the thread's release; the records below are complete
    const std::uint64_t written = ring.head->written.load(std::memory_order_acquire);
    ring.end = std::min(written, ring.taken + ring_records);
    while (ring.end > ring.taken && ring.records[(ring.end - 1) % ring_records].ticks >= until) --ring.end;
    if (ring.end > ring.taken) active_.push_back(&ring);
}

std::uint64_t ProcessStream::drain(std::uint64_t until, const TickClock& clock) {
    clock_ = &clock;
    active_.clear();
    // acquire: pairs with the thread that took a ring first
    const std::uint32_t used = std::min<std::uint32_t>(head_->rings_used.load(std::memory_order_acquire),
                                                       static_cast<std::uint32_t>(rings_.size()));
    for (std::uint32_t i = 0; i < used; ++i) look(rings_[i], until);
    std::uint64_t count = 0;
    for (const Ring* ring : active_) count += ring->end - ring->taken;
    merge();
    return count;
}

// Again and again the ring with the earliest record, up to where another one comes first.
void ProcessStream::merge() {
    while (!active_.empty()) {
        std::size_t first = 0;
        std::uint64_t second_ticks = UINT64_MAX;
        for (std::size_t i = 1; i < active_.size(); ++i) {
            const std::uint64_t ticks = active_[i]->next().ticks;
            const std::uint64_t least = active_[first]->next().ticks;
            if (ticks < least) first = i;
            second_ticks = std::min(second_ticks, std::max(ticks, least));
        }
        Ring& ring = *active_[first];
        take_run(ring, second_ticks);
        if (ring.taken != ring.end) continue;
        active_[first] = active_.back();
        active_.pop_back();
    }
}

void ProcessStream::take_run(Ring& ring, std::uint64_t until) {
    std::uint64_t told = ring.taken;
    do {
        const std::uint64_t ahead = ring.taken + prefetch_records;
        if (ahead < ring.end) objects_.prefetch(record::address_of(ring.records[ahead % ring_records].place));
        take(ring, ring.next());
        if (++ring.taken - told == run_records) {
            give_back(ring);
            told = ring.taken;
        }
    } while (ring.taken != ring.end && ring.next().ticks <= until);
    if (ring.taken == ring.end) give_back(ring);
}

void ProcessStream::give_back(Ring& ring) {
    // seq_cst: release, and before the look at is_waiting; the thread says it waits, then looks at this
    ring.head->taken.store(ring.taken, std::memory_order_seq_cst);
    // seq_cst: as above
    if (ring.head->is_waiting.load(std::memory_order_seq_cst) == 0) return;
    ring.head->is_waiting.store(0, std::memory_order_seq_cst);  // seq_cst: as above
    syscall(SYS_futex, &ring.head->is_waiting, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

// A ring got a new owner, or the shared one names who speaks next.
void ProcessStream::name_thread(Ring& ring, const Record& one) {
    const auto id = static_cast<std::uint32_t>(one.size);
    const bool is_shared = &ring == &rings_.front();
    const auto found = speakers_.find(id);
    // A thread of the shared ring may find one of its own later; else an old number is a new thread.
    const bool is_known = found != speakers_.end() && (is_shared || found->second.is_shared);
    if (!is_shared && ring.has_thread && (!is_known || found->second.thread != ring.thread)) {
        Event event;
        event.op = Op::thread_end;
        event.thread = ring.thread;
        event.time_ns = last_ns_;
        writer_->add(event);
    }
    const std::uint32_t fresh = std::min(threads_, thread_limit - 1);
    ring.thread = is_known ? found->second.thread : fresh;
    ring.has_thread = true;
    if (!is_known) ++threads_;
    speakers_[id] = {ring.thread, is_shared};
}

// The end of an object; 0 is one from before the recording.
void ProcessStream::release(std::uint64_t id, Event& event) {
    event.op = Op::release;
    event.id = id;
    writer_->add(event);
}

void ProcessStream::make(const Record& one, Op op, Event& event) {
    const std::uint64_t id = writer_->next_id();
    // Something there already: its end was not seen. It has one now, and the trace stays whole.
    if (const std::uint64_t old = objects_.put(record::address_of(one.place), id)) release(old, event);
    event.op = op;
    event.id = id;
    event.size = std::min(one.size, size_limit - 1);
    if (op == Op::allocate_align)
        event.align = std::uint64_t{1} << std::min(record::align_shift_of(one.place), align_shift_limit - 1);
    if (sites_) event.site = sites_->number_of(one.site);
    writer_->add(event);
}

void ProcessStream::take(Ring& ring, const Record& one) {
    const What what = record::what_of(one.place);
    if (what == What::thread) return name_thread(ring, one);
    const std::uint64_t address = record::address_of(one.place);
    if (what == What::move_from) {
        ring.moved_from = address;
        return;
    }
    Event event;
    event.thread = ring.thread;
    const std::uint64_t start = head_->start_ticks;
    const std::uint64_t ns = one.ticks > start ? clock_->ns(one.ticks - start) : 0;
    event.time_ns = last_ns_ = std::max(ns, last_ns_);
    switch (what) {
    case What::allocate: return make(one, Op::allocate, event);
    case What::allocate_zero: return make(one, Op::allocate_zero, event);
    case What::allocate_align: return make(one, Op::allocate_align, event);
    case What::release: return release(objects_.take(address), event);
    case What::fail:
        event.op = Op::fail;
        event.size = std::min(one.size, size_limit - 1);
        return writer_->add(event);
    case What::resize: event.id = objects_.find(address); break;
    case What::move_to:
        event.id = objects_.take(ring.moved_from);
        if (event.id == 0) release(0, event);
        if (event.id != 0) {
            if (const std::uint64_t old = objects_.put(address, event.id)) {
                Event lost = event;
                release(old, lost);
            }
        }
        break;
    default: return;
    }
    if (event.id == 0) return make(one, Op::allocate, event);  // of one from before the recording
    event.op = Op::reallocate;
    event.size = std::min(one.size, size_limit - 1);
    if (sites_) event.site = sites_->number_of(one.site);
    writer_->add(event);
}

void ProcessStream::finish(const TickClock& clock, int status, const std::string& note) {
    while (drain(UINT64_MAX, clock) != 0) {
    }
    Summary summary;
    summary.status = status;
    summary.note = note;
    (void)writer_->finish(summary);
}

}  // namespace cairn::trace
