// Every switch of the environment: its good values, its bad ones, and what a bad one says.
// SPDX-License-Identifier: MIT
#include "api/options.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "cairn/tables.h"

namespace cairn::api {
namespace {

class OptionsTest : public testing::Test {
protected:
    void SetUp() override { clear(); }
    void TearDown() override { clear(); }
    static void clear() {
        for (std::size_t i = 0; i < cairn_option_count(); ++i) {
            cairn_option_info info;
            ASSERT_EQ(cairn_option_get(i, &info), 0);
            unsetenv(info.name);
        }
    }
    // Reads the environment with one switch set; `said` gets what went to standard error.
    static Options read(const char* name, const char* value) {
        setenv(name, value, 1);
        testing::internal::CaptureStderr();
        const Options options = read_options();
        said = testing::internal::GetCapturedStderr();
        unsetenv(name);
        return options;
    }
    static inline std::string said;
};

TEST_F(OptionsTest, AnEmptyEnvironmentGivesTheDefaultsInSilence) {
    testing::internal::CaptureStderr();
    const Options options = read_options();
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    EXPECT_EQ(options.layout, pages::LayoutModel::sparse);
    EXPECT_EQ(options.memory_limit, UINT64_MAX);
    EXPECT_EQ(options.use_huge_pages, Options().use_huge_pages);
    EXPECT_FALSE(options.verify_often);
    EXPECT_TRUE(options.misuse_is_fatal);
    EXPECT_FALSE(options.trace_scavenger);
    EXPECT_EQ(options.report, ReportFormat::none);
    EXPECT_EQ(options.report_file, nullptr);
    EXPECT_EQ(options.report_pid, 0u);
    EXPECT_EQ(options.gc_stop_ms, 7u);
}

TEST_F(OptionsTest, TimesAndAgesOfTheCollector) {
    EXPECT_EQ(read("CAIRN_GC_STOP_MS", "0").gc_stop_ms, 0u);
    EXPECT_EQ(read("CAIRN_GC_STOP_MS", "25").gc_stop_ms, 25u);
    EXPECT_EQ(said, "");
    EXPECT_EQ(read("CAIRN_GC_STOP_MS", "1s").gc_stop_ms, 7u);
    EXPECT_NE(said.find("0 to 10000"), std::string::npos) << said;
    EXPECT_EQ(read("CAIRN_GC_YOUNG", "unaged").gc_young, gc::Young::always_unaged);
    EXPECT_EQ(said, "");
}

TEST_F(OptionsTest, TheTableNamesEverySwitchOnce) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < cairn_option_count(); ++i) {
        cairn_option_info info;
        ASSERT_EQ(cairn_option_get(i, &info), 0);
        EXPECT_EQ(std::string(info.name).rfind("CAIRN_", 0), 0u);
        for (const char* text : {info.default_value, info.values, info.meaning}) EXPECT_NE(*text, 0);
        names.emplace_back(info.name);
        // The default that is told is the default that is taken.
        const Options told = read(info.name, info.default_value);
        EXPECT_EQ(said, "") << info.name << "=" << info.default_value;
        EXPECT_EQ(told.use_huge_pages, Options().use_huge_pages) << info.name;
        EXPECT_EQ(told.memory_limit, UINT64_MAX);
        EXPECT_EQ(told.report, ReportFormat::none);
        EXPECT_TRUE(told.misuse_is_fatal);
    }
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
    cairn_option_info info;
    EXPECT_NE(cairn_option_get(cairn_option_count(), &info), 0);
    EXPECT_NE(cairn_option_get(0, nullptr), 0);
}

TEST_F(OptionsTest, MemoryLimits) {
    struct Case {
        const char* value;
        std::uint64_t bytes;
    };
    constexpr Case cases[] = {
        {"off", UINT64_MAX},
        {"1000000", 1000000},
        {"1B", 1},
        {"512KiB", std::uint64_t{512} << 10},
        {"256MiB", std::uint64_t{256} << 20},
        {"2GiB", std::uint64_t{2} << 30},
        {"16TiB", std::uint64_t{16} << 40},
        {"16777215TiB", std::uint64_t{16777215} << 40},
    };
    for (const Case& each : cases) {
        EXPECT_EQ(read("CAIRN_MEMORY_LIMIT", each.value).memory_limit, each.bytes) << each.value;
        EXPECT_EQ(said, "") << each.value;
    }
}

