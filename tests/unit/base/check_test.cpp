// Messages made on the stack, and how a process ends after one.
// SPDX-License-Identifier: MIT
#include "base/check.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "base/os_calls.hpp"

namespace cairn::base {
namespace {

TEST(Message, ShowsNumbers) {
    struct Case {
        std::uint64_t number;
        const char *decimal, *hexadecimal;
    };
    constexpr Case cases[] = {
        {0, "0", "0x0"}, {9, "9", "0x9"}, {10, "10", "0xa"}, {4096, "4096", "0x1000"},
        {~std::uint64_t{0}, "18446744073709551615", "0xffffffffffffffff"},
    };
    for (const Case& c : cases) {
        Message decimal, hexadecimal;
        decimal << c.number;
        hexadecimal.hex(c.number);
        EXPECT_EQ(decimal.view(), c.decimal);
        EXPECT_EQ(hexadecimal.view(), c.hexadecimal);
    }
}

TEST(Message, ShowsPlacesAfterTheDot) {
    Message text;
    text.decimal(3152, 2) << " ";
    text.decimal(5, 3) << " ";
    text.decimal(100, 1);
    EXPECT_EQ(text.view(), "31.52 0.005 10.0");
}

TEST(Message, PadsFromTheLastLineBreak) {
    Message text;
    text << "ab";
    text.pad_to(4) << "c\nd";
    text.pad_to(3) << "e";
    text.pad_to(2) << "f";
    EXPECT_EQ(text.view(), "ab  c\nd  ef");
}

TEST(Message, CutsWhatDoesNotFit) {
    Message text;
    for (int i = 0; i < 300; ++i) text << "12345";
    EXPECT_EQ(text.view().size(), 1024u);
    text.pad_to(5000) << std::uint64_t{17};
    EXPECT_EQ(text.view().size(), 1024u);
    text.clear();
    EXPECT_EQ(text.view(), "");
}

TEST(Report, WritesOneLineAndKeepsErrno) {
    testing::internal::CaptureStderr();
    errno = 77;
    report("something");
    EXPECT_EQ(errno, 77);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "cairn: something\n");
}

TEST(Report, EndsALongLineToo) {
    testing::internal::CaptureStderr();
    report(std::string(2000, 'x'));
    const std::string line = testing::internal::GetCapturedStderr();
    EXPECT_EQ(line.substr(0, 7), "cairn: ");
    EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(CheckDeathTest, FatalSpeaksAndAborts) {
    EXPECT_EXIT(fatal("double free"), testing::KilledBySignal(SIGABRT), "^cairn: double free\n");
}

TEST(CheckDeathTest, CheckNamesItsExpression) {
    EXPECT_EXIT(CAIRN_CHECK(1 + 1 == 3), testing::KilledBySignal(SIGABRT),
                "cairn: internal check failed: 1 \\+ 1 == 3 at .*check_test.cpp:");
    CAIRN_CHECK(1 + 1 == 2);
}

TEST(CheckDeathTest, AssertAndVerifyFollowTheBuild) {
    if (debug_build) EXPECT_DEATH(CAIRN_ASSERT(false), "internal check failed");
    else CAIRN_ASSERT(false);
    if (checked_build) EXPECT_DEATH(CAIRN_VERIFY(false), "internal check failed");
    else CAIRN_VERIFY(false);
}

void come_back(int) {}

TEST(AbortDeathTest, EndsWhateverTheProgramDidToTheSignal) {
    const auto end_ignored = [] {
        signal(SIGABRT, SIG_IGN);
        os_abort();
    };
    const auto end_blocked = [] {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, nullptr);
        os_abort();
    };
    const auto end_handled = [] {
        signal(SIGABRT, come_back);
        os_abort();
    };
    EXPECT_EXIT(os_abort(), testing::KilledBySignal(SIGABRT), "");
    EXPECT_EXIT(end_ignored(), testing::KilledBySignal(SIGABRT), "");
    EXPECT_EXIT(end_blocked(), testing::KilledBySignal(SIGABRT), "");
    EXPECT_EXIT(end_handled(), testing::KilledBySignal(SIGABRT), "");
}

}  // namespace
}  // namespace cairn::base
