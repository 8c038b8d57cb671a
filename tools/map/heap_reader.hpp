// Reads the heap of a live process into a model, by the table that its library exports.
//
// The process is not stopped. What is read may be of two moments; each record is checked against what led to
// it, read again when it does not fit, and left out when it never does. A slot that goes home from a cache
// after its span was read would count as live: when the caches changed meanwhile, all is read again, some
// times at most. Every count and pointer has a bound.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "map/heap_model.hpp"
#include "map/process_memory.hpp"

namespace cairn::map {

class HeapReader {
public:
    // `table` is the address of the library's cairn_heap_table in the process.
    HeapReader(const ProcessMemory& memory, std::uint64_t table, HeapModel& model)
        : memory_(memory), table_(table), model_(model) {}

    // False: error() says why, in one line.
    [[nodiscard]] bool read();
    [[nodiscard]] const std::string& error() const { return error_; }
    // After read(): no slot came into a cache or left one meanwhile, so that the counts are of one moment.
    [[nodiscard]] bool is_steady() const { return is_steady_; }

private:
    struct Candidate {  // a page where a span in use begins, and its record
        std::uint64_t page;
        std::uint64_t record;
    };

    [[nodiscard]] bool read_table();
    [[nodiscard]] bool has_all_rows();
    [[nodiscard]] bool read_classes();
    [[nodiscard]] bool read_arenas();
    [[nodiscard]] bool read_sparse();
    [[nodiscard]] bool read_linear();
    void add_arena(std::uint64_t base, const std::vector<std::uint64_t>& spans,
                   const std::vector<std::uint64_t>& in_use);
    [[nodiscard]] bool read_regions();
    void add_chunk(std::uint64_t base, const std::uint64_t* in_use, const std::uint64_t* returned);
    void read_spans();
    [[nodiscard]] bool take_span(const Candidate& from, const unsigned char* record);
    void read_bits();
    void read_collected_bits();
    void read_caches();
    void read_cache(const std::vector<unsigned char>& cache);
    void read_depots();
    [[nodiscard]] std::vector<std::uint64_t> cached_slots() const;
    void read_ended();
    std::uint64_t mark_cached(std::uint64_t array, std::uint64_t count, unsigned size_class);
    void count_slots();
    bool fail(std::string why);
    bool ended();

    [[nodiscard]] std::uint64_t row(const std::string& name) const { return rows_.at(name); }
    template <class Value>
    [[nodiscard]] Value field(const unsigned char* record, const char* name) const;

    const ProcessMemory& memory_;
    std::uint64_t table_;
    HeapModel& model_;
    std::string error_;
    bool is_steady_ = false;
    std::unordered_map<std::string, std::uint64_t> rows_;
    std::vector<Candidate> candidates_;
    std::vector<std::uint64_t> bits_;  // of each span: where its bits are; 0: they were in its record
};

// Reads the heap of a process; the larger one where it has two: collected objects, and a preloaded malloc.
// Empty: done; else why not, in one line.
[[nodiscard]] std::string read_process(std::uint32_t pid, HeapModel& model);

}  // namespace cairn::map
