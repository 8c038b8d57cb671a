// `cairn trace FILE`: what is in a recorded trace, as text or JSON.
// SPDX-License-Identifier: MIT
#include <fmt/core.h>
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "quantity.hpp"
#include "trace/reader.hpp"
#include "trace/statistics.hpp"
#include "verb.hpp"

namespace cairn::cli {

namespace {

using trace::Ending;
using trace::Histogram;
using trace::Op;
using trace::Reader;
using trace::Statistics;
using Json = nlohmann::json;

constexpr std::string_view teaching =
    R"(Traces are made by 'cairn run --record FILE -- PROGRAM' and replayed by 'cairn replay FILE'.

A trace whose end is missing (the recorder was killed, the disk was full) is read up to there, and so said.

  exit codes   0 the trace is whole, or good up to where it was cut; 125 it is no trace, or damaged)";

constexpr std::size_t bar_width = 40;

std::string bar(std::uint64_t part, std::uint64_t whole) {
    return std::string(whole == 0 ? 0 : static_cast<std::size_t>(part * bar_width / whole), '#');
}

std::string seconds(std::uint64_t ns) { return fmt::format("{:.3f} s", static_cast<double>(ns) / 1e9); }

std::string short_time(std::uint64_t ns) {
    if (ns < 1000) return fmt::format("{} ns", ns);
    if (ns < 1'000'000) return fmt::format("{:.3g} us", static_cast<double>(ns) / 1e3);
    if (ns < 1'000'000'000) return fmt::format("{:.3g} ms", static_cast<double>(ns) / 1e6);
    return fmt::format("{:.3g} s", static_cast<double>(ns) / 1e9);
}

std::string how_it_ended(const Reader& reader) {
    if (reader.ending() != Ending::complete || !reader.summary())
        return fmt::format("the trace is cut short ({}): what follows is what came before", reader.error());
    const int status = reader.summary()->status;
    if (!reader.summary()->note.empty()) return reader.summary()->note;
    if (status == -1) return "how the program ended is not known";
    return WIFSIGNALED(status) ? fmt::format("the program was killed by signal {}", WTERMSIG(status))
                               : fmt::format("the program ended with exit code {}", WEXITSTATUS(status));
}

std::string command_line(const trace::Header& header) {
    std::string line;
    for (const std::string& word : header.command) {
        if (line.size() + word.size() > 200) return line + " ...";
        line += (line.empty() ? "" : " ") + word;
    }
    return line.empty() ? "an unknown program" : line;
}

void print_sums(const Reader& reader, const Statistics& sums) {
    const trace::Header& header = reader.header();
    fmt::print("{}\n  process {}, started {}, {} recorded; {}\n\n", command_line(header), header.pid,
               header.started.empty() ? "at an unknown time" : header.started, seconds(sums.last_ns),
               how_it_ended(reader));
    fmt::print("{:>16}  events\n", with_commas(sums.events));
    for (unsigned op = 0; op < trace::op_count; ++op)
        if (sums.ops[op] != 0)
            fmt::print("{:>16}    {}\n", with_commas(sums.ops[op]), trace::name_of(static_cast<Op>(op)));
    fmt::print("{:>16}  allocated in all\n", rounded_size(sums.allocated_bytes));
    fmt::print("{:>16}  live at the peak, in {}, after {}\n", rounded_size(sums.peak_bytes),
               plural(sums.peak_objects, "object"), seconds(sums.peak_ns));
    fmt::print("{:>16}  live at the end, in {}\n", rounded_size(sums.live_bytes),
               plural(sums.live_objects, "object"));
    if (sums.foreign_frees != 0)
        fmt::print("{:>16}  freed by another thread than made them\n", with_commas(sums.foreign_frees));
    if (sums.unknown_frees != 0)
        fmt::print("{:>16}  frees of objects from before the recording\n", with_commas(sums.unknown_frees));
    if (sums.wrong_frees != 0)
        fmt::print("{:>16}  frees or reallocs of what was not live: not a trace of a correct program\n",
                   with_commas(sums.wrong_frees));
}

void print_histogram(std::string_view title, const Histogram& of, std::string (*name)(std::uint64_t)) {
    std::uint64_t most = 0;
    std::uint64_t total = 0;
    for (const auto& bucket : of.buckets) {
        most = std::max(most, bucket.count);
        total += bucket.count;
    }
    if (total == 0) return;
    fmt::print("\n{}\n", title);
    std::uint64_t so_far = 0;
    for (unsigned b = 0; b < Histogram::bucket_count; ++b) {
        const Histogram::Bucket& bucket = of.buckets[b];
        if (bucket.count == 0) continue;
        so_far += bucket.count;
        const std::string last = b == 0 ? "0" : name(Histogram::first_of(b) * 2 - 1);
        fmt::print("  to {:>10} {:>16} {:>9} {}\n", last, with_commas(bucket.count), percent(so_far, total),
                   bar(bucket.count, most));
    }
}

std::string size_name(std::uint64_t bytes) {
    return bytes < 1024 ? fmt::format("{} B", bytes) : rounded_size(bytes + 1);
}

void print_live(const Statistics& sums) {
    constexpr std::size_t rows = 24;
    const auto& points = sums.live.points();
    if (points.empty()) return;
    fmt::print("\nLive bytes over time (the most in each stretch)\n");
    const std::size_t width = (points.size() + rows - 1) / rows;
    for (std::size_t from = 0; from < points.size(); from += width) {
        trace::Timeline::Point most;
        for (std::size_t i = from; i < std::min(points.size(), from + width); ++i) {
            most.bytes = std::max(most.bytes, points[i].bytes);
            most.objects = std::max(most.objects, points[i].objects);
        }
        fmt::print("  {:>11} {:>12} {:>16} {}\n", seconds(from * sums.live.step_ns()),
                   rounded_size(most.bytes), plural(most.objects, "object"),
                   bar(most.bytes, sums.peak_bytes));
    }
}

void print_threads(const Statistics& sums) {
    constexpr std::size_t most = 16;
    if (sums.threads.size() < 2) return;
    std::vector<std::size_t> order(sums.threads.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return sums.threads[a].allocations + sums.threads[a].frees >
               sums.threads[b].allocations + sums.threads[b].frees;
    });
    fmt::print("\n{}\n  {:>6} {:>14} {:>14} {:>14} {:>12} {:>11} {:>11}\n",
               plural(sums.threads.size(), "thread"), "number", "allocations", "frees", "of others", "bytes",
               "first", "last");
    for (std::size_t i = 0; i < order.size() && i < most; ++i) {
        const trace::ThreadSums& one = sums.threads[order[i]];
        fmt::print("  {:>6} {:>14} {:>14} {:>14} {:>12} {:>11} {:>11}\n", order[i],
                   with_commas(one.allocations), with_commas(one.frees), with_commas(one.foreign_frees),
                   rounded_size(one.bytes), seconds(one.first_ns), seconds(one.last_ns));
    }
    if (order.size() > most) fmt::print("  and {} more\n", order.size() - most);
}

std::string site_name(const Reader& reader, std::size_t number) {
    if (number == 0) return "(not recorded)";
    const trace::Site& site = reader.sites()[number - 1];
    return fmt::format("{}+{:#x}", site.module.empty() ? "?" : site.module, site.offset);
}

std::vector<std::size_t> busiest_sites(const Statistics& sums) {
    std::vector<std::size_t> order(sums.sites.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return sums.sites[a].bytes > sums.sites[b].bytes; });
    return order;
}

