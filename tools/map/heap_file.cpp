// Snapshot files: the model as it is in memory, in one zstd frame.
//
//   CAIRNMAP | u32 version | u32 0 | u64 raw bytes | zstd frame with its checksum
// SPDX-License-Identifier: MIT
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <type_traits>

#include "map/heap_model.hpp"

namespace cairn::map {

namespace {

constexpr char magic[] = {'C', 'A', 'I', 'R', 'N', 'M', 'A', 'P'};
constexpr std::uint32_t version = 2;
constexpr std::size_t head_bytes = 24;
constexpr std::uint64_t raw_limit = std::uint64_t{1} << 32;

// Both directions by one description, so that they cannot differ.
class Saver {
public:
    template <class Value>
    void operator()(Value& value) {
        const auto* from = reinterpret_cast<const char*>(&value);
        bytes.insert(bytes.end(), from, from + sizeof value);
    }
    template <class Value>
    void all(std::vector<Value>& values) {
        list(values.data(), values.size(), sizeof(Value));
    }
    void all(std::string& text) { list(text.data(), text.size(), 1); }
    template <class Value>
    bool size(std::vector<Value>& values) {
        std::uint64_t count = values.size();
        (*this)(count);
        return true;
    }
    std::vector<char> bytes;

private:
    void list(const void* from, std::uint64_t count, std::size_t each) {
        (*this)(count);
        const auto* start = static_cast<const char*>(from);
        bytes.insert(bytes.end(), start, start + count * each);
    }
};

class Loader {
public:
    explicit Loader(std::vector<char> all) : bytes_(std::move(all)) {}
    template <class Value>
    void operator()(Value& value) {
        if (left() < sizeof value) return fail();
        std::memcpy(&value, bytes_.data() + at_, sizeof value);
        at_ += sizeof value;
    }
    template <class Value>
    void all(std::vector<Value>& values) {
        static_assert(std::is_trivially_copyable_v<Value>);
        const std::uint64_t count = counted(sizeof(Value));
        values.resize(count);
        copy(values.data(), count * sizeof(Value));
    }
    void all(std::string& text) {
        text.resize(counted(1));
        copy(text.data(), text.size());
    }
    // A list whose elements follow one by one, each of at least 8 bytes.
    template <class Value>
    bool size(std::vector<Value>& values) {
        values.resize(counted(8));
        return !has_failed_;
    }
    [[nodiscard]] bool is_whole() const { return !has_failed_ && left() == 0; }

private:
    [[nodiscard]] std::uint64_t left() const { return bytes_.size() - at_; }
    void fail() {
        has_failed_ = true;
        at_ = bytes_.size();
    }
    std::uint64_t counted(std::size_t each) {
        std::uint64_t count = 0;
        (*this)(count);
        if (count <= left() / each) return count;
        fail();
        return 0;
    }
    void copy(void* to, std::uint64_t size) {
        if (size != 0) std::memcpy(to, bytes_.data() + at_, size);
        at_ += size;
    }

