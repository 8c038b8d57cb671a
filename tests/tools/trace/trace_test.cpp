// Traces: what is written is read, a cut file is good to its end, and no bytes whatsoever break the reader.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "trace/object_table.hpp"
#include "trace/reader.hpp"
#include "trace/statistics.hpp"
#include "trace/writer.hpp"

namespace cairn::trace {
namespace {

class TraceTest : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/cairn-trace-test-XXXXXX";
        close(mkstemp(name));
        path_ = name;
    }
    void TearDown() override { std::remove(path_.c_str()); }

    // A program's life: objects made, resized and freed by several threads.
    std::vector<Event> events(std::size_t count, bool has_sites) {
        std::mt19937_64 random(7);
        std::vector<std::uint64_t> live;
        std::vector<Event> made;
        std::uint64_t next = 1;
        std::uint64_t now = 0;
        for (std::size_t i = 0; i < count; ++i) {
            Event event;
            event.time_ns = now += random() % (i % 1000 == 0 ? 1'000'000'000 : 100);
            event.thread = static_cast<std::uint32_t>(random() % 3);
            const auto what = random() % 10;
            if (what < 5 || live.empty()) {
                event.op = static_cast<Op>(random() % 3);
                event.id = next++;
                event.size = random() >> random() % 64 & (size_limit - 1);
                if (event.op == Op::allocate_align) event.align = std::uint64_t{1} << random() % 20;
                live.push_back(event.id);
            } else if (what < 8) {
                event.op = Op::release;
                const std::size_t at = random() % live.size();
                event.id = random() % 20 == 0 ? 0 : live[at];
                if (event.id != 0) live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
            } else if (what == 8) {
                event.op = Op::reallocate;
                event.id = live[random() % live.size()];
                event.size = random() % 10000;
            } else {
                event.op = random() % 2 == 0 ? Op::fail : Op::thread_end;
                event.size = event.op == Op::fail ? size_limit - 1 : 0;
            }
            if (has_sites && has_site(event.op)) event.site = static_cast<std::uint32_t>(random() % 3);
            made.push_back(event);
        }
        return made;
    }

    void write(const std::vector<Event>& all, bool has_sites, bool is_finished = true) {
        Writer writer;
        Header header;
        header.command = {"prog", "a word", "\xff\xfe<"};
        header.pid = 42;
        header.started = "2024-01-02T03:04:05Z";
        header.has_sites = has_sites;
        ASSERT_TRUE(writer.open(path_, header)) << writer.error();
        if (has_sites) {
            EXPECT_EQ(writer.add_site({"/lib/a.so", 0x1234}), 1u);
            EXPECT_EQ(writer.add_site({"", 77}), 2u);
        }
        for (const Event& event : all) writer.add(event);
        Summary summary;
        summary.status = 11;
        summary.note = "why";
        if (is_finished) EXPECT_TRUE(writer.finish(summary)) << writer.error();
    }

    std::vector<char> bytes() const {
        std::ifstream in(path_, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void put(const std::vector<char>& all, std::size_t count) const {
        std::ofstream(path_, std::ios::binary | std::ios::trunc)
            .write(all.data(), static_cast<std::streamsize>(count));
    }

    // Reads to the end whatever it is, and holds the reader to its promises.
    std::uint64_t read_all(Reader& reader) {
        std::uint64_t made = 0, last_ns = 0, count = 0;
        for (Event event; reader.next(event); ++count) {
            EXPECT_GE(event.time_ns, last_ns);
            last_ns = event.time_ns;
            made += makes_object(event.op);
            EXPECT_LE(event.id, made);
            EXPECT_LT(event.size, size_limit);
            EXPECT_LT(event.thread, thread_limit);
            EXPECT_LE(event.site, reader.sites().size());
            EXPECT_EQ(event.align & (event.align - 1), 0u);
            EXPECT_LT(static_cast<unsigned>(event.op), op_count);
            if (event.op == Op::reallocate) EXPECT_NE(event.id, 0u);
            if (testing::Test::HasFailure()) break;
        }
        EXPECT_EQ(count, reader.events_read());
        return count;
    }

    std::string path_;
};

TEST_F(TraceTest, WhatIsWrittenIsRead) {
    for (const bool has_sites : {false, true}) {
        const std::vector<Event> all = events(200'000, has_sites);  // more than three blocks
        write(all, has_sites);
        Reader reader;
        ASSERT_TRUE(reader.open(path_)) << reader.error();
        EXPECT_EQ(reader.header().pid, 42u);
        ASSERT_EQ(reader.header().command.size(), 3u);
        EXPECT_EQ(reader.header().command[1], "a word");
        EXPECT_EQ(reader.header().has_sites, has_sites);
        ASSERT_TRUE(reader.summary());
        EXPECT_EQ(reader.summary()->events, all.size());
        EXPECT_EQ(reader.summary()->status, 11);
        EXPECT_EQ(reader.summary()->threads, 3u);
        EXPECT_EQ(reader.summary()->note, "why");
        for (int pass = 0; pass < 2; ++pass) {
            Event event;
            for (std::size_t i = 0; i < all.size(); ++i) {
                ASSERT_TRUE(reader.next(event)) << i << reader.error();
                ASSERT_EQ(event, all[i]) << "event " << i;
            }
            EXPECT_FALSE(reader.next(event));
            EXPECT_EQ(reader.ending(), Ending::complete);
            if (has_sites) EXPECT_EQ(reader.sites().at(0), (Site{"/lib/a.so", 0x1234}));
            ASSERT_TRUE(reader.rewind());
        }
    }
}

TEST_F(TraceTest, AnEmptyTraceIsComplete) {
    write({}, false);
    Reader reader;
    ASSERT_TRUE(reader.open(path_));
    Event event;
    EXPECT_FALSE(reader.next(event));
    EXPECT_EQ(reader.ending(), Ending::complete);
}

TEST_F(TraceTest, WithoutAnEndWhatIsThereIsGood) {
    const std::vector<Event> all = events(70'000, false);
    write(all, false, false);
    Reader reader;
    ASSERT_TRUE(reader.open(path_));
    EXPECT_FALSE(reader.summary());
    EXPECT_EQ(read_all(reader), all.size());
    EXPECT_EQ(reader.ending(), Ending::truncated);
}

TEST_F(TraceTest, CutAnywhereItIsReadUpToThere) {
    const std::vector<Event> all = events(150'000, true);
    write(all, true);
    const std::vector<char> whole = bytes();
    std::uint64_t most = 0;
    const auto step = [&](std::size_t size) {
        const bool is_edge = size < 3000 || size + 300 > whole.size();
        return is_edge ? 1 : std::min<std::size_t>(4999, whole.size() - size - 300);
    };
    for (std::size_t size = 0; size < whole.size(); size += std::max<std::size_t>(step(size), 1)) {
        put(whole, size);
        Reader reader;
        if (!reader.open(path_)) {
            EXPECT_FALSE(reader.error().empty());
            EXPECT_LT(size, 3000u);
            continue;
        }
        const std::uint64_t count = read_all(reader);
        EXPECT_EQ(reader.ending() == Ending::truncated, count < all.size() || !reader.summary()) << size;
        EXPECT_EQ(count % events_limit == 0 || count == all.size(), true) << count;
        EXPECT_GE(count, most);
        most = count;
    }
    EXPECT_EQ(most, all.size());
}

TEST_F(TraceTest, DamagedAnywhereItIsNoticedOrHarmless) {
    write(events(3'000, true), true);
    const std::vector<char> whole = bytes();
    std::mt19937_64 random(3);
    for (int round = 0; round < 5'000; ++round) {
        std::vector<char> broken = whole;
        for (auto left = random() % 4 + 1; left > 0; --left)
            broken[random() % broken.size()] = static_cast<char>(random());
        put(broken, broken.size());
        Reader reader;
        if (reader.open(path_)) (void)read_all(reader);
        ASSERT_FALSE(HasFailure()) << "round " << round;
    }
}

// The checksum keeps damage out, so forged columns are given to the view itself.
TEST_F(TraceTest, ForgedBlocksAreRefusedOrWithinBounds) {
    BlockBuilder builder(true);
    Running running;
    for (const Event& event : events(500, true)) builder.add(event, running);
    const std::vector<unsigned char> whole = builder.finish();
    std::mt19937_64 random(5);
    for (int round = 0; round < 50'000; ++round) {
        std::vector<unsigned char> forged = whole;
        for (auto left = random() % 6; left > 0; --left)
            forged[random() % forged.size()] = static_cast<unsigned char>(random());
        if (random() % 8 == 0) forged.resize(random() % (forged.size() + 1));
        BlockView view;
        Running at;
        if (!view.begin(forged, 500, true, 2, at)) continue;
        std::uint64_t last_ns = 0;
        Event event;
        while (!view.is_empty() && view.next(event, at)) {
            ASSERT_GE(event.time_ns, last_ns);
            last_ns = event.time_ns;
            ASSERT_LT(event.id, at.next_id);
            ASSERT_LT(event.size, size_limit);
            ASSERT_LT(event.thread, thread_limit);
            ASSERT_LE(event.site, 2u);
        }
    }
}

TEST_F(TraceTest, WhatIsNoTraceSaysSo) {
    const struct {
        const char* contents;
        const char* error;
    } cases[] = {{"", "is empty"},
                 {"hello, I am a text", "is not a Cairn trace"},
                 {"CAIRNTRC", "cut short inside its header"},
                 {"CAIRNTRC\x09", "cut short inside its header"}};
    for (const auto& one : cases) {
        const std::string text = one.contents;
        put({text.begin(), text.end()}, text.size());
        Reader reader;
        EXPECT_FALSE(reader.open(path_));
        EXPECT_NE(reader.error().find(one.error), std::string::npos) << reader.error();
    }
    Reader reader;
    EXPECT_FALSE(reader.open("/tmp"));
    EXPECT_EQ(reader.error(), "is a directory");
    EXPECT_FALSE(reader.open("/no/such/file"));
}

TEST_F(TraceTest, ANewerVersionIsNamed) {
    write(events(10, false), false);
    std::vector<char> whole = bytes();
    whole[8] = 9;
    put(whole, whole.size());
    Reader reader;
    EXPECT_FALSE(reader.open(path_));
    EXPECT_NE(reader.error().find("version 9"), std::string::npos) << reader.error();
}

TEST_F(TraceTest, UnknownBlocksArePassedOver) {
    const std::vector<Event> all = events(100, false);
    write(all, false);
    std::vector<char> whole = bytes();
    // rename the first block, which holds the events
    std::uint32_t head = 0;
    std::memcpy(&head, whole.data() + 12, sizeof head);
    std::memcpy(whole.data() + file_head_bytes + head, "NEWS", 4);
    put(whole, whole.size());
    Reader reader;
    ASSERT_TRUE(reader.open(path_));
    Event event;
    EXPECT_FALSE(reader.next(event));
    EXPECT_EQ(reader.ending(), Ending::corrupt);  // the sums tell that events are missing
}

TEST(ObjectTable, IsAMap) {
    ObjectTable table;
    std::unordered_map<std::uint64_t, std::uint64_t> model;
    std::mt19937_64 random(11);
    for (std::uint64_t i = 1; i < 400'000; ++i) {
        const std::uint64_t address = 0xc000000000 + random() % 60'000 * 16 + (random() % 4 << 30);
        if (random() % 5 < 3) {
            EXPECT_EQ(table.put(address, i), model[address]);
            model[address] = i;
        } else {
            const auto found = model.find(address);
            const std::uint64_t id = found == model.end() ? 0 : found->second;
            EXPECT_EQ(table.find(address), id);
            EXPECT_EQ(table.take(address), id);
            if (found != model.end()) model.erase(found);
        }
        if (HasFailure()) break;
    }
    EXPECT_EQ(table.size(), model.size());
    for (const auto& [address, id] : model) ASSERT_EQ(table.find(address), id);
}

// Pages of one size each, as Cairn lays them: a hash by page once laid dense pages over others, the chains
// were thousands long, and redis was recorded at 160 ns an event.
TEST(ObjectTable, DensePagesMakeNoLongChains) {
    constexpr std::uint64_t sizes[] = {8, 16, 24, 32, 48, 64, 80, 112, 256, 1024};
    for (const std::uint64_t pages : {100, 300, 1000, 3000}) {
        ObjectTable table;
        std::mt19937_64 random(1);
        std::uint64_t id = 0;
        for (std::uint64_t page = 0; page < pages; ++page) {
            const std::uint64_t bytes = sizes[random() % std::size(sizes)];
            for (std::uint64_t at = 0; at + bytes <= 8192; at += bytes)
                if (random() % 8 != 0) (void)table.put(0xc000000000 + page * 8192 + at, ++id);
        }
        EXPECT_EQ(table.size(), id);
        EXPECT_LT(table.longest_run(), 500u) << pages;
    }
}

TEST(Statistics, AddUp) {
    Statistics sums;
    const auto event = [](Op op, std::uint64_t id, std::uint64_t size, std::uint64_t ns, unsigned thread) {
        Event one;
        one.op = op;
        one.id = id;
        one.size = size;
        one.time_ns = ns;
        one.thread = thread;
        return one;
    };
    sums.add(event(Op::allocate, 1, 100, 10, 0));
    sums.add(event(Op::allocate_zero, 2, 50, 20, 0));
    sums.add(event(Op::reallocate, 1, 300, 30, 0));
    sums.add(event(Op::release, 2, 0, 52, 1));
    sums.add(event(Op::release, 2, 0, 60, 1));  // no longer live
    sums.add(event(Op::release, 0, 0, 70, 1));  // never seen
    sums.add(event(Op::fail, 0, 1000, 80, 0));
    EXPECT_EQ(sums.events, 7u);
    EXPECT_EQ(sums.live_bytes, 300u);
    EXPECT_EQ(sums.live_objects, 1u);
    EXPECT_EQ(sums.peak_bytes, 350u);
    EXPECT_EQ(sums.peak_objects, 2u);
    EXPECT_EQ(sums.peak_ns, 30u);
    EXPECT_EQ(sums.allocated_bytes, 350u);
    EXPECT_EQ(sums.foreign_frees, 1u);
    EXPECT_EQ(sums.wrong_frees, 1u);
    EXPECT_EQ(sums.unknown_frees, 1u);
    EXPECT_EQ(sums.lifetimes_ns.buckets[6].count, 1u);  // 32 ns: 32 to 63
    ASSERT_EQ(sums.threads.size(), 2u);
    EXPECT_EQ(sums.threads[1].frees, 3u);
}

TEST(Timeline, KeepsThePeakHoweverLongItRuns) {
    Timeline line;
    for (std::uint64_t ns = 0; ns < 100'000'000; ns += 100)
        line.note(ns, {ns == 40'000'000 ? 999u : ns / 1'000'000, 1});
    EXPECT_LE(line.points().size(), Timeline::most);
    const std::size_t at = 40'000'000 / line.step_ns();
    EXPECT_EQ(line.points().at(at).bytes, 999u);
    EXPECT_EQ(line.points().back().bytes, 99u);
}

}  // namespace
}  // namespace cairn::trace
