// Textbook allocators against a model that keeps its blocks in a map and its free list in a vector, over
// random operations; the whole heap is checked after each. A failure prints its seed; CAIRN_TEST_SEED=N runs
// that one again.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "textbook/bump.hpp"
#include "textbook/free_list.hpp"

namespace cairn::textbook {
namespace {

constexpr std::size_t region_bytes = 8 * 1024 * 1024;
constexpr std::size_t smallest = 32;

enum class Fit { first, next, best, best_lowest, segregated };

// What the allocator must do, said with containers. Blocks are told by the address of their tag.
class Model {
public:
    Model(Fit fit, std::uintptr_t base) : fit_(fit), end_(base + 8), limit_(base + region_bytes) {}

    // Address of the object; 0 when the region is full.
    std::uintptr_t allocate(std::size_t bytes, std::size_t align) {
        const std::size_t needed = block_for(bytes);
        const std::size_t searched = align <= 16 ? needed : needed + align + 16;
        std::uintptr_t block = choose(searched);
        if (block != 0 && align <= 16) return take_in_place(block, needed) + 8;
        if (block != 0) leave(block);
        else if ((block = grow(searched)) == 0) return 0;
        const std::uintptr_t object = (block + 8 + align - 1) / align * align;
        std::size_t front = object - block - 8;
        if (front > 0 && front < smallest) front += align;
        const std::size_t whole = blocks_[block].bytes;
        if (front > 0) {
            blocks_[block] = {front, false};
            free_.insert(free_.begin(), block);
        }
        blocks_[block + front] = {whole - front, true};
        cut(block + front, needed);
        return block + front + 8;
    }

    void free(std::uintptr_t object) { give(object - 8); }

    bool resize(std::uintptr_t object, std::size_t bytes) {
        const std::uintptr_t block = object - 8;
        const std::size_t needed = block_for(bytes);
        std::size_t& mine = blocks_[block].bytes;
        if (needed > mine) {
            const auto behind = blocks_.find(block + mine);
            const bool is_free = behind != blocks_.end() && !behind->second.is_used;
            const std::size_t spare = is_free ? behind->second.bytes : 0;
            const bool is_last = block + mine + spare == end_;
            if (mine + spare < needed && (!is_last || block + needed + 8 > limit_)) return false;
            if (is_free) {
                leave(behind->first);
                blocks_.erase(behind);
            }
            mine = std::max(mine + spare, needed);
            if (is_last) end_ = std::max(end_, block + mine);
        }
        cut(block, needed);
        return true;
    }

    std::size_t used_bytes() const {
        std::size_t sum = 0;
        for (const auto& [at, block] : blocks_) sum += block.is_used ? block.bytes : 0;
        return sum;
    }
    std::size_t block_count() const { return blocks_.size(); }

private:
    struct Block {
        std::size_t bytes;
        bool is_used;
    };

    static std::size_t block_for(std::size_t bytes) { return std::max(smallest, (bytes + 8 + 15) / 16 * 16); }
    std::size_t bytes_of(std::uintptr_t block) const { return blocks_.at(block).bytes; }

    static unsigned bin_of(std::size_t bytes) {
        if (bytes < 1024) return static_cast<unsigned>(bytes / 16);
        unsigned bin = 64;
        for (std::size_t low = 1024;; low *= 2)
            for (unsigned eighth = 0; eighth < 8; ++eighth, ++bin)
                if (bytes < low + low / 8 * (eighth + 1)) return bin;
    }

    std::uintptr_t choose(std::size_t bytes) {
        std::vector<std::uintptr_t> order = free_;
        const auto resume = std::find(order.begin(), order.end(), resume_);
        if (fit_ == Fit::next && resume != order.end()) std::rotate(order.begin(), resume, order.end());
        std::erase_if(order, [&](std::uintptr_t block) { return bytes_of(block) < bytes; });
        if (order.empty()) return 0;
        const auto by = [&](auto rank) {
            return *std::min_element(order.begin(), order.end(),
                                     [&](auto a, auto b) { return rank(a) < rank(b); });
        };
        std::uintptr_t found = order.front();
        if (fit_ == Fit::best) found = by([&](auto block) { return bytes_of(block); });
        if (fit_ == Fit::best_lowest)
            found = by([&](auto block) { return std::pair(bytes_of(block), block); });
        if (fit_ == Fit::segregated) found = by([&](auto block) { return bin_of(bytes_of(block)); });
        resume_ = found;
        return found;
    }

