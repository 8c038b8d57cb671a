// Kinds of objects: how they are scanned, by a descriptor or a procedure of the client; and what procedures
// and the root callback push.
//
//   descriptor           becomes
//   length               every word may be a pointer; of the first words only: a bitmap
//   bitmap               a shape with a pointer map, conservative: stores into it have no barrier
//   GC_make_descriptor   procedure 1 with a number as environment: an entry of the table here, a bitmap too
//   procedure >= 8       a deferred shape: the procedure is called with the world stopped
//   per object           a described shape: the marker asks for the descriptor that the object holds, or that
//                        what its first word points to holds; one with a procedure is deferred
//
// A descriptor of an object lies where the program may be writing it. None yet (0, or a first word of 0)
// means no pointers: the page is written when it comes, so the object is looked at again. Lengths and bitmaps
// count as far as the object goes.
//
// Each kind of a client has shapes of its own, so that an object tells its kind.
//
// Floor: api. Locks: alloc_lock around the tables' growth; readers take numbers that were given out.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cstring>

#include "api/libgc.hpp"
#include "heap/size_class.hpp"
#include "heap/swept_cache.hpp"

namespace cairn::api::libgc {

namespace {

using heap::ObjectKind;
using heap::ShapeId;

constexpr unsigned typed_procedure = 1;  // below those of clients
constexpr unsigned most_descriptors = 4096;
constexpr std::size_t word_bits = 64;

// Shapes by size class, 0 where none was made yet.
struct ShapeRow {
    std::atomic<ShapeId> shapes[heap::size_class_count];  // [atomic]
};

struct Descriptor {
    const std::uint64_t* bits;  // [fixed]
    std::uint32_t words;        // [fixed] 64-bit words of the objects that it tells of
    std::uint64_t hash;         // [fixed]
    ShapeRow single;
};

enum class Scanning : std::uint8_t { every_word, nothing, map, procedure, per_object };

struct Kind {
    Scanning scanning = Scanning::every_word;  // [fixed] once given out
    std::uint32_t descriptor = 0;              // [fixed] of `map`
    GC_mark_proc procedure = nullptr;          // [fixed]
    GC_word environment = 0;                   // [fixed]
    GC_word descriptor_word = 0;               // [fixed] of `per_object`, as the client wrote it
    bool adds_size = false;                    // [fixed] of `per_object`: to that comes the object's size
    ShapeRow row;
};

constinit Kind kinds[most_kinds];
constinit std::atomic<unsigned> kind_count{first_user_kind};  // [atomic] grows under alloc_lock
// [lock] alloc_lock; markers read those that were given out
constinit GC_mark_proc procedures[GC_MAX_MARK_PROCS] = {};
constinit unsigned procedure_count = GC_RESERVED_MARK_PROCS;  // [lock] alloc_lock
constinit Descriptor* descriptors = nullptr;                  // [lock] alloc_lock; stays where it is
constinit std::atomic<unsigned> descriptor_count{0};          // [atomic] grows under alloc_lock
constinit gc::ClientSink* sink_now = nullptr;                 // [stopped] while callbacks are made

class Pushing {
public:
    explicit Pushing(gc::ClientSink& sink) : before_(sink_now) { sink_now = &sink; }
    ~Pushing() { sink_now = before_; }
    Pushing(const Pushing&) = delete;
    Pushing& operator=(const Pushing&) = delete;

private:
    gc::ClientSink* before_;
};

std::uint64_t hash_of(const std::uint64_t* bits, std::uint32_t words) {
    std::uint64_t hash = words;
    for (std::uint32_t i = 0; i < (words + word_bits - 1) / word_bits; ++i)
        hash = (hash ^ bits[i]) * 0x9e37'79b9'7f4a'7c15;
    return hash;
}

// The number of a descriptor with these bits, a new one if there is none; most_descriptors: no room.
// Needs: alloc_lock.
unsigned intern(const std::uint64_t* bits, std::uint32_t words) {
    pages::Metadata& metadata = runtime.heap.spans().metadata();
    if (descriptors == nullptr)
        descriptors = static_cast<Descriptor*>(metadata.allocate(most_descriptors * sizeof(Descriptor)));
    if (descriptors == nullptr) return most_descriptors;
    const std::uint64_t hash = hash_of(bits, words);
    const std::size_t bytes = (words + word_bits - 1) / word_bits * sizeof(std::uint64_t);
    const unsigned count = descriptor_count.load(std::memory_order_relaxed);  // relaxed: under the lock
    for (unsigned i = 0; i < count; ++i) {
        const Descriptor& known = descriptors[i];
        if (known.hash == hash && known.words == words && std::memcmp(known.bits, bits, bytes) == 0) return i;
    }
    void* copy = count == most_descriptors ? nullptr : metadata.allocate(bytes);
    if (copy == nullptr) return most_descriptors;
    std::memcpy(copy, bits, bytes);
    descriptors[count].bits = static_cast<const std::uint64_t*>(copy);
    descriptors[count].words = words;
    descriptors[count].hash = hash;
    descriptor_count.store(count + 1, std::memory_order_release);  // release: the entry is complete
    return count;
}

heap::Shapes& shapes() { return collector().swept().centrals().shapes(); }

// Which entry of the table a descriptor means; most_descriptors: none, scan it all.
unsigned number_of(GC_word descriptor) {
    const GC_word procedure = descriptor >> GC_DS_TAG_BITS & (GC_MAX_MARK_PROCS - 1);
    if ((descriptor & GC_DS_TAGS) != GC_DS_PROC || procedure != typed_procedure) return most_descriptors;
    const GC_word number = descriptor >> (GC_DS_TAG_BITS + GC_LOG_MAX_MARK_PROCS);
    // acquire: pairs with intern()
    return number < descriptor_count.load(std::memory_order_acquire) ? static_cast<unsigned>(number)
                                                                     : most_descriptors;
}

// The bits of a descriptor that a client wrote itself, where the highest one is the first word's.
std::uint64_t bits_of_inline(GC_word descriptor) {
    std::uint64_t bits = 0;
    for (GC_word left = descriptor & ~GC_word{GC_DS_TAGS}; left != 0;) {
        const auto word = static_cast<unsigned>(std::countl_zero(left));
        bits |= std::uint64_t{1} << word;
        left &= ~(std::uint64_t{1} << (word_bits - 1 - word));
    }
    return bits;
}

unsigned intern_inline(GC_word descriptor) {
    const std::uint64_t bits = bits_of_inline(descriptor);
    return bits == 0 ? most_descriptors : intern(&bits, static_cast<std::uint32_t>(std::bit_width(bits)));
}

// The first words of an object, all of it where that is more than a descriptor tells.
unsigned intern_length(GC_word bytes) {
    constexpr GC_word most_words = 1024;
    const GC_word words = bytes / sizeof(GC_word);
    if (words == 0 || words > most_words) return most_descriptors;
    std::uint64_t bits[most_words / word_bits] = {};
    for (GC_word i = 0; i < words; ++i) bits[i / word_bits] |= std::uint64_t{1} << (i % word_bits);
    return intern(bits, static_cast<std::uint32_t>(words));
}

GC_mark_proc procedure_of(GC_word descriptor) {
    return procedures[descriptor >> GC_DS_TAG_BITS & (GC_MAX_MARK_PROCS - 1)];
}
GC_word environment_of(GC_word descriptor) {
    return descriptor >> (GC_DS_TAG_BITS + GC_LOG_MAX_MARK_PROCS);
}

GC_word load_word(std::uintptr_t at) {
    return __atomic_load_n(reinterpret_cast<const GC_word*>(at), __ATOMIC_RELAXED);
}

// What an object of a kind that is described says of itself; 0: nothing, or not yet.
GC_word descriptor_in(std::uintptr_t object, std::size_t bytes, const Kind& kind) {
    constexpr unsigned most_levels = 4;
    GC_word descriptor = kind.descriptor_word + (kind.adds_size ? bytes : 0);
    for (unsigned level = 0; level < most_levels; ++level) {
        if ((descriptor & GC_DS_TAGS) != GC_DS_PER_OBJECT) return descriptor;
        const GC_word distance = descriptor & ~GC_word{GC_DS_TAGS};
        if (static_cast<GC_signed_word>(descriptor) >= 0) {
            if (distance > bytes - sizeof(GC_word)) return 0;
            descriptor = load_word(object + distance);
        } else {
            const GC_word type = load_word(object);
            if (type == 0) return 0;
            descriptor = load_word(type - (distance + GC_INDIR_PER_OBJ_BIAS));
        }
    }
    return descriptor;
}

ShapeId mapped_shape(unsigned number, unsigned size_class) {
    Descriptor& known = descriptors[number];
    std::atomic<ShapeId>& cached = known.single.shapes[size_class];
    const ShapeId found = cached.load(std::memory_order_relaxed);  // relaxed: every thread finds the same
    if (found != 0) return found;
    const ShapeId made = inside<ShapeId>(0, [&] {
        return shapes().intern(size_class, {known.bits, known.words, false, nullptr},
                               ObjectKind::conservative);
    });
    cached.store(made, std::memory_order_relaxed);  // relaxed: every thread makes the same
    return made;
}

// How objects of the kind are laid out, not yet told apart from others of the same layout.
ShapeId layout_of(const Kind& kind, unsigned size_class) {
    if (kind.scanning == Scanning::nothing) return heap::zeroed_shape_of_class(size_class);
    if (kind.scanning == Scanning::map) return mapped_shape(kind.descriptor, size_class);
    return heap::shape_of_class(size_class, ObjectKind::conservative);
}

// Where the table of shapes is full an object does not tell its kind any more.
ShapeId own_shape(int number, unsigned size_class) {
    Kind& kind = kinds[number];
    std::atomic<ShapeId>& cached = kind.row.shapes[size_class];
    // acquire: pairs with the store below: the shape is complete
    if (const ShapeId found = cached.load(std::memory_order_acquire)) return found;
    Locked lock(self());
    ShapeId made = cached.load(std::memory_order_relaxed);  // relaxed: under the lock
    const bool is_told = kind.scanning == Scanning::procedure || kind.scanning == Scanning::per_object;
    const auto rule = kind.scanning == Scanning::procedure ? heap::ScanRule::deferred
                                                           : heap::ScanRule::described;
    const auto tag = static_cast<std::uint8_t>(number);
    const ShapeId layout = layout_of(kind, size_class);
    if (made == 0)
        made = is_told ? shapes().make_told(size_class, rule, tag) : shapes().make_tagged(layout, tag);
    if (made == 0 && (is_told || is_disclaimed(number))) stop_program("too many kinds of objects");
    if (made == 0) made = layout;
    cached.store(made, std::memory_order_release);  // release: the shape is complete
    return made;
}

void* allocate_typed(std::size_t bytes, GC_word descriptor) {
    if (bytes == 0) bytes = 1;
    (void)self();
    bytes += extra_bytes;
    const unsigned size_class = bytes <= heap::max_small_bytes ? heap::swept_class_of(bytes) : 0;
    const unsigned number = number_of(descriptor);
    if (descriptor == 0) return allocate_shaped(bytes, heap::zeroed_shape_of_class(size_class));
    if (number == most_descriptors)
        return allocate_shaped(bytes, heap::shape_of_class(size_class, ObjectKind::conservative));
    return allocate_shaped(bytes, mapped_shape(number, size_class));
}

// The descriptor for an array of elements of `element_words`: the map again and again.
void* allocate_typed_array(std::size_t count, std::size_t element, GC_word descriptor) {
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(count, element, &bytes) || bytes > heap::max_request_bytes)
        return out_of_memory(SIZE_MAX);
    const unsigned number = number_of(descriptor);
    constexpr std::size_t most_words = 1024;
    const std::size_t words = element / sizeof(void*);
    if (descriptor == 0 || number == most_descriptors || element % sizeof(void*) != 0 || words > most_words)
        return descriptor == 0 ? allocate_typed(bytes, 0) : GC_malloc(bytes);
    std::uint64_t bits[most_words / word_bits] = {};
    const Descriptor& known = descriptors[number];
    for (std::size_t i = 0; i < known.words && i < words; ++i)
        if ((known.bits[i / word_bits] >> (i % word_bits) & 1) != 0)
            bits[i / word_bits] |= std::uint64_t{1} << (i % word_bits);
    bytes += extra_bytes;
    const unsigned size_class = bytes <= heap::max_small_bytes ? heap::swept_class_of(bytes) : 0;
    (void)self();
    const ShapeId shape = inside<ShapeId>(0, [&] {
        return shapes().intern(size_class, {bits, static_cast<std::uint32_t>(words), true, nullptr},
                               ObjectKind::conservative);
    });
    return allocate_shaped(bytes, shape);
}

// The original takes two kinds and two procedures when the first descriptor is made; clients see it in the
// numbers they are given. Needs: alloc_lock.
void note_first_descriptor() {
    static bool is_first = true;  // [lock] alloc_lock
    if (!is_first) return;
    is_first = false;
    kind_count.fetch_add(2, std::memory_order_relaxed);  // relaxed: under the lock
    procedure_count += 2;
}

}  // namespace

