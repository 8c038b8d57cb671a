// Arming and disarming.
// SPDX-License-Identifier: MIT
#include "gc/conservative_watch.hpp"

#include <algorithm>
#include <bit>

#include "base/bits.hpp"
#include "base/run_joiner.hpp"

namespace cairn::gc {

namespace {

// Walks pages and tells old ones, asking each span once.
class OldPages {
public:
    explicit OldPages(const MarkSpace& space) : space_(space) {}

    // Whether the page belongs to old objects, and where its span ends. Needs: a conservative entry.
    bool is_old(std::uintptr_t page, std::uint32_t entry) {
        if (page < end_) return is_old_;
        const pages::ObjectMap& objects = *space_.objects;
        const std::uint32_t number = entry & pages::object_entry_page_mask;
        if (number == pages::object_entry_large) {
            const heap::Span* span = space_.addresses->span_of(page);
            end_ = span == nullptr ? page + base::page_bytes : span->end();
            return is_old_ = span != nullptr && objects.is_marked(span->base);
        }
        const heap::Shape& shape = (*space_.shapes)[pages::object_entry_shape(entry)];
        const heap::SizeClass& row = heap::size_classes[shape.size_class];
        const std::uintptr_t start = page - number * base::page_bytes;
        end_ = start + row.span_bytes;
        unsigned marked = 0;
        for (std::uintptr_t at = start; at < end_; at += std::uintptr_t{1} << pages::pair_shift)
            marked += static_cast<unsigned>(std::popcount(
                objects.pair(at).marked.load(std::memory_order_relaxed)));  // relaxed: no marker runs
        return is_old_ = marked * 16u >= row.objects * 15u;
    }

private:
    const MarkSpace& space_;
    std::uintptr_t end_ = 0;  // of the span asked last
    bool is_old_ = false;
};

}  // namespace

bool ConservativeWatch::is_needed(const pages::ObjectMap& objects) {
    const pages::ObjectMap::Bounds bounds = objects.bounds();
    // The first run ends the walk.
    return !for_each_conservative_run(objects, bounds.low, bounds.low + bounds.extent,
                                      [](std::uintptr_t, std::size_t) { return false; });
}

bool ConservativeWatch::begin(const pages::ObjectMap& objects) {
    if (!tracker_.start()) return false;
    // A run that cannot be watched is reported as written whole by collect(): slower, never wrong.
    for_all_runs(objects, [&](std::uintptr_t base, std::size_t bytes) {
        if (tracker_.watch(base, bytes)) (void)tracker_.arm(base, bytes);
    });
    cursor_ = 0;
    return true;
}

void ConservativeWatch::end(const pages::ObjectMap& objects) {
    for_all_runs(objects, [&](std::uintptr_t base, std::size_t bytes) { tracker_.disarm(base, bytes); });
}

void ConservativeWatch::follow(const pages::ObjectMap& objects) {
    const pages::ObjectMap::Bounds bounds = objects.bounds();
    if (bounds.low == followed_.low && bounds.extent == followed_.extent) return;
    for (std::uintptr_t at = bounds.low; bounds.holds(at); at += arena_bytes)
        if (!followed_.holds(at)) (void)tracker_.watch(at, arena_bytes);
    followed_ = bounds;
}

bool ConservativeWatch::is_unwritten(std::uintptr_t address) {
    constexpr std::size_t page_bytes = 4096;
    bool is_written = false;
    (void)tracker_.collect(base::align_down(address, page_bytes), page_bytes, false,
                           [&](std::uintptr_t, std::uintptr_t) { is_written = true; });
    return !is_written;
}

std::uint64_t ConservativeWatch::arm_old(const MarkSpace& space) {
    const pages::ObjectMap& objects = *space.objects;
    OldPages old(space);
    std::uint64_t bytes = 0;
    base::RunJoiner armed([&](std::uintptr_t low, std::uintptr_t high) {
        (void)tracker_.arm(low, high - low);
        bytes += high - low;
    });
    (void)visit_written(objects, [&](std::uintptr_t low, std::uintptr_t high) {
        for (std::uintptr_t at = low, end = low; at < high; at = end) {
            const std::uintptr_t page = base::align_down(at, base::page_bytes);
            end = std::min(page + base::page_bytes, high);
            const std::uint32_t entry = objects.entry(page);
            if (is_conservative_entry(entry) && old.is_old(page, entry)) armed.add(at, end);
        }
    });
    armed.flush();
    return bytes / 4096;
}

void ConservativeWatch::disarm_new(const MarkSpace& space) {
    const pages::ObjectMap& objects = *space.objects;
    OldPages old(space);
    base::RunJoiner disarmed(
        [this](std::uintptr_t low, std::uintptr_t high) { tracker_.disarm(low, high - low); });
    for_all_runs(objects, [&](std::uintptr_t base, std::size_t bytes) {
        for (std::uintptr_t page = base; page < base + bytes; page += base::page_bytes) {
            const std::uint32_t entry = objects.entry(page);
            if (!is_conservative_entry(entry) || !old.is_old(page, entry))
                disarmed.add(page, page + base::page_bytes);
        }
    });
    disarmed.flush();
}

}  // namespace cairn::gc