    void leave(std::uintptr_t block) {
        const auto at = std::find(free_.begin(), free_.end(), block);
        ASSERT_NE(at, free_.end());
        if (resume_ == block) resume_ = at + 1 == free_.end() ? 0 : *(at + 1);
        free_.erase(at);
    }

    std::uintptr_t take_in_place(std::uintptr_t block, std::size_t needed) {
        const std::size_t rest = bytes_of(block) - needed;
        if (rest < smallest) {
            leave(block);
            blocks_[block].is_used = true;
            return block;
        }
        blocks_[block] = {needed, true};
        blocks_[block + needed] = {rest, false};
        if (fit_ == Fit::segregated) {
            leave(block);
            free_.insert(free_.begin(), block + needed);
        } else {
            *std::find(free_.begin(), free_.end(), block) = block + needed;
            if (resume_ == block) resume_ = block + needed;
        }
        return block;
    }

    std::uintptr_t grow(std::size_t bytes) {
        std::uintptr_t block = end_;
        const bool is_last_free = !blocks_.empty() && !blocks_.rbegin()->second.is_used;
        if (is_last_free) block = blocks_.rbegin()->first;
        if (block + bytes + 8 > limit_) return 0;
        if (is_last_free) leave(block);
        blocks_[block] = {bytes, true};
        end_ = block + bytes;
        return block;
    }

    // Frees the end of a block in use if it makes a block.
    void cut(std::uintptr_t block, std::size_t needed) {
        const std::size_t rest = bytes_of(block) - needed;
        if (rest < smallest) return;
        blocks_[block].bytes = needed;
        blocks_[block + needed] = {rest, true};
        give(block + needed);
    }

    void give(std::uintptr_t block) {
        blocks_[block].is_used = false;
        const auto behind = blocks_.find(block + bytes_of(block));
        if (behind != blocks_.end() && !behind->second.is_used) {
            leave(behind->first);
            blocks_[block].bytes += behind->second.bytes;
            blocks_.erase(behind);
        }
        auto here = blocks_.find(block);
        if (here != blocks_.begin() && !std::prev(here)->second.is_used) {
            const auto before = std::prev(here);
            leave(before->first);
            before->second.bytes += here->second.bytes;
            blocks_.erase(here);
            block = before->first;
        }
        free_.insert(free_.begin(), block);
    }

    Fit fit_;
    std::map<std::uintptr_t, Block> blocks_;
    std::vector<std::uintptr_t> free_;  // the list, its head first
    std::uintptr_t resume_ = 0;
    std::uintptr_t end_;
    std::uintptr_t limit_;
};

struct Object {
    unsigned char* at;
    std::size_t bytes;
    unsigned char pattern;
};

std::uint64_t first_seed() {
    const char* given = std::getenv("CAIRN_TEST_SEED");
    return given != nullptr ? std::stoull(given) : 0;
}

// One random heap: operations in waves of growth and decline, every byte of every object checked.
template <class Policy>
class Walk {
public:
    Walk(Fit fit, std::uint64_t seed) : random_(seed) {
        EXPECT_TRUE(region_.open(region_bytes));
        list_.emplace(region_);
        model_.emplace(fit, region_.base());
    }

    void step(int number) {
        const unsigned take_share = number / 500 % 2 == 0 ? 65 : 40;
        const unsigned dice = static_cast<unsigned>(random_() % 100);
        if (objects_.empty() || dice < take_share) take();
        else if (dice < 90) give();
        else resize();
        const Fault fault = list_->check();
        ASSERT_EQ(fault.what, nullptr) << fault.what;
        ASSERT_EQ(list_->statistics().used_bytes, model_->used_bytes());
    }

    void finish() {
        while (!objects_.empty()) give();
        unsigned blocks = 0;
        list_->for_each_block([&](void*, std::size_t, bool) { ++blocks; });
        ASSERT_LE(blocks, 1u) << "merging is complete";
        ASSERT_EQ(blocks, model_->block_count());
    }

private:
    std::size_t any_size() {
        const unsigned dice = static_cast<unsigned>(random_() % 100);
        if (dice < 70) return random_() % 300;
        if (dice < 95) return random_() % 5000;
        return random_() % (dice == 99 ? region_bytes : 200'000);
    }

    void take() {
        const std::size_t bytes = any_size();
        const std::size_t align = random_() % 8 == 0 ? std::size_t{1} << random_() % 14 : 16;
        auto* at = static_cast<unsigned char*>(list_->allocate(bytes, align));
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(at), model_->allocate(bytes, align))
            << bytes << " " << align;
        if (at == nullptr) return;
        objects_.push_back({at, bytes, static_cast<unsigned char>(random_())});
        std::memset(at, objects_.back().pattern, bytes);
    }