ShapeId shape_of_kind(int kind, unsigned size_class) {
    const bool is_made = kind >= first_user_kind && kind < most_kinds;
    if (kind == kind_atomic) return heap::shape_of_class(size_class, ObjectKind::noscan);
    if (!is_made) return heap::shape_of_class(size_class, ObjectKind::conservative);
    return own_shape(kind, size_class);
}

int kind_of_shape(const heap::Shape& shape, heap::ShapeId id) {
    if (shape.tag != 0) return shape.tag;
    if (id == heap::shape_of_class(shape.size_class, ObjectKind::noscan)) return kind_atomic;
    return id == heap::shape_of_class(shape.size_class, ObjectKind::conservative) ? kind_normal : -1;
}

bool set_procedure(int index, GC_mark_proc procedure) {
    const auto number = static_cast<unsigned>(index);
    if (number >= procedure_count || number == typed_procedure) return false;
    procedures[index] = procedure;
    return true;
}

gc::Description describe(std::uintptr_t object, std::size_t bytes, unsigned kind) {
    using Form = gc::Description::Form;
    if (heap::SweptCache::was_given_back(object)) return {};
    const GC_word descriptor = descriptor_in(object, bytes, kinds[kind]);
    gc::Description found;
    switch (descriptor & GC_DS_TAGS) {
    case GC_DS_LENGTH:
        found.form = Form::every_word;
        found.words = std::min(descriptor, bytes) / sizeof(GC_word);
        return found;
    case GC_DS_BITMAP:
        found.form = Form::map;
        found.bits = bits_of_inline(descriptor);
        found.words = word_bits - GC_DS_TAG_BITS;
        return found;
    case GC_DS_PROC: break;
    default: return {};  // too many levels of them
    }
    const unsigned number = number_of(descriptor);
    if (number != most_descriptors) {
        found.form = Form::map;
        found.words = descriptors[number].words;
        found.map = descriptors[number].bits;
    } else {
        found.form = procedure_of(descriptor) != nullptr ? Form::deferred : Form::nothing;
    }
    return found;
}

