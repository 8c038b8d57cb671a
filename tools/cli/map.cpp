// `cairn map PID|SNAPSHOT`: the heap of a running process, or as it was saved, in sums and pictures.
// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>

#include "library.hpp"
#include "map/heap_reader.hpp"
#include "map/picture.hpp"
#include "map/process_memory.hpp"
#include "quantity.hpp"
#include "verb.hpp"

namespace cairn::cli {

namespace {

using map::HeapModel;
using map::PageState;
using Json = nlohmann::json;

constexpr std::string_view teaching =
    R"(PID is a process on Cairn ('cairn run'); it is read from outside and goes on meanwhile. FILE is a
snapshot of 'cairn map PID --save FILE'.

  inside waste    lost in live slots (they are larger than what was asked: from a sample of requests) and
                  behind the last slot of a span
  outside waste   in memory, but with nobody: free slots, threads' caches, free pages; not what the OS has

In a picture each line of a band is 4 MiB, each cell a page of 8 KiB, coloured by size class, paler where it
is emptier. The HTML page needs no network; click a cell for its span and slots.

Examples:
  cairn map 4711
  cairn map 4711 -o heap.html
  cairn map 4711 --save heap.map; cairn map heap.map --json)";

struct MapOptions {
    std::string target;
    std::string output;
    std::string save;
    bool as_json = false;
    bool with_spans = false;
};

std::string characters_of(const HeapModel& model, const map::Arena& arena) {
    constexpr std::size_t columns = 64;
    const std::size_t width = arena.pages.size() / columns;
    std::string line;
    for (std::size_t column = 0; column < columns; ++column) {
        std::array<std::size_t, map::page_state_count> pages{};
        double live = 0;
        for (std::size_t page = column * width; page < (column + 1) * width; ++page) {
            ++pages[static_cast<unsigned>(arena.pages[page])];
            if (arena.span_of[page] != 0) live += map::share_of(model.spans[arena.span_of[page] - 1]);
        }
        const std::size_t spans = pages[static_cast<unsigned>(PageState::span)];
        const auto eighths = static_cast<std::size_t>(live * 8 / static_cast<double>(width));
        if (pages[0] == width) line += ' ';
        else if (spans * 8 >= width) line += ".:-=+*#%@"[eighths];
        else line += pages[static_cast<unsigned>(PageState::returned)] * 2 >= width ? '_' : '.';
    }
    return line;
}

void print_sums(const HeapModel& model) {
    const map::Totals sums = model.totals();
    const auto line = [](std::uint64_t bytes, std::string_view what) {
        fmt::print("{:>14}  {}\n", rounded_size(bytes), what);
    };
    const std::string inside = fmt::format("waste inside: {} in slots (about), {} behind them",
                                           rounded_size(sums.rounding_waste), rounded_size(sums.tail_waste));
    const std::string outside =
        fmt::format("waste outside: {} free slots, {} in caches, {} threads' pages, {} free pages",
                    rounded_size(sums.free_slot_bytes), rounded_size(sums.cached_bytes),
                    rounded_size(sums.cached_page_bytes), rounded_size(sums.free_bytes));
    line(sums.live_bytes,
         fmt::format("live in {}, {}", plural(sums.live_objects, "object"), plural(sums.spans, "span")));
    line(sums.internal_waste(), inside);
    line(sums.external_waste(), outside);
    line(sums.returned_bytes, "free, with the OS");
    line(model.metadata_bytes, "metadata, at most");
    if (model.torn_spans != 0)
        fmt::print("{:>14}  spans changed while they were read, and are left out\n",
                   with_commas(model.torn_spans));
}

// Whether the library in the process is the one beside this command; nothing when that cannot be said.
std::optional<bool> is_own_build(const HeapModel& model) {
    std::string name = model.library_file.substr(model.library_file.rfind('/') + 1);
    name = name.substr(0, name.find(" (deleted)"));  // it was built or installed again since
    if (model.build_id.empty() || !name.starts_with("lib")) return std::nullopt;
    const std::string own = map::build_id_of(find_own_library(name).path);
    if (own.empty()) return std::nullopt;
    return own == model.build_id;
}

void print_text(const HeapModel& model) {
    fmt::print("{} (process {}, Cairn {}, {} layout), {}\n", model.command, model.pid, model.library_version,
               model.is_linear ? "linear" : "sparse", model.time);
    if (!is_own_build(model).value_or(true))
        fmt::print("its {} is of another build than this command ({:.12}...), and read by its own table\n",
                   model.library_file, model.build_id);
    fmt::print("\n");
    print_sums(model);
    fmt::print("\n{}; a character is 1 MiB: @ full of live objects ... . empty, _ with the OS\n",
               plural(model.arenas.size(), "arena"));
    constexpr std::size_t most = 64;
    for (std::size_t i = 0; i < model.arenas.size() && i < most; ++i)
        fmt::print("{:#14x}  |{}|\n", model.arenas[i].base, characters_of(model, model.arenas[i]));
    if (model.arenas.size() > most) fmt::print("{:>14}  and {} more\n", "", model.arenas.size() - most);
}

Json arenas_json(const HeapModel& model) {
    Json rows = Json::array();
    for (const map::Arena& arena : model.arenas) {
        std::array<std::uint64_t, map::page_state_count> pages{};
        for (const PageState state : arena.pages) ++pages[static_cast<unsigned>(state)];
        const auto count = [&](PageState state) { return pages[static_cast<unsigned>(state)]; };
        rows.push_back({{"base", arena.base},
                        {"span_pages", count(PageState::span)},
                        {"free_pages", count(PageState::free)},
                        {"returned_pages", count(PageState::returned)},
                        {"thread_pages", count(PageState::cached)}});
    }
    return rows;
}

Json classes_json(const HeapModel& model) {
    struct Row {
        std::uint64_t spans = 0, live = 0, cached = 0, free = 0, waste = 0;
    };
    std::vector<std::array<Row, map::kind_names.size()>> rows(model.classes.size());
    for (const map::Span& span : model.spans) {
        Row& row = rows[span.size_class][span.kind];
        ++row.spans;
        const bool is_large = span.size_class == 0;
        row.live += is_large ? !span.is_parked : span.live;
        row.cached += is_large ? span.is_parked : span.cached;
        row.free += is_large ? 0 : span.slots - span.live - span.cached;
        row.waste += model.rounding_waste(span);
    }
    Json all = Json::array();
    for (std::size_t c = 0; c < rows.size(); ++c)
        for (std::size_t kind = 0; kind < rows[c].size(); ++kind) {
            const Row& row = rows[c][kind];
            if (row.spans == 0) continue;
            all.push_back({{"class", c},
                           {"kind", map::kind_names[kind]},
                           {"object_bytes", model.classes[c].object_bytes},
                           {"spans", row.spans},
                           {"live", row.live},
                           {"cached", row.cached},
                           {"free", row.free},
                           {"rounding_waste_bytes", row.waste}});
        }
    return all;
}

Json spans_json(const HeapModel& model) {
    Json rows = Json::array();
    for (const map::Span& span : model.spans)
        rows.push_back({{"base", span.base},
                        {"pages", span.pages},
                        {"class", span.size_class},
                        {"kind", map::kind_names[span.kind]},
                        {"slots", span.slots},
                        {"live", span.size_class == 0 ? !span.is_parked : span.live},
                        {"cached", span.size_class == 0 ? span.is_parked : span.cached}});
    return rows;
}

Json to_json(const HeapModel& model, bool with_spans) {
    const map::Totals sums = model.totals();
    Json json{{"command", model.command},
              {"pid", model.pid},
              {"time", model.time},
              {"library_version", model.library_version},
              {"library", {{"file", model.library_file}, {"build_id", model.build_id}}},
              {"layout", model.is_linear ? "linear" : "sparse"},
              {"torn_spans", model.torn_spans},
              {"live", {{"objects", sums.live_objects}, {"bytes", sums.live_bytes}}},
              {"spans", {{"count", sums.spans}, {"bytes", sums.span_bytes}}},
              {"internal_waste",
               {{"bytes", sums.internal_waste()},
                {"rounding_bytes", sums.rounding_waste},
                {"tail_bytes", sums.tail_waste}}},
              {"external_waste",
               {{"bytes", sums.external_waste()},
                {"free_slot_bytes", sums.free_slot_bytes},
                {"cached_bytes", sums.cached_bytes},
                {"thread_page_bytes", sums.cached_page_bytes},
                {"free_page_bytes", sums.free_bytes}}},
              {"returned_bytes", sums.returned_bytes},
              {"metadata_bytes", model.metadata_bytes},
              {"arenas", arenas_json(model)},
              {"classes", classes_json(model)},
              {"caches", Json::array()}};
    for (const map::ThreadCache& one : model.caches)
        json["caches"].push_back(
            {{"slots", one.slots}, {"bytes", one.bytes}, {"free_pages", one.free_pages}});
    if (const auto is_own = is_own_build(model)) json["library"]["is_own_build"] = *is_own;
    if (with_spans) json["spans"]["list"] = spans_json(model);
    return json;
}

// Reads the process or the file. Nothing: done; else the exit code, the reason having been told.
std::optional<int> read_target(const std::string& target, HeapModel& model) {
    std::uint32_t pid = 0;
    const auto [end, trouble] = std::from_chars(target.data(), target.data() + target.size(), pid);
    const bool is_number = trouble == std::errc{} && end == target.data() + target.size() && pid != 0;
    if (is_number) {
        const std::string why_not = map::read_process(pid, model);
        if (!why_not.empty()) return fail(exit_cairn, "map: " + why_not);
        return std::nullopt;
    }
    std::string error;
    if (model.load(target, error)) return std::nullopt;
    const bool is_sentence = error.starts_with("is ");
    constexpr std::string_view valid = "valid: a process id, or a file of 'cairn map PID --save'";
    return fail(exit_cairn, fmt::format("map: {}{} {}; {}", target, is_sentence ? "" : ":", error, valid));
}

std::optional<int> write_picture(const std::string& file, const HeapModel& model) {
    std::string picture;
    if (file.ends_with(".html")) picture = map::to_html(model);
    else if (file.ends_with(".svg")) picture = map::to_picture(model).svg();
    else picture = map::to_picture(model).png();
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out.write(picture.data(), static_cast<std::streamsize>(picture.size()));
    out.close();
    if (!out) return fail(exit_cairn, fmt::format("map: cannot write {}", file));
    return std::nullopt;
}

}  // namespace

