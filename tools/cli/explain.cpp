// `cairn explain SIZE`: which class serves a request and why, with the arithmetic written out.
//
// A request is first judged by Go's table; what malloc does differently follows, since a malloc'ed slot keeps
// promises that Go's need not: 16-byte alignment, and a slot of its own for free() to find.
// SPDX-License-Identifier: MIT
#include <cairn/tables.h>
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <nlohmann/json.hpp>

#include "quantity.hpp"
#include "verb.hpp"

namespace cairn::cli {

namespace {

constexpr std::string_view teaching =
    R"(SIZE is a whole number of bytes such as 48, 1KiB, 1.5MiB; several may be given.

Three kinds of request:
  tiny     below 16 bytes without pointers: several share a 16-byte block (not under malloc)
  small    up to 32768 bytes: a slot of the smallest class that holds it
  large    above: whole 8 KiB pages of its own

Waste is worked out for a span whose slots all hold such a request:
  ((slot - request) x slots + tail) / span

Example: cairn explain 33     (the smallest request of the 48-byte class: 31.52 %)
         cairn explain 100 --align 64)";

// What there is to say about one request. `bytes` is what was asked, `align` 0 when none was named.
struct Request {
    std::uint64_t bytes;
    std::uint64_t align;
    unsigned go_class;      // 0: large
    unsigned malloc_class;  // 0: large
};

cairn_size_class class_row(unsigned index) {
    cairn_size_class row{};
    cairn_size_class_get(index, &row);
    return row;
}

cairn_size_limits limits() {
    cairn_size_limits found{};
    cairn_size_limits_get(&found);
    return found;
}

Request judge(std::uint64_t bytes, std::uint64_t align) {
    if (align > 16) {
        const unsigned both = cairn_aligned_class_of(bytes, align);
        return {bytes, align, both, both};
    }
    return {bytes, align, align == 0 ? cairn_size_class_of(bytes) : cairn_aligned_class_of(bytes, align),
            align == 16 ? cairn_aligned_class_of(bytes, align) : cairn_malloc_class_of(bytes)};
}

bool is_tiny(const Request& r) {
    return r.bytes > 0 && r.bytes < limits().tiny_bytes && r.align <= 1;
}
bool is_zero(const Request& r) {
    return r.bytes == 0;
}

std::string kind_of(const Request& r) {
    if (r.malloc_class == 0) return "large";
    if (is_zero(r)) return "zero";
    return is_tiny(r) ? "tiny" : "small";
}

// The pages a large request takes.
std::uint64_t large_pages(std::uint64_t bytes) {
    const std::uint64_t page = limits().page_bytes;
    return bytes == 0 ? 1 : bytes / page + (bytes % page != 0 ? 1 : 0);
}

// Bytes lost in a span whose slots all hold `bytes`.
std::uint64_t lost_bytes(const cairn_size_class& row, std::uint64_t bytes) {
    return (row.object_bytes - bytes) * row.objects + row.tail_waste;
}

std::string waste_arithmetic(const cairn_size_class& row, std::uint64_t bytes) {
    const std::uint64_t lost = lost_bytes(row, bytes);
    return fmt::format("(({} − {}) × {} + {}) / {} = {} / {} = {}", row.object_bytes, bytes, row.objects,
                       row.tail_waste, row.span_bytes, lost, row.span_bytes, percent(lost, row.span_bytes));
}

// One line of an explanation: a label, then what there is to say.
void say(std::string_view label, std::string_view text) {
    fmt::print("  {:<9}{}\n", label, text);
}

void explain_lookup(std::uint64_t bytes, unsigned found) {
    if (bytes <= 1016)
        say("lookup", fmt::format("class8[⌈{} / 8⌉] = class8[{}] = {}", bytes, (bytes + 7) / 8, found));
    else
        say("lookup", fmt::format("class128[⌈({} − 1024) / 128⌉] = class128[{}] = {}", bytes,
                                  (bytes - 1024 + 127) / 128, found));
}

// The class of the bytes alone.
unsigned plain_class(const Request& r) {
    return is_zero(r) ? 1 : cairn_size_class_of(r.bytes);
}

// False where only the alignment led to the class: a smaller one would hold the bytes.
bool is_plain(const Request& r, const cairn_size_class& row) {
    return row.index == plain_class(r);
}

void explain_why(const Request& r, const cairn_size_class& row) {
    if (!is_plain(r, row)) {
        const cairn_size_class passed = class_row(plain_class(r));
        say("why", fmt::format("class {} ({} bytes) would hold it, but its slots are only {}-byte aligned;",
                               passed.index, passed.object_bytes, passed.min_align));
        say("",
            fmt::format("class {} is the first above whose slots are multiples of {}", row.index, r.align));
        return;
    }
    if (row.index == 1) {
        say("why", "class 1 is the smallest: 8 bytes hold it");
    } else {
        const cairn_size_class below = class_row(row.index - 1);
        say("why", fmt::format("class {} holds {} bytes, too few; class {} holds {}", below.index,
                               below.object_bytes, row.index, row.object_bytes));
    }
    explain_lookup(r.bytes, row.index);
}

void explain_span(const Request& r, const cairn_size_class& row) {
    say("span", fmt::format("{} = {} bytes, {} of {} bytes, tail {}; slots are {}-byte aligned",
                            plural(row.span_bytes / limits().page_bytes, "page"), row.span_bytes,
                            plural(row.objects, "slot"), row.object_bytes, row.tail_waste, row.min_align));
    if (is_plain(r, row))
        say("serves",
            fmt::format("requests of {} to {} bytes: {} is the smallest that no smaller class holds",
                        row.smallest_request, row.object_bytes, row.smallest_request));
    else
        say("serves", fmt::format("requests of {} to {} bytes that name no alignment, and such as this one",
                                  row.smallest_request, row.object_bytes));
}

void explain_waste(const Request& r, const cairn_size_class& row) {
    say("waste", fmt::format("{} of a span if every slot holds {}:",
                             percent(lost_bytes(row, r.bytes), row.span_bytes), plural(r.bytes, "byte")));
    say("", waste_arithmetic(row, r.bytes));
    if (!is_plain(r, row)) return;
    if (r.bytes == row.smallest_request) {
        say("at worst", "the same: no smaller request comes to this class");
        return;
    }
    say("at worst", fmt::format("{}, with requests of {}:", percent(row.max_waste_bytes, row.span_bytes),
                                plural(row.smallest_request, "byte")));
    say("", waste_arithmetic(row, row.smallest_request));
}

void explain_malloc(const Request& r) {
    const cairn_size_class row = class_row(r.malloc_class);
    if (is_zero(r)) {
        say("malloc",
            fmt::format("gives a slot of class {} ({} bytes) all the same: each result must be unique,",
                        row.index, row.object_bytes));
        say("", "and free() must find it");
        return;
    }
    if (is_tiny(r))
        say("malloc", fmt::format("never shares: free() needs a slot each, here class {} ({} bytes)",
                                  row.index, row.object_bytes));
    else if (r.malloc_class != r.go_class)
        say("malloc",
            fmt::format("class {} ({} bytes): malloc promises 16-byte alignment, class {} keeps only {}",
                        row.index, row.object_bytes, r.go_class, class_row(r.go_class).min_align));
    else say("malloc", "the same class");
    if (r.malloc_class != r.go_class) say("", "waste " + waste_arithmetic(row, r.bytes));
}

void explain_tiny(std::uint64_t bytes) {
    const std::uint64_t align = std::min<std::uint64_t>(bytes & (~bytes + 1), 8);
    say("tiny", fmt::format("without pointers it shares a {}-byte block (class 2) with others,",
                            limits().tiny_bytes));
    const std::uint64_t apart = (bytes + align - 1) / align * align;
    const std::uint64_t fit = (limits().tiny_bytes - bytes) / apart + 1;
    say("", fmt::format("at the next {}; {} of this size {} in one",
                        align == 1 ? "byte" : fmt::format("multiple of {}", align), fit,
                        fit == 1 ? "fits" : "fit"));
    say("", "with pointers, or with an alignment named, it takes a slot of its own:");
}

void explain_large(const Request& r) {
    const std::uint64_t page = limits().page_bytes;
    const std::uint64_t pages = large_pages(r.bytes);
    const std::uint64_t lost = pages * page - r.bytes;
    if (r.bytes > limits().max_small_bytes)
        say("why",
            fmt::format("over {} bytes there are no classes: it gets whole pages", limits().max_small_bytes));
    else
        say("why",
            fmt::format("no class has slots aligned to {} that hold it: it gets whole pages", r.align));
    say("span",
        fmt::format("⌈{} / {}⌉ = {} = {} bytes, one object{}", r.bytes, page, plural(pages, "page"),
                    pages * page, r.align > page ? fmt::format(", at a multiple of {}", r.align) : ""));
    say("waste", fmt::format("({} − {}) / {} = {} / {} = {}", pages * page, r.bytes, pages * page, lost,
                             pages * page, percent(lost, pages * page)));
    say("malloc", "the same");
}

void explain_text(const Request& r) {
    const std::string asked =
        plural(r.bytes, "byte") + (r.align != 0 ? fmt::format(" aligned to {}", r.align) : "");
    if (kind_of(r) == "large") {
        fmt::print("{}: large, {}\n", asked, plural(large_pages(r.bytes), "page"));
        explain_large(r);
        return;
    }
    if (is_zero(r) && r.align <= 16) {
        fmt::print("{}: no slot\n", asked);
        say("why", "an object without bytes needs no memory: Go gives every such request one fixed address");
        explain_malloc(r);
        return;
    }
    const cairn_size_class row = class_row(r.go_class);
    fmt::print("{}: {}, class {} ({}-byte slots)\n", asked, kind_of(r), row.index, row.object_bytes);
    if (is_tiny(r)) explain_tiny(r.bytes);
    explain_why(r, row);
    explain_span(r, row);
    explain_waste(r, row);
    explain_malloc(r);
}

nlohmann::ordered_json class_json(unsigned index, std::uint64_t bytes) {
    const cairn_size_class row = class_row(index);
    return {{"class", row.index},
            {"object_bytes", row.object_bytes},
            {"span_bytes", row.span_bytes},
            {"objects", row.objects},
            {"tail_waste_bytes", row.tail_waste},
            {"min_align", row.min_align},
            {"smallest_request", row.smallest_request},
            {"waste_bytes", lost_bytes(row, bytes)},
            {"waste", static_cast<double>(lost_bytes(row, bytes)) / row.span_bytes},
            {"waste_arithmetic", waste_arithmetic(row, bytes)},
            {"max_waste", row.max_waste}};
}

nlohmann::ordered_json explain_json(const Request& r) {
    nlohmann::ordered_json document{{"request_bytes", r.bytes}, {"kind", kind_of(r)}};
    if (r.align != 0) document["align"] = r.align;
    if (kind_of(r) == "large") {
        const std::uint64_t pages = large_pages(r.bytes);
        document["pages"] = pages;
        document["span_bytes"] = pages * limits().page_bytes;
        document["waste_bytes"] = pages * limits().page_bytes - r.bytes;
        return document;
    }
    if (r.go_class != 0) document["go"] = class_json(r.go_class, r.bytes);
    document["malloc"] = class_json(r.malloc_class, r.bytes);
    return document;
}

}  // namespace