void print_sites(const Reader& reader, const Statistics& sums) {
    constexpr std::size_t most = 20;
    if (!reader.header().has_sites) return;
    const std::vector<std::size_t> order = busiest_sites(sums);
    fmt::print("\nCall sites by bytes (addr2line -e FILE OFFSET names the line)\n");
    fmt::print("  {:>14} {:>12} {:>12}  site\n", "allocations", "bytes", "live at end");
    for (std::size_t i = 0; i < order.size() && i < most; ++i) {
        const trace::SiteSums& one = sums.sites[order[i]];
        if (one.allocations == 0) continue;
        fmt::print("  {:>14} {:>12} {:>12}  {}\n", with_commas(one.allocations), rounded_size(one.bytes),
                   rounded_size(one.live_bytes), site_name(reader, order[i]));
    }
    if (order.size() > most) fmt::print("  and {} more\n", order.size() - most);
}

Json histogram_json(const Histogram& of, std::string_view unit) {
    Json rows = Json::array();
    for (unsigned b = 0; b < Histogram::bucket_count; ++b) {
        if (of.buckets[b].count == 0) continue;
        const std::uint64_t first = Histogram::first_of(b);
        rows.push_back({{fmt::format("from_{}", unit), first},
                        {fmt::format("to_{}", unit), b == 0 ? 0 : first + (first - 1)},
                        {"count", of.buckets[b].count},
                        {fmt::format("sum_{}", unit), of.buckets[b].sum}});
    }
    return rows;
}

