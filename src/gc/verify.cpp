// The walk over all spans, the second marking, and the search for holders.
// SPDX-License-Identifier: MIT
#include "gc/verify.hpp"

#include <bit>
#include <new>

#include "base/bits.hpp"
#include "base/check.hpp"
#include "heap/central.hpp"
#include "os/memory.hpp"

namespace cairn::gc {

using heap::Span;
using heap::SweepState;

namespace {

[[noreturn]] void broken(const char* what, const Span& span, std::uintptr_t address) {
    base::Message text;
    text << "heap check: " << what << " at ";
    text.hex(address) << ", span ";
    text.hex(span.base) << " of " << span.slots << " slots of " << span.slot_bytes << " bytes, "
                        << heap::name_of(span.kind);
    base::fatal(text.view());
}

void require(bool is_so, const char* what, const Span& span, std::uintptr_t address) {
    if (!is_so) [[unlikely]] broken(what, span, address);
}

}  // namespace

// ---- spans

void Verifier::check_spans(bool is_sweep_done) {
    heap_.spans().addresses().for_each_span_start([&](std::uintptr_t base, Span* span) {
        CAIRN_CHECK(span != nullptr && span->base == base && span->is_alive());
        if (!heap::is_swept(span->kind)) return;
        check_record(*span, is_sweep_done);
        check_entries(*span);
        check_bits(*span);
        check_specials(*span);
    });
    check_lists(is_sweep_done);
}

void Verifier::check_record(Span& span, bool is_sweep_done) const {
    const heap::Shapes& shapes = heap_.centrals().shapes();
    require(span.shape < shapes.count(), "a shape nobody made", span, span.base);
    const heap::Shape& shape = shapes[span.shape];
    require(shape.kind == span.kind && shape.size_class == span.size_class, "another kind than its shape's",
            span, span.base);
    require(span.is_large() || (shape.slot_bytes == span.slot_bytes && shape.magic == span.magic),
            "another slot than its shape's", span, span.base);
    require(span.limit > span.base && span.limit <= span.end() && span.slots > 0 &&
                span.free_index <= span.slots && span.alloc_count <= span.slots,
            "counts out of bounds", span, span.base);
    // relaxed: the world is stopped
    const std::uint32_t generation = span.sweep_generation.load(std::memory_order_relaxed);
    const SweepState state = heap::sweep_state(generation, heap_.shared().generation());
    require(state != SweepState::invalid, "an impossible sweep generation", span, span.base);
    require(!is_sweep_done || state == SweepState::swept || state == SweepState::cached,
            "not swept though sweeping is done", span, span.base);
}

void Verifier::check_entries(const Span& span) const {
    const pages::ObjectMap& objects = heap_.spans().objects();
    for (std::size_t page = 0; page < span.pages; ++page) {
        const std::uintptr_t address = span.base + page * base::page_bytes;
        const unsigned number = span.is_large() ? pages::object_entry_large : static_cast<unsigned>(page);
        require(objects.entry(address) == pages::make_object_entry(span.shape, number), "a wrong page entry",
                span, address);
        require(heap_.spans().addresses().span_of(address) == &span, "a wrong entry of the page map", span,
                address);
    }
}

// Bits at starts of slots only; marks only on what is allocated; as many as are counted.
void Verifier::check_bits(const Span& span) const {
    const pages::ObjectMap& objects = heap_.spans().objects();
    const bool is_marking = heap_.shared().is_marking();
    // relaxed, here and below: the world is stopped
    const std::uint32_t generation = span.sweep_generation.load(std::memory_order_relaxed);
    const SweepState state = heap::sweep_state(generation, heap_.shared().generation());
    const bool may_be_marked =
        is_marking || state == SweepState::unswept || state == SweepState::cached_stale ||
        heap_.shared().has_marks();
    std::size_t slot = 0;
    std::size_t allocated_count = 0;
    const std::uintptr_t end = span.is_large() ? span.base + 1 : span.limit;
    for (std::uintptr_t at = span.base; at < end; at += std::uintptr_t{1} << pages::pair_shift) {
        std::uint64_t starts = 0;
        for (; slot < span.slots && span.slot_address(slot) - at < (1u << pages::pair_shift); ++slot)
            starts |= pages::ObjectMap::bit(span.slot_address(slot));
        const pages::BitPair& both = objects.pair(at);
        // relaxed, both: the world is stopped
        const std::uint64_t allocated = both.allocated.load(std::memory_order_relaxed);
        const std::uint64_t marked = both.marked.load(std::memory_order_relaxed);  // relaxed: it stands still
        require((allocated & ~starts) == 0, "an allocated bit inside a slot", span, at);
        require((marked & ~allocated) == 0, "a mark on what is not allocated", span, at);
        require(marked == 0 || may_be_marked, "a mark that outlived its sweep", span, at);
        allocated_count += static_cast<unsigned>(std::popcount(allocated));
    }
    require(allocated_count == span.alloc_count, "another number of allocated slots than counted", span,
            span.base);
}

void Verifier::check_specials(Span& span) {
    heap::Specials& specials = finalizer_.specials();
    specials.verify(span);
    const pages::ObjectMap& objects = heap_.spans().objects();
    specials.for_each(span, [&](heap::Special& record) {
        const std::uintptr_t address = span.base + record.offset;
        const std::size_t slot = span.slot_of(address);
        require(slot < span.slots && objects.is_allocated(span.slot_address(slot)),
                "a record of an object that is free", span, address);
        if (record.kind != heap::SpecialKind::weak_handle) return;
        const auto* handle = static_cast<heap::WeakHandleSpecial&>(record).handle;
        // relaxed: the world is stopped
        require(handle->load(std::memory_order_relaxed) == reinterpret_cast<void*>(address),
                "a weak handle that points elsewhere", span, address);
    });
}

// Every swept span that no cache holds is in the swept sets of its shape. Only numbers can be compared.
void Verifier::check_lists(bool is_sweep_done) {
    if (!is_sweep_done) return;
    const std::uint32_t generation = heap_.shared().generation();
    heap_.centrals().verify();
    heap_.spans().addresses().for_each_span_start([&](std::uintptr_t, Span* span) {
        // Large objects may be freed by hand, which leaves their entries behind.
        if (!heap::is_swept(span->kind) || span->is_large()) return;
        // relaxed: the world is stopped
        if (span->sweep_generation.load(std::memory_order_relaxed) != generation) return;
        const heap::Central::Population lists = heap_.centrals().of(*span).population();
        const bool is_full = span->alloc_count == span->slots;
        require((is_full ? lists.full_swept : lists.partial_swept) != 0, "swept, but in no list", *span,
                span->base);
    });
}

// ---- marks

void Verifier::add_roots(Explorer& explorer, bool with_stacks) const {
    struct Visitor {
        Explorer& explorer;
        bool with_stacks;
    } visitor{explorer, with_stacks};
    roots_.enumerate(
        roots_.context,
        [](void* context, std::uintptr_t low, std::uintptr_t high, RootKind kind) {
            const auto& to = *static_cast<Visitor*>(context);
            const bool is_stack = kind == RootKind::stack || kind == RootKind::registers;
            if (to.with_stacks || !is_stack) to.explorer.add_range(low, high, kind);
        },
        &visitor);
    finalizer_.mark_all(explorer.greyer());
}

std::uint32_t Verifier::explore(Explorer& explorer, bool (*is_wanted)(void*, std::uintptr_t),
                                void* context) const {
    for (;;) {
        const std::uint32_t place = explorer.run(is_wanted, context);
        if (place != Explorer::none || explorer.has_failed()) return place;
        const std::size_t before = explorer.count();
        finalizer_.ephemerons().for_each_entry([&](std::uintptr_t key, void* value) {
            if (explorer.is_reached(key))
                explorer.add_word(reinterpret_cast<std::uintptr_t>(value), RootKind::ephemeron);
        });
        if (explorer.count() == before) return Explorer::none;
    }
}

namespace {

void say(base::Message& text, const HolderStep& step) {
    if (step.is_root) text << name_of(step.kind) << " ";
    if (step.holder != 0) text.hex(step.holder);
    if (step.type_name != nullptr) text << " " << step.type_name;
    if (step.offset != 0) text << " +" << step.offset;
    text << " -> ";
}

// Root, first and last few steps: enough to find the place, short enough for a line.
[[noreturn]] void report_unmarked(const Explorer& explorer, std::uint32_t place) {
    constexpr std::size_t shown = 5;
    HolderStep first[shown];
    HolderStep last[shown];
    const std::size_t length = explorer.path_length(place);
    explorer.for_each_step_backwards(place, [&](std::size_t number, const HolderStep& step) {
        if (number < shown) first[number] = step;
        else if (length - number <= shown) last[number + shown - length] = step;
    });
    base::Message text;
    text << "heap check: reachable but not marked: ";
    for (std::size_t i = 0; i < length && i < shown; ++i) say(text, first[i]);
    if (length > 2 * shown) text << "(" << length - 2 * shown << " more) -> ";
    const std::size_t rest = length <= shown ? 0 : length >= 2 * shown ? shown : length - shown;
    for (std::size_t i = shown - rest; i < shown; ++i) say(text, last[i]);
    text.hex(explorer.object(place));
    base::fatal(text.view());
}

}  // namespace

MarkCheck Verifier::check_marks(const Explorer::Passed& passed) {
    Explorer explorer(heap_.spans(), heap_.centrals().shapes());
    if (!explorer.prepare()) return {};
    explorer.let_pass(passed);
    add_roots(explorer, true);
    const auto is_unmarked = [](void* objects, std::uintptr_t object) {
        return !static_cast<const pages::ObjectMap*>(objects)->is_marked(object);
    };
    const std::uint32_t place = explore(explorer, is_unmarked, &heap_.spans().objects());
    if (place != Explorer::none) report_unmarked(explorer, place);
    if (explorer.has_failed()) return {};
    return {explorer.count()};
}

// ---- who holds

HolderPath::~HolderPath() {
    if (steps_ != nullptr) os::free(steps_, bytes_, memory_);
}

bool HolderPath::find(Verifier& verifier, std::uintptr_t address) {
    const heap::SpanAlloc& spans = verifier.heap_.spans();
    CollectedObject object = object_at(spans, spans.objects(), address);
    if (!object) return false;
    const auto is_it = [](void* start, std::uintptr_t reached) {
        return *static_cast<std::uintptr_t*>(start) == reached;
    };
    for (const bool with_stacks : {false, true}) {
        Explorer explorer(spans, verifier.heap_.centrals().shapes());
        if (!explorer.prepare()) return false;
        verifier.add_roots(explorer, with_stacks);
        const std::uint32_t place = verifier.explore(explorer, is_it, &object.start);
        if (place != Explorer::none) return keep(explorer, place);
    }
    return false;
}

bool HolderPath::keep(const Explorer& explorer, std::uint32_t place) {
    CAIRN_CHECK(steps_ == nullptr);
    const std::size_t length = explorer.path_length(place);
    bytes_ = base::align_up(length * sizeof(HolderStep), os::page_bytes());
    steps_ = static_cast<HolderStep*>(os::alloc(bytes_, memory_));
    if (steps_ == nullptr) return false;
    length_ = length;
    explorer.for_each_step_backwards(place, [this](std::size_t number, const HolderStep& step) {
        new (&steps_[number]) HolderStep(step);
    });
    return true;
}

}  // namespace cairn::gc
