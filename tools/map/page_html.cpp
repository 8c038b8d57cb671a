// The page that answers to the mouse: page.html with the heap put into it as numbers.
//
// Everything is in the one file. Spans are six words each, runs of other pages three; the slots of a span are
// there when some are free and some are not, up to a limit that keeps the page openable.
// SPDX-License-Identifier: MIT
#include <map>
#include <nlohmann/json.hpp>

#include "map/picture.hpp"

namespace cairn::map {

extern const char page_template[];

namespace {

using Json = nlohmann::json;

constexpr std::size_t bits_limit = 6u << 20;  // words: 24 MiB

class Words {
public:
    void add(std::uint64_t word) { words_.push_back(static_cast<std::uint32_t>(word)); }
    [[nodiscard]] std::size_t size() const { return words_.size(); }
    // Base64 of the words, little-endian.
    [[nodiscard]] std::string text() const {
        constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const auto* bytes = reinterpret_cast<const unsigned char*>(words_.data());
        const std::size_t size = words_.size() * 4;
        std::string out;
        out.reserve(size / 3 * 4 + 4);
        for (std::size_t i = 0; i < size; i += 3) {
            const std::size_t left = size - i;
            const std::uint32_t group = static_cast<std::uint32_t>(bytes[i]) << 16 |
                                        (left > 1 ? static_cast<std::uint32_t>(bytes[i + 1]) << 8 : 0) |
                                        (left > 2 ? bytes[i + 2] : 0u);
            out += digits[group >> 18];
            out += digits[group >> 12 & 63];
            out += left > 1 ? digits[group >> 6 & 63] : '=';
            out += left > 2 ? digits[group & 63] : '=';
        }
        return out;
    }

private:
    std::vector<std::uint32_t> words_;
};

std::string runs_of(const HeapModel& model) {
    Words runs;
    const std::uint64_t pages = model.arena_bytes / model.page_bytes;
    for (std::size_t i = 0; i < model.arenas.size(); ++i) {
        const std::vector<PageState>& states = model.arenas[i].pages;
        for (std::size_t from = 0; from < states.size();) {
            std::size_t to = from + 1;
            while (to < states.size() && states[to] == states[from]) ++to;
            if (states[from] != PageState::none && states[from] != PageState::span) {
                runs.add(i * pages + from);
                runs.add(to - from);
                runs.add(static_cast<unsigned>(states[from]));
            }
            from = to;
        }
    }
    return runs.text();
}

// Where the span's slots go in `bits`, plus 1; 0: left out.
std::uint64_t add_bits(const HeapModel& model, const Span& span, Words& bits) {
    const bool is_plain = !model.has_slots(span) || span.live == span.slots;
    const std::size_t words = (span.slots + 31u) / 32u;
    if (is_plain || bits.size() + 2 * words > bits_limit) return 0;
    const std::size_t first = bits.size();
    for (const auto* from : {&model.out, &model.cached})
        for (std::size_t i = 0; i < words; ++i) bits.add((*from)[span.first_word + i / 2] >> 32 * (i % 2));
    return first + 1;
}

std::string spans_of(const HeapModel& model, Words& bits) {
    Words spans;
    const std::uint64_t pages = model.arena_bytes / model.page_bytes;
    for (const Span& span : model.spans) {
        const Arena* arena = model.arena_of(span.base);
        if (arena == nullptr) continue;
        const auto index = static_cast<std::uint64_t>(arena - model.arenas.data());
        const std::uint64_t room = model.arenas.size() * pages;
        const std::uint64_t first = index * pages + (span.base - arena->base) / model.page_bytes;
        spans.add(first);
        spans.add(std::min(span.pages, room - first));
        spans.add(span.size_class | span.kind << 8 | span.is_parked << 16);
        spans.add(span.live | static_cast<std::uint32_t>(span.cached) << 16);
        spans.add(span.slots);
        spans.add(add_bits(model, span, bits));
    }
    return spans.text();
}

Json totals_json(const Totals& sums) {
    return {{"live_objects", sums.live_objects},       {"live_bytes", sums.live_bytes},
            {"rounding_waste", sums.rounding_waste},   {"tail_waste", sums.tail_waste},
            {"free_slot_bytes", sums.free_slot_bytes}, {"cached_bytes", sums.cached_bytes},
            {"free_bytes", sums.free_bytes},           {"cached_page_bytes", sums.cached_page_bytes},
            {"returned_bytes", sums.returned_bytes}};
}

Json class_rows(const HeapModel& model) {
    struct Row {
        std::uint64_t spans = 0, live = 0, cached = 0, live_bytes = 0, waste = 0;
    };
    std::map<unsigned, Row> rows;
    for (const Span& span : model.spans) {
        Row& row = rows[span.size_class];
        ++row.spans;
        const std::uint64_t bytes = span.pages * model.page_bytes;
        if (span.size_class == 0) {
            row.live += !span.is_parked;
            row.cached += span.is_parked;
            row.live_bytes += span.is_parked ? 0 : bytes;
            continue;
        }
        row.live += span.live;
        row.cached += span.cached;
        row.live_bytes += span.live * span.slot_bytes;
        row.waste += bytes - span.live * span.slot_bytes + model.rounding_waste(span);
    }
    Json all = Json::array();
    for (const auto& [number, row] : rows)
        all.push_back({{"class", number},
                       {"slot_bytes", model.classes[number].object_bytes},
                       {"spans", row.spans},
                       {"live", row.live},
                       {"cached", row.cached},
                       {"live_bytes", row.live_bytes},
                       {"waste_bytes", row.waste}});
    return all;
}

}  // namespace

std::string to_html(const HeapModel& model) {
    Words bits;
    Json data{{"command", model.command},
              {"pid", model.pid},
              {"time", model.time},
              {"library_version", model.library_version},
              {"layout", model.is_linear ? "linear" : "sparse"},
              {"page_bytes", model.page_bytes},
              {"arena_bytes", model.arena_bytes},
              {"metadata_bytes", model.metadata_bytes},
              {"torn_spans", model.torn_spans},
              {"kinds", {"malloc", "noscan", "typed", "conservative", "manual"}},
              {"totals", totals_json(model.totals())},
              {"class_rows", class_rows(model)},
              {"arenas", Json::array()},
              {"classes", Json::array()},
              {"caches", Json::array()},
              {"runs", runs_of(model)},
              {"spans", spans_of(model, bits)}};
    data["bits"] = bits.text();
    for (const Arena& arena : model.arenas) data["arenas"].push_back({{"base", arena.base}});
    for (const SizeClass& row : model.classes) data["classes"].push_back({{"bytes", row.object_bytes}});
    for (const ThreadCache& one : model.caches)
        data["caches"].push_back(
            {{"slots", one.slots}, {"bytes", one.bytes}, {"free_pages", one.free_pages}});
    std::string text = data.dump(-1, ' ', true, Json::error_handler_t::replace);
    for (std::size_t at = 0; (at = text.find('<', at)) != std::string::npos;) text.replace(at, 1, "\\u003c");
    std::string page = page_template;
    constexpr std::string_view mark = "/*DATA*/null";
    page.replace(page.find(mark), mark.size(), text);
    return page;
}

}  // namespace cairn::map
