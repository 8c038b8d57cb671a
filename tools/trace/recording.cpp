// The recorder's rounds, arrivals and farewells.
// SPDX-License-Identifier: MIT
#include "trace/recording.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace cairn::trace {

namespace {

namespace fs = std::filesystem;

constexpr long nap_ns = 20'000'000;  // at most between two rounds
// A round of fewer was not worth its processor, which the program may need: sleep until half a ring is full.
constexpr std::uint64_t round_records = record::ring_records / 4;
constexpr std::uint64_t look_ns = 100'000'000;  // between two looks at who has ended
constexpr std::uint64_t least_room = 64u << 20;

void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
    const timespec most{0, nap_ns};
    syscall(SYS_futex, &word, FUTEX_WAIT, expected, &most, nullptr, 0);
}

std::uint64_t room_in(const std::string& folder) {
    struct statvfs about {};
    return statvfs(folder.c_str(), &about) == 0 ? std::uint64_t{about.f_bavail} * about.f_frsize : 0;
}

// A recorder that was killed could not remove its folder; the kernel has marked it as dead in there.
void remove_stale(const std::string& place) {
    std::error_code failure;
    std::vector<fs::path> stale;
    for (const fs::directory_entry& entry : fs::directory_iterator(place, failure)) {
        if (!entry.path().filename().string().starts_with("cairn-record-")) continue;
        std::ifstream in(entry.path() / "control", std::ios::binary);
        std::uint32_t holder = 0;
        in.seekg(offsetof(record::Control, holder));
        if (in.read(reinterpret_cast<char*>(&holder), sizeof holder) && (holder & record::holder_died) != 0)
            stale.push_back(entry.path());
    }
    for (const fs::path& folder : stale) fs::remove_all(folder, failure);
}

}  // namespace

Recording::~Recording() {
    if (thread_.joinable()) stop(-1);
    remove_folder();
    if (control_ != nullptr) munmap(control_, record::control_bytes);
}

void Recording::remove_folder() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
    folder_.clear();
}

// In memory where there is room: what lies on a disk is written there, however short it lives.
bool Recording::make_folder() {
    const char* temporary = std::getenv("TMPDIR");
    for (const std::string place : {"/dev/shm", temporary != nullptr ? temporary : "/tmp", "/tmp"}) {
        remove_stale(place);
        if (room_in(place) < least_room) continue;
        std::string path = place + "/cairn-record-XXXXXX";
        if (mkdtemp(path.data()) == nullptr) continue;
        folder_ = path;
        return true;
    }
    error_ = "no folder for the recorder: /dev/shm and /tmp are full or cannot be written";
    return false;
}

bool Recording::prepare(const std::string& file, bool with_sites) {
    file_ = file;
    with_sites_ = with_sites;
    const int made = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (made < 0) {
        error_ = "cannot write " + file + ": " + std::strerror(errno);
        return false;
    }
    close(made);
    if (!make_folder()) return false;
    const std::string path = folder_ + "/control";
    const int opened = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    void* start = MAP_FAILED;
    if (opened >= 0 && ftruncate(opened, record::control_bytes) == 0)
        start = mmap(nullptr, record::control_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
    if (opened >= 0) close(opened);
    if (start == MAP_FAILED) {
        error_ = "cannot make " + path + ": " + std::strerror(errno);
        return false;
    }
    control_ = static_cast<record::Control*>(start);
    control_->wants_sites = with_sites;
    const std::uint64_t rings = room_in(folder_) / 2 / record::ring_bytes;
    control_->rings = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rings, 1, record::ring_limit));
    control_->magic = record::control_magic;
    return true;
}

