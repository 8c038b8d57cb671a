// Rows and sums of the report.
// SPDX-License-Identifier: MIT
#include "observe/report.hpp"

#include <string_view>

#include "base/check.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace cairn::observe {

namespace {

using base::Message;
using heap::size_class_count;
using heap::size_classes;

// Where lines go.
class Sink {
public:
    explicit Sink(const char* file) : file_(file) {}
    void line(Message& text) {
        text << "\n";
        if (file_ == nullptr) os::write_stderr(text.view().data(), text.view().size());
        else if (!os::write_file(file_, text.view().data(), text.view().size(), is_started_)) fail();
        is_started_ = true;
        text.clear();
    }

private:
    void fail() {
        if (!has_failed_) {
            Message text;
            text << "cannot write the report to " << std::string_view(file_);
            base::report(text.view());
        }
        has_failed_ = true;
    }
    const char* file_;
    bool is_started_ = false;
    bool has_failed_ = false;
};

struct Row {
    heap::Heap::ClassUsage use;
    std::uint64_t live_bytes;
    std::uint64_t waste_bytes;
};

Row row_of(heap::Heap& heap, unsigned c) {
    Row row{heap.usage_of(c), 0, 0};
    const heap::SizeClass& size = size_classes[c];
    row.live_bytes = row.use.live * size.object_bytes;
    const std::uint64_t mean =
        row.use.requests == 0 ? size.object_bytes : row.use.requested_bytes / row.use.requests;
    row.waste_bytes = row.use.live * (size.object_bytes - mean) + row.use.spans * heap::tail_waste(c);
    return row;
}

struct Sums {
    std::uint64_t allocations = 0, frees = 0, live = 0, live_bytes = 0, waste_bytes = 0, spans = 0,
                  cached_bytes = 0, span_bytes = 0;
    void add(const Row& row, unsigned c) {
        allocations += row.use.allocations;
        frees += row.use.frees;
        live += row.use.live;
        live_bytes += row.live_bytes;
        waste_bytes += row.waste_bytes;
        spans += row.use.spans;
        cached_bytes += row.use.cached * size_classes[c].object_bytes;
        span_bytes += row.use.spans * size_classes[c].span_pages * base::page_bytes;
    }
};

// Bytes for people: 1.5 MiB.
Message& human(Message& text, std::uint64_t bytes) {
    constexpr std::string_view units[] = {" B", " KiB", " MiB", " GiB", " TiB"};
    unsigned unit = 0;
    std::uint64_t tenths = bytes * 10;
    while (tenths >= 10240 && unit < 4) {
        tenths /= 1024;
        ++unit;
    }
    if (unit == 0) text << bytes;
    else text.decimal(tenths, 1);
    return text << units[unit];
}

Message& column(Message& text, std::uint64_t number, std::size_t end) {
    std::size_t digits = 1;
    for (std::uint64_t n = number; n >= 10; n /= 10) ++digits;
    return text.pad_to(end > digits ? end - digits : 0) << number;
}

void text_head(Sink& out, std::uint64_t elapsed_ns) {
    char name[64];
    os::program_name(name, sizeof name);
    Message text;
    text << "cairn report: " << std::string_view(name) << " (pid " << std::uint64_t{os::process_id()}
         << "), ";
    text.decimal(elapsed_ns / 1'000'000, 3) << " s";
    out.line(text);
    text << "  class   bytes   allocations         frees          live          peak    spans     live bytes "
            "   waste bytes";
    out.line(text);
}

void text_row(Sink& out, unsigned c, const Row& row) {
    Message text;
    column(text, c, 7);
    column(text, size_classes[c].object_bytes, 15);
    column(text, row.use.allocations, 29);
    column(text, row.use.frees, 43);
    column(text, row.use.live, 57);
    column(text, row.use.peak_out, 71);
    column(text, row.use.spans, 80);
    column(text, row.live_bytes, 95);
    column(text, row.waste_bytes, 110);
    out.line(text);
}

void text_sums(Sink& out, heap::Heap& heap, const Sums& sums) {
    const heap::Heap::LargeUsage large = heap.large_usage();
    heap::SpanAlloc& spans = heap.spans();
    const heap::SpanAlloc::Usage usage = spans.usage();
    const os::Residency resident = os::residency();
    Message text;
    text << "  small   " << sums.allocations << " allocations, " << sums.frees << " frees, " << sums.live
         << " live (";
    human(text, sums.live_bytes) << ", waste ";
    human(text, sums.waste_bytes) << "), free in caches and depots ";
    human(text, sums.cached_bytes);
    out.line(text);
    text << "  large   " << large.allocations << " allocations (";
    human(text, large.bytes) << "), " << large.frees << " frees, " << large.allocations - large.frees
                             << " live; tiny blocks: none (malloc's objects may hold pointers)";
    out.line(text);
    text << "  spans   " << usage.in_use_spans << " in use (";
    human(text, usage.in_use_bytes) << ", peak ";
    human(text, usage.peak_in_use_bytes) << "), free pages ";
    human(text, usage.free_bytes);
    out.line(text);
    text << "  arenas  " << spans.addresses().arenas() << " of 64 MiB (" << std::string_view(
        spans.addresses().model() == pages::LayoutModel::sparse ? "sparse" : "linear") << "), mapped ";
    human(text, spans.addresses().heap_stat().value()) << ", metadata ";
    human(text, spans.metadata().mapped_bytes());
    out.line(text);
    text << "  OS      returned so far ";
    human(text, spans.returned_total_bytes()) << ", with the OS now ";
    human(text, usage.returned_bytes) << ", RSS ";
    human(text, resident.now_bytes) << " (peak ";
    human(text, resident.peak_bytes) << ")";
    if (spans.memory_limit() != UINT64_MAX) human(text << ", memory limit ", spans.memory_limit());
    out.line(text);
}

Message& field(Message& text, std::string_view name, std::uint64_t number, std::string_view before = ",") {
    return text << before << "\"" << name << "\":" << number;
}

void json_row(Sink& out, unsigned c, const Row& row, bool is_first) {
    Message text;
    field(text, "class", c, is_first ? "{" : ",{");
    field(text, "object_bytes", size_classes[c].object_bytes);
    field(text, "allocations", row.use.allocations);
    field(text, "frees", row.use.frees);
    field(text, "live", row.use.live);
    field(text, "peak", row.use.peak_out);
    field(text, "spans", row.use.spans);
    field(text, "cached", row.use.cached);
    field(text, "live_bytes", row.live_bytes);
    field(text, "waste_bytes", row.waste_bytes) << "}";
    out.line(text);
}

void json_sums(Sink& out, heap::Heap& heap, const Sums& sums) {
    const heap::Heap::LargeUsage large = heap.large_usage();
    heap::SpanAlloc& spans = heap.spans();
    const heap::SpanAlloc::Usage usage = spans.usage();
    const os::Residency resident = os::residency();
    Message text;
    field(text, "allocations", sums.allocations, "],\"small\":{");
    field(text, "frees", sums.frees);
    field(text, "live", sums.live);
    field(text, "live_bytes", sums.live_bytes);
    field(text, "waste_bytes", sums.waste_bytes);
    field(text, "cached_bytes", sums.cached_bytes);
    field(text, "allocations", large.allocations, "},\"large\":{");
    field(text, "frees", large.frees);
    field(text, "allocated_bytes", large.bytes) << "},\"tiny\":{\"allocations\":0}";
    out.line(text);
    field(text, "in_use", usage.in_use_spans, ",\"spans\":{");
    field(text, "in_use_bytes", usage.in_use_bytes);
    field(text, "peak_in_use_bytes", usage.peak_in_use_bytes);
    field(text, "free_bytes", usage.free_bytes);
    field(text, "count", spans.addresses().arenas(), "},\"arenas\":{");
    field(text, "mapped_bytes", spans.addresses().heap_stat().value());
    field(text, "metadata_bytes", spans.metadata().mapped_bytes());
    field(text, "returned_total_bytes", spans.returned_total_bytes(), "},\"os\":{");
    field(text, "returned_bytes", usage.returned_bytes);
    field(text, "rss_bytes", resident.now_bytes);
    field(text, "peak_rss_bytes", resident.peak_bytes) << "}";
    out.line(text);
}

// What the collector did, where there is one.
void text_collector(Sink& out, const gc::CollectorStats& stats) {
    Message text;
    text << "  cycles  " << stats.cycles << " (" << stats.forced_cycles << " forced), stops longest ";
    text.decimal(stats.stops.max_ns / 10'000, 2) << " ms, half within ";
    text.decimal(stats.stops.percentile(0.5) / 10'000, 2) << " ms, in all ";
    text.decimal(stats.stops.total_ns / 10'000, 2) << " ms";
    out.line(text);
    text << "  objects " << stats.allocated_objects << " allocated (" << stats.allocated_bytes / 1024
         << " KiB), live at the last cycle " << stats.marked_bytes / 1024 << " KiB, collector's CPU ";
    text.decimal(stats.worker_ns / 10'000, 2) << " ms, program's for it ";
    text.decimal(stats.assist_ns / 10'000, 2) << " ms";
    out.line(text);
}

void json_collector(Sink& out, const gc::CollectorStats& stats) {
    Message text;
    field(text, "cycles", stats.cycles, ",\"collector\":{");
    field(text, "forced_cycles", stats.forced_cycles);
    field(text, "stops", stats.stops.count);
    field(text, "stop_max_ns", stats.stops.max_ns);
    field(text, "stop_p50_ns", stats.stops.percentile(0.5));
    field(text, "stop_total_ns", stats.stops.total_ns);
    field(text, "allocated_objects", stats.allocated_objects);
    field(text, "allocated_bytes", stats.allocated_bytes);
    field(text, "marked_bytes", stats.marked_bytes);
    field(text, "worker_ns", stats.worker_ns);
    field(text, "assist_ns", stats.assist_ns) << "}";
    out.line(text);
}

void json_head(Sink& out, std::uint64_t elapsed_ns) {
    char name[64];
    os::program_name(name, sizeof name);
    Message text;
    text << "{\"program\":\"";
    for (char c : std::string_view(name)) {
        if (c == '"' || c == '\\' || c < ' ') c = '?';
        text << std::string_view(&c, 1);
    }
    field(text, "pid", os::process_id(), "\",");
    field(text, "elapsed_ms", elapsed_ns / 1'000'000) << ",\"classes\":[";
    out.line(text);
}

}  // namespace

void write_report(heap::Heap& heap, std::uint64_t elapsed_ns, ReportFormat format, const char* file,
                  const gc::CollectorStats* collector) {
    Sink out(file);
    const bool is_text = format == ReportFormat::text;
    is_text ? text_head(out, elapsed_ns) : json_head(out, elapsed_ns);
    Sums sums;
    bool is_first = true;
    for (unsigned c = 1; c < size_class_count; ++c) {
        const Row row = row_of(heap, c);
        if (row.use.allocations == 0) continue;
        sums.add(row, c);
        is_text ? text_row(out, c, row) : json_row(out, c, row, is_first);
        is_first = false;
    }
    is_text ? text_sums(out, heap, sums) : json_sums(out, heap, sums);
    if (collector != nullptr) is_text ? text_collector(out, *collector) : json_collector(out, *collector);
    if (is_text) return;
    Message end;
    end << "}";
    out.line(end);
}

std::uint64_t cached_bytes(heap::Heap& heap) {
    Sums sums;
    for (unsigned c = 1; c < size_class_count; ++c) sums.add(row_of(heap, c), c);
    return sums.span_bytes - sums.live_bytes;
}

std::uint64_t large_bytes(heap::Heap& heap) {
    Sums sums;
    for (unsigned c = 1; c < size_class_count; ++c) sums.add(row_of(heap, c), c);
    const std::uint64_t in_use = heap.spans().in_use_bytes();
    return in_use > sums.span_bytes ? in_use - sums.span_bytes : 0;
}

}  // namespace cairn::observe