int map_verb(Arguments arguments) {
    CLI::App app{"Draw the heap of a running process, or of a snapshot.", "cairn map"};
    MapOptions options;
    app.add_option("PID|FILE", options.target, "a process on Cairn, or a snapshot of one");
    app.add_option("-o,--o,--output", options.output, "write a picture: FILE.html, FILE.svg or FILE.png")
        ->type_name("FILE");
    app.add_option("--save", options.save, "write a snapshot, to be mapped later")->type_name("FILE");
    app.add_flag("--json", options.as_json, "for programs");
    app.add_flag("--spans", options.with_spans, "with --json: every span too");
    app.footer(std::string(teaching));
    if (const auto code = parse(app, std::move(arguments))) return *code;
    if (options.target.empty())
        return fail(exit_usage, "map: nothing given to map; valid: cairn map PID, or cairn map FILE");
    const std::string& output = options.output;
    const auto is_a = [&](std::string_view ending) { return output.ends_with(ending); };
    if (!output.empty() && !is_a(".html") && !is_a(".svg") && !is_a(".png"))
        return fail(exit_usage, fmt::format("map: what is {}? valid: FILE.html, FILE.svg, FILE.png", output));
    HeapModel model;
    if (const auto code = read_target(options.target, model)) return *code;
    std::string error;
    if (!options.save.empty() && !model.save(options.save, error))
        return fail(exit_cairn, fmt::format("map: cannot write {}: {}", options.save, error));
    if (!output.empty()) {
        if (const auto code = write_picture(output, model)) return *code;
    }
    constexpr auto repair = Json::error_handler_t::replace;
    if (options.as_json) fmt::print("{}\n", to_json(model, options.with_spans).dump(1, ' ', false, repair));
    else if (output.empty() && options.save.empty()) print_text(model);
    return exit_ok;
}

}  // namespace cairn::cli