    void give() {
        const Object object = pick();
        list_->free(object.at);
        model_->free(reinterpret_cast<std::uintptr_t>(object.at));
    }

    void resize() {
        Object object = pick();
        const std::size_t bytes = random_() % 2 == 0 ? object.bytes + random_() % 300 : any_size();
        const bool is_done = list_->resize(object.at, bytes);
        ASSERT_EQ(is_done, model_->resize(reinterpret_cast<std::uintptr_t>(object.at), bytes));
        if (is_done) {
            for (std::size_t i = 0; i < std::min(bytes, object.bytes); ++i)
                ASSERT_EQ(object.at[i], object.pattern) << "at " << i;
            object.bytes = bytes;
            std::memset(object.at, object.pattern, bytes);
        }
        objects_.push_back(object);
    }

    // Takes any object out of the set, its bytes having been looked at.
    Object pick() {
        std::swap(objects_[random_() % objects_.size()], objects_.back());
        const Object object = objects_.back();
        objects_.pop_back();
        for (std::size_t i = 0; i < object.bytes; ++i) EXPECT_EQ(object.at[i], object.pattern) << "at " << i;
        return object;
    }

    std::mt19937_64 random_;
    Region region_;
    std::optional<FreeList<Policy>> list_;
    std::optional<Model> model_;
    std::vector<Object> objects_;
};

template <class Policy>
void walk_many(Fit fit) {
    for (std::uint64_t seed = first_seed(); seed < first_seed() + 8; ++seed) {
        SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
        Walk<Policy> walk(fit, seed);
        for (int i = 0; i < 2500 && !testing::Test::HasFailure(); ++i) walk.step(i);
        if (testing::Test::HasFailure()) return;
        walk.finish();
    }
}

TEST(TextbookProperty, FirstFit) {
    walk_many<FirstFit>(Fit::first);
}
TEST(TextbookProperty, NextFit) {
    walk_many<NextFit>(Fit::next);
}
TEST(TextbookProperty, BestFit) {
    walk_many<BestFit>(Fit::best);
}
TEST(TextbookProperty, BestFitTree) {
    walk_many<BestFitTree>(Fit::best_lowest);
}
TEST(TextbookProperty, Segregated) {
    walk_many<Segregated>(Fit::segregated);
}

TEST(TextbookProperty, BumpWithCheckpoints) {
    for (std::uint64_t seed = first_seed(); seed < first_seed() + 20; ++seed) {
        SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
        std::mt19937_64 random(seed);
        Region region;
        ASSERT_TRUE(region.open(region_bytes));
        Bump bump(region);
        std::uintptr_t next = region.base();  // the model
        std::vector<std::pair<Bump::Checkpoint, std::uintptr_t>> moments;
        for (int i = 0; i < 5000; ++i) {
            const unsigned dice = static_cast<unsigned>(random() % 100);
            if (dice < 5) moments.emplace_back(bump.checkpoint(), next);
            if (dice == 5 && !moments.empty()) {
                moments.resize(random() % moments.size() + 1);
                bump.rollback(moments.back().first);
                next = moments.back().second;
                moments.pop_back();
            }
            if (dice == 6) {
                bump.reset(random() % 2 == 0 ? Bump::Memory::keep : Bump::Memory::give_back);
                next = region.base();
                moments.clear();
            }
            const std::size_t bytes = random() % 10'000;
            const std::size_t align = std::size_t{1} << random() % 13;
            const std::uintptr_t start = (next + align - 1) / align * align;
            const bool has_room = start + std::max<std::size_t>(bytes, 1) <= region.limit();
            void* object = bump.allocate(bytes, align);
            ASSERT_EQ(reinterpret_cast<std::uintptr_t>(object), has_room ? start : 0);
            if (has_room) {
                next = start + std::max<std::size_t>(bytes, 1);
                std::memset(object, 1, bytes);
            }
            ASSERT_FALSE(bump.check());
            ASSERT_EQ(bump.statistics().used_bytes, next - region.base());
        }
    }
}

}  // namespace
}  // namespace cairn::textbook
