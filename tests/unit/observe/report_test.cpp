// The report: every figure it prints, as a table and as JSON, against what the test did.
// SPDX-License-Identifier: MIT
#include "observe/report.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "os/process.hpp"
#include "unit/heap/malloc_heap.hpp"

namespace cairn::observe {
namespace {

using heap::MallocHeap;
using nlohmann::json;

class ReportTest : public heap::HeapOnLayout {
public:
    void SetUp() override {
        HeapOnLayout::SetUp();
        char name[] = "/tmp/cairn_report_XXXXXX";
        const int file = mkstemp(name);
        ASSERT_GE(file, 0);
        close(file);
        path = name;
    }
    void TearDown() override {
        std::remove(path.c_str());
        HeapOnLayout::TearDown();
    }
    // 100 objects of 40 bytes in 48-byte slots, 30 of them freed; two of 1 MiB, one freed.
    void work() {
        std::vector<void*> objects;
        for (unsigned i = 0; i < 100; ++i) objects.push_back(allocate(40));
        for (unsigned i = 0; i < 30; ++i) free(objects[i]);
        free(allocate(heap::mib));
        (void)allocate(heap::mib / 2);
    }
    std::string write(ReportFormat format, std::uint64_t elapsed_ns = 1'234'000'000) {
        write_report(*heap, elapsed_ns, format, path.c_str());
        std::ifstream file(path);
        std::stringstream text;
        text << file.rdbuf();
        return text.str();
    }

