// `cairn layout`: how an address becomes an arena, what the index can reach, and what really is resident.
//
// Sizes are written as Go writes them: M = 2^20, MB = 2^20 bytes, and so on. The last section is measured on
// the machine it runs on, because "32 MB of pointers" is a size of address space, not of memory.
// SPDX-License-Identifier: MIT
#include <cairn/tables.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "quantity.hpp"
#include "verb.hpp"

namespace cairn::cli {

namespace {

constexpr std::string_view teaching = R"(Two layouts share one heap:

  sparse    arenas anywhere in the address space; a two-level index finds the record of an arena from an
            address (the default)
  linear    one reservation [spans][bitmap][arena], found by subtraction; fails when something else sits
            in its range (CAIRN_LAYOUT=linear, Go's layout to 1.10)

The index reaches every address the platform has, because 2^bits = arena x L1 x L2.)";

struct Row {
    std::size_t index;
    cairn_platform platform;
};

std::optional<Row> find_row(std::string_view name) {
    for (std::size_t i = 0; i < cairn_platform_count(); ++i) {
        cairn_platform p{};
        if (cairn_platform_get(i, &p) == 0 && name == p.name) return Row{i, p};
    }
    return std::nullopt;
}

Arguments platform_names() {
    Arguments names;
    for (std::size_t i = 0; i < cairn_platform_count(); ++i) {
        cairn_platform p{};
        if (cairn_platform_get(i, &p) == 0) names.emplace_back(p.name);
    }
    return names;
}

// An address the heap of that platform is likely to have: where Go's hints start, or the first arena's.
std::uint64_t example_address(const cairn_platform& p) {
    if (p.address_bits < 40) return std::uint64_t{32} << 20;
    if (p.address_bits == 40) return std::uint64_t{0x13} << 28;
    const std::string_view name = p.name;
    if (name == "aix/ppc64") return p.base_offset + (std::uint64_t{0xc0} << 32);
    return std::uint64_t{name.ends_with("/arm64") ? 0x40U : 0xc0U} << 32;
}

struct Residence {
    std::uint64_t reserved_bytes = 0;
    std::uint64_t resident_bytes = 0;
    int error = 0;
};

// Reserves a table as the sparse layout does, writes one entry, and asks the kernel what is in memory.
Residence measure_table(std::uint64_t bytes, std::uint64_t entry_offset) {
    Residence found;
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    found.reserved_bytes = (bytes + page - 1) / page * page;
    void* table = mmap(nullptr, found.reserved_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) {
        found.error = errno;
        return found;
    }
    // Without this one write may bring in 2 MB, where the system hands out huge pages to everybody.
    madvise(table, found.reserved_bytes, MADV_NOHUGEPAGE);
    static_cast<volatile unsigned char*>(table)[entry_offset] = 1;
    std::vector<unsigned char> pages(found.reserved_bytes / page);
    if (mincore(table, found.reserved_bytes, pages.data()) != 0) found.error = errno;
    for (const unsigned char resident : pages) found.resident_bytes += (resident & 1) != 0 ? page : 0;
    munmap(table, found.reserved_bytes);
    return found;
}

// All that the verb prints, worked out once for both forms.
struct Layout {
    cairn_platform platform{};
    std::uint64_t address = 0;
    std::uint64_t arena = 0;
    cairn_linear_plan linear{};
    std::vector<cairn_radix_level> levels;  // empty: not a 48-bit platform
    Residence table;

