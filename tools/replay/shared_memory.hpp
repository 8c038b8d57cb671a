// Memory that two processes see: a nameless file, mapped, which grows in place of being copied.
//
// It is shmem to the kernel, so the process that replays on it is not charged for it as for its heap.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace cairn::replay {

class SharedMemory {
public:
    SharedMemory() = default;
    SharedMemory(SharedMemory&& other) noexcept;
    SharedMemory& operator=(SharedMemory&& other) noexcept;
    ~SharedMemory();

    // Throws std::runtime_error when the system refuses.
    static SharedMemory create(std::size_t bytes);
    // Maps what another process created and this one inherited.
    static SharedMemory attach(int file);

    void grow(std::size_t bytes);
    [[nodiscard]] void* data() const { return start_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] int file() const { return file_; }

private:
    int file_ = -1;
    void* start_ = nullptr;
    std::size_t bytes_ = 0;
};

// An array that grows in memory of its own, far from any malloc: for a process whose malloc is measured.
template <class T>
class MappedArray {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    MappedArray() = default;
    explicit MappedArray(std::size_t count) { resize(count); }

    // New elements are zero.
    void resize(std::size_t count) {
        if (count > capacity()) memory_ = grown(count > 2 * capacity() ? count : 2 * capacity());
        count_ = count;
    }
    void push_back(const T& value) {
        resize(count_ + 1);
        (*this)[count_ - 1] = value;
    }
    void clear() { count_ = 0; }

    [[nodiscard]] std::size_t size() const { return count_; }
    [[nodiscard]] T* begin() const { return static_cast<T*>(memory_.data()); }
    [[nodiscard]] T* end() const { return begin() + count_; }
    T& operator[](std::size_t i) const { return begin()[i]; }

private:
    [[nodiscard]] std::size_t capacity() const { return memory_.bytes() / sizeof(T); }
    SharedMemory grown(std::size_t count) {
        if (memory_.data() == nullptr) return SharedMemory::create(count * sizeof(T));
        memory_.grow(count * sizeof(T));
        return std::move(memory_);
    }

    SharedMemory memory_;
    std::size_t count_ = 0;
};

}  // namespace cairn::replay
