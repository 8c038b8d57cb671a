// Table, arenas, pages, spans, caches: in this order, since each needs the one before.
// SPDX-License-Identifier: MIT
#include "map/heap_reader.hpp"

#include <cairn/heap_fields.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <ctime>

namespace cairn::map {

namespace {

constexpr std::uint64_t row_limit = 4096;
constexpr std::uint64_t arena_limit = 1u << 22;
constexpr std::uint64_t region_limit = 1u << 14;
constexpr std::uint64_t cache_limit = 1u << 20;
constexpr std::uint64_t magazine_limit = 1u << 20;
constexpr std::uint64_t pages_limit = std::uint64_t{1} << 34;
constexpr std::uint16_t slots_limit = 1024;
constexpr unsigned tries = 4;

constexpr const char* needed_rows[] = {
    "page_bytes", "arena_bytes", "chunk_pages", "class_count", "class.stride", "class.object_bytes",
    "class.span_bytes", "class.objects", "class_table", "arena.spans", "arena.in_use", "arena.base",
    "arena.next", "region.next", "region.base", "region.chunks", "region.chunk_count", "region.densities",
    "density.stride", "density.grown", "density.grown_mask", "chunk.stride", "chunk.in_use",
    "chunk.returned", "span.bytes", "span.base", "span.pages", "span.slot_bytes", "span.slots",
    "span.alloc_count", "span.kind", "span.class", "span.state", "span.is_parked", "span.alloc_bits",
    "span.inline_bits", "cache.bytes", "cache.next", "cache.bins", "bin.stride", "bin.top", "bin.base",
    "cache.history", "history.stride", "history.requested_bytes", "history.requests", "cache.pages.base",
    "cache.pages.free", "cache.pages.returned", "central.stride", "central.depot", "central.depot_count",
    "ended.stride", "ended.requested_bytes", "ended.requests", "layout", "sparse.first", "linear.base",
    "linear.end", "linear.spans", "linear.in_use", "regions.first", "caches.first", "centrals", "ended",
    "metadata_bytes", "objects.pair_bytes", "objects.allocated", "objects.pair_shift",
    "objects.granule_shift", "objects.window", "objects.pairs"};

template <class Value>
Value load(const unsigned char* from) {
    Value value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

}  // namespace

template <class Value>
Value HeapReader::field(const unsigned char* record, const char* name) const {
    return load<Value>(record + row(name));
}

bool HeapReader::fail(std::string why) {
    if (error_.empty()) error_ = std::move(why);
    return false;
}

bool HeapReader::ended() {
    return fail("process " + std::to_string(memory_.pid()) + " ended while it was read");
}

bool HeapReader::read_table() {
    const std::string name = "process " + std::to_string(memory_.pid());
    struct cairn_heap_table table {};
    if (!memory_.read(table_, table) || table.magic != CAIRN_HEAP_TABLE_MAGIC)
        return fail(name + " runs on another build of Cairn, without a table this command knows");
    if (table.version != CAIRN_HEAP_TABLE_VERSION || table.field_bytes != sizeof(cairn_heap_field) ||
        table.count > row_limit)
        return fail(name + " runs on another build of Cairn: its table is of version " +
                    std::to_string(table.version) + ", this command reads version " +
                    std::to_string(CAIRN_HEAP_TABLE_VERSION));
    std::vector<cairn_heap_field> fields(table.count);
    if (!memory_.read(reinterpret_cast<std::uint64_t>(table.fields), fields.data(),
                      fields.size() * sizeof(cairn_heap_field)))
        return ended();
    for (cairn_heap_field& field : fields) {
        field.name[sizeof field.name - 1] = 0;
        rows_[field.name] =
            field.address != nullptr ? reinterpret_cast<std::uint64_t>(field.address) : field.number;
    }
    model_.library_version.assign(table.library_version,
                                  strnlen(table.library_version, sizeof table.library_version));
    return has_all_rows();
}

// Also bounds on what sizes of ours depend on.
bool HeapReader::has_all_rows() {
    const std::string name = "process " + std::to_string(memory_.pid()) + " runs on another build of Cairn: ";
    for (const char* needed : needed_rows)
        if (!rows_.contains(needed)) return fail(name + "its table lacks '" + needed + "'");
    const auto is_sane = [&](const char* what, std::uint64_t least, std::uint64_t most) {
        return row(what) >= least && row(what) <= most;
    };
    if (!has_sound_pages(row("page_bytes"), row("arena_bytes")) || !is_sane("class_count", 1, 256) ||
        !is_sane("span.bytes", 32, 4096) ||
        !is_sane("cache.bytes", 64, 1u << 20) || !is_sane("chunk_pages", 512, 512) ||
        !is_sane("chunk.stride", 128, 4096) || !is_sane("objects.pair_bytes", 16, 64) ||
        !is_sane("objects.pair_shift", 10, 10) || !is_sane("objects.granule_shift", 4, 4) ||
        !is_sane("objects.allocated", 0, 8) || !is_sane("region.chunk_count", 1, 1u << 16))
        return fail(name + "its table makes no sense");
    return true;
}

bool HeapReader::read_classes() {
    const std::uint64_t stride = row("class.stride");
    std::vector<unsigned char> table(row("class_count") * stride);
    if (!memory_.read(row("class_table"), table.data(), table.size())) return ended();
    for (std::size_t c = 0; c * stride < table.size(); ++c) {
        const unsigned char* at = table.data() + c * stride;
        SizeClass one;
        one.object_bytes = field<std::uint32_t>(at, "class.object_bytes");
        one.span_bytes = field<std::uint32_t>(at, "class.span_bytes");
        one.objects = field<std::uint16_t>(at, "class.objects");
        model_.classes.push_back(one);
    }
    return true;
}

void HeapReader::add_arena(std::uint64_t base, const std::vector<std::uint64_t>& spans,
                           const std::vector<std::uint64_t>& in_use) {
    Arena arena;
    arena.base = base;
    arena.pages.resize(spans.size());
    arena.span_of.resize(spans.size());
    for (std::size_t word = 0; word < in_use.size(); ++word) {
        for (std::uint64_t bits = in_use[word]; bits != 0; bits &= bits - 1) {
            const std::size_t page = word * 64 + static_cast<unsigned>(std::countr_zero(bits));
            if (page < spans.size() && spans[page] != 0)
                candidates_.push_back({base + page * model_.page_bytes, spans[page]});
        }
    }
    model_.arenas.push_back(std::move(arena));
}

bool HeapReader::read_sparse() {
    const std::size_t pages = model_.arena_bytes / model_.page_bytes;
    std::vector<std::uint64_t> spans(pages), in_use(pages / 64);
    std::uint64_t record = 0;
    if (!memory_.read(row("sparse.first"), record)) return ended();
    for (std::uint64_t count = 0; record != 0 && count < arena_limit; ++count) {
        std::uint64_t base = 0;
        if (!memory_.read(record + row("arena.base"), base) ||
            !memory_.read(record + row("arena.spans"), spans.data(), spans.size() * 8) ||
            !memory_.read(record + row("arena.in_use"), in_use.data(), in_use.size() * 8) ||
            !memory_.read(record + row("arena.next"), record))
            return ended();
        add_arena(base, spans, in_use);
    }
    return true;
}

bool HeapReader::read_linear() {
    std::uint64_t base = 0, end = 0, spans_at = 0, in_use_at = 0;
    if (!memory_.read(row("linear.base"), base) || !memory_.read(row("linear.end"), end) ||
        !memory_.read(row("linear.spans"), spans_at) || !memory_.read(row("linear.in_use"), in_use_at))
        return ended();
    const std::uint64_t arena_pages = model_.arena_bytes / model_.page_bytes;
    const std::uint64_t pages = end > base ? (end - base) / model_.page_bytes : 0;
    if (pages > arena_limit * arena_pages) return fail("the process's heap makes no sense");
    for (std::uint64_t first = 0; first < pages; first += arena_pages) {
        const std::uint64_t count = std::min(arena_pages, pages - first);
        std::vector<std::uint64_t> spans(arena_pages), in_use(arena_pages / 64);
        if (!memory_.read(spans_at + first * 8, spans.data(), count * 8) ||
            !memory_.read(in_use_at + first / 8, in_use.data(), (count + 63) / 64 * 8))
            return ended();
        add_arena(base + first * model_.page_bytes, spans, in_use);
    }
    return true;
}

bool HeapReader::read_arenas() {
    std::uint8_t layout = 0;
    if (!memory_.read(row("layout"), layout)) return ended();
    model_.is_linear = layout != 0;
    if (!(model_.is_linear ? read_linear() : read_sparse())) return false;
    std::sort(model_.arenas.begin(), model_.arenas.end(),
              [](const Arena& a, const Arena& b) { return a.base < b.base; });
    return true;
}

// 512 pages: in use or not, and if not, whether the OS has them back.
void HeapReader::add_chunk(std::uint64_t base, const std::uint64_t* in_use, const std::uint64_t* returned) {
    auto* arena = const_cast<Arena*>(model_.arena_of(base));
    if (arena == nullptr) return;
    const std::uint64_t first = (base - arena->base) / model_.page_bytes;
    for (std::uint64_t page = 0; page < 512 && first + page < arena->pages.size(); ++page) {
        const bool is_used = (in_use[page / 64] >> page % 64 & 1) != 0;
        const bool is_returned = (returned[page / 64] >> page % 64 & 1) != 0;
        // in use and in no span: some thread's, until its cache or a span says otherwise
        arena->pages[first + page] = is_used ? PageState::cached
                                     : is_returned ? PageState::returned : PageState::free;
    }
}

bool HeapReader::read_regions() {
    const std::uint64_t count = row("region.chunk_count");
    std::vector<unsigned char> chunks(count * row("chunk.stride"));
    std::vector<unsigned char> densities(count * row("density.stride"));
    std::uint64_t region = 0;
    if (!memory_.read(row("regions.first"), region)) return ended();
    for (std::uint64_t seen = 0; region != 0 && seen < region_limit; ++seen) {
        std::uint64_t base = 0;
        if (!memory_.read(region + row("region.base"), base) ||
            !memory_.read(region + row("region.chunks"), chunks.data(), chunks.size()) ||
            !memory_.read(region + row("region.densities"), densities.data(), densities.size()) ||
            !memory_.read(region + row("region.next"), region))
            return ended();
        for (std::uint64_t i = 0; i < count; ++i) {
            const unsigned char* density = densities.data() + i * row("density.stride");
            const auto flags = load<std::uint16_t>(density + row("density.grown"));
            if ((flags & row("density.grown_mask")) == 0) continue;
            std::uint64_t in_use[8], returned[8];
            const unsigned char* chunk = chunks.data() + i * row("chunk.stride");
            std::memcpy(in_use, chunk + row("chunk.in_use"), sizeof in_use);
            std::memcpy(returned, chunk + row("chunk.returned"), sizeof returned);
            add_chunk(base + i * 512 * model_.page_bytes, in_use, returned);
        }
    }
    return true;
}

// False when the record is not of the span that begins at the page: it ended, or is just being made.
bool HeapReader::take_span(const Candidate& from, const unsigned char* record) {
    Span span;
    span.base = field<std::uint64_t>(record, "span.base");
    span.pages = field<std::uint64_t>(record, "span.pages");
    span.slot_bytes = field<std::uint64_t>(record, "span.slot_bytes");
    span.slots = field<std::uint16_t>(record, "span.slots");
    span.live = field<std::uint16_t>(record, "span.alloc_count");
    span.kind = field<std::uint8_t>(record, "span.kind");
    span.size_class = field<std::uint8_t>(record, "span.class");
    span.is_parked = field<std::uint8_t>(record, "span.is_parked") != 0;
    span.first_word = ~std::uint64_t{0};
    const bool is_dead = field<std::uint8_t>(record, "span.state") == 0;
    if (is_dead || span.base != from.page || span.pages == 0 || span.pages > pages_limit ||
        span.kind >= kind_names.size() || span.size_class >= model_.classes.size() ||
        span.slots > slots_limit || (span.size_class != 0 && (span.slots == 0 || span.live > span.slots)) ||
        span.slots * span.slot_bytes > span.pages * model_.page_bytes)
        return false;
    std::uint64_t bits = 0;
    if (span.kind == explicit_kind && span.size_class != 0) {
        const std::size_t words = HeapModel::words(span);
        span.first_word = model_.out.size();
        bits = field<std::uint64_t>(record, "span.alloc_bits");
        const std::uint64_t inside = row("span.inline_bits");
        model_.out.resize(model_.out.size() + words);
        if (bits == from.record + inside && inside + words * 8 <= row("span.bytes")) {
            std::memcpy(&model_.out[span.first_word], record + inside, words * 8);
            bits = 0;
        }
    }
    model_.spans.push_back(span);
    bits_.push_back(bits);
    return true;
}

void HeapReader::read_spans() {
    const std::uint64_t bytes = row("span.bytes");
    std::vector<unsigned char> records;
    for (unsigned round = 0; round < tries && !candidates_.empty(); ++round) {
        records.resize(candidates_.size() * bytes);
        std::vector<ProcessMemory::Piece> pieces;
        pieces.reserve(candidates_.size());
        for (std::size_t i = 0; i < candidates_.size(); ++i)
            pieces.push_back({candidates_[i].record, records.data() + i * bytes, bytes});
        memory_.gather(pieces);
        std::vector<Candidate> again;
        for (std::size_t i = 0; i < candidates_.size(); ++i)
            if (!pieces[i].is_read || !take_span(candidates_[i], records.data() + i * bytes))
                again.push_back(candidates_[i]);
        candidates_.swap(again);
    }
    model_.torn_spans = candidates_.size();
}

// Collected slots: a bit a granule, those of the slots' first bytes count; see pages/object_map.hpp.
void HeapReader::read_collected_bits() {
    std::uint64_t window = 0, pairs = 0;
    if (!memory_.read(row("objects.window"), window) || !memory_.read(row("objects.pairs"), pairs)) return;
    const std::uint64_t stride = row("objects.pair_bytes");
    const std::uint64_t pair_shift = row("objects.pair_shift");
    const std::uint64_t granule_shift = row("objects.granule_shift");
    std::vector<unsigned char> bytes;
    for (Span& span : model_.spans) {
        if (span.kind == explicit_kind || span.kind == manual_kind || span.size_class == 0 || pairs == 0 ||
            span.slot_bytes < std::uint64_t{1} << granule_shift)
            continue;
        bytes.resize((span.pages * model_.page_bytes >> pair_shift) * stride);
        const std::uint64_t from = pairs + ((span.base - window) >> pair_shift) * stride;
        if (!memory_.read(from, bytes.data(), bytes.size())) continue;
        span.first_word = model_.out.size();
        model_.out.resize(model_.out.size() + HeapModel::words(span));
        for (unsigned slot = 0; slot < span.slots; ++slot) {
            const std::uint64_t at = slot * span.slot_bytes;
            const unsigned char* pair = bytes.data() + (at >> pair_shift) * stride;
            const auto word = load<std::uint64_t>(pair + row("objects.allocated"));
            const std::uint64_t bit = word >> (at >> granule_shift & 63) & 1;
            model_.out[span.first_word + slot / 64] |= bit << slot % 64;
        }
    }
}

void HeapReader::read_bits() {
    std::vector<ProcessMemory::Piece> pieces;
    for (std::size_t i = 0; i < bits_.size(); ++i) {
        const Span& span = model_.spans[i];
        if (bits_[i] == 0) continue;
        pieces.push_back({bits_[i], &model_.out[span.first_word], HeapModel::words(span) * 8});
    }
    memory_.gather(pieces);
    read_collected_bits();
    model_.cached.assign(model_.out.size(), 0);
    // candidates came arena by arena, those that needed another look at the end
    std::sort(model_.spans.begin(), model_.spans.end(),
              [](const Span& a, const Span& b) { return a.base < b.base; });
    model_.place_spans();
}

// Marks the slots of a magazine or depot. Returns how many made sense.
std::uint64_t HeapReader::mark_cached(std::uint64_t array, std::uint64_t count, unsigned size_class) {
    if (count == 0 || count > magazine_limit) return 0;
    std::vector<std::uint64_t> slots(count);
    if (!memory_.read(array, slots.data(), count * 8)) return 0;
    std::uint64_t marked = 0;
    for (const std::uint64_t address : slots) {
        const Arena* arena = model_.arena_of(address);
        const std::uint32_t number =
            arena == nullptr ? 0 : arena->span_of[(address - arena->base) / model_.page_bytes];
        if (number == 0) continue;
        const Span& span = model_.spans[number - 1];
        if (span.size_class != size_class || !model_.has_slots(span)) continue;
        const std::uint64_t slot = (address - span.base) / span.slot_bytes;
        if (slot >= span.slots || (address - span.base) % span.slot_bytes != 0) continue;
        model_.cached[span.first_word + slot / 64] |= std::uint64_t{1} << slot % 64;
        ++marked;
    }
    return marked;
}

void HeapReader::read_cache(const std::vector<unsigned char>& cache) {
    ThreadCache one;
    for (unsigned c = 1; c < model_.classes.size(); ++c) {
        const unsigned char* bin = cache.data() + row("cache.bins") + c * row("bin.stride");
        const auto base = field<std::uint64_t>(bin, "bin.base");
        const auto top = field<std::uint64_t>(bin, "bin.top");
        if (base != 0 && top > base) {
            const std::uint64_t slots = mark_cached(base, (top - base) / 8, c);
            one.slots += slots;
            one.bytes += slots * model_.classes[c].object_bytes;
        }
        const unsigned char* history = cache.data() + row("cache.history") + c * row("history.stride");
        model_.classes[c].requested_bytes += field<std::uint64_t>(history, "history.requested_bytes");
        model_.classes[c].requests += field<std::uint32_t>(history, "history.requests");
    }
    const auto base = field<std::uint64_t>(cache.data(), "cache.pages.base");
    const auto free = field<std::uint64_t>(cache.data(), "cache.pages.free");
    const auto returned = field<std::uint64_t>(cache.data(), "cache.pages.returned");
    one.free_pages = static_cast<std::uint64_t>(std::popcount(free));
    if (auto* arena = const_cast<Arena*>(model_.arena_of(base))) {
        const std::uint64_t first = (base - arena->base) / model_.page_bytes;
        for (std::uint64_t page = 0; page < 64 && first + page < arena->pages.size(); ++page)
            if ((free >> page & 1) != 0 && arena->span_of[first + page] == 0)
                arena->pages[first + page] =
                    (returned >> page & 1) != 0 ? PageState::returned : PageState::cached;
    }
    model_.caches.push_back(one);
}

void HeapReader::read_caches() {
    std::uint64_t at = 0;
    std::vector<unsigned char> cache(row("cache.bytes"));
    if (!memory_.read(row("caches.first"), at)) return;
    for (std::uint64_t seen = 0; at != 0 && seen < cache_limit; ++seen) {
        if (!memory_.read(at, cache.data(), cache.size())) return;
        read_cache(cache);
        at = field<std::uint64_t>(cache.data(), "cache.next");
    }
}

void HeapReader::read_depots() {
    const std::uint64_t stride = row("central.stride");
    std::vector<unsigned char> centrals(model_.classes.size() * stride);
    if (!memory_.read(row("centrals"), centrals.data(), centrals.size())) return;
    for (unsigned c = 1; c < model_.classes.size(); ++c) {
        const unsigned char* central = centrals.data() + c * stride;
        (void)mark_cached(field<std::uint64_t>(central, "central.depot"),
                          field<std::uint32_t>(central, "central.depot_count"), c);
    }
}

// What lies in all magazines and depots, in the order of their lists.
std::vector<std::uint64_t> HeapReader::cached_slots() const {
    std::vector<std::uint64_t> all;
    const auto take = [&](std::uint64_t array, std::uint64_t count) {
        if (array == 0 || count == 0 || count > magazine_limit) return;
        const std::size_t before = all.size();
        all.resize(before + count);
        if (!memory_.read(array, all.data() + before, count * 8)) all.resize(before);
    };
    std::vector<unsigned char> cache(row("cache.bytes"));
    std::uint64_t at = 0;
    if (!memory_.read(row("caches.first"), at)) return all;
    for (std::uint64_t seen = 0; at != 0 && seen < cache_limit; ++seen) {
        if (!memory_.read(at, cache.data(), cache.size())) return all;
        for (unsigned c = 1; c < model_.classes.size(); ++c) {
            const unsigned char* bin = cache.data() + row("cache.bins") + c * row("bin.stride");
            const auto base = field<std::uint64_t>(bin, "bin.base");
            const auto top = field<std::uint64_t>(bin, "bin.top");
            if (top > base) take(base, (top - base) / 8);
        }
        at = field<std::uint64_t>(cache.data(), "cache.next");
    }
    const std::uint64_t stride = row("central.stride");
    std::vector<unsigned char> centrals(model_.classes.size() * stride);
    if (!memory_.read(row("centrals"), centrals.data(), centrals.size())) return all;
    for (unsigned c = 1; c < model_.classes.size(); ++c) {
        const unsigned char* central = centrals.data() + c * stride;
        take(field<std::uint64_t>(central, "central.depot"),
             field<std::uint32_t>(central, "central.depot_count"));
    }
    return all;
}

void HeapReader::read_ended() {
    const std::uint64_t stride = row("ended.stride");
    std::vector<unsigned char> ended(model_.classes.size() * stride);
    if (!memory_.read(row("ended"), ended.data(), ended.size())) return;
    for (unsigned c = 1; c < model_.classes.size(); ++c) {
        const unsigned char* one = ended.data() + c * stride;
        model_.classes[c].requested_bytes += field<std::uint64_t>(one, "ended.requested_bytes");
        model_.classes[c].requests += field<std::uint64_t>(one, "ended.requests");
    }
}

void HeapReader::count_slots() {
    for (Span& span : model_.spans) {
        if (!model_.has_slots(span)) continue;
        unsigned out = 0, cached = 0;
        for (std::size_t word = 0; word < HeapModel::words(span); ++word) {
            const std::uint64_t bits = model_.out[span.first_word + word];
            // a slot that went home between the two readings is free
            const std::uint64_t kept = model_.cached[span.first_word + word] &= bits;
            out += static_cast<unsigned>(std::popcount(bits));
            cached += static_cast<unsigned>(std::popcount(kept));
        }
        out = std::min<unsigned>(out, span.slots);
        span.cached = static_cast<std::uint16_t>(std::min(cached, out));
        span.live = static_cast<std::uint16_t>(out - span.cached);
    }
}

bool HeapReader::read() {
    if (!read_table()) return false;
    model_.pid = memory_.pid();
    model_.command = memory_.command();
    const std::time_t now = std::time(nullptr);
    tm parts{};
    char text[32];
    gmtime_r(&now, &parts);
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    model_.time = text;
    model_.page_bytes = static_cast<std::uint32_t>(row("page_bytes"));
    model_.arena_bytes = row("arena_bytes");
    (void)memory_.read(row("metadata_bytes"), model_.metadata_bytes);
    if (!read_classes()) return false;
    const std::vector<std::uint64_t> before = cached_slots();
    if (!read_arenas() || !read_regions()) return false;
    read_spans();
    read_bits();
    read_caches();
    read_depots();
    is_steady_ = cached_slots() == before;
    read_ended();
    count_slots();
    return true;
}

std::string read_process(std::uint32_t pid, HeapModel& model) {
    const ProcessMemory memory(pid);
    if (std::string trouble = memory.trouble(); !trouble.empty()) return trouble;
    const std::vector<ProcessMemory::Symbol> tables = memory.find_symbols("cairn_heap_table");
    std::string error = "process " + std::to_string(pid) + " does not run on Cairn; 'cairn run' starts one";
    std::uint64_t most = 0;
    bool has_any = false;
    for (const ProcessMemory::Symbol& table : tables) {
        HeapModel one;
        bool is_read = false, is_steady = false;
        for (unsigned round = 0; round < tries && !is_steady; ++round) {
            one = {};
            one.library_file = table.file;
            one.build_id = table.build_id;
            HeapReader reader(memory, table.address, one);
            is_read = reader.read();
            is_steady = reader.is_steady() || !is_read;
            if (!is_read) error = reader.error();
        }
        if (!is_read) continue;
        const std::uint64_t bytes = one.totals().span_bytes;
        if (has_any && bytes <= most) continue;
        has_any = true;
        most = bytes;
        model = std::move(one);
    }
    return has_any ? std::string{} : error;
}

}  // namespace cairn::map