    std::uint64_t l1() const { return arena / platform.l2_entries; }
    std::uint64_t l2() const { return arena % platform.l2_entries; }
    std::uint64_t go_record_bytes() const { return platform.span_map_bytes + 3 * platform.page_bitmap_bytes; }
    std::uint64_t record_bytes() const { return go_record_bytes() + platform.class_map_bytes; }
    std::uint64_t old_record_bytes() const { return go_record_bytes() + platform.pointer_bitmap_bytes; }
};

Layout work_out(const cairn_platform& platform, std::uint64_t address, std::uint64_t arena) {
    Layout layout;
    layout.platform = platform;
    layout.address = address;
    layout.arena = arena;
    cairn_linear_plan_get(&layout.linear);
    for (std::size_t i = 0; platform.address_bits == 48 && i < cairn_radix_level_count(); ++i) {
        cairn_radix_level level{};
        cairn_radix_level_get(i, &level);
        layout.levels.push_back(level);
    }
    layout.table = measure_table(platform.l2_table_bytes, layout.l2() * platform.pointer_bytes);
    return layout;
}

void print_index(const Layout& layout) {
    const cairn_platform& p = layout.platform;
    const int arena_bits = std::countr_zero(p.arena_bytes);
    fmt::print("Sparse layout on {}: {}\n\n", p.name, p.note);
    fmt::print("  address         {} bits\n", p.address_bits);
    fmt::print("  arena           {}, aligned to its size: {} pages of 8 KB\n", exact_size(p.arena_bytes),
               with_commas(p.arena_pages));
    fmt::print("  first level     {} ({} bits), in static storage\n",
               p.l1_entries == 1 ? "1 entry" : fmt::format("{} entries", p.l1_entries),
               std::countr_zero(p.l1_entries));
    fmt::print("  second level    {} entries ({} bits) a table, each a pointer to an arena's record\n",
               with_commas(p.l2_entries), std::countr_zero(p.l2_entries));
    fmt::print("  table           {} × {} B = {} of pointers\n", short_count(p.l2_entries), p.pointer_bytes,
               exact_size(p.l2_table_bytes));
    fmt::print("  reach           {}{} × {} = {} = 2^{} bytes, the range the index can describe\n",
               p.l1_entries == 1 ? "" : fmt::format("{} × ", p.l1_entries), short_count(p.l2_entries),
               exact_size(p.arena_bytes), exact_size(p.reach_bytes), p.address_bits);
    const std::string offset = p.base_offset == 0
                                   ? fmt::format("0x{:x}", layout.address)
                                   : fmt::format("(0x{:x} - 0x{:x})", layout.address, p.base_offset);
    fmt::print("  for example     {} / 2^{} = arena {}: entry {} of table {}\n", offset, arena_bits,
               with_commas(layout.arena), with_commas(layout.l2()), layout.l1());
    if (p.address_bits == 48 && p.base_offset != 0 && std::string_view(p.name).ends_with("amd64"))
        fmt::print("                  (subtracting 0x{:x} is adding 2^47: the negative half comes first)\n",
                   p.base_offset);
}

void print_records(const Layout& layout) {
    const cairn_platform& p = layout.platform;
    fmt::print("\nThe record of one arena, made when the arena is\n\n");
    fmt::print("  {:<48}{:>12}\n", "page -> span, a pointer a page", exact_size(p.span_map_bytes));
    fmt::print("  {:<48}{:>12}\n", "page -> size class for free(), 2 bytes a page",
               exact_size(p.class_map_bytes));
    fmt::print("  {:<48}{:>12}\n", "3 page bitmaps: in use, marks, specials",
               fmt::format("3 × {}", exact_size(p.page_bitmap_bytes)));
    fmt::print("  {:<48}{:>12}  {} of the arena\n", "together", exact_size(layout.record_bytes()),
               percent(layout.record_bytes(), p.arena_bytes));
    fmt::print("  {:<48}{:>12}  {}: no class map, but {} of pointer bitmap, 2 bits a word\n", "Go to 1.19",
               rounded_size(layout.old_record_bytes()), percent(layout.old_record_bytes(), p.arena_bytes),
               exact_size(p.pointer_bitmap_bytes));
}

void print_linear(const Layout& layout) {
    const cairn_linear_plan& plan = layout.linear;
    fmt::print("\nLinear layout: one reservation [spans][bitmap][arena] on 64-bit Linux\n\n");
    fmt::print("  {:<10}{:>8}   2^39 bytes\n", "arena", exact_size(plan.arena_bytes));
    fmt::print("  {:<10}{:>8}   a pointer a page:   2^39 / 2^13 × 8\n", "spans",
               exact_size(plan.spans_bytes));
    fmt::print("  {:<10}{:>8}   2 bits a word:      2^39 / 8 × 2 / 8\n", "bitmap",
               exact_size(plan.bitmap_bytes));
}

void print_levels(const Layout& layout) {
    if (layout.levels.empty()) return;
    std::uint64_t total = 0;
    fmt::print(
        "\nFree pages: a tree of summaries (free at the start, longest run, free at the end), 8 bytes "
        "each\n\n");
    fmt::print("  {:>5}{:>6}{:>14}{:>12}{:>12}\n", "level", "bits", "entries", "each over", "reserved");
    for (std::size_t i = 0; i < layout.levels.size(); ++i) {
        const cairn_radix_level& level = layout.levels[i];
        fmt::print("  {:>5}{:>6}{:>14}{:>12}{:>12}\n", i, level.bits, with_commas(level.entries),
                   exact_size(level.region_bytes), exact_size(level.reserved_bytes));
        total += level.reserved_bytes;
    }
    fmt::print("  together {} of addresses; only the parts over a heap that exists are mapped\n",
               rounded_size(total));
}

void print_residence(const Layout& layout) {
    const Residence& table = layout.table;
    fmt::print("\nWhat really is resident, measured now\n\n");
    if (table.error != 0) {
        fmt::print("  not measured: the system refused {}: {}\n", exact_size(table.reserved_bytes),
                   std::strerror(table.error));
        return;
    }
    fmt::print("  {:<48}{:>12}\n", "second-level table reserved", exact_size(table.reserved_bytes));
    fmt::print("  {:<48}{:>12}  {} of it\n", "in memory after one arena was entered",
               exact_size(table.resident_bytes), percent(table.resident_bytes, table.reserved_bytes));
    fmt::print("\nUnits are powers of two: MB = 2^20 bytes, M = 2^20.\n");
}

// Constants of Go's compiler and runtime; facts, like the platforms' splits.
constexpr std::uint64_t implicit_limit_bytes = 64 << 10;
constexpr std::uint64_t declared_limit_bytes = 128 << 10;
constexpr std::uint64_t first_stack_bytes = 2 << 10;
constexpr std::uint64_t stack_limit_bytes = 1'000'000'000;

std::uint64_t shell_stack_bytes() {
    rlimit limit{};
    return getrlimit(RLIMIT_STACK, &limit) == 0 ? limit.rlim_cur : 0;
}

void print_stacks() {
    const std::uint64_t words = implicit_limit_bytes / sizeof(std::uint64_t);
    const int doublings = std::bit_width(stack_limit_bytes / first_stack_bytes) - 1;
    const std::uint64_t shell = shell_stack_bytes();
    const auto line = [](std::string_view what, const std::string& text) {
        fmt::print("  {:<26}{}\n", what, text);
    };
    fmt::print("\nStack or heap: what Go's compiler keeps on a stack when nothing else forbids it\n\n");
    line("new, &T{}, literals", fmt::format("up to {} = {} words of 8 bytes: &[{}]int64{{}} stays, one more "
                                            "word goes to the heap", exact_size(implicit_limit_bytes),
                                            with_commas(words), words));
    line("a declared variable", fmt::format("up to {} since Go 1.24, 10 MB before",
                                            exact_size(declared_limit_bytes)));
    line("a goroutine's own stack",
         fmt::format("{} at first, doubled when it is full: {} × 2^{} = {} at most, the next would pass {} "
                     "bytes", exact_size(first_stack_bytes), exact_size(first_stack_bytes), doublings,
                     exact_size(first_stack_bytes << doublings), with_commas(stack_limit_bytes)));
    line("ulimit -s, here", (shell == RLIM_INFINITY ? std::string("unlimited") : exact_size(shell)) +
                                ": for the first thread of a C program; Go does not ask for it");
}

nlohmann::ordered_json to_json(const Layout& layout) {
    const cairn_platform& p = layout.platform;
    nlohmann::ordered_json levels = nlohmann::json::array();
    for (const cairn_radix_level& level : layout.levels)
        levels.push_back({{"bits", level.bits},
                          {"entries", level.entries},
                          {"region_bytes", level.region_bytes},
                          {"reserved_bytes", level.reserved_bytes}});
    nlohmann::ordered_json measured;
    if (layout.table.error == 0)
        measured = {{"table_reserved_bytes", layout.table.reserved_bytes},
                    {"table_resident_bytes", layout.table.resident_bytes}};
    else measured = {{"error", std::strerror(layout.table.error)}};
    return {
        {"platform", p.name},
        {"note", p.note},
        {"address_bits", p.address_bits},
        {"arena_bytes", p.arena_bytes},
        {"l1_entries", p.l1_entries},
        {"l2_entries", p.l2_entries},
        {"l2_table_bytes", p.l2_table_bytes},
        {"reach_bytes", p.reach_bytes},
        {"base_offset", p.base_offset},
        {"example",
         {{"address", layout.address}, {"arena", layout.arena}, {"l1", layout.l1()}, {"l2", layout.l2()}}},
        {"record",
         {{"span_map_bytes", p.span_map_bytes},
          {"class_map_bytes", p.class_map_bytes},
          {"page_bitmap_bytes", p.page_bitmap_bytes},
          {"page_bitmaps", 3},
          {"pointer_bitmap_bytes_to_go_1_19", p.pointer_bitmap_bytes}}},
        {"linear",
         {{"spans_bytes", layout.linear.spans_bytes},
          {"bitmap_bytes", layout.linear.bitmap_bytes},
          {"arena_bytes", layout.linear.arena_bytes}}},
        {"radix_levels", std::move(levels)},
        {"stacks",
         {{"go_implicit_limit_bytes", implicit_limit_bytes},
          {"go_declared_limit_bytes", declared_limit_bytes},
          {"go_first_bytes", first_stack_bytes},
          {"go_limit_bytes", stack_limit_bytes},
          {"shell_limit_bytes", shell_stack_bytes()}}},
        {"measured", std::move(measured)}};
}

// Reads an address in hexadecimal (0x...) or decimal.
std::optional<std::uint64_t> parse_address(const std::string& text) {
    std::size_t used = 0;
    if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
    try {
        const std::uint64_t address = std::stoull(text, &used, 0);
        return used == text.size() ? std::optional(address) : std::nullopt;
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

}  // namespace

int layout_verb(Arguments arguments) {
    std::string name = "linux/amd64";
    std::string address_text;
    bool wants_json = false;
    CLI::App app{"Show how addresses become arenas, and what that costs.", "cairn layout"};
    app.add_option("--platform", name, "one of the names below (default: linux/amd64)")->type_name("NAME");
    app.add_option("--address", address_text, "work out the arena of this address, such as 0xc000000000")
        ->type_name("ADDRESS");
    app.add_flag("--json", wants_json, "for programs");
    app.footer(std::string(teaching) + "\n\nPlatforms: " + join(platform_names()));
    if (const auto code = parse(app, std::move(arguments))) return *code;

    const std::optional<Row> row = find_row(name);
    if (!row)
        return fail(exit_usage,
                    fmt::format("layout: unknown platform '{}'; valid: {}", name, join(platform_names())));
    std::uint64_t address = example_address(row->platform);
    if (!address_text.empty()) {
        const auto given = parse_address(address_text);
        if (!given)
            return fail(exit_usage,
                        fmt::format("layout: '{}' is no address; valid: a number such as 0xc000000000",
                                    address_text));
        address = *given;
    }
    std::uint64_t arena = 0;
    if (cairn_arena_index(row->index, address, &arena) != 0)
        return fail(exit_usage, fmt::format("layout: 0x{:x} is out of reach on {}; valid: 0x{:x} to 0x{:x}",
                                            address, name, row->platform.base_offset,
                                            row->platform.base_offset + row->platform.reach_bytes - 1));
    const Layout layout = work_out(row->platform, address, arena);
    if (wants_json) {
        fmt::print("{}\n", to_json(layout).dump(2));
        return exit_ok;
    }
    print_index(layout);
    print_records(layout);
    print_linear(layout);
    print_levels(layout);
    print_stacks();
    print_residence(layout);
    return exit_ok;
}

}  // namespace cairn::cli
