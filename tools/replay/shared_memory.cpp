// SharedMemory on Linux: memfd, mmap, mremap.
// SPDX-License-Identifier: MIT
#include "replay/shared_memory.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace cairn::replay {

namespace {

[[noreturn]] void refuse(const char* what) {
    throw std::runtime_error(std::string("no memory to share: ") + what + ": " + std::strerror(errno));
}

constexpr std::size_t page_bytes = 4096;

std::size_t whole_pages(std::size_t bytes) {
    return bytes == 0 ? page_bytes : (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

}  // namespace

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : file_(std::exchange(other.file_, -1)),
      start_(std::exchange(other.start_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
    std::swap(file_, other.file_);
    std::swap(start_, other.start_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

SharedMemory::~SharedMemory() {
    if (start_ != nullptr) munmap(start_, bytes_);
    if (file_ >= 0) close(file_);
}

SharedMemory SharedMemory::create(std::size_t bytes) {
    SharedMemory made;
    made.file_ = memfd_create("cairn-replay", 0);
    if (made.file_ < 0) refuse("memfd_create");
    const std::size_t whole = whole_pages(bytes);
    if (ftruncate(made.file_, static_cast<off_t>(whole)) != 0) refuse("ftruncate");
    void* start = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_SHARED, made.file_, 0);
    if (start == MAP_FAILED) refuse("mmap");
    made.start_ = start;
    made.bytes_ = whole;
    return made;
}

SharedMemory SharedMemory::attach(int file) {
    struct stat status {};
    if (fstat(file, &status) != 0) refuse("fstat");
    SharedMemory made;
    const auto bytes = static_cast<std::size_t>(status.st_size);
    void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (start == MAP_FAILED) refuse("mmap");
    made.file_ = file;
    made.start_ = start;
    made.bytes_ = bytes;
    return made;
}

void SharedMemory::grow(std::size_t bytes) {
    const std::size_t whole = whole_pages(bytes);
    if (whole <= bytes_) return;
    if (ftruncate(file_, static_cast<off_t>(whole)) != 0) refuse("ftruncate");
    void* start = mremap(start_, bytes_, whole, MREMAP_MAYMOVE);
    if (start == MAP_FAILED) refuse("mremap");
    start_ = start;
    bytes_ = whole;
}

}  // namespace cairn::replay
