// `cairn classes`: the table of size classes, with what each can waste, for people, pages and programs.
// SPDX-License-Identifier: MIT
#include <cairn/tables.h>
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "quantity.hpp"
#include "verb.hpp"

namespace cairn::cli {

namespace {

constexpr std::string_view teaching =
    R"(A span is a run of 8 KiB pages cut into equal slots. The smallest slot that holds a request serves it.

  bytes/obj    bytes of one slot
  bytes/span   bytes of the span that is cut up
  objects      slots in a span
  tail waste   bytes behind the last slot
  max waste    share of the span lost if every slot holds the smallest request of its class,
               which is one byte more than the slot of the class before
  min align    every slot starts at a multiple of this

Requests over 32768 bytes are large and get pages of their own; they are class 0, which has no row here.
malloc promises 16-byte alignment from 16 bytes up, so it never uses class 3 (24 bytes).)";

std::vector<cairn_size_class> all_classes() {
    std::vector<cairn_size_class> rows;
    for (std::size_t i = 1; i < cairn_size_class_count(); ++i) {
        cairn_size_class row{};
        cairn_size_class_get(i, &row);
        rows.push_back(row);
    }
    return rows;
}

constexpr const char* headings[] = {"class",      "bytes/obj", "bytes/span", "objects",
                                    "tail waste", "max waste", "min align"};

void print_text(const std::vector<cairn_size_class>& rows) {
    for (const char* heading : headings) fmt::print("{:>12}", heading);
    fmt::print("\n");
    for (const cairn_size_class& row : rows)
        fmt::print("{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}\n", row.index, row.object_bytes,
                   row.span_bytes, row.objects, row.tail_waste, percent(row.max_waste_bytes, row.span_bytes),
                   row.min_align);
}

void print_markdown(const std::vector<cairn_size_class>& rows) {
    for (const char* heading : headings) fmt::print("| {} ", heading);
    fmt::print("|\n");
    for ([[maybe_unused]] const char* heading : headings) fmt::print("|---:");
    fmt::print("|\n");
    for (const cairn_size_class& row : rows)
        fmt::print("| {} | {} | {} | {} | {} | {} | {} |\n", row.index, row.object_bytes, row.span_bytes,
                   row.objects, row.tail_waste, percent(row.max_waste_bytes, row.span_bytes), row.min_align);
}

void print_json(const std::vector<cairn_size_class>& rows) {
    cairn_size_limits limits{};
    cairn_size_limits_get(&limits);
    nlohmann::ordered_json all = nlohmann::json::array();
    for (const cairn_size_class& row : rows)
        all.push_back({{"class", row.index},
                       {"object_bytes", row.object_bytes},
                       {"span_bytes", row.span_bytes},
                       {"objects", row.objects},
                       {"tail_waste_bytes", row.tail_waste},
                       {"max_waste_bytes", row.max_waste_bytes},
                       {"max_waste", row.max_waste},
                       {"min_align", row.min_align},
                       {"smallest_request", row.smallest_request}});
    const nlohmann::ordered_json document{{"version", cairn_version()},
                                          {"page_bytes", limits.page_bytes},
                                          {"tiny_bytes", limits.tiny_bytes},
                                          {"max_small_bytes", limits.max_small_bytes},
                                          {"classes", std::move(all)}};
    fmt::print("{}\n", document.dump(2));
}

}  // namespace

int classes_verb(Arguments arguments) {
    std::string format = "text";
    CLI::App app{"Print the size classes and what each can waste.", "cairn classes"};
    app.add_option("--format", format, "text (default), markdown or json")
        ->check(CLI::IsMember({"text", "markdown", "json"}).description(""))
        ->type_name("FORMAT");
    app.footer(std::string(teaching));
    if (const auto code = parse(app, std::move(arguments))) return *code;

    const std::vector<cairn_size_class> rows = all_classes();
    if (format == "json") print_json(rows);
    if (format == "markdown") print_markdown(rows);
    if (format == "text") print_text(rows);
    return exit_ok;
}

}  // namespace cairn::cli