void Recording::start() {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { work(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// A name that no trace of this recording has yet.
std::string Recording::name_for(std::uint32_t pid) {
    const std::string first = file_ + "." + std::to_string(pid);
    std::string name = first;
    for (int copy = 2; !names_.insert(name).second; ++copy) name = first + "." + std::to_string(copy);
    return name;
}

// Takes in the processes that came since. One that takes the place of another (exec) ends its trace.
void Recording::welcome() {
    // acquire: pairs with the process, whose file is complete
    const std::uint32_t arrivals = control_->arrivals.load(std::memory_order_acquire);
    if (arrivals == arrivals_) return;
    arrivals_ = arrivals;
    std::error_code failure;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_, failure)) {
        if (entry.path().filename() == "control" || entry.path().extension() == ".maps") continue;
        auto stream = std::make_unique<ProcessStream>();
        if (!stream->map(entry.path())) continue;
        if (main_pid_ == 0) main_pid_ = stream->pid();
        const bool is_main = stream->pid() == main_pid_;
        for (auto& other : streams_) {
            if (other->pid() != stream->pid()) continue;
            if (is_main) (void)other->rename(name_for(main_pid_));
            finish(other, -1, "the process became another program");
        }
        std::erase(streams_, nullptr);
        (void)stream->begin(is_main ? file_ : name_for(stream->pid()), with_sites_);
        streams_.push_back(std::move(stream));
    }
}

// Finishes the traces of processes that ended. The program itself is waited for by who started it.
void Recording::bury() {
    for (auto& stream : streams_)
        if (stream->pid() != main_pid_ && stream->has_ended()) finish(stream, -1, "");
    std::erase(streams_, nullptr);
}

void Recording::finish(std::unique_ptr<ProcessStream>& stream, int status, const std::string& note) {
    stream->finish(clock_, status, note);
    results_.push_back({stream->trace(), stream->name(), stream->events(), stream->error()});
    stream.reset();
}

// Empties all rings up to now. Returns how many records were in them.
std::uint64_t Recording::round() {
    welcome();
    const std::uint64_t now = record::ticks();
    clock_.update();
    std::uint64_t count = 0;
    for (auto& stream : streams_) count += stream->drain(now, clock_);
    if (clock_.ns(now - looked_ticks_) > look_ns) {
        looked_ticks_ = now;
        bury();
    }
    return count;
}

// Takes the mutex that tells the recorded whether we live; never given back, see cairn/record.hpp.
void Recording::show_life() {
    static_assert(sizeof(pthread_mutex_t) <= sizeof control_->holder + sizeof control_->rest_of_mutex);
    auto* const mutex = reinterpret_cast<pthread_mutex_t*>(&control_->holder);
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &kind);
    pthread_mutex_lock(mutex);
}

void Recording::work() {
    show_life();
    // acquire: pairs with stop()
    while (!is_over_.load(std::memory_order_acquire)) {
        // seq_cst: they ring, then ask whether we sleep; we say so, then the kernel compares the bell
        const std::uint32_t bell = control_->bell.load(std::memory_order_seq_cst);
        if (round() >= round_records) continue;
        control_->is_asleep.store(1, std::memory_order_seq_cst);  // seq_cst: before the bell is compared
        wait(control_->bell, bell);
        control_->is_asleep.store(0, std::memory_order_relaxed);  // relaxed: one ring too many does no harm
    }
}

void Recording::stop(int status) {
    is_over_.store(true, std::memory_order_release);  // release: for work()
    control_->bell.fetch_add(1, std::memory_order_seq_cst);  // seq_cst: as for any who ring
    syscall(SYS_futex, &control_->bell, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
    if (thread_.joinable()) thread_.join();
    (void)round();
    control_->is_over.store(1, std::memory_order_seq_cst);  // seq_cst: before those who wait are let go
    for (auto& stream : streams_) {
        const bool is_main = stream->pid() == main_pid_;
        const bool has_ended = is_main || stream->has_ended();
        finish(stream, is_main ? status : -1, has_ended ? "" : "the recording ended before the process");
    }
    streams_.clear();
    const auto own = std::find_if(results_.begin(), results_.end(),
                                  [&](const Result& result) { return result.trace == file_; });
    if (own != results_.end()) std::rotate(results_.begin(), own, own + 1);
    remove_folder();  // now: we may end as the program did, by a signal
}

}  // namespace cairn::trace
