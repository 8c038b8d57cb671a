// The tables of include/cairn/tables.h, read from the constants that the memory manager itself is built from.
//
// Nothing is computed twice: a figure printed by a tool is the figure the heap uses.
// The options are not here; they stand in options.cpp beside the code that reads them.
// SPDX-License-Identifier: MIT
#include "cairn/tables.h"

#include <cstdint>

#include "heap/size_class.hpp"
#include "pages/platforms.hpp"

namespace heap = cairn::heap;
namespace pages = cairn::pages;

extern "C" {

const char* cairn_version(void) {
    return "0.1.0";
}

size_t cairn_size_class_count(void) {
    return heap::size_class_count;
}

int cairn_size_class_get(size_t index, cairn_size_class* out) {
    if (index >= heap::size_class_count) return -1;
    const auto c = static_cast<unsigned>(index);
    const heap::SizeClass& row = heap::size_classes[c];
    const heap::Share waste = heap::max_waste(c);
    *out = {};
    out->index = c;
    out->object_bytes = row.object_bytes;
    out->span_bytes = row.span_bytes;
    out->objects = row.objects;
    out->tail_waste = heap::tail_waste(c);
    out->min_align = heap::min_align(c);
    out->smallest_request = heap::smallest_request(c);
    out->magic = row.magic;
    out->max_waste_bytes = static_cast<std::uint32_t>(waste.part);
    out->max_waste = waste.value();
    return 0;
}

unsigned cairn_size_class_of(size_t bytes) {
    return heap::size_class_of(bytes);
}
unsigned cairn_malloc_class_of(size_t bytes) {
    return heap::malloc_class_of(bytes);
}
unsigned cairn_aligned_class_of(size_t bytes, size_t align) {
    return heap::aligned_class_of(bytes, align);
}

void cairn_size_limits_get(cairn_size_limits* out) {
    *out = {heap::page_bytes, heap::tiny_bytes, heap::max_small_bytes, PTRDIFF_MAX};
}

size_t cairn_platform_count(void) {
    return pages::platforms.size();
}

int cairn_platform_get(size_t index, cairn_platform* out) {
    if (index >= pages::platforms.size()) return -1;
    const pages::Platform& p = pages::platforms[index];
    *out = {};
    out->name = p.name.data();  // literals: they end in 0
    out->note = p.note.data();
    out->address_bits = p.address_bits;
    out->pointer_bytes = p.pointer_bytes;
    out->arena_bytes = p.arena_bytes;
    out->l1_entries = p.l1_entries;
    out->l2_entries = p.l2_entries;
    out->l2_table_bytes = p.l2_table_bytes();
    out->reach_bytes = p.reach_bytes();
    out->base_offset = p.base_offset;
    out->arena_pages = p.arena_pages();
    out->span_map_bytes = p.span_map_bytes();
    out->class_map_bytes = p.class_map_bytes();
    out->page_bitmap_bytes = p.page_bitmap_bytes();
    out->pointer_bitmap_bytes = p.pointer_bitmap_bytes();
    return 0;
}

int cairn_arena_index(size_t platform, uint64_t address, uint64_t* out) {
    if (platform >= pages::platforms.size()) return -1;
    const auto index = pages::arena_index(pages::platforms[platform], address);
    if (!index) return -1;
    *out = *index;
    return 0;
}

void cairn_linear_plan_get(cairn_linear_plan* out) {
    const pages::LinearPlan& plan = pages::linear_plan;
    *out = {plan.span_map_bytes(), plan.bitmap_bytes(), plan.arena_bytes()};
}

size_t cairn_radix_level_count(void) {
    return pages::radix_levels.size();
}

int cairn_radix_level_get(size_t index, cairn_radix_level* out) {
    if (index >= pages::radix_levels.size()) return -1;
    const pages::RadixLevel& level = pages::radix_levels[index];
    *out = {level.bits, level.entries, level.region_bytes, level.reserved_bytes};
    return 0;
}

}  // extern "C"
