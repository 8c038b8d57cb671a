// Models of heaps: sums, snapshots and pictures; any bytes may be given as a snapshot.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>

#include "map/heap_model.hpp"
#include "map/heap_reader.hpp"
#include "map/picture.hpp"
#include "map/process_memory.hpp"

namespace cairn::map {
namespace {

constexpr std::uint64_t base = 0xc000000000;

// Two arenas: a full span, one of 8 slots with 3 live and 2 cached, a large one across the border.
HeapModel small_heap() {
    HeapModel model;
    model.command = "</script>\"\xff";
    model.pid = 7;
    model.time = "now";
    model.library_file = "/lib/x.so";
    model.build_id = "0123";
    model.classes.resize(4);
    model.classes[1] = {8, 8192, 1024, 0, 0};
    model.classes[3] = {1000, 8192, 8, 900 * 5, 5};
    for (int i = 0; i < 2; ++i) {
        Arena arena;
        arena.base = base + i * model.arena_bytes;
        arena.pages.assign(8192, i == 0 ? PageState::free : PageState::none);
        arena.span_of.assign(8192, 0);
        model.arenas.push_back(arena);
    }
    model.arenas[0].pages[10] = PageState::returned;
    model.arenas[0].pages[11] = PageState::cached;
    const auto add = [&](Span span, std::uint64_t out, std::uint64_t cached) {
        if (span.size_class == 3) {
            span.first_word = model.out.size();
            model.out.push_back(out);
            model.cached.push_back(cached);
        } else {
            span.first_word = ~std::uint64_t{0};
        }
        model.spans.push_back(span);
    };
    add({base, 1, 8, 0, 1024, 1024, 0, 1, 0, 0}, 0, 0);
    add({base + 8192, 1, 1000, 0, 8, 3, 2, 3, 0, 0}, 0b11111, 0b11000);
    add({base + 8190 * 8192, 4, 4 * 8192, 0, 1, 1, 0, 0, 0, 0}, 0, 0);
    model.place_spans();
    return model;
}

class Snapshot : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/cairn-map-test-XXXXXX";
        close(mkstemp(name));
        path_ = name;
    }
    void TearDown() override { std::remove(path_.c_str()); }
    std::string path_;
    std::string error_;
};

TEST(HeapModel, AddsUp) {
    const HeapModel model = small_heap();
    const Totals sums = model.totals();
    EXPECT_EQ(sums.spans, 3u);
    EXPECT_EQ(sums.live_objects, 1024u + 3 + 1);
    EXPECT_EQ(sums.live_bytes, 8192u + 3000 + 4 * 8192);
    EXPECT_EQ(sums.rounding_waste, 3u * 100);
    EXPECT_EQ(sums.tail_waste, 192u);
    EXPECT_EQ(sums.cached_bytes, 2000u);
    EXPECT_EQ(sums.free_slot_bytes, 3000u);
    EXPECT_EQ(sums.returned_bytes, 8192u);
    EXPECT_EQ(sums.cached_page_bytes, 8192u);
    EXPECT_EQ(sums.free_bytes, (8192u - 2 - 2 - 2) * 8192);  // less spans, marked pages, the large one's half
    EXPECT_EQ(model.arenas[1].span_of[1], 3u);
    EXPECT_EQ(model.arenas[1].pages[2], PageState::none);
    EXPECT_EQ(model.arena_of(base - 1), nullptr);
    EXPECT_EQ(model.arena_of(base + 2 * model.arena_bytes), nullptr);
    EXPECT_EQ(model.arena_of(base + model.arena_bytes), &model.arenas[1]);
}

TEST_F(Snapshot, ComesBack) {
    const HeapModel model = small_heap();
    ASSERT_TRUE(model.save(path_, error_)) << error_;
    EXPECT_TRUE(HeapModel::is_snapshot(path_));
    HeapModel read;
    ASSERT_TRUE(read.load(path_, error_)) << error_;
    EXPECT_EQ(read.command, model.command);
    EXPECT_EQ(read.library_file + read.build_id, "/lib/x.so0123");
    EXPECT_EQ(read.spans.size(), 3u);
    EXPECT_EQ(read.out, model.out);
    EXPECT_EQ(read.arenas[0].pages, model.arenas[0].pages);
    EXPECT_EQ(read.arenas[1].span_of, model.arenas[1].span_of);
    EXPECT_EQ(read.totals().live_bytes, model.totals().live_bytes);
}