int explain_verb(Arguments arguments) {
    Arguments sizes;
    std::string align_text;
    bool wants_json = false;
    CLI::App app{"Tell which class serves a request, and why.", "cairn explain"};
    app.add_option("SIZE", sizes, "in bytes, or with a unit: 48, 1KiB, 2MiB")->type_name("");
    app.add_option("--align", align_text, "the alignment the request names, a power of two")->type_name("N");
    app.add_flag("--json", wants_json, "for programs");
    app.footer(std::string(teaching));
    if (const auto code = parse(app, std::move(arguments))) return *code;
    if (sizes.empty()) return fail(exit_usage, fmt::format("explain: no size given; valid: {}", size_syntax));

    ParsedSize align;
    if (!align_text.empty()) {
        align = parse_size(align_text);
        if (!align.error.empty() || !std::has_single_bit(align.bytes))
            return fail(exit_usage,
                        fmt::format("explain: --align: '{}' is no alignment; valid: a power of two such "
                                    "as 8, 64, 4KiB",
                                    align_text));
    }
    std::vector<Request> requests;
    for (const std::string& text : sizes) {
        const ParsedSize size = parse_size(text);
        if (!size.error.empty()) return fail(exit_usage, "explain: " + size.error);
        requests.push_back(judge(size.bytes, align.bytes));
    }
    if (wants_json) {
        nlohmann::ordered_json document = nlohmann::json::array();
        for (const Request& request : requests) document.push_back(explain_json(request));
        fmt::print("{}\n", document.dump(2));
        return exit_ok;
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
        if (i != 0) fmt::print("\n");
        explain_text(requests[i]);
    }
    return exit_ok;
}

}  // namespace cairn::cli