void scan_deferred(gc::ClientSink& sink, std::uintptr_t object, unsigned kind) {
    GC_mark_proc procedure = kinds[kind].procedure;
    GC_word environment = kinds[kind].environment;
    if (kinds[kind].scanning == Scanning::per_object) {
        if (heap::SweptCache::was_given_back(object)) return;
        const GC_word descriptor =
            descriptor_in(object, object_of(reinterpret_cast<const void*>(object)).bytes, kinds[kind]);
        const bool is_procedure =
            (descriptor & GC_DS_TAGS) == GC_DS_PROC && number_of(descriptor) == most_descriptors;
        procedure = is_procedure ? procedure_of(descriptor) : nullptr;
        environment = environment_of(descriptor);
        if (procedure == nullptr) return sink.scan_fields(object);  // it was one when it was noted
    }
    Pushing now(sink);
    // Clients hand these through; nobody looks into them.
    static GC_ms_entry mark_stack[2];
    (void)procedure(reinterpret_cast<GC_word*>(object), mark_stack, mark_stack + 1, environment);
}

void push_client_roots(gc::ClientSink& sink) {
    Pushing now(sink);
    if (GC_push_other_roots != nullptr) GC_push_other_roots();
}

}  // namespace cairn::api::libgc

using namespace cairn::api;
using namespace cairn::api::libgc;

