// What is in a trace: sums, histograms, live bytes over time, threads, call sites. Built event by event.
//
// Memory follows what is live and how far apart the live ones were made, not the length of the trace.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "trace/event.hpp"

namespace cairn::trace {

// Powers of two: bucket 0 holds 0, bucket b holds 2^(b-1) .. 2^b - 1.
struct Histogram {
    static constexpr unsigned bucket_count = 65;
    struct Bucket {
        std::uint64_t count = 0;
        std::uint64_t sum = 0;
    };
    std::array<Bucket, bucket_count> buckets;

    void add(std::uint64_t value);
    static std::uint64_t first_of(unsigned bucket) {
        return bucket < 2 ? bucket : std::uint64_t{1} << (bucket - 1);
    }
};

// The largest value in each stretch of time; stretches grow so that there are never too many.
class Timeline {
public:
    static constexpr std::size_t most = 1024;
    struct Point {
        std::uint64_t bytes = 0;
        std::uint64_t objects = 0;
    };

    void note(std::uint64_t time_ns, Point value);
    [[nodiscard]] const std::vector<Point>& points() const { return points_; }
    [[nodiscard]] std::uint64_t step_ns() const { return step_ns_; }

private:
    std::uint64_t step_ns_ = 1000;
    std::vector<Point> points_;
    Point last_;
};

// A live object.
struct Live {
    std::uint64_t time_ns = 0;
    std::uint64_t size = 0;
    std::uint32_t thread = 0;
    std::uint32_t site = 0;
    bool is_live = false;
};

// Objects by number, in pieces that go when all in them are dead.
class LiveObjects {
public:
    void put(std::uint64_t id, const Live& object);
    // nullptr when it is not live.
    [[nodiscard]] Live* find(std::uint64_t id);
    void drop(std::uint64_t id);

    template <class Visit>
    void for_each(Visit visit) const {
        for (const auto& piece : pieces_)
            for (std::size_t i = 0; piece != nullptr && i < piece_objects; ++i)
                if (piece->objects[i].is_live) visit(piece->objects[i]);
    }

private:
    static constexpr std::size_t piece_objects = 4096;
    struct Piece {
        std::array<Live, piece_objects> objects;
        std::size_t live = 0;
        bool is_full = false;  // later objects are in later pieces
    };
    std::vector<std::unique_ptr<Piece>> pieces_;
};

struct ThreadSums {
    std::uint64_t allocations = 0;
    std::uint64_t frees = 0;
    std::uint64_t foreign_frees = 0;  // of objects that another thread made
    std::uint64_t bytes = 0;
    std::uint64_t first_ns = 0;
    std::uint64_t last_ns = 0;
};

struct SiteSums {
    std::uint64_t allocations = 0;
    std::uint64_t bytes = 0;
    std::uint64_t live = 0;
    std::uint64_t live_bytes = 0;
};

class Statistics {
public:
    void add(const Event& event);

    std::array<std::uint64_t, op_count> ops{};
    std::uint64_t events = 0;
    std::uint64_t allocated_bytes = 0;  // by all requests; realloc counts what it added
    std::uint64_t unknown_frees = 0;    // of objects from before the recording
    std::uint64_t wrong_frees = 0;      // of objects that were not live: a damaged or forged trace
    std::uint64_t foreign_frees = 0;
    std::uint64_t live_objects = 0;
    std::uint64_t live_bytes = 0;
    std::uint64_t peak_bytes = 0;
    std::uint64_t peak_objects = 0;         // at the moment of peak_bytes
    std::uint64_t peak_ns = 0;
    std::uint64_t last_ns = 0;
    Histogram sizes;
    Histogram alignments;
    Histogram lifetimes_ns;                 // of objects that were freed
    Timeline live;
    std::vector<ThreadSums> threads;
    std::vector<SiteSums> sites;            // by number; [0]: unknown

private:
    void made(const Event& event);
    void resized(const Event& event);
    void freed(const Event& event);
    ThreadSums& thread_of(const Event& event);
    SiteSums& site_of(std::uint32_t site);
    void note_live(std::uint64_t time_ns);

    LiveObjects objects_;
};

}  // namespace cairn::trace
