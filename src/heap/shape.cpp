// Filling and interning shapes.
// SPDX-License-Identifier: MIT
#include "heap/shape.hpp"

#include <cstring>

#include "base/bits.hpp"

namespace cairn::heap {

namespace {

std::size_t map_words(const PointerMap& map) { return base::divide_up(map.words, 64); }

bool has_pointers(const PointerMap& map) {
    for (std::size_t i = 0; i < map_words(map); ++i)
        if (map.bits[i] != 0) return true;
    return false;
}

std::uint64_t hash_of(unsigned size_class, const PointerMap& map, ObjectKind kind) {
    std::uint64_t hash = (size_class * 2 + map.is_tiled) * 8 + static_cast<unsigned>(kind);
    hash = hash * 0x9e37'79b9'7f4a'7c15 + map.words;
    for (std::size_t i = 0; i < map_words(map); ++i) {
        hash ^= map.bits[i];
        hash *= 0x9e37'79b9'7f4a'7c15;
        hash ^= hash >> 29;
    }
    return hash;
}

bool bit_at(const std::uint64_t* bits, std::size_t i) { return (bits[i / 64] >> (i % 64) & 1) != 0; }

}  // namespace

bool Shapes::initialize(pages::Metadata& metadata) {
    metadata_ = &metadata;
    // Fresh metadata is zero, as blank shapes are.
    table_ = static_cast<Shape*>(metadata.allocate(max_shapes * sizeof(Shape), alignof(Shape)));
    hash_ = static_cast<std::uint16_t*>(metadata.allocate(hash_slots * sizeof(std::uint16_t)));
    if (table_ == nullptr || hash_ == nullptr) return false;
    constexpr ObjectKind kinds[] = {ObjectKind::noscan, ObjectKind::typed, ObjectKind::conservative};
    for (const ObjectKind kind : kinds) {
        for (unsigned c = 0; c < size_class_count; ++c) {
            Shape& shape = table_[shape_of_class(c, kind)];
            shape.kind = kind;
            shape.rule = kind == ObjectKind::noscan ? ScanRule::nothing : ScanRule::every_word;
            shape.size_class = static_cast<std::uint8_t>(c);
            shape.magic = c == 0 ? 0 : size_classes[c].magic;
            shape.slot_bytes = c == 0 ? 0 : size_classes[c].object_bytes;
            const std::size_t words = shape.slot_bytes / word_bytes;
            if (shape.rule == ScanRule::every_word && words != 0 && words <= 64)
                shape.mask = ~std::uint64_t{0} >> (64 - words);
        }
    }
    for (unsigned c = 0; c < size_class_count; ++c)
        table_[zeroed_shape_of_class(c)] = table_[shape_of_class(c, ObjectKind::noscan)];
    count_.store(first_mapped_shape, std::memory_order_release);  // release: pairs with count()
    return true;
}

bool Shapes::is_same(const Shape& shape, unsigned size_class, const PointerMap& map,
                     ObjectKind kind) const {
    return shape.size_class == size_class && shape.kind == kind && shape.period_words == map.words &&
           shape.is_tiled == map.is_tiled &&
           std::memcmp(shape.map, map.bits, map_words(map) * sizeof(std::uint64_t)) == 0;
}

bool Shapes::fill(Shape& shape, unsigned size_class, const PointerMap& map, ObjectKind kind) {
    const std::size_t bytes = map_words(map) * sizeof(std::uint64_t);
    auto* copy = static_cast<std::uint64_t*>(metadata_->allocate(bytes, alignof(std::uint64_t)));
    if (copy == nullptr) return false;
    std::memcpy(copy, map.bits, bytes);
    shape = table_[shape_of_class(size_class, kind)];
    shape.map = copy;
    shape.period_words = map.words;
    shape.is_tiled = map.is_tiled;
    shape.type_name = map.type_name;
    shape.rule = ScanRule::tiles;
    const std::size_t slot_words = shape.slot_bytes / word_bytes;
    if (size_class == 0 || slot_words > 64) return true;
    shape.rule = ScanRule::mask;
    shape.mask = 0;
    for (std::size_t word = 0; word < slot_words; ++word) {
        if (!map.is_tiled && word >= map.words) break;
        if (bit_at(copy, word % map.words)) shape.mask |= std::uint64_t{1} << word;
    }
    return true;
}

ShapeId Shapes::intern(unsigned size_class, const PointerMap& map, ObjectKind kind) {
    if (map.words == 0 || !has_pointers(map)) return zeroed_shape_of_class(size_class);
    const ShapeId unmapped = shape_of_class(size_class, kind);
    base::Guard guard(lock_);
    std::size_t at = hash_of(size_class, map, kind) % hash_slots;
    for (; hash_[at] != 0; at = (at + 1) % hash_slots)
        if (is_same(table_[hash_[at]], size_class, map, kind)) return hash_[at];
    const unsigned id = count_.load(std::memory_order_relaxed);  // relaxed: under the lock
    if (id == max_shapes || !fill(table_[id], size_class, map, kind)) return unmapped;
    hash_[at] = static_cast<std::uint16_t>(id);
    if (kind == ObjectKind::conservative) watched_shapes.add(id);
    count_.store(id + 1, std::memory_order_release);  // release: publishes the shape
    return static_cast<ShapeId>(id);
}

ShapeId Shapes::make_told(unsigned size_class, ScanRule rule, std::uint8_t tag) {
    Shape shape = table_[shape_of_class(size_class, ObjectKind::conservative)];
    shape.rule = rule;
    shape.mask = 0;
    shape.tag = tag;
    return add(shape);
}

ShapeId Shapes::make_tagged(ShapeId like, std::uint8_t tag) {
    Shape shape = table_[like];
    shape.tag = tag;
    return add(shape);
}

ShapeId Shapes::add(const Shape& shape) {
    base::Guard guard(lock_);
    const unsigned id = count_.load(std::memory_order_relaxed);  // relaxed: under the lock
    if (id == max_shapes) return 0;
    table_[id] = shape;
    if (shape.kind == ObjectKind::conservative) watched_shapes.add(id);
    count_.store(id + 1, std::memory_order_release);  // release: publishes the shape
    return static_cast<ShapeId>(id);
}

}  // namespace cairn::heap