TEST_F(OptionsTest, Choices) {
    EXPECT_EQ(read("CAIRN_LAYOUT", "linear").layout, pages::LayoutModel::linear);
    EXPECT_EQ(read("CAIRN_LAYOUT", "sparse").layout, pages::LayoutModel::sparse);
    for (const char* on : {"on", "1"}) {
        EXPECT_TRUE(read("CAIRN_VERIFY", on).verify_often);
        EXPECT_TRUE(read("CAIRN_HUGE_PAGES", on).use_huge_pages);
    }
    for (const char* off : {"off", "0"}) {
        EXPECT_FALSE(read("CAIRN_VERIFY", off).verify_often);
        EXPECT_FALSE(read("CAIRN_HUGE_PAGES", off).use_huge_pages);
    }
    EXPECT_FALSE(read("CAIRN_ON_MISUSE", "report").misuse_is_fatal);
    EXPECT_TRUE(read("CAIRN_ON_MISUSE", "abort").misuse_is_fatal);
    EXPECT_TRUE(read("CAIRN_TRACE", "scav").trace_scavenger);
    EXPECT_FALSE(read("CAIRN_TRACE", "off").trace_scavenger);
    EXPECT_EQ(read("CAIRN_REPORT_PID", "4294967295").report_pid, 4294967295u);
    EXPECT_EQ(said, "");
}

TEST_F(OptionsTest, Reports) {
    EXPECT_EQ(read("CAIRN_REPORT", "text").report, ReportFormat::text);
    EXPECT_EQ(read("CAIRN_REPORT", "json").report, ReportFormat::json);
    EXPECT_EQ(read("CAIRN_REPORT", "off").report, ReportFormat::none);
    // The file's name is the environment's own string, so it is looked at while it is there.
    setenv("CAIRN_REPORT", "json:/tmp/a:b.json", 1);
    const Options options = read_options();
    EXPECT_EQ(options.report, ReportFormat::json);
    EXPECT_STREQ(options.report_file, "/tmp/a:b.json") << "only the first colon divides";
}

TEST_F(OptionsTest, BadValuesAreNamedAndTheDefaultGoesOn) {
    struct Case {
        const char* name;
        std::vector<const char*> values;
    };
    const Case cases[] = {
        {"CAIRN_MEMORY_LIMIT",
         {"", "0", "-1", "MiB", "12MB", "12 MiB", "12mib", "1.5GiB", "0x10", "12MiBs", "16777216TiB",
          "99999999999999999999"}},
        {"CAIRN_LAYOUT", {"", "Sparse", "dense", "linear "}},
        {"CAIRN_HUGE_PAGES", {"", "yes", "2"}},
        {"CAIRN_VERIFY", {"", "true", "onn"}},
        {"CAIRN_REPORT", {"", "xml", "json:", "text:", ":file"}},
        {"CAIRN_REPORT_PID", {"", "-1", "12x", "4294967296", "99999999999999999999"}},
        {"CAIRN_ON_MISUSE", {"", "ignore"}},
        {"CAIRN_TRACE", {"", "gc!", "scav,"}},
    };
    const Options defaults;
    for (const Case& each : cases) {
        for (const char* value : each.values) {
            const std::string what = std::string(each.name) + "=" + value;
            const Options options = read(each.name, value);
            EXPECT_EQ(said.rfind("cairn: " + what + " is not valid (valid: ", 0), 0u) << what << ": " << said;
            EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
            EXPECT_EQ(options.memory_limit, defaults.memory_limit) << what;
            EXPECT_EQ(options.layout, defaults.layout) << what;
            EXPECT_EQ(options.use_huge_pages, defaults.use_huge_pages) << what;
            EXPECT_EQ(options.verify_often, defaults.verify_often) << what;
            EXPECT_EQ(options.misuse_is_fatal, defaults.misuse_is_fatal) << what;
            EXPECT_EQ(options.trace_scavenger, defaults.trace_scavenger) << what;
            EXPECT_EQ(options.report, defaults.report) << what;
            EXPECT_EQ(options.report_file, defaults.report_file) << what;
            EXPECT_EQ(options.report_pid, defaults.report_pid) << what;
        }
    }
}

TEST_F(OptionsTest, AnEndlessValueIsCutInTheComplaint) {
    const std::string value(5000, 'x');
    (void)read("CAIRN_LAYOUT", value.c_str());
    EXPECT_LT(said.size(), 400u);
    EXPECT_NE(said.find("(valid: sparse, linear)"), std::string::npos) << said;
}

}  // namespace
}  // namespace cairn::api