    std::vector<char> bytes_;
    std::size_t at_ = 0;
    bool has_failed_ = false;
};

template <class Archive>
void describe(Archive& archive, HeapModel& model) {
    archive.all(model.command);
    archive.all(model.time);
    archive.all(model.library_version);
    archive.all(model.library_file);
    archive.all(model.build_id);
    archive(model.pid);
    archive(model.page_bytes);
    std::uint64_t flags = model.is_linear;
    archive(flags);
    model.is_linear = flags != 0;
    archive(model.arena_bytes);
    archive(model.metadata_bytes);
    archive(model.torn_spans);
    archive.all(model.classes);
    archive.all(model.spans);
    archive.all(model.caches);
    archive.all(model.out);
    archive.all(model.cached);
    if (!archive.size(model.arenas)) return;
    for (Arena& arena : model.arenas) {
        archive(arena.base);
        archive.all(arena.pages);
    }
}

// What the rest of the program relies on.
bool makes_sense(HeapModel& model) {
    if (!has_sound_pages(model.page_bytes, model.arena_bytes) || model.cached.size() != model.out.size())
        return false;
    const std::uint64_t pages = model.arena_bytes / model.page_bytes;
    for (Arena& arena : model.arenas) {
        if (arena.pages.size() != pages) return false;
        for (const PageState state : arena.pages)
            if (static_cast<unsigned>(state) >= page_state_count) return false;
        arena.span_of.assign(pages, 0);
    }
    const auto by_base = [](const auto& a, const auto& b) { return a.base < b.base; };
    if (!std::is_sorted(model.arenas.begin(), model.arenas.end(), by_base)) return false;
    if (!std::is_sorted(model.spans.begin(), model.spans.end(), by_base)) return false;
    for (const Span& span : model.spans) {
        const std::uint64_t most = std::uint64_t{1} << 47;
        if (span.kind >= kind_names.size() || span.size_class >= model.classes.size() ||
            span.pages > most / model.page_bytes || span.slot_bytes > most || span.base > most ||
            span.is_parked > 1 || span.live + span.cached > std::max<unsigned>(span.slots, 1) ||
            (span.size_class != 0 && (span.slots == 0 || span.slot_bytes == 0)))
            return false;
        if (model.has_slots(span) && (span.first_word > model.out.size() ||
                                      HeapModel::words(span) > model.out.size() - span.first_word))
            return false;
    }
    return true;
}

}  // namespace

bool HeapModel::is_snapshot(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    char head[sizeof magic] = {};
    return in.read(head, sizeof head) && std::memcmp(head, magic, sizeof magic) == 0;
}

bool HeapModel::save(const std::string& file, std::string& error) const {
    Saver saver;
    describe(saver, const_cast<HeapModel&>(*this));  // it only reads
    std::vector<char> packed(head_bytes + ZSTD_compressBound(saver.bytes.size()));
    ZSTD_CCtx* const context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    const std::size_t size = ZSTD_compress2(context, packed.data() + head_bytes, packed.size() - head_bytes,
                                            saver.bytes.data(), saver.bytes.size());
    ZSTD_freeCCtx(context);
    const std::uint64_t raw = saver.bytes.size();
    std::memcpy(packed.data(), magic, sizeof magic);
    std::memcpy(packed.data() + 8, &version, sizeof version);
    std::memcpy(packed.data() + 16, &raw, sizeof raw);
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out.write(packed.data(), static_cast<std::streamsize>(head_bytes + size));
    out.close();
    if (ZSTD_isError(size) == 0 && out) return true;
    error = ZSTD_isError(size) != 0 ? ZSTD_getErrorName(size) : std::strerror(errno);
    return false;
}

bool HeapModel::load(const std::string& file, std::string& error) {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        error = std::strerror(errno);
        return false;
    }
    const std::vector<char> packed{std::istreambuf_iterator<char>(in), {}};
    std::uint32_t found = 0;
    std::uint64_t raw = 0;
    if (packed.size() < head_bytes || std::memcmp(packed.data(), magic, sizeof magic) != 0) {
        error = "is not a snapshot of 'cairn map --save'";
        return false;
    }
    std::memcpy(&found, packed.data() + 8, sizeof found);
    std::memcpy(&raw, packed.data() + 16, sizeof raw);
    if (found != version) {
        error = "is a snapshot of version " + std::to_string(found) + "; this command reads version " +
                std::to_string(version);
        return false;
    }
    error = "is a damaged snapshot";
    const char* const frame = packed.data() + head_bytes;
    // the frame's own idea of its size too: a forged one must not make us take more memory than it can fill
    if (raw > raw_limit || ZSTD_getFrameContentSize(frame, packed.size() - head_bytes) != raw) return false;
    std::vector<char> bytes(raw);
    const std::size_t got = ZSTD_decompress(bytes.data(), raw, frame, packed.size() - head_bytes);
    if (ZSTD_isError(got) != 0 || got != raw) return false;
    Loader loader(std::move(bytes));
    describe(loader, *this);
    if (!loader.is_whole() || !makes_sense(*this)) return false;
    place_spans();
    error.clear();
    return true;
}

}  // namespace cairn::map