TEST(BuildId, IsReadFromAFile) {
    const std::string own = build_id_of("/proc/self/exe");
    EXPECT_TRUE(own.empty() || own.size() >= 16) << own;  // a linker may leave it out
    EXPECT_EQ(own.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_EQ(build_id_of("/proc/self/cmdline"), "");
    EXPECT_EQ(build_id_of("/proc/self"), "");
    EXPECT_EQ(build_id_of("/nowhere"), "");
}

TEST_F(Snapshot, DamageIsTold) {
    ASSERT_TRUE(small_heap().save(path_, error_));
    std::ifstream in(path_, std::ios::binary);
    const std::vector<char> whole{std::istreambuf_iterator<char>(in), {}};
    std::mt19937_64 random(1);
    for (int round = 0; round < 3'000; ++round) {
        std::vector<char> broken = whole;
        broken[random() % broken.size()] ^= static_cast<char>(1 + random() % 255);
        if (random() % 3 == 0) broken.resize(random() % broken.size());
        std::ofstream(path_, std::ios::binary)
            .write(broken.data(), static_cast<std::streamsize>(broken.size()));
        HeapModel model;
        if (!model.load(path_, error_)) EXPECT_FALSE(error_.empty());
    }
}

TEST_F(Snapshot, NonsenseIsRefused) {
    const auto refused = [&](auto spoil) {
        HeapModel model = small_heap();
        spoil(model);
        EXPECT_TRUE(model.save(path_, error_));
        HeapModel read;
        EXPECT_FALSE(read.load(path_, error_));
        EXPECT_EQ(error_, "is a damaged snapshot");
    };
    refused([](HeapModel& model) { model.page_bytes = 0; });
    refused([](HeapModel& model) { model.arena_bytes = 0; });
    refused([](HeapModel& model) { model.arena_bytes += 4096; });  // found by fuzzing: an endless loop
    refused([](HeapModel& model) { model.spans[2].is_parked = 2; });
    refused([](HeapModel& model) { model.spans[1].kind = 9; });
    refused([](HeapModel& model) { model.spans[1].size_class = 200; });
    refused([](HeapModel& model) { model.spans[1].first_word = 99; });
    refused([](HeapModel& model) { model.spans[1].slots = 0; });
    refused([](HeapModel& model) { model.spans[1].live = 9; });
    refused([](HeapModel& model) { model.spans[1].pages = ~0ull; });
    refused([](HeapModel& model) { std::swap(model.spans[0], model.spans[1]); });
    refused([](HeapModel& model) { model.arenas[0].pages.resize(3); });
    refused([](HeapModel& model) { model.arenas[0].pages[0] = static_cast<PageState>(77); });
    refused([](HeapModel& model) { model.cached.clear(); });
}

TEST(Picture, IsWellFormed) {
    const HeapModel model = small_heap();
    const std::string png = to_picture(model).png();
    EXPECT_EQ(png.substr(1, 3), "PNG");
    EXPECT_EQ(png.substr(png.size() - 8, 4), "IEND");
    const std::string svg = to_picture(model).svg();
    EXPECT_EQ(svg.find("</script>"), std::string::npos);
    EXPECT_NE(svg.find("0xc000000000"), std::string::npos);
}

// A name from outside must not end the page's script.
TEST(Picture, PageKeepsNamesAsText) {
    const std::string page = to_html(small_heap());
    EXPECT_EQ(page.find("</script>"), page.rfind("</script>"));
    EXPECT_EQ(page.find("/*DATA*/"), std::string::npos);
    EXPECT_EQ(page.find("http://"), std::string::npos);
    EXPECT_EQ(page.find("https://"), std::string::npos);
}

TEST(Picture, EmptyAndLargerShares) {
    Span span;
    span.size_class = 3;
    span.slots = 8;
    span.live = 8;
    EXPECT_EQ(share_of(span), 1.0);
    EXPECT_FALSE(color_of(span, 1) == color_of(span, 0));
    EXPECT_NE(to_html(HeapModel{}).size(), 0u);
    EXPECT_NE(to_picture(HeapModel{}).png().size(), 0u);
}

TEST(HeapReader, SaysWhyNot) {
    HeapModel model;
    EXPECT_NE(read_process(0x7ffffffe, model).find("there is no process"), std::string::npos);
    const std::string own = read_process(static_cast<std::uint32_t>(getpid()), model);
    EXPECT_NE(own.find("does not run on Cairn"), std::string::npos) << own;
}

}  // namespace
}  // namespace cairn::map