extern "C" {

// ---- kinds and procedures

__attribute__((visibility("default"))) unsigned GC_new_proc_inner(GC_mark_proc procedure) {
    Locked lock(self());
    if (procedure_count == GC_MAX_MARK_PROCS) stop_program("GC_new_proc: too many mark procedures");
    procedures[procedure_count] = procedure;
    return procedure_count++;
}
unsigned GC_new_proc(GC_mark_proc procedure) { return GC_new_proc_inner(procedure); }

unsigned GC_new_kind_inner(void**, GC_word descriptor, int adds_size, int) {
    Locked lock(self());
    const unsigned number = kind_count.load(std::memory_order_relaxed);  // relaxed: under the lock
    if (number >= most_kinds) stop_program("GC_new_kind: too many kinds");
    Kind& kind = kinds[number];
    const GC_word tag = descriptor & GC_DS_TAGS;
    const bool is_prefix = tag == GC_DS_LENGTH && adds_size == 0;
    kind.descriptor = tag == GC_DS_BITMAP ? intern_inline(descriptor)
                      : is_prefix         ? intern_length(descriptor)
                                          : number_of(descriptor);
    if (tag == GC_DS_PER_OBJECT) {
        kind.scanning = Scanning::per_object;
        kind.descriptor_word = descriptor;
        kind.adds_size = adds_size != 0;
    } else if (is_prefix && descriptor == 0) {
        kind.scanning = Scanning::nothing;
    } else if (kind.descriptor != most_descriptors) {
        kind.scanning = Scanning::map;
    } else if (tag == GC_DS_PROC && procedure_of(descriptor) != nullptr) {
        kind.scanning = Scanning::procedure;
        kind.procedure = procedure_of(descriptor);
        kind.environment = environment_of(descriptor);
    }
    kind_count.store(number + 1, std::memory_order_release);  // release: the kind is complete
    return number;
}
unsigned GC_new_kind(void** list, GC_word descriptor, int adds_size, int clears) {
    return GC_new_kind_inner(list, descriptor, adds_size, clears);
}

// Free lists are ours; the client only hands the pointer back to GC_new_kind. No object: the caller may hold
// the lock.
void** GC_new_free_list_inner() {
    Locked lock(self());
    void* list = runtime.heap.spans().metadata().allocate(cairn::heap::size_class_count * sizeof(void*));
    if (list == nullptr) stop_program("GC_new_free_list: out of memory");
    return static_cast<void**>(list);
}
void** GC_new_free_list() { return GC_new_free_list_inner(); }

// ---- typed objects

GC_descr GC_make_descriptor(const GC_word* map, size_t bits) {
    Locked lock(self());
    note_first_descriptor();
    size_t words = 0;
    for (size_t i = 0; i < bits; ++i)
        if (GC_get_bit(map, i) != 0) words = i + 1;
    if (words == 0) return 0;
    constexpr size_t most_words = 4096;
    std::uint64_t copy[most_words / word_bits] = {};
    if (words > most_words) return words * sizeof(GC_word);
    for (size_t i = 0; i < words; ++i)
        if (GC_get_bit(map, i) != 0) copy[i / word_bits] |= std::uint64_t{1} << (i % word_bits);
    const unsigned number = intern(copy, static_cast<std::uint32_t>(words));
    if (number == most_descriptors) return words * sizeof(GC_word);
    return GC_MAKE_PROC(typed_procedure, number);
}

void* GC_malloc_explicitly_typed(size_t bytes, GC_descr descriptor) {
    return allocate_typed(bytes, descriptor);
}
void* GC_malloc_explicitly_typed_ignore_off_page(size_t bytes, GC_descr descriptor) {
    return allocate_typed(bytes, descriptor);
}
void* GC_calloc_explicitly_typed(size_t count, size_t bytes, GC_descr descriptor) {
    return allocate_typed_array(count, bytes, descriptor);
}

// ---- pushing, with the world stopped

GC_ms_entry* GC_mark_and_push(void* object, GC_ms_entry* top, GC_ms_entry*, void**) {
    if (sink_now != nullptr) sink_now->push(reinterpret_cast<std::uintptr_t>(object));
    return top;
}
void GC_push_all(void* low, void* high) {
    if (sink_now != nullptr)
        sink_now->push_range(reinterpret_cast<std::uintptr_t>(low), reinterpret_cast<std::uintptr_t>(high));
}
void GC_push_all_eager(void* low, void* high) { GC_push_all(low, high); }
void GC_push_conditional(void* low, void* high, int) { GC_push_all(low, high); }
void GC_push_finalizer_structures() {}

int GC_is_marked(const void* object) {
    const Object found = object_of(object);
    if (found.start == 0) return 0;
    if (sink_now != nullptr) return sink_now->is_marked(found.start) ? 1 : 0;
    return is_doomed(found.start) ? 0 : 1;
}
void GC_set_mark_bit(const void* object) {
    const auto start = reinterpret_cast<std::uintptr_t>(object);
    if (sink_now != nullptr) sink_now->mark_only(start);
    else set_spared(start, true);
}
void GC_clear_mark_bit(const void* object) {
    if (sink_now == nullptr) set_spared(reinterpret_cast<std::uintptr_t>(object), false);
}

void GC_set_push_other_roots(GC_push_other_roots_proc call) { GC_push_other_roots = call; }
GC_push_other_roots_proc GC_get_push_other_roots() { return GC_push_other_roots; }

}  // extern "C"