Json threads_json(const Statistics& sums) {
    Json rows = Json::array();
    for (const trace::ThreadSums& one : sums.threads)
        rows.push_back({{"allocations", one.allocations},
                        {"frees", one.frees},
                        {"foreign_frees", one.foreign_frees},
                        {"allocated_bytes", one.bytes},
                        {"first_ns", one.first_ns},
                        {"last_ns", one.last_ns}});
    return rows;
}

Json sites_json(const Reader& reader, const Statistics& sums) {
    Json rows = Json::array();
    for (const std::size_t number : busiest_sites(sums)) {
        const trace::SiteSums& one = sums.sites[number];
        if (number == 0 || one.allocations == 0) continue;
        const trace::Site& site = reader.sites()[number - 1];
        rows.push_back({{"module", site.module},
                        {"offset", site.offset},
                        {"allocations", one.allocations},
                        {"bytes", one.bytes},
                        {"live", one.live},
                        {"live_bytes", one.live_bytes}});
    }
    return rows;
}

Json to_json(const Reader& reader, const Statistics& sums) {
    const trace::Header& header = reader.header();
    Json json{{"command", header.command},
              {"pid", header.pid},
              {"started", header.started},
              {"is_complete", reader.ending() == Ending::complete},
              {"events", sums.events},
              {"duration_ns", sums.last_ns},
              {"allocated_bytes", sums.allocated_bytes},
              {"peak", {{"bytes", sums.peak_bytes}, {"objects", sums.peak_objects}, {"ns", sums.peak_ns}}},
              {"end", {{"bytes", sums.live_bytes}, {"objects", sums.live_objects}}},
              {"foreign_frees", sums.foreign_frees},
              {"unknown_frees", sums.unknown_frees},
              {"wrong_frees", sums.wrong_frees}};
    if (reader.ending() != Ending::complete) json["trouble"] = reader.error();
    if (reader.summary()) json["status"] = reader.summary()->status;
    if (reader.summary() && !reader.summary()->note.empty()) json["note"] = reader.summary()->note;
    for (unsigned op = 0; op < trace::op_count; ++op)
        json["calls"][std::string(trace::name_of(static_cast<Op>(op)))] = sums.ops[op];
    json["sizes"] = histogram_json(sums.sizes, "bytes");
    json["alignments"] = histogram_json(sums.alignments, "bytes");
    json["lifetimes"] = histogram_json(sums.lifetimes_ns, "ns");
    Json& live = json["live"];
    live["step_ns"] = sums.live.step_ns();
    for (const auto& point : sums.live.points()) {
        live["bytes"].push_back(point.bytes);
        live["objects"].push_back(point.objects);
    }
    json["threads"] = threads_json(sums);
    if (header.has_sites) json["sites"] = sites_json(reader, sums);
    return json;
}

void print_text(const Reader& reader, const Statistics& sums) {
    print_sums(reader, sums);
    print_histogram("Sizes asked for", sums.sizes, size_name);
    print_histogram("Lifetimes of what was freed", sums.lifetimes_ns, short_time);
    print_live(sums);
    print_threads(sums);
    print_sites(reader, sums);
}

}  // namespace

int trace_verb(Arguments arguments) {
    CLI::App app{"Tell what is in a recorded trace.", "cairn trace"};
    std::string file;
    bool as_json = false;
    app.add_option("FILE", file, "a trace of 'cairn run --record'");
    app.add_flag("--json", as_json, "for programs");
    app.footer(std::string(teaching));
    if (const auto code = parse(app, std::move(arguments))) return *code;
    if (file.empty()) return fail(exit_usage, "trace: no file given; valid: cairn trace FILE [--json]");
    Reader reader;
    if (!reader.open(file)) {
        const bool is_sentence = reader.error().starts_with("is ") || reader.error().starts_with("has ");
        return fail(exit_cairn, fmt::format("trace: {}{} {}", file, is_sentence ? "" : ":", reader.error()));
    }
    Statistics sums;
    for (trace::Event event; reader.next(event);) sums.add(event);
    constexpr auto repair = Json::error_handler_t::replace;  // names may be in any encoding
    if (as_json) fmt::print("{}\n", to_json(reader, sums).dump(1, ' ', false, repair));
    else print_text(reader, sums);
    if (reader.ending() == Ending::corrupt) {
        std::fflush(stdout);
        return fail(exit_cairn, fmt::format("trace: {}: {}; the {} before are shown", file, reader.error(),
                                            plural(sums.events, "event")));
    }
    return exit_ok;
}

}  // namespace cairn::cli