    std::string path;
};

TEST_P(ReportTest, JsonParsesAndItsFiguresAreRight) {
    work();
    const json report = json::parse(write(ReportFormat::json));
    EXPECT_EQ(report["pid"], os::process_id());
    EXPECT_EQ(report["elapsed_ms"], 1234);
    EXPECT_TRUE(report["program"].is_string());
    ASSERT_EQ(report["classes"].size(), 1u);
    const json& row = report["classes"][0];
    EXPECT_EQ(row["class"], 5);
    EXPECT_EQ(row["object_bytes"], 48);
    EXPECT_EQ(row["allocations"], 100);
    EXPECT_EQ(row["frees"], 30);
    EXPECT_EQ(row["live"], 70);
    EXPECT_GE(row["peak"], 100);
    EXPECT_EQ(row["spans"], 1);
    EXPECT_EQ(row["live_bytes"], 70 * 48);
    EXPECT_EQ(row["waste_bytes"], 70 * 8 + 32) << "8 bytes in each slot, 32 behind the last";
    EXPECT_EQ(report["small"]["live"], 70);
    EXPECT_EQ(report["large"]["allocations"], 2);
    EXPECT_EQ(report["large"]["frees"], 1);
    EXPECT_EQ(report["large"]["allocated_bytes"], heap::mib * 3 / 2);
    EXPECT_EQ(report["tiny"]["allocations"], 0);
    EXPECT_EQ(report["arenas"]["count"], 1);
}

TEST_P(ReportTest, SumsAreTheSumsOfTheRows) {
    std::vector<void*> objects;
    for (unsigned i = 0; i < 4000; ++i) objects.push_back(heap.allocate(i % 2 == 0 ? *cache : *other, i * 7));
    for (unsigned i = 0; i < 4000; i += 3) free(objects[i]);
    const json report = json::parse(write(ReportFormat::json));
    EXPECT_GT(report["classes"].size(), 40u);
    for (const char* name : {"allocations", "frees", "live", "live_bytes", "waste_bytes"}) {
        std::uint64_t sum = 0;
        for (const json& row : report["classes"]) sum += row[name].get<std::uint64_t>();
        EXPECT_EQ(report["small"][name], sum) << name;
    }
    std::uint64_t in_use = 0;
    for (const json& row : report["classes"]) {
        EXPECT_EQ(row["allocations"].get<std::uint64_t>() - row["frees"].get<std::uint64_t>(), row["live"]);
        EXPECT_GE(row["peak"], row["live"]);
        const auto& size = heap::size_classes[row["class"].get<unsigned>()];
        EXPECT_EQ(row["object_bytes"], size.object_bytes);
        EXPECT_GE(row["spans"].get<std::uint64_t>() * size.objects,
                  row["live"].get<std::uint64_t>() + row["cached"].get<std::uint64_t>());
        in_use += row["spans"].get<std::uint64_t>() * size.span_bytes;
    }
    EXPECT_EQ(report["spans"]["in_use_bytes"], in_use + large_bytes(*heap));
    EXPECT_LE(report["spans"]["in_use_bytes"], report["spans"]["peak_in_use_bytes"]);
    EXPECT_LE(report["spans"]["peak_in_use_bytes"], report["arenas"]["mapped_bytes"]);
    EXPECT_GT(report["os"]["rss_bytes"], 0);
    EXPECT_GE(report["os"]["peak_rss_bytes"], report["os"]["rss_bytes"]);
    EXPECT_EQ(cached_bytes(*heap) + report["small"]["live_bytes"].get<std::uint64_t>(), in_use);
}

TEST_P(ReportTest, WhatWentBackToTheSystemIsSaid) {
    free(allocate(20 * heap::mib));
    heap->flush(*cache);
    const std::size_t released = heap->spans().scavenge(UINT64_MAX / 2, true);
    const json report = json::parse(write(ReportFormat::json));
    EXPECT_EQ(report["os"]["returned_total_bytes"], released);
    EXPECT_GE(report["os"]["returned_bytes"], released);
    EXPECT_EQ(report["spans"]["free_bytes"], 0);
}

TEST_P(ReportTest, AHeapThatDidNothingHasAReportToo) {
    const json report = json::parse(write(ReportFormat::json, 0));
    EXPECT_TRUE(report["classes"].empty());
    EXPECT_EQ(report["small"]["allocations"], 0);
    EXPECT_EQ(report["spans"]["in_use"], 0);
    EXPECT_NE(write(ReportFormat::text, 0).find("0 allocations"), std::string::npos);
}

TEST_P(ReportTest, TextHasARowAClassAndTheSameFigures) {
    work();
    std::istringstream text(write(ReportFormat::text));
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    ASSERT_EQ(lines.size(), 8u) << "head, columns, one class, five sums";
    EXPECT_EQ(lines[0].rfind("cairn report: ", 0), 0u) << lines[0];
    EXPECT_NE(lines[0].find("1.234 s"), std::string::npos) << lines[0];
    std::istringstream row(lines[2]);
    std::vector<std::uint64_t> figures;
    for (std::uint64_t figure; row >> figure;) figures.push_back(figure);
    ASSERT_EQ(figures.size(), 9u) << lines[2];
    const std::vector<std::uint64_t> start(figures.begin(), figures.begin() + 5);
    EXPECT_EQ(start, (std::vector<std::uint64_t>{5, 48, 100, 30, 70}));
    EXPECT_EQ(figures[6], 1u);
    EXPECT_EQ(figures[7], 70u * 48);
    EXPECT_EQ(figures[8], 70u * 8 + 32);
    EXPECT_EQ(lines[1].size(), lines[2].size()) << "columns end under their names";
    EXPECT_NE(lines[3].find("100 allocations, 30 frees, 70 live (3.2 KiB"), std::string::npos) << lines[3];
    EXPECT_NE(lines[4].find("2 allocations (1.5 MiB), 1 frees, 1 live"), std::string::npos) << lines[4];
    const bool is_sparse = GetParam() == pages::LayoutModel::sparse;
    EXPECT_NE(lines[6].find(is_sparse ? "(sparse)" : "(linear)"), std::string::npos) << lines[6];
}

TEST_P(ReportTest, WithoutAFileItGoesToStandardError) {
    work();
    testing::internal::CaptureStderr();
    write_report(*heap, 0, ReportFormat::json, nullptr);
    const json report = json::parse(testing::internal::GetCapturedStderr());
    EXPECT_EQ(report["small"]["allocations"], 100);
}

TEST_P(ReportTest, AnImpossibleFileIsOneLineOfComplaint) {
    testing::internal::CaptureStderr();
    write_report(*heap, 0, ReportFormat::text, "/nonexistent/report");
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "cairn: cannot write the report to /nonexistent/report\n");
}

CAIRN_ON_BOTH_LAYOUTS(ReportTest);

}  // namespace
}  // namespace cairn::observe
