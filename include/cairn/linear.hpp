// Linear: memory for objects that end together, as a std::pmr::memory_resource. Needs no library.
//
//   cairn::Linear memory;                                 // or over a buffer of yours, then upstream
//   for (const Request& request : requests) {
//       std::pmr::vector<std::pmr::string> words(&memory);
//       ...
//       memory.reset();                                   // all of it at once; the chunks stay for the next
//   }
//
// A pointer that only goes up: allocating is an addition and a comparison, giving one object back does
// nothing. Given back is everything, by reset(), or what came since a moment, by rollback(checkpoint()).
// Memory comes from `upstream` in chunks, each twice the one before up to 4 MiB, linked through their fronts:
//
//   first ◀── second ◀── current       spare: the largest chunk that reset() or rollback() emptied
//                         next │ end
//
// No destructor runs: what needs one must be destroyed by its owner, as containers do, before the memory
// goes. For one thread at a time. Out of memory is what upstream throws.
// SPDX-License-Identifier: MIT
#ifndef CAIRN_LINEAR_HPP
#define CAIRN_LINEAR_HPP

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <utility>

namespace cairn {

class Linear final : public std::pmr::memory_resource {
public:
    static constexpr std::size_t default_chunk_bytes = 64 * 1024;
    static constexpr std::size_t largest_chunk_bytes = 4 * 1024 * 1024;

    explicit Linear(std::pmr::memory_resource* upstream = std::pmr::new_delete_resource()) noexcept
        : upstream_(upstream) {}
    explicit Linear(std::size_t first_chunk_bytes,
                    std::pmr::memory_resource* upstream = std::pmr::new_delete_resource()) noexcept
        : upstream_(upstream), chunk_bytes_(first_chunk_bytes) {}
    // Begins in memory of the caller's, which must outlive this and is never given to upstream.
    Linear(void* buffer, std::size_t bytes,
           std::pmr::memory_resource* upstream = std::pmr::new_delete_resource()) noexcept
        : upstream_(upstream), buffer_(address_of(buffer)), buffer_end_(buffer_ + bytes) {
        enter_buffer();
    }
    Linear(const Linear&) = delete;
    Linear& operator=(const Linear&) = delete;
    ~Linear() override { release(); }

    // Takes `bytes` at a multiple of `align`, a power of two. Hides the inherited function, which does the
    // same through a virtual call. Zero bytes get an address of their own.
    [[nodiscard]] void* allocate(std::size_t bytes, std::size_t align = alignof(std::max_align_t)) {
        // A test, mostly foretold, and not a rounding: each allocation waits for the pointer of the one
        // before, and a rounding would be two more cycles of that.
        std::uintptr_t start = next_;
        if ((start & (align - 1)) != 0) start = (start | (align - 1)) + 1;
        const std::size_t taken = bytes + (bytes == 0);
        if (start > end_ || taken > end_ - start || start < next_) [[unlikely]]
            return allocate_in_new_chunk(taken, align);
        next_ = start + taken;
        return reinterpret_cast<void*>(start);
    }

    // Does nothing: see rollback() and reset().
    void deallocate(void*, std::size_t, std::size_t = alignof(std::max_align_t)) noexcept {}

    // A moment to go back to. They nest: going back to one makes later ones void.
    class Checkpoint {
        friend class Linear;
        void* chunk = nullptr;
        std::uintptr_t next = 0;
    };
    [[nodiscard]] Checkpoint checkpoint() const noexcept {
        Checkpoint now;
        now.chunk = current_;
        now.next = next_;
        return now;
    }

    // Gives back all that was allocated since `then`, which must be of this Linear and not void.
    void rollback(const Checkpoint& then) noexcept {
        while (current_ != then.chunk) leave_current();
        next_ = then.next;
    }

    // Gives everything back and keeps one chunk, the largest, for what comes next.
    void reset() noexcept {
        while (current_ != nullptr) leave_current();
        enter_buffer();
    }

    // Gives everything back, the chunks to upstream.
    void release() noexcept {
        reset();
        if (spare_ != nullptr) give_up(std::exchange(spare_, nullptr));
    }

    // Bytes of upstream's memory that this has now.
    [[nodiscard]] std::size_t held_bytes() const noexcept { return held_bytes_; }
    [[nodiscard]] std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

private:
    struct Chunk {
        Chunk* before;
        std::size_t bytes;    // of the whole chunk
        std::uintptr_t next;  // in the chunk before (or the buffer), when this one was begun
        std::uintptr_t end;   // its end
    };
    static constexpr std::size_t chunk_align = alignof(std::max_align_t);

    static std::uintptr_t address_of(const void* at) noexcept { return reinterpret_cast<std::uintptr_t>(at); }

    void enter_buffer() noexcept {
        next_ = buffer_;
        end_ = buffer_end_;
    }

    [[nodiscard, gnu::noinline]] void* allocate_in_new_chunk(std::size_t taken, std::size_t align) {
        const std::size_t slack = align > chunk_align ? align : 0;
        const std::size_t needed = sizeof(Chunk) + slack + taken;
        // A size that no memory can have is left to upstream to refuse in its own way.
        constexpr std::size_t impossible = PTRDIFF_MAX - chunk_align;  // larger ones compilers warn of
        if (needed < taken || needed < slack) (void)upstream_->allocate(impossible, chunk_align);
        Chunk* chunk = spare_;
        if (chunk != nullptr && chunk->bytes >= needed) spare_ = nullptr;
        else chunk = new_chunk(needed);
        *chunk = {current_, chunk->bytes, next_, end_};
        current_ = chunk;
        next_ = address_of(chunk + 1);
        end_ = address_of(chunk) + chunk->bytes;
        const std::uintptr_t start = (next_ + align - 1) & ~(std::uintptr_t{align} - 1);
        next_ = start + taken;
        return reinterpret_cast<void*>(start);
    }

    [[nodiscard]] Chunk* new_chunk(std::size_t needed) {
        const std::size_t bytes = needed < chunk_bytes_ ? chunk_bytes_ : needed;
        auto* chunk = static_cast<Chunk*>(upstream_->allocate(bytes, chunk_align));
        chunk->bytes = bytes;
        held_bytes_ += bytes;
        if (chunk_bytes_ < largest_chunk_bytes) chunk_bytes_ *= 2;
        return chunk;
    }

    // Back to the chunk before; of this one and the spare the larger stays.
    void leave_current() noexcept {
        Chunk* chunk = current_;
        current_ = chunk->before;
        next_ = chunk->next;
        end_ = chunk->end;
        if (spare_ == nullptr) spare_ = chunk;
        else if (spare_->bytes < chunk->bytes) give_up(std::exchange(spare_, chunk));
        else give_up(chunk);
    }

    void give_up(Chunk* chunk) noexcept {
        held_bytes_ -= chunk->bytes;
        upstream_->deallocate(chunk, chunk->bytes, chunk_align);
    }

    void* do_allocate(std::size_t bytes, std::size_t align) override { return allocate(bytes, align); }
    void do_deallocate(void*, std::size_t, std::size_t) override {}
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
        return this == &other;
    }

    std::uintptr_t next_ = 0;  // first free byte of the current chunk
    std::uintptr_t end_ = 0;
    Chunk* current_ = nullptr;  // null: in the buffer, or nothing yet
    Chunk* spare_ = nullptr;
    std::pmr::memory_resource* upstream_;
    std::size_t chunk_bytes_ = default_chunk_bytes;  // of the next chunk
    std::size_t held_bytes_ = 0;
    std::uintptr_t buffer_ = 0;
    std::uintptr_t buffer_end_ = 0;
};

}  // namespace cairn

#endif
