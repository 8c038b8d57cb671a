// The heap as it was at one moment: arenas, pages, spans, slots; what pictures and sums are made from.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::map {

enum class PageState : std::uint8_t {
    none,      // not the heap's, or never grown into
    free,      // free, and in memory
    returned,  // free, and with the OS
    cached,    // free, kept by a thread
    span,      // in a span
};
inline constexpr unsigned page_state_count = 5;

inline constexpr std::array<std::string_view, 5> kind_names{"explicit", "noscan", "typed", "conservative",
                                                            "manual"};
inline constexpr unsigned explicit_kind = 0;
inline constexpr unsigned manual_kind = 4;

struct SizeClass {
    std::uint32_t object_bytes = 0;
    std::uint32_t span_bytes = 0;
    std::uint32_t objects = 0;
    std::uint64_t requested_bytes = 0;  // of sampled requests: their mean tells the waste inside slots
    std::uint64_t requests = 0;
};

struct Span {
    std::uint64_t base = 0;
    std::uint64_t pages = 0;
    std::uint64_t slot_bytes = 0;
    std::uint64_t first_word = 0;  // in HeapModel::out and ::cached; ~0: no slots known
    std::uint16_t slots = 0;
    std::uint16_t live = 0;        // with the program
    std::uint16_t cached = 0;      // out of the span, in a thread's cache or a depot
    std::uint8_t size_class = 0;   // 0: large
    std::uint8_t kind = 0;
    std::uint8_t is_parked = 0;    // 1: large, freed, kept by a thread; no bool, for a file may say anything
};

struct Arena {
    std::uint64_t base = 0;
    std::vector<PageState> pages;         // one a page
    std::vector<std::uint32_t> span_of;   // number of the span + 1; 0: none
};

struct ThreadCache {
    std::uint64_t slots = 0;
    std::uint64_t bytes = 0;
    std::uint64_t free_pages = 0;
};

// Sums in bytes.
struct Totals {
    std::uint64_t spans = 0;
    std::uint64_t span_bytes = 0;
    std::uint64_t live_objects = 0;
    std::uint64_t live_bytes = 0;        // slots with the program
    std::uint64_t rounding_waste = 0;    // inside live slots, from the mean request
    std::uint64_t tail_waste = 0;        // behind the last slots of spans
    std::uint64_t free_slot_bytes = 0;   // in spans that are in use
    std::uint64_t cached_bytes = 0;      // slots in caches and depots, parked spans
    std::uint64_t cached_page_bytes = 0;
    std::uint64_t free_bytes = 0;
    std::uint64_t returned_bytes = 0;

    [[nodiscard]] std::uint64_t internal_waste() const { return rounding_waste + tail_waste; }
    [[nodiscard]] std::uint64_t external_waste() const {
        return free_slot_bytes + cached_bytes + cached_page_bytes + free_bytes;
    }
};

struct HeapModel {
    std::string command;
    std::uint32_t pid = 0;
    std::string time;
    std::string library_version;
    std::string library_file;      // the heap is that of this library or program
    std::string build_id;          // of that file, in hexadecimal; empty: it has none
    bool is_linear = false;
    std::uint32_t page_bytes = 8192;
    std::uint64_t arena_bytes = std::uint64_t{64} << 20;
    std::uint64_t metadata_bytes = 0;
    std::uint64_t torn_spans = 0;  // changed each time they were read, and were left out
    std::vector<SizeClass> classes;
    std::vector<Arena> arenas;     // by address
    std::vector<Span> spans;       // by address
    std::vector<ThreadCache> caches;
    std::vector<std::uint64_t> out;     // a bit a slot: not in its span
    std::vector<std::uint64_t> cached;  // the same: but in a cache

    [[nodiscard]] Totals totals() const;
    // The arena of an address; nullptr: none.
    [[nodiscard]] const Arena* arena_of(std::uint64_t address) const;
    // Fills the arenas' pages of state span and span_of from the spans.
    void place_spans();
    [[nodiscard]] std::uint64_t rounding_waste(const Span& span) const;
    [[nodiscard]] static std::size_t words(const Span& span) { return (span.slots + 63u) / 64u; }
    [[nodiscard]] bool has_slots(const Span& span) const { return span.first_word != ~std::uint64_t{0}; }

    // Snapshot files. False: `error` says why, in words that follow the file's name.
    [[nodiscard]] bool save(const std::string& file, std::string& error) const;
    [[nodiscard]] bool load(const std::string& file, std::string& error);
    // True when the file begins as a snapshot does.
    [[nodiscard]] static bool is_snapshot(const std::string& file);
};

// Pictures draw an arena in lines of 512 pages.
[[nodiscard]] constexpr bool has_sound_pages(std::uint64_t page_bytes, std::uint64_t arena_bytes) {
    return page_bytes >= 4096 && page_bytes <= 1u << 20 && arena_bytes >= 512 * page_bytes &&
           arena_bytes <= std::uint64_t{1} << 30 && arena_bytes % (512 * page_bytes) == 0;
}

}  // namespace cairn::map
